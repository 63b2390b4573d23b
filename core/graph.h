/* The graph: two tables, nodes and values, with integer ids. A model, its gradient, its step form are all
 * graphs; passes copy them. A graph owns one arena; nothing in it is freed by itself.
 *
 *   node   op · attributes · inputs (value ids, −1: absent) · outputs (consecutive value ids) · scope · line
 *   value  the node that makes it · which output (port) · dtype · dims
 *
 * Values are in topological order: an input's id is smaller than any output's of its node. Pure nodes are
 * hash-consed. A dim is a monomial: a number times declared symbols, so [B,T,d] ↔ [B·T,d] needs no solver.
 * Symbols are equal by name, never by the number they are bound to. Only the literal 1 broadcasts. */
#pragma once
#include "core/context.h"
#include "core/text/text.h"
#include <stdatomic.h>

enum { MAX_RANK = 8, MAX_SYMBOLS = 12, MAX_ATTRIBUTES = 8, MAX_INPUTS = 32, MAX_OUTPUTS = 32 };
enum { MAX_FUSED = 12 }; /* operands and results of `fused`, operands of `concat` */
enum { MAX_REPEATS = 4096 }; /* of a graph: each becomes a program of its own */
/* Of a graph: more than any model has, and few enough that each can be compared with all others. */
enum { MAX_PORTS = 1 << 14, MAX_NAMED_OUTPUTS = 1 << 16, MAX_INITIALS = 1 << 16 };

typedef struct dim {
    int64_t factor;
    uint8_t power[MAX_SYMBOLS]; /* of each symbol of the graph */
    uint8_t zero[4];            /* always 0, so that memcmp compares */
} dim;

typedef struct shape {
    int rank;
    dim dims[MAX_RANK];
} shape;

dim dim_number(int64_t number);
dim dim_symbol(int symbol);
bool dim_equal(dim a, dim b);
bool dim_is_number(dim a, int64_t number);
bool dim_is_literal(dim a);
bool dim_has(dim a, int symbol);
int dim_only_symbol(dim a); /* the symbol s if a is exactly s; else −1 */
bool dim_multiply(dim a, dim b, dim *product);
bool dim_divide(dim a, dim b, dim *quotient); /* exact, or false */
dim dim_replace(dim a, int symbol, dim by);   /* symbol → by, with its power */
/* The number under `bound` (one number a symbol); −1 on overflow. */
int64_t dim_value(dim a, const int64_t *bound);
bool shape_equal(const shape *a, const shape *b);
bool shape_elements(const shape *a, dim *product);

const char *type_name(rondo_type type); /* "f32" */
static inline int64_t type_bytes(rondo_type type) { return type == RONDO_F64 ? 8 : 4; } /* of one element */

typedef int32_t value_id; /* −1: none */
typedef int32_t node_id;
enum { NONE = -1 };

typedef struct node {
    int op;
    int input_count, output_count;
    value_id *inputs; /* −1 for an optional operand that is absent */
    value_id first_output;
    attribute attributes[MAX_ATTRIBUTES];
    int scope;        /* index into names: "decoder.3.ffn"; "" at the top */
    const char *file; /* DSL source; NULL: unknown */
    int line;
} node;

typedef struct value {
    node_id node;
    int port;
    rondo_type type;
    shape shape;
    int name; /* index into names, or 0: a label for readers, without meaning */
} value;

/* Everything that persists between runs. `in` is a `state` node's value; `out` what it becomes (fixed: NONE).
 */
typedef enum port_kind { PORT_FIXED, PORT_CARRY, PORT_APPEND } port_kind;
typedef struct port {
    int name; /* index into names */
    value_id in, out;
    port_kind kind;
    int batch_axis; /* −1: shared by all sequences */
    int append_axis;
    double initial;
} port;

typedef struct output {
    int name;
    value_id value;
} output;

typedef struct parameter_initial {
    rondo_initial kind; /* 0: by the rule in rondo.h */
    double scale;
} parameter_initial;

/* A value of the outer graph, and the input of the body under construction that stands for it. */
typedef struct graph_capture {
    value_id outer, inner;
} graph_capture;

/* A graph that a node of another graph contains (the op `loop` repeats it): see core/body.h. */
typedef struct graph_body {
    int name; /* index into names */
    rondo_graph *graph;
} graph_body;

struct rondo_graph {
    rondo *context;
    arena arena;
    rondo_error error; /* the first mistake */
    node *nodes; /* nodes[NONE] and values[NONE] can be read: a leaf whose dims are 1 */
    int node_count, node_capacity;
    value *values;
    int value_count, value_capacity;
    const char **names; /* interned; [0] is "" */
    int name_count, name_capacity;
    shape *shapes; /* interned DIMS attributes */
    int shape_count, shape_capacity;
    const char *symbols[MAX_SYMBOLS];
    int symbol_count;
    port *ports;
    int port_count, port_capacity;
    output *outputs;
    int output_count, output_capacity;
    struct { value_id value; parameter_initial initial; } *initials;
    int initial_count, initial_capacity;
    graph_body *bodies;
    int body_count, body_capacity;
    int repeats;         /* nodes with a body, in bodies too, as often as a body is used */
    atomic_int sharers;  /* of a body: how many graphs hold it beside the first owner */
    rondo_graph *outer;  /* the graph that a body under construction will belong to; NULL: it is none */
    rondo_graph *inner;  /* the body under construction that new nodes go to; NULL: they go to this graph */
    graph_capture *captures; /* of a body under construction */
    int capture_count, capture_capacity;
    int scope;      /* current */
    int scope_depth, scope_stack[32];
    const char *file; /* current DSL line */
    int line;
    int site_count;          /* dropout sites handed out */
    int32_t *buckets;        /* hash-consing: node ids, −1 free */
    int bucket_count;
    int32_t *name_buckets, *shape_buckets; /* interning: indices, −1 free */
    int name_bucket_count, shape_bucket_count;
    /* name of the text that it was parsed from, whose lines are not printed; NULL: none */
    const char *source;
};

rondo_graph *graph_new(rondo *context, rondo_error *error);
/* Same context, symbols, names, shapes; no nodes. A pass builds its result in it. */
rondo_graph *graph_new_like(const rondo_graph *model, rondo_error *error);
void graph_free(rondo_graph *g);

int graph_name(rondo_graph *g, const char *name);   /* interned index; 0 on failure (error set) */
/* the graph's own copy; "" on failure (error set) */
const char *graph_intern(rondo_graph *g, const char *name);
int graph_shape(rondo_graph *g, const shape *s);    /* interned index; −1 on failure */
/* declares if new; −1 when there are too many (error set) */
int graph_symbol(rondo_graph *g, const char *name);
int graph_find_symbol(const rondo_graph *g, const char *name); /* −1: not declared */
/* Room for the first nodes, and what NONE is as an index: after a refused allocation a pass may read values
 * that could not be made, before it asks graph_good. */
bool graph_begin_tables(rondo_graph *g);
/* for the interning tables; all −1 after */
bool graph_grow_buckets(rondo_graph *g, int32_t **buckets, int *bucket_count);

/* The one builder. Attributes in the order of the op's fields. Infers types, folds nothing, hash-conses pure
 * ops. Returns the first output, or −1 (error set in the graph, with scope and line). */
value_id graph_add(rondo_graph *g, int op, const value_id *inputs, int input_count,
                   const attribute *attributes);
/* Builds at the scope and line of `from`, a node of `model` (graphs may differ). */
void graph_at(rondo_graph *g, const rondo_graph *model, node_id from);
/* Fails the graph with "FILE:LINE: SCOPE: message". Returns NONE, for `return graph_fail(...)`. */
value_id graph_fail(rondo_graph *g, rondo_code code, const char *format, ...) RONDO_FORMAT(3, 4);
#define graph_refuse(...) (graph_fail(__VA_ARGS__), false) /* the same for what returns a bool */
/* No mistake so far and no refused allocation, whether or not it was noticed: what was built is whole. */
static inline bool graph_good(const rondo_graph *g) { return !g->error.code && !g->arena.failed; }
/* graph_good, or the error; NULL: false, error as it was */
bool graph_check(const rondo_graph *g, rondo_error *error);
/* The place of a node, "model.c:42: decoder.3.ffn", written into buffer and cut there: a message needs no
 * memory. */
enum { PLACE_BYTES = 320 };
const char *graph_place(const rondo_graph *g, node_id n, char buffer[PLACE_BYTES]);

/* Inline readers. */
static inline const node *graph_node_of(const rondo_graph *g, value_id v)
{
    return &g->nodes[g->values[v].node];
}
static inline const shape *graph_shape_of(const rondo_graph *g, value_id v) { return &g->values[v].shape; }
static inline int graph_op_of(const rondo_graph *g, value_id v) { return graph_node_of(g, v)->op; }
static inline const op_signature *graph_signature(const rondo_graph *g, int op)
{
    return op_list_at(g->context->ops, op);
}
static inline int graph_find_op(const rondo_graph *g, const char *name)
{
    return op_list_find(g->context->ops, name);
}

/* the last one for v wins */
int graph_add_initial(rondo_graph *g, value_id v, rondo_initial kind, double scale);
/* out may be NONE, to be set in g->ports when it is known. */
int graph_add_port(rondo_graph *g, const char *name, value_id in, value_id out, port_kind kind,
                   int batch_axis, int append_axis, double initial);
bool graph_add_output(rondo_graph *g, const char *name, value_id v);
value_id graph_find_output(const rondo_graph *g, const char *name); /* NONE: no such output */
/* input, parameter or state by name */
value_id graph_find_leaf(const rondo_graph *g, int op, const char *name);

/* Copying with replacements. map: one value_id for each value of `from`, NONE where not copied yet.
 * graph_copy_node copies node n with its inputs mapped (all must be), sets map for its outputs, keeps scope,
 * line and value names. */
value_id *graph_map_new(rondo_graph *to, const rondo_graph *from);
/* The shape under to's symbols, which are declared; false: the graph failed. */
bool graph_map_shape(rondo_graph *to, const rondo_graph *from, shape *s);
/* Whether x, a shape of a, and y, one of b, are the same; symbols are, if they have the same name. */
bool shape_same(const rondo_graph *a, const shape *x, const rondo_graph *b, const shape *y);
bool graph_copy_node(rondo_graph *to, const rondo_graph *from, node_id n, value_id *map);
/* Ports, outputs, initials through the map; what was not copied is dropped. */
bool graph_copy_ends(rondo_graph *to, const rondo_graph *from, const value_id *map);
/* A copy of what the outputs and the ports' outs reach; map may be NULL, else receives the id map (arena of
 * `to`). */
rondo_graph *graph_clean(const rondo_graph *from, value_id **map, rondo_error *error);

/* graph_verify (ops/op.h) checks every invariant at the top of this file, and that infer agrees with every
 * stored type. */

/* ---- text form: core/text/form.c. Grammar in docs/GRAPH.md ---- */
void dim_text(text *t, const rondo_graph *g, dim d);            /* "2*T" */
void shape_text(text *t, const rondo_graph *g, const shape *s); /* "[B,T,64]" */
void graph_print(const rondo_graph *g, text *t);
/* A copy for the caller of the library, who frees it with rondo_text_free. NULL if the text has failed or
 * memory is refused. */
char *text_hand_over(const text *t, const rondo *context, rondo_error *error);
rondo_graph *graph_parse(rondo *context, const char *source, const char *file_name, rondo_error *error);
/* Parses "f32[B,T,64]" (with_type) or "[B,T,64]"; declares symbols. */
bool parse_type(rondo_graph *g, const char *source, bool with_type, rondo_type *type, shape *s);
/* Parses "axis=1, keep" as between the parentheses of an op; `attributes` gets one entry a field. False:
 * graph_fail called. */
bool parse_attributes(rondo_graph *g, int op, const char *source, attribute *attributes);
bool graph_same(const rondo_graph *a, const rondo_graph *b); /* structure, types, ports, outputs: not lines */
