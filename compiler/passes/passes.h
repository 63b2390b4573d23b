/* The passes that need no header of their own. Each copies the graph; `map`, when not NULL, receives old →
 * new value ids in the new graph's arena (NONE: gone). Each returns NULL on failure, and NULL for NULL, so
 * that a pipeline reads as a chain. */
#pragma once
#include "ops/build.h"

/* watch: each inner value whose gradient is asked for becomes the operand of a `watch`, which no pass looks
 * through. */
rondo_graph *watch(const rondo_graph *g, value_id **map, rondo_error *error);
/* mode: for evaluation, dropout becomes its operand, and the dropout rate of attention 0. */
rondo_graph *mode_evaluate(const rondo_graph *g, value_id **map, rondo_error *error);
/* simplify: algebra that changes no result: x·1, x+0, x/1, double reshapes and transposes, broadcasts that an
 * elementwise reader does anyway, folding of constants, and dead nodes. */
rondo_graph *simplify(const rondo_graph *g, value_id **map, rondo_error *error);
/* prune: loops lose the operands and results that nobody needs. */
rondo_graph *prune(const rondo_graph *g, value_id **map, rondo_error *error);
/* fuse: bias, residual and activation into matmul; chains of elementwise ops into `fused`. */
rondo_graph *fuse(const rondo_graph *g, value_id **map, rondo_error *error);
/* compose: (x Wᵀ + b) P with trained W, b, P becomes one product with a matrix that is computed at load. */
rondo_graph *compose(const rondo_graph *g, value_id **map, rondo_error *error);
/* extract: only what these values need, as outputs under these names; ports are dropped when keep_ports is
 * false. */
rondo_graph *extract(const rondo_graph *g, const value_id *values, const char *const *names, int count,
                     bool keep_ports, value_id **map, rondo_error *error);

/* A pass at work: the graph that it reads, the one that it builds, and the map from old to new values. */
typedef struct rewriter {
    const rondo_graph *from;
    rondo_graph *to;
    value_id *map;
} rewriter;
bool rewrite_begin(rewriter *r, const rondo_graph *from, rondo_error *error);
/* begins with all of `from`, ports and outputs too */
bool rewrite_copy(rewriter *r, const rondo_graph *from, rondo_error *error);
/* Fails if r->to has failed, with its error; else drops dead nodes and returns the composed map in *map (map
 * may be NULL). Frees r->to in both cases. */
rondo_graph *rewrite_clean(rewriter *r, value_id **map, rondo_error *error);
/* rewrite_clean after copying ports and outputs */
rondo_graph *rewrite_end(rewriter *r, value_id **map, rondo_error *error);
/* After two passes, *map receives their composition, from values of `from` to values of *to. False: memory
 * was refused; then *to is freed and NULL. Does nothing if map or *to is NULL. */
bool compose_maps(const rondo_graph *from, const value_id *first, const value_id *second, rondo_graph **to,
                  value_id **map, rondo_error *error);
/* by value: nodes, outputs and ports that read it; NULL: refused */
int *count_readers(arena *a, const rondo_graph *g);
/* a constant (or a broadcast or reshape of one) that is `number` */
bool is_number(const rondo_graph *g, value_id v, double number);
