/* Kernels of convolution and of the gradient of its operand: phase 0 lays the weight out as the second matrix
 * of a product, phase 1 multiplies tiles of patches by it. */
#include "ops/kernels/products/gemm.h"
#include "ops/kernels/products/patches.h"
#include "ops/rules.h"

/* Rows of the result are patches of `taps · from` columns times a matrix of `to` columns. */
typedef struct patch_product {
    patch_shape shape;
    bool of_input; /* the gradient of the operand */
    const tensor *result;
    int64_t from, to, columns, rows, tile;
} patch_product;

static patch_product product_of(const kernel_call *call)
{
    patch_product p = {.shape = patch_shape_of(call),
                       .of_input = call->op == OP_convolution_input,
                       .result = &call->outputs[0]};
    p.from = p.of_input ? p.shape.out : p.shape.in;
    p.to = p.of_input ? p.shape.in : p.shape.out;
    p.columns = p.shape.taps * p.from;
    p.rows = rows_in(p.result);
    p.tile = tile_rows(p.columns);
    return p;
}

static bool plan_convolution(kernel_call *call)
{
    patch_product p = product_of(call);
    call->phases = 2;
    call->tasks[0] = divide_up(p.columns, rows_per_task(p.to));
    call->tasks[1] = divide_up(p.rows, p.tile);
    call->shared_bytes = sizeof(float) * (size_t)(p.columns * p.to);
    call->scratch_bytes = sizeof(float) * (size_t)(p.tile * (p.columns + p.to));
    call->flops =
        2.0 * (double)rows_in(p.shape.y) * (double)p.shape.out * (double)(p.shape.taps * p.shape.in);
    return true;
}

/* matrix[(tap, from), to] out of weight [O, (tap, C)]. */
static void lay_out_weight(const kernel_call *call, const patch_product *p, int64_t task)
{
    const tensor *w = &call->inputs[1];
    int64_t each = rows_per_task(p->to),
            end = (task + 1) * each < p->columns ? (task + 1) * each : p->columns;
    for (int64_t row = task * each; row < end; row++) {
        float *to = (float *)call->shared + row * p->to;
        int64_t tap = row / p->from, channel = row % p->from;
        const float *from = (const float *)w->data;
        from += p->of_input ? channel * w->strides[0] + tap * p->to * w->strides[1] : row * w->strides[1];
        move_row((const uint32_t *)from, w->strides[p->of_input], (uint32_t *)to, 1, p->to);
    }
}

static void multiply_tile(const kernel_call *call, const patch_product *p, int64_t task, float *patches)
{
    const tensor *y = p->result;
    int64_t first = task * p->tile, rows = p->rows - first < p->tile ? p->rows - first : p->tile;
    float *product = patches + p->tile * p->columns;
    row_walk at = row_walk_at(y->dims, y->rank - 1, first);
    for (int64_t r = 0; r < rows; r++, row_walk_next(&at))
        (p->of_input ? patch_of_operand : patch_of_result)(&p->shape, at.index, patches + r * p->columns);
    const gemm_shape shape = {
        .m = rows, .n = p->to, .k = p->columns, .lda = p->columns, .ldb = p->to, .ldc = p->to};
    gemm_panel(&shape, patches, call->shared, false, product);
    at = row_walk_at(y->dims, y->rank - 1, first);
    for (int64_t r = 0; r < rows; r++, row_walk_next(&at))
        move_row((const uint32_t *)product + r * p->to, 1, (uint32_t *)y->data + row_offset(&at, y->strides),
                 last_stride(y), p->to);
}

static void run_convolution(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    patch_product p = product_of(call);
    if (phase == 0)
        lay_out_weight(call, &p, task);
    else
        multiply_tile(call, &p, task, scratch);
}

const kernel kernel_convolution = {"convolution", plan_convolution, run_convolution};

/* ---- the gradient of the weight: lanes of tiles, a sum each, then the sum of the lanes ---- */

enum { LANES = 8, LANE_TILES = 4, SUMMED = 1 << 23 }; /* SUMMED: elements of all lanes, about */

typedef struct weight_sums {
    patch_shape shape;
    int64_t rows, columns, tile, tiles, lanes, elements; /* elements: of one sum */
} weight_sums;

static weight_sums sums_of(const kernel_call *call)
{
    weight_sums s = {.shape = patch_shape_of(call)};
    s.rows = rows_in(s.shape.y);
    s.columns = s.shape.taps * s.shape.in;
    s.tile = tile_rows(s.columns);
    s.tiles = divide_up(s.rows, s.tile);
    s.lanes = divide_up(s.tiles, LANE_TILES);
    s.lanes = s.lanes < 1 ? 1 : s.lanes < LANES ? s.lanes : LANES;
    s.elements = s.columns * s.shape.out;
    while (s.lanes > 2 && s.lanes * s.elements > SUMMED)
        s.lanes--;
    return s;
}

static bool plan_weight(kernel_call *call)
{
    weight_sums s = sums_of(call);
    call->phases = 2;
    call->tasks[0] = s.lanes;
    call->tasks[1] = divide_up(s.shape.out, rows_per_task(s.columns));
    call->shared_bytes = sizeof(float) * (size_t)(s.lanes * s.elements);
    call->scratch_bytes = sizeof(float) * (size_t)(s.tile * (s.columns + s.shape.out));
    call->flops = 2.0 * (double)s.rows * (double)s.elements;
    return true;
}

/* sum [O, columns] of every LANES-th tile. */
static void sum_lane(const kernel_call *call, const weight_sums *s, int64_t lane, float *patches)
{
    const tensor *y = s->shape.y;
    float *sum = (float *)call->shared + lane * s->elements, *gradient = patches + s->tile * s->columns;
    memset(sum, 0, sizeof *sum * (size_t)s->elements);
    for (int64_t tile = lane; tile < s->tiles; tile += s->lanes) {
        int64_t first = tile * s->tile, rows = s->rows - first < s->tile ? s->rows - first : s->tile;
        row_walk at = row_walk_at(y->dims, y->rank - 1, first);
        for (int64_t r = 0; r < rows; r++, row_walk_next(&at)) {
            patch_of_result(&s->shape, at.index, patches + r * s->columns);
            move_row((const uint32_t *)y->data + row_offset(&at, y->strides), last_stride(y),
                     (uint32_t *)gradient + r * s->shape.out, 1, s->shape.out);
        }
        const gemm_shape shape = {.m = s->shape.out,
                                  .n = s->columns,
                                  .k = rows,
                                  .transpose_a = true,
                                  .lda = s->shape.out,
                                  .ldb = s->columns,
                                  .ldc = s->columns};
        gemm_panel(&shape, gradient, patches, true, sum);
    }
}

static void add_lanes(const kernel_call *call, const weight_sums *s, int64_t task)
{
    const tensor *dw = &call->outputs[0];
    int64_t each = rows_per_task(s->columns),
            end = (task + 1) * each < s->shape.out ? (task + 1) * each : s->shape.out;
    for (int64_t row = task * each; row < end; row++) {
        const float *from = (const float *)call->shared + row * s->columns;
        float *to = (float *)dw->data + row * dw->strides[0];
        for (int64_t i = 0; i < s->columns; i++) {
            double sum = 0;
            for (int64_t lane = 0; lane < s->lanes; lane++)
                sum += from[lane * s->elements + i];
            to[i * dw->strides[1]] = (float)sum;
        }
    }
}

static void run_weight(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    weight_sums s = sums_of(call);
    if (phase == 0)
        sum_lane(call, &s, task, scratch);
    else
        add_lanes(call, &s, task);
}

const kernel kernel_convolution_weight = {"convolution_weight", plan_weight, run_weight};
