/* Shared by the tests of ops: a sample of an op with numbers, running a kernel on chosen memory layouts, and
 * comparing.
 *
 * A failure is text: every function here returns NULL when all is well, else one sentence in static
 * memory. */
#pragma once
#include "ops/build.h"
#include "ops/interpret.h"

/* Sample `index` of an op: its graph, numbers for its leaves (f32 values are exact floats), and the results
 * of the references. */
typedef struct op_sample {
    rondo *context;
    rondo_graph *graph;
    sampler sampler;
    value_id result; /* the op's first output */
    int leaf_count;
    value_id leaves[MAX_INPUTS];
    double *data[MAX_INPUTS]; /* in `numbers` */
    int repeated[MAX_INPUTS]; /* the axis along which a leaf is constant; −1: none */
    arena numbers;
} op_sample;

enum sample_state { SAMPLE_OPEN, SAMPLE_PAST, SAMPLE_BROKEN };
/* PAST: there is no such sample. BROKEN: see harness_message(). Only an OPEN sample has to be closed. */
enum sample_state sample_open(op_sample *s, op_id op, int index);
void sample_close(op_sample *s);
const char *harness_message(void);

/* Makes every f32 leaf with an axis constant along one of them. Before sample_interpret. */
void sample_repeat(op_sample *s);

/* The whole graph on the references with the sample's numbers; interpret_end frees it. */
const char *sample_interpret(const op_sample *s, interpretation *result);

/* ---- kernels ---- */
typedef enum tensor_layout {
    LAYOUT_DENSE,
    LAYOUT_PITCHED, /* rows dense, axes padded, begins off alignment; tasks are run again from the last to the
                       first */
    LAYOUT_PERMUTED,  /* operands with their axes in another order in memory, results pitched */
    LAYOUT_SCATTERED, /* results permuted too; no kernel has to take that */
    LAYOUT_REPEATED,  /* f32 leaves are the same along one axis, and have stride 0 there: see sample_repeat */
    LAYOUT_IN_PLACE,  /* dense, output 0 in the memory of operand 0 */
    LAYOUT_FIRST_ONLY, /* results after the first are not wanted: NULL */
    LAYOUT_LAST_ONLY,  /* likewise those before the last */
    LAYOUT_COUNT
} tensor_layout;
static inline bool layout_is_optional(tensor_layout layout)
{
    return layout == LAYOUT_SCATTERED || layout >= LAYOUT_IN_PLACE;
}
extern const char *const layout_names[LAYOUT_COUNT];
/* Runs the kernel serially on the operands of node n, whose numbers are in `values`, and compares every
 * result. Results and scratch are poisoned before, gaps between elements are checked after. *ran tells
 * whether the kernel took the call. */
const char *check_kernel(const op_sample *s, const kernel *k, const interpretation *values,
                         tensor_layout layout, bool *ran);
/* Of two tensors: rms(a − b) / rms(b) ≤ bound, max|a − b| / rms(b) ≤ 10 bound; infinities and NaNs in the
 * same places. */
const char *compare_tensors(const double *a, const double *b, int64_t count, double bound);

/* ---- gradients ---- */
/* The op's vjp rule against central differences in double, for every leaf it takes as f32 operand. */
const char *check_gradient(op_id op, int index);
