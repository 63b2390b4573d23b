/* Bodies: graphs that a node of another graph contains, by name. The op `loop` repeats one at every step.
 *
 * A body is shared by the graphs that hold it, since passes copy graphs, and does not change once one does.
 * It has symbols, names and shapes of its own; symbols mean the same in both if they have the same name. */
#pragma once
#include "core/graph.h"

enum { MAX_BODY_DEPTH = 4 }; /* of bodies in bodies */

/* Puts the body, which is whole, into g under a name, and gives the name's index; 0: g failed. The body is
 * given away, also on failure. An equal body under the name takes its place; a different one gets a name of
 * its own: NAME.1, NAME.2, … */
int graph_give_body(rondo_graph *g, const char *name, rondo_graph *body);
/* The same for a body that another graph holds and keeps. */
int graph_share_body(rondo_graph *g, const char *name, rondo_graph *body);
rondo_graph *graph_body_named(const rondo_graph *g, int64_t name); /* NULL: none */
/* The body of a node that has one; NULL: none. */
rondo_graph *graph_body_of(const rondo_graph *g, const node *n);
int graph_body_depth(const rondo_graph *g); /* 0: it has no bodies */

/* ---- building one: between begin and end, what is built in g goes to the body ---- */

/* A new body with the scope of g and its place in the source; NULL: g failed. */
rondo_graph *graph_begin_body(rondo_graph *g);
/* New nodes go to g again; the body is the caller's. */
rondo_graph *graph_end_body(rondo_graph *g);
/* The body under construction that new nodes of g go to, however deep; g if there is none. */
rondo_graph *graph_innermost(rondo_graph *g);
/* The value of `body` that stands for value v of the graph `from` that surrounds it. NONE: body failed. */
value_id graph_capture_value(rondo_graph *body, rondo_graph *from, value_id v, int input_op);
