/* The op `loop`: a body, repeated along the first axis of some operands.
 *
 *   operands   carries      what the first step finds; the body has it as the state "carry.K", a port
 *              sequences    [n·W, …]: step i sees rows i·W … i·W + W − 1 as the input "row.K", [W, …];
 *                           W is the attribute block; block 0: one row, without an axis
 *              stacks       [n, …]: step i sees element i as the input "stack.K", whatever the block
 *              constants    the same at every step, the input "constant.K"
 *   results    carries      what the last step leaves
 *              rows         [n·W, …] or [n, …]: the outputs "row.K" of the steps, one after another
 *              stacks       [n, …]: the outputs "stack.K"
 *
 * Each kind is numbered from 0. The body may leave out an input that it does not read. With `reverse` the
 * steps go from the last row to the first; what belongs to step i stays at place i. */
#pragma once
#include "core/body.h"
#include "ops/op.h"

typedef struct loop_parts {
    rondo_graph *body;
    int carries, sequences, stacks, constants; /* operands, in this order */
    int rows, stacked;                         /* results, after the carries */
    int64_t block;
    bool reverse;
} loop_parts;
typedef enum loop_kind { LOOP_CARRY, LOOP_ROW, LOOP_STACK, LOOP_CONSTANT } loop_kind;
/* An operand or result: its kind and its number among those. */
typedef struct loop_place {
    loop_kind kind;
    int number;
} loop_place;
enum { LOOP_NAME_BYTES = 32 };

void loop_parts_of(const rondo_graph *g, const attribute *attributes, int input_count, loop_parts *p);
static inline int loop_input_count(const loop_parts *p)
{
    return p->carries + p->sequences + p->stacks + p->constants;
}
static inline int loop_output_count(const loop_parts *p) { return p->carries + p->rows + p->stacked; }
loop_place loop_operand(const loop_parts *p, int operand);
loop_place loop_result(const loop_parts *p, int result);
void loop_name(loop_place at, char name[LOOP_NAME_BYTES]); /* "carry.0" */
/* What the body calls an operand; NONE: it does not read it. */
value_id loop_leaf(const loop_parts *p, int operand);
/* The value of the body that a result is made of. */
value_id loop_made(const loop_parts *p, int result);
/* How many steps: the extent of the first axis in steps. False: there is no operand along time. */
bool loop_steps(const rondo_graph *g, const node *n, const loop_parts *p, dim *steps);
/* One number for each symbol of the body, from those of the graph around it; −1: unknown there. */
void loop_bound(const rondo_graph *g, const int64_t *bound, const rondo_graph *body, int64_t *inner);

/* Building: a body's leaf, its port and its output by kind and number; and the node. */
value_id loop_add_leaf(rondo_graph *body, loop_place at, rondo_type type, const shape *s);
bool loop_add_output(rondo_graph *body, loop_place at, value_id v);
/* [T, B], of rows [B, T]: 1 where a row is before its sequence's length, i32[B], else 0. */
value_id loop_alive(rondo_graph *g, const shape *rows, value_id length);
/* next where alive, [B], is not 0, else before; both [B, ...]. alive NONE: next. */
value_id loop_guard(rondo_graph *body, value_id alive, value_id next, value_id before);
/* Gives the body to g. inputs: loop_input_count(p) of them; p->body is not read. The first result. */
value_id loop_build(rondo_graph *g, const char *name, rondo_graph *body, const loop_parts *p,
                    const value_id *inputs);
