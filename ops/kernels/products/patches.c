/* ops/kernels/products/patches.h. */
#include "ops/kernels/products/patches.h"
#include "ops/kernels/strided.h"
#include "ops/rules.h"

patch_shape patch_shape_of(const kernel_call *call)
{
    bool of_input = call->op == OP_convolution_input, of_weight = call->op == OP_convolution_weight;
    patch_shape p = {.width = call->attributes[convolution_width].integer,
                     .stride = call->attributes[convolution_stride].integer,
                     .before = call->attributes[convolution_before].integer,
                     .taps = 1,
                     .x = of_input ? &call->outputs[0] : &call->inputs[0],
                     .y = of_input    ? &call->inputs[0]
                          : of_weight ? &call->inputs[1]
                                      : &call->outputs[0]};
    p.axes = p.x->rank - 2;
    p.in = last_extent(p.x);
    p.out = last_extent(p.y);
    for (int i = 0; i < p.axes; i++)
        p.taps *= p.width;
    return p;
}

int64_t tile_rows(int64_t columns)
{
    enum { ELEMENTS = 49152, UNIT = 24, MOST = 96 };
    int64_t rows = ELEMENTS / (columns > 0 ? columns : 1) / UNIT * UNIT;
    return rows < UNIT ? UNIT : rows < MOST ? rows : MOST;
}

/* The element along one axis that a tap takes for the row at `index` of that axis; one outside is 0. */
typedef int64_t source_rule(const patch_shape *p, int64_t index, int64_t tap);

static inline int64_t source_of_result(const patch_shape *p, int64_t index, int64_t tap)
{
    return index * p->stride + tap - p->before;
}

/* −1: no element of y has this one at this tap. */
static inline int64_t source_of_operand(const patch_shape *p, int64_t index, int64_t tap)
{
    int64_t from = index + p->before - tap;
    return from >= 0 && from % p->stride == 0 ? from / p->stride : -1;
}

/* Taps along the last of the axes, from one row of it on; runs that lie together in memory are one copy. */
static inline __attribute__((always_inline)) void patch_line(const patch_shape *p, const tensor *t,
                                                             source_rule *source, int64_t index,
                                                             const float *from, float *to)
{
    int axis = p->axes, last = t->rank - 1;
    int64_t channels = t->dims[last], extent = t->dims[axis];
    bool dense = t->strides[last] == 1 && t->strides[axis] == channels;
    for (int64_t tap = 0, run = 1; tap < p->width; tap += run, run = 1) {
        int64_t at = source(p, index, tap);
        bool inside = from && at >= 0 && at < extent;
        while (tap + run < p->width) {
            int64_t next = source(p, index, tap + run);
            bool follows =
                inside ? dense && next == at + run && next < extent : !(from && next >= 0 && next < extent);
            if (!follows)
                break;
            run++;
        }
        int64_t count = run * channels;
        move_row(inside ? (const uint32_t *)from + at * t->strides[axis] : NULL, t->strides[last],
                 (uint32_t *)to, 1, count);
        to += count;
    }
}

/* All taps in row-major order. */
static inline __attribute__((always_inline)) void patch(const patch_shape *p, const tensor *t,
                                                        source_rule *source, const int64_t *index, float *to)
{
    int64_t lines = p->width ? p->taps / p->width : 0, line_elements = p->width * last_extent(t);
    for (int64_t line = 0; line < lines; line++, to += line_elements) {
        const float *from = (const float *)t->data + index[0] * t->strides[0];
        int64_t rest = line;
        for (int axis = p->axes - 1; axis > 0; axis--, rest /= p->width) {
            int64_t at = source(p, index[axis], rest % p->width);
            bool inside = from && at >= 0 && at < t->dims[axis];
            from = inside ? from + at * t->strides[axis] : NULL;
        }
        patch_line(p, t, source, index[p->axes], from, to);
    }
}

void patch_of_result(const patch_shape *p, const int64_t *index, float *to)
{
    patch(p, p->x, source_of_result, index, to);
}

void patch_of_operand(const patch_shape *p, const int64_t *index, float *to)
{
    patch(p, p->y, source_of_operand, index, to);
}
