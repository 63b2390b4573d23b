/* Kernels of random numbers: rows along the last axis. What an element is depends on its place alone
 * (ops/kernels/random_numbers.h). */
#include "ops/build.h"
#include "ops/kernels/random_numbers.h"
#include "ops/kernels/row_tasks.h"
#include "ops/rules.h"
#include "ops/vector/table.h"

enum { SEED, SENTENCES, OFFSET };
enum { PIECE = 512 };

static bool plan_random(kernel_call *call)
{
    call->scratch_bytes = 3 * sizeof(float) * PIECE;
    return plan_rows(call, &call->outputs[0]);
}

/* The key of the row of index[]. */
static dropout_key row_key(const kernel_call *call, const int64_t *index, int axis)
{
    const tensor *seed = &call->inputs[SEED], *sentences = &call->inputs[SENTENCES],
                 *offset = call->input_count > OFFSET ? &call->inputs[OFFSET] : NULL;
    uint64_t key = dropout_sentence(call->attributes[random_uniform_site].integer, integer_at(seed, 0),
                                    integer_at(seed, seed->strides[0]),
                                    integer_at(sentences, index[0] * sentences->strides[0]));
    int64_t first = offset && offset->data ? integer_at(offset, index[0] * offset->strides[0]) : 0;
    return dropout_row(key, first + index[axis]);
}

/* One row in pieces; its channels lie `step` apart, or it runs along time. */
typedef struct random_row {
    const kernel_call *call;
    int64_t *index; /* of the row; the last is that of the element */
    int axis;
    bool along;
    uint32_t step;
} random_row;

/* Bits of the elements first … first + count − 1; second: of the second number of each pair. */
static void row_bits(const random_row *r, int64_t first, int64_t count, bool second, uint32_t *bits)
{
    const tensor *y = &r->call->outputs[0];
    int last = y->rank - 1;
    r->index[last] = 0;
    uint32_t channel = dropout_channel(y->rank, y->dims, r->index, r->axis) + (uint32_t)first * r->step;
    dropout_key key = row_key(r->call, r->index, r->axis);
    key = second ? random_second(key) : key;
    for (int64_t i = 0; !r->along && i < count; i++)
        bits[i] = dropout_bits(key, channel + (uint32_t)i * r->step);
    for (int64_t i = 0; r->along && i < count; i++) {
        r->index[last] = first + i;
        key = row_key(r->call, r->index, r->axis);
        bits[i] = dropout_bits(second ? random_second(key) : key, channel);
    }
}

static void open_numbers(const uint32_t *bits, int64_t count, float *u)
{
    for (int64_t i = 0; i < count; i++)
        u[i] = random_open(bits[i]);
}

static void draw(const random_row *r, int64_t first, int64_t count, uint32_t *bits, float *u, float *v)
{
    const float two_pi = 6.2831853f;
    row_bits(r, first, count, false, bits);
    if (r->call->op == OP_random_uniform) {
        for (int64_t i = 0; i < count; i++)
            u[i] = random_unit(bits[i]);
        return;
    }
    open_numbers(bits, count, u);
    vectors()->math_log(u, u, count);
    if (r->call->op == OP_random_gumbel) {
        for (int64_t i = 0; i < count; i++)
            u[i] = -u[i];
        vectors()->math_log(u, u, count);
        for (int64_t i = 0; i < count; i++)
            u[i] = -u[i];
        return;
    }
    row_bits(r, first, count, true, bits);
    open_numbers(bits, count, v);
    for (int64_t i = 0; i < count; i++)
        v[i] = two_pi * (v[i] - 0.5f);
    vectors()->math_cos(v, v, count);
    for (int64_t i = 0; i < count; i++)
        u[i] = sqrtf(-2 * u[i]) * v[i];
}

static void run_random(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    const tensor *y = &call->outputs[0];
    int last = y->rank - 1;
    row_range rows = rows_of_task(y, task);
    row_walk row = row_walk_at(y->dims, last, rows.begin);
    random_row r = {call, row.index, normal_axis(call->attributes[random_uniform_axis].integer, y->rank),
                    .step = 1};
    float *u = scratch, *v = u + PIECE;
    (void)phase;
    r.along = r.axis == last;
    for (int i = 1; i < last; i++)
        r.step *= i == r.axis ? 1 : (uint32_t)y->dims[i];
    r.step = r.along ? 0 : r.step;
    for (int64_t at = rows.begin; at < rows.end; at++, row_walk_next(&row)) {
        float *to = (float *)y->data + row_offset(&row, y->strides);
        for (int64_t first = 0; first < y->dims[last]; first += PIECE) {
            int64_t left = y->dims[last] - first, count = left < PIECE ? left : PIECE;
            draw(&r, first, count, (uint32_t *)(v + PIECE), u, v);
            move_row((const uint32_t *)u, 1, (uint32_t *)to + first * y->strides[last], y->strides[last],
                     count);
        }
    }
}

const kernel kernel_random = {"random", plan_random, run_random};
