/* The kernels of the delta rule against its reference in double, for every chunk and length. Padding is NaN
 * in every operand; results that are not wanted are NULL. */
#include "ops/kernels/recurrent/delta_chunk.h"
#include "tests/ops/kernels/kernel_bench.h"
#include <criterion/criterion.h>

typedef struct delta_case {
    int64_t batch, heads, time, key, value;
    bool decay, state_in, state_out, ragged, views;
    int64_t chunk;
} delta_case;

enum { OPERANDS = 9, RESULTS = 6 };
typedef struct delta_bench {
    delta_case c;
    tensor in[OPERANDS], out[RESULTS]; /* out: of the kernel that runs */
    attribute attributes[1];
    int32_t *length;
} delta_bench;

static int64_t rows_of(const delta_case *c, int operand)
{
    return operand == DELTA_STATE || operand == DELTA_DSTATE ? c->key : c->time;
}
static int64_t columns_of(const delta_case *c, int operand)
{
    bool each = operand == DELTA_BETA || operand == DELTA_LOG_DECAY;
    return operand <= DELTA_K ? c->key : each ? 1 : c->value;
}
/* The operand whose gradient is result i. */
static const int differentiated[RESULTS] = {DELTA_Q,    DELTA_K,         DELTA_V,
                                            DELTA_BETA, DELTA_LOG_DECAY, DELTA_STATE};

static tensor head_tensor(const delta_case *c, int64_t rows, int64_t columns, double low, double high)
{
    static const int order[] = {0, 2, 1, 3};
    return bench_tensor(4, (int64_t[]){c->batch, c->heads, rows, columns}, c->views ? order : NULL,
                        c->views ? 3 : 0, low, high);
}

static float *spot(const tensor *t, int64_t b, int64_t h, int64_t row, int64_t column)
{
    return (float *)t->data + b * t->strides[0] + h * t->strides[1] + row * t->strides[2] +
           column * t->strides[3];
}

static void poison_padding(const delta_bench *x, const tensor *t)
{
    for (int64_t b = 0; b < t->dims[0]; b++)
        for (int64_t h = 0; h < t->dims[1]; h++)
            for (int64_t i = x->length[b]; i < t->dims[2]; i++)
                for (int64_t j = 0; j < t->dims[3]; j++)
                    *spot(t, b, h, i, j) = NAN;
}

static bool is_absent(const delta_case *c, int operand)
{
    return operand == DELTA_LENGTH || (operand == DELTA_LOG_DECAY && !c->decay) ||
           (operand == DELTA_STATE && !c->state_in) || (operand == DELTA_DSTATE && !c->state_out);
}

/* Keys have a length of about 1, as in the models that use the rule. */
static delta_bench delta_begin(delta_case c)
{
    delta_bench x = {.c = c};
    double most = sqrt(3 / (double)c.key);
    const double low[OPERANDS] = {-1, -most, -1, 0.05, -0.3, 0, -1, -1, -1},
                 high[OPERANDS] = {1, most, 1, 1, 0, 0, 1, 1, 1};
    x.attributes[0].integer = c.chunk;
    x.length = calloc((size_t)c.batch, sizeof *x.length);
    for (int64_t b = 0; b < c.batch; b++)
        x.length[b] = (int32_t)(!c.ragged ? c.time : b == 0 ? 0 : b == 1 ? c.time : bench_below(c.time + 1));
    for (int i = 0; i < OPERANDS; i++) {
        if (is_absent(&c, i))
            continue;
        x.in[i] = head_tensor(&c, rows_of(&c, i), columns_of(&c, i), low[i], high[i]);
        if (rows_of(&c, i) == c.time && i != DELTA_STATE && i != DELTA_DSTATE)
            poison_padding(&x, &x.in[i]);
    }
    if (c.ragged)
        x.in[DELTA_LENGTH] = (tensor){x.length, RONDO_I32, 1, {c.batch}, {1}};
    return x;
}

static void delta_results(delta_bench *x, bool grad)
{
    const delta_case *c = &x->c;
    for (int i = 0; i < (grad ? RESULTS : 2); i++) {
        int like = grad ? differentiated[i] : i == 0 ? DELTA_V : DELTA_STATE;
        bool wanted = grad ? !is_absent(c, like) : i == 0 || c->state_out;
        x->out[i] = wanted ? head_tensor(c, rows_of(c, like), columns_of(c, like), -1, 1) : (tensor){0};
    }
}

static void free_results(delta_bench *x)
{
    for (int i = 0; i < RESULTS; i++)
        if (x->out[i].data)
            bench_free(&x->out[i]);
    memset(x->out, 0, sizeof x->out);
}

static void delta_end(delta_bench *x)
{
    free_results(x);
    for (int i = 0; i < OPERANDS; i++)
        if (x->in[i].data && i != DELTA_LENGTH)
            bench_free(&x->in[i]);
    free(x->length);
}

static void delta_run(delta_bench *x, bool grad, bool backward)
{
    kernel_call call = {.op = grad ? OP_delta_grad : OP_delta,
                        .attributes = x->attributes,
                        .input_count = grad ? 9 : 7,
                        .output_count = grad ? 6 : 2,
                        .inputs = x->in,
                        .outputs = x->out};
    cr_assert(bench_run(grad ? &kernel_delta_grad : &kernel_delta, &call, backward));
}

/* ---- the reference ---- */

typedef struct expected {
    arena memory;
    reference_tensor in[OPERANDS], out[RESULTS];
} expected;

static reference_tensor numbers(expected *e, const delta_bench *x, int64_t rows, int64_t columns)
{
    const delta_case *c = &x->c;
    int64_t count = c->batch * c->heads * rows * columns;
    return (reference_tensor){
        ARENA_NEW(&e->memory, double, count + 1), 4, {c->batch, c->heads, rows, columns}, count};
}

static void expect(expected *e, const delta_bench *x, bool grad)
{
    const delta_case *c = &x->c;
    attribute attributes[MAX_ATTRIBUTES] = {0};
    memset(e, 0, sizeof *e);
    arena_begin(&e->memory, NULL);
    for (int i = 0; i < OPERANDS; i++) {
        if (is_absent(c, i))
            continue;
        e->in[i] = numbers(e, x, rows_of(c, i), columns_of(c, i));
        for (int64_t j = 0; j < e->in[i].count; j++)
            e->in[i].data[j] = *bench_at(&x->in[i], j);
    }
    double *length = ARENA_NEW(&e->memory, double, c->batch + 1);
    for (int64_t b = 0; b < c->batch; b++)
        length[b] = x->length[b];
    e->in[DELTA_LENGTH] = (reference_tensor){length, 1, {c->batch}, c->batch};
    for (int i = 0; i < (grad ? RESULTS : 2); i++) {
        int like = grad ? differentiated[i] : i == 0 ? DELTA_V : DELTA_STATE;
        e->out[i] = numbers(e, x, rows_of(c, like), columns_of(c, like));
    }
    reference_call call = {.attributes = attributes,
                           .input_count = grad ? 9 : 7,
                           .output_count = grad ? 6 : 2,
                           .inputs = e->in,
                           .outputs = e->out,
                           .scratch = &e->memory};
    cr_assert(grad ? reference_delta_grad(&call) : reference_delta(&call));
}

static double error_of(const tensor *got, const double *wanted, int64_t count)
{
    double *dense = malloc(sizeof *dense * (size_t)(count + 1));
    for (int64_t j = 0; j < count; j++)
        dense[j] = *bench_at(got, j);
    double error = bench_error(dense, wanted, count);
    free(dense);
    return error;
}

static void check_against(const delta_bench *x, const expected *e, double bound)
{
    const delta_case *c = &x->c;
    for (int i = 0; i < RESULTS; i++) {
        if (!x->out[i].data)
            continue;
        double error = error_of(&x->out[i], e->out[i].data, e->out[i].count);
        cr_expect(error <= bound,
                  "B%d H%d T%d Dk%d Dv%d decay %d chunk %d views %d: result %d is off by %.2e > %.2e",
                  (int)c->batch, (int)c->heads, (int)c->time, (int)c->key, (int)c->value, c->decay,
                  (int)c->chunk, c->views, i, error, bound);
    }
}

static void check(delta_case c, bool grad)
{
    expected e;
    delta_bench x = delta_begin(c);
    expect(&e, &x, grad);
    delta_results(&x, grad);
    delta_run(&x, grad, false);
    check_against(&x, &e, grad ? 5e-6 : 1e-6 * fmax(1, sqrt((double)c.time / 1000)));
    arena_end(&e.memory);
    delta_end(&x);
}

/* ---- numbers ---- */

Test(delta_kernel, is_the_recurrence_at_every_length_and_chunk)
{
    static const int64_t times[] = {1, 2, 7, 63, 64, 65, 200}, chunks[] = {0, 1, 8, 16, 24, 32, 64, 100, 128};
    for (size_t t = 0; t < sizeof times / sizeof *times; t++)
        for (size_t chunk = 0; chunk < sizeof chunks / sizeof *chunks; chunk++)
            for (int grad = 0; grad < 2; grad++) {
                check((delta_case){2, 3, times[t], 16, 16, .decay = chunk % 2, .chunk = chunks[chunk],
                                   .views = true},
                      grad);
                check((delta_case){3, 1, times[t], 5, 19, .decay = chunk % 2 == 0, .state_in = true,
                                   .state_out = true, .ragged = true, .chunk = chunks[chunk]},
                      grad);
            }
}

Test(delta_kernel, takes_every_key_and_value_width)
{
    static const int64_t widths[] = {1, 2, 3, 13, 16, 17, 32, 61, 64, 130};
    for (size_t k = 0; k < sizeof widths / sizeof *widths; k++)
        for (size_t v = 0; v < sizeof widths / sizeof *widths; v++)
            for (int variant = 0; variant < 4; variant++)
                check((delta_case){variant == 3 ? 9 : 2, 1, variant == 3 ? 1 : 41, widths[k], widths[v],
                                   .decay = (k + v) % 2, .state_in = k % 2, .state_out = v % 2,
                                   .ragged = k % 3 == 0, .views = v % 2},
                      variant % 2);
}

Test(delta_kernel, keeps_its_bound_over_a_thousand_rows)
{
    static const int64_t chunks[] = {8, 16, 32, 64, 128};
    for (int grad = 0; grad < 2; grad++)
        for (size_t i = 0; i < sizeof chunks / sizeof *chunks; i++) {
            check((delta_case){1, 2, 1000, 32, 32, .decay = true, .state_in = true, .state_out = true,
                               .chunk = chunks[i]},
                  grad);
            check((delta_case){2, 1, 1000, 16, 40, .chunk = chunks[i], .state_out = true, .ragged = true},
                  grad);
        }
}

/* ---- state ---- */

Test(delta_kernel, of_one_token_updates_its_state_in_place)
{
    for (int views = 0; views < 2; views++)
        for (int length = 0; length < 2; length++) {
            expected e;
            delta_bench x = delta_begin((delta_case){2, 2, 1, 7, 20, .decay = true, .state_in = true,
                                                     .state_out = true, .views = views});
            x.length[0] = length;
            x.in[DELTA_LENGTH] = (tensor){x.length, RONDO_I32, 1, {2}, {1}};
            expect(&e, &x, false);
            delta_results(&x, false);
            tensor own = x.out[1];
            x.out[1] = x.in[DELTA_STATE];
            delta_run(&x, false, false);
            check_against(&x, &e, 1e-6);
            x.out[1] = own;
            arena_end(&e.memory);
            delta_end(&x);
        }
}

Test(delta_kernel, of_many_tokens_updates_its_state_in_place)
{
    expected e;
    delta_bench x = delta_begin((delta_case){2, 2, 70, 9, 80, .decay = true, .state_in = true,
                                             .state_out = true, .ragged = true, .chunk = 32});
    expect(&e, &x, false);
    delta_results(&x, false);
    tensor own = x.out[1];
    x.out[1] = x.in[DELTA_STATE];
    delta_run(&x, false, true);
    check_against(&x, &e, 1e-6);
    x.out[1] = own;
    arena_end(&e.memory);
    delta_end(&x);
}

/* Rows `from` to `to` of every operand along time; the state is that of the whole. */
static delta_bench piece_of(const delta_bench *whole, int64_t from, int64_t to)
{
    delta_bench x = *whole;
    x.c.time = to - from;
    for (int i = 0; i <= DELTA_LOG_DECAY; i++) {
        x.in[i].dims[2] = to - from;
        x.in[i].data = x.in[i].data ? (float *)x.in[i].data + from * x.in[i].strides[2] : NULL;
    }
    x.out[0].dims[2] = to - from;
    x.out[0].data = (float *)x.out[0].data + from * x.out[0].strides[2];
    return x;
}

/* The sequence is cut once and the state passed on in place: out and state of both parts. */
static void run_in_two(delta_bench *x, int64_t cut, tensor *state)
{
    for (int part = 0; part < 2; part++) {
        delta_bench piece = part ? piece_of(x, cut, x->c.time) : piece_of(x, 0, cut);
        piece.in[DELTA_STATE] = piece.out[1] = *state;
        delta_run(&piece, false, false);
    }
}

Test(delta_kernel, cut_anywhere_is_the_whole_and_at_chunks_to_the_bit)
{
    for (int64_t cut = 1; cut < 100; cut++) {
        expected e;
        delta_bench x = delta_begin((delta_case){1, 2, 100, 12, 20, .decay = cut % 2, .state_in = true,
                                                 .state_out = true, .chunk = 16});
        expect(&e, &x, false);
        tensor state = head_tensor(&x.c, 12, 20, 0, 0);
        for (int64_t i = 0; i < bench_count(&state); i++)
            *bench_at(&state, i) = *bench_at(&x.in[DELTA_STATE], i);
        delta_results(&x, false);
        delta_run(&x, false, false);
        delta_bench whole = x;
        delta_results(&x, false);
        run_in_two(&x, cut, &state);
        cr_expect_leq(error_of(&x.out[0], e.out[0].data, e.out[0].count), 1e-6, "cut at %d", (int)cut);
        cr_expect_leq(error_of(&state, e.out[1].data, e.out[1].count), 1e-6, "cut at %d", (int)cut);
        for (int64_t i = 0; cut % 16 == 0 && i < bench_count(&state); i++)
            cr_assert_eq(*bench_at(&state, i), *bench_at(&whole.out[1], i));
        for (int64_t i = 0; cut % 16 == 0 && i < bench_count(&x.out[0]); i++)
            cr_assert_eq(*bench_at(&x.out[0], i), *bench_at(&whole.out[0], i));
        arena_end(&e.memory);
        free_results(&whole);
        bench_free(&state);
        delta_end(&x);
    }
}

/* Ten thousand steps, one by one and in chunks: errors do not accumulate, since the rule corrects them. */
Test(delta_kernel, stays_true_over_ten_thousand_steps)
{
    enum { STEPS = 10000 };
    for (int decay = 0; decay < 2; decay++) {
        expected e;
        delta_bench x =
            delta_begin((delta_case){1, 1, STEPS, 8, 8, .decay = decay, .state_in = true, .state_out = true});
        expect(&e, &x, false);
        delta_results(&x, false);
        delta_run(&x, false, false);
        check_against(&x, &e, 1e-6);
        tensor state = x.in[DELTA_STATE];
        for (int64_t t = 0; t < STEPS; t++) {
            delta_bench piece = piece_of(&x, t, t + 1);
            piece.out[1] = piece.in[DELTA_STATE] = state;
            delta_run(&piece, false, false);
        }
        cr_expect_leq(error_of(&state, e.out[1].data, e.out[1].count), 1e-6);
        cr_expect_leq(error_of(&x.out[0], e.out[0].data, e.out[0].count), 1e-6);
        arena_end(&e.memory);
        delta_end(&x);
    }
}

/* ---- what the rule means ---- */

/* A key of length 1 reads exactly what was just written under it with β = 1. */
Test(delta_kernel, with_full_steps_reads_back_what_it_wrote)
{
    delta_bench x =
        delta_begin((delta_case){1, 2, 90, 16, 24, .decay = true, .state_in = true, .views = true});
    for (int64_t h = 0; h < 2; h++)
        for (int64_t t = 0; t < 90; t++) {
            double square = 0;
            for (int64_t f = 0; f < 16; f++)
                square += pow(*spot(&x.in[DELTA_K], 0, h, t, f), 2);
            for (int64_t f = 0; f < 16; f++)
                *spot(&x.in[DELTA_Q], 0, h, t, f) = *spot(&x.in[DELTA_K], 0, h, t, f) /= (float)sqrt(square);
            *spot(&x.in[DELTA_BETA], 0, h, t, 0) = 1;
        }
    delta_results(&x, false);
    delta_run(&x, false, false);
    for (int64_t i = 0; i < bench_count(&x.out[0]); i++)
        cr_expect_float_eq(*bench_at(&x.out[0], i), *bench_at(&x.in[DELTA_V], i), 1e-5);
    delta_end(&x);
}

/* A log decay of −∞ erases the state, also in the middle of a chunk. */
Test(delta_kernel, forgets_everything_where_the_decay_is_zero)
{
    for (int64_t chunk = 16; chunk <= 64; chunk *= 2) {
        delta_bench x =
            delta_begin((delta_case){1, 1, 60, 8, 8, .decay = true, .state_in = true, .chunk = chunk});
        *spot(&x.in[DELTA_LOG_DECAY], 0, 0, 23, 0) = -INFINITY;
        delta_results(&x, false);
        delta_run(&x, false, false);
        delta_bench whole = x;
        delta_results(&x, false);
        delta_bench rest = piece_of(&x, 23, 60);
        rest.in[DELTA_STATE] = (tensor){0};
        delta_run(&rest, false, false);
        for (int64_t t = 23; t < 60; t++)
            for (int64_t j = 0; j < 8; j++)
                cr_expect_float_eq(*spot(&whole.out[0], 0, 0, t, j), *spot(&x.out[0], 0, 0, t, j), 1e-5);
        free_results(&whole);
        delta_end(&x);
    }
}

Test(delta_kernel, is_causal_bit_for_bit)
{
    static const float later[] = {0.5f, 1e30f};
    for (int64_t chunk = 8; chunk <= 128; chunk *= 4)
        for (int kind = 0; kind < 2; kind++)
            for (int64_t from = 1; from < 90; from += 11) {
                delta_bench x = delta_begin((delta_case){1, 2, 90, 8, 24, .decay = true, .chunk = chunk});
                delta_results(&x, false);
                delta_run(&x, false, false);
                delta_bench before = x;
                for (int i = 0; i <= DELTA_LOG_DECAY; i++)
                    for (int64_t h = 0; h < 2; h++)
                        for (int64_t t = from; t < 90; t++)
                            for (int64_t j = 0; j < x.in[i].dims[3]; j++)
                                *spot(&x.in[i], 0, h, t, j) = later[kind];
                delta_results(&x, false);
                delta_run(&x, false, false);
                for (int64_t h = 0; h < 2; h++)
                    for (int64_t t = 0; t < from; t++)
                        for (int64_t j = 0; j < 24; j++)
                            cr_assert_eq(*spot(&before.out[0], 0, h, t, j), *spot(&x.out[0], 0, h, t, j));
                free_results(&before);
                delta_end(&x);
            }
}
