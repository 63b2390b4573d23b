/* The matmul kernel on strided views: any layout gives the numbers of plain loops in double precision, and a
 * row has the same bits in a batch, alone and through a copy. */
#include "ops/kernels/products/blas.h"
#include "ops/kernels/kernel.h"
#include "ops/op.h"
#include "ops/rules.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 99;
static int64_t pick(int64_t least, int64_t most)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return least + (int64_t)((seed >> 33) % (uint64_t)(most - least + 1));
}

/* A view with axes in any storage order, gaps between rows, and extents of 1 (or whole axes) that
 * broadcast. */
static tensor view(int rank, const int64_t *dims, bool may_broadcast)
{
    tensor t = {.type = RONDO_F32, .rank = rank};
    int order[MAX_RANK];
    int64_t stride = 1;
    for (int i = 0; i < rank; i++) {
        t.dims[i] = dims[i];
        order[i] = i;
    }
    if (pick(0, 1))
        for (int i = rank - 1; i > 0; i--) {
            int j = (int)pick(0, i), swap = order[i];
            order[i] = order[j];
            order[j] = swap;
        }
    if (pick(0, 7) == 0)
        stride = 2; /* no axis has unit stride */
    for (int i = rank - 1; i >= 0; i--) {
        t.strides[order[i]] = stride;
        if (may_broadcast && pick(0, 9) == 0)
            t.strides[order[i]] = 0;
        else
            stride *= dims[order[i]];
        stride += pick(0, 3) == 0 ? pick(1, 5) : 0;
    }
    t.data = malloc((size_t)(stride + 8) * sizeof(float));
    for (int64_t i = 0; i < stride + 8; i++)
        ((float *)t.data)[i] = (float)pick(-1000, 1000) * 1e-3f;
    return t;
}
static tensor dense(int rank, const int64_t *dims)
{
    tensor t = {.type = RONDO_F32, .rank = rank};
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        t.dims[i] = dims[i];
        t.strides[i] = stride;
        stride *= dims[i];
    }
    t.data = malloc((size_t)(stride + 1) * sizeof(float));
    for (int64_t i = 0; i < stride; i++)
        ((float *)t.data)[i] = NAN;
    return t;
}
static double at(const tensor *t, const int64_t *index, int rank)
{
    const float *data = t->data;
    for (int i = 0; i < t->rank; i++) {
        int64_t place = index[rank - t->rank + i];
        data += (t->dims[i] == 1 ? 0 : place) * t->strides[i];
    }
    return *data;
}

typedef struct trial {
    tensor inputs[4], output;
    attribute attributes[MAX_ATTRIBUTES];
    int64_t k;
} trial;

static bool perform(trial *t)
{
    kernel_call call = {.kernel = &kernel_matmul,
                        .op = OP_matmul,
                        .attributes = t->attributes,
                        .input_count = 4,
                        .output_count = 1,
                        .inputs = t->inputs,
                        .outputs = &t->output,
                        .phases = 1};
    if (!kernel_matmul.plan(&call))
        return false;
    call.shared = aligned_alloc(64, (call.shared_bytes + 127) / 64 * 64);
    memset(call.shared, 0xff, call.shared_bytes); /* NaN */
    void *scratch = aligned_alloc(64, (call.scratch_bytes + 127) / 64 * 64);
    blas_begin();
    for (int phase = 0; phase < call.phases; phase++)
        for (int64_t task = call.tasks[phase]; task-- > 0;)
            kernel_matmul.run(&call, phase, task, scratch);
    blas_end();
    free(call.shared);
    free(scratch);
    return true;
}

static double expected(const trial *t, const int64_t *index, double had)
{
    int rank = t->output.rank;
    int64_t a[MAX_RANK], b[MAX_RANK];
    memcpy(a, index, sizeof a);
    memcpy(b, index, sizeof b);
    bool transpose_a = t->attributes[matmul_transpose_a].integer,
         transpose_b = t->attributes[matmul_transpose_b].integer;
    double sum = t->inputs[2].data ? had : 0;
    for (int64_t k = 0; k < t->k; k++) {
        a[rank - 2] = transpose_a ? k : index[rank - 2];
        a[rank - 1] = transpose_a ? index[rank - 2] : k;
        b[rank - 2] = transpose_b ? index[rank - 1] : k;
        b[rank - 1] = transpose_b ? k : index[rank - 1];
        sum += at(&t->inputs[0], a, rank) * at(&t->inputs[1], b, rank);
    }
    if (t->inputs[3].data)
        sum += at(&t->inputs[3], index, rank);
    return t->attributes[matmul_activation].integer == 1 ? fmax(sum, 0) : sum;
}

static void check(trial *t, const double *had)
{
    int rank = t->output.rank;
    int64_t count = 1, index[MAX_RANK];
    for (int i = 0; i < rank; i++)
        count *= t->output.dims[i];
    for (int64_t flat = 0; flat < count; flat++) {
        int64_t rest = flat;
        for (int i = rank - 1; i >= 0; i--) {
            index[i] = rest % t->output.dims[i];
            rest /= t->output.dims[i];
        }
        cr_assert_float_eq(at(&t->output, index, rank), expected(t, index, had ? had[flat] : 0),
                           1e-5 * sqrt((double)t->k + 1));
    }
}

static void release(trial *t)
{
    for (int i = 0; i < 4; i++)
        if (t->inputs[i].data != t->output.data)
            free(t->inputs[i].data);
    free(t->output.data);
}

static trial random_trial(int64_t largest)
{
    trial t = {.k = pick(0, largest)};
    int rank = (int)pick(2, 5);
    int64_t dims[MAX_RANK], a[MAX_RANK], b[MAX_RANK], m = pick(1, largest), n = pick(1, largest);
    bool transpose_a = pick(0, 1), transpose_b = pick(0, 1);
    for (int i = 0; i < rank - 2; i++) {
        dims[i] = pick(1, 4);
        a[i] = pick(0, 4) ? dims[i] : 1;
        b[i] = a[i] == 1 || pick(0, 2) ? dims[i] : 1;
    }
    dims[rank - 2] = m;
    dims[rank - 1] = n;
    a[rank - 2] = transpose_a ? t.k : m;
    a[rank - 1] = transpose_a ? m : t.k;
    b[rank - 2] = transpose_b ? n : t.k;
    b[rank - 1] = transpose_b ? t.k : n;
    int drop_a = 0, drop_b = pick(0, 1) ? rank - 2 : 0;
    t.inputs[0] = view(rank - drop_a, a + drop_a, true);
    t.inputs[1] = view(rank - drop_b, b + drop_b, true);
    for (int i = 0; i < drop_b; i++)
        dims[i] = a[i];
    t.output = dense(rank, dims);
    if (pick(0, 2) == 0)
        t.inputs[2] = view(rank, dims, false);
    if (pick(0, 2) == 0) {
        t.inputs[3] = dense(1, &n);
        for (int64_t i = 0; i < n; i++)
            ((float *)t.inputs[3].data)[i] = (float)i * 0.125f;
    }
    t.attributes[matmul_transpose_a].integer = transpose_a;
    t.attributes[matmul_transpose_b].integer = transpose_b;
    t.attributes[matmul_activation].integer = pick(0, 1);
    return t;
}

static double *content(const tensor *t)
{
    int64_t count = 1, index[MAX_RANK];
    for (int i = 0; i < t->rank; i++)
        count *= t->dims[i];
    double *x = malloc((size_t)(count + 1) * sizeof *x);
    for (int64_t flat = 0; flat < count; flat++) {
        int64_t rest = flat;
        for (int i = t->rank - 1; i >= 0; i--) {
            index[i] = rest % t->dims[i];
            rest /= t->dims[i];
        }
        x[flat] = at(t, index, t->rank);
    }
    return x;
}

Test(matmul_kernel, any_layout_gives_the_numbers_of_plain_loops)
{
    for (int i = 0; i < 600; i++) {
        trial t = random_trial(i % 3 ? 12 : 70);
        double *had = t.inputs[2].data ? content(&t.inputs[2]) : NULL;
        cr_assert(perform(&t));
        check(&t, had);
        free(had);
        release(&t);
    }
}

Test(matmul_kernel, c_may_be_the_result_itself)
{
    for (int i = 0; i < 100; i++) {
        trial t = random_trial(40);
        free(t.inputs[2].data);
        int64_t count = 1;
        for (int d = 0; d < t.output.rank; d++)
            count *= t.output.dims[d];
        for (int64_t j = 0; j < count; j++)
            ((float *)t.output.data)[j] = (float)pick(-100, 100);
        t.inputs[2] = t.output;
        double *had = content(&t.output);
        cr_assert(perform(&t));
        check(&t, had);
        free(had);
        release(&t);
    }
}

/* x: [batch, time, width] · w, with w as [width, out] or transposed. */
static tensor sequence_product(const tensor *x, const tensor *w, bool transpose_b)
{
    trial t = {.inputs = {*x, *w}, .k = x->dims[2]};
    t.output = dense(3, (int64_t[]){x->dims[0], x->dims[1], w->dims[transpose_b ? 0 : 1]});
    t.attributes[matmul_transpose_b].integer = transpose_b;
    cr_assert(perform(&t));
    return t.output;
}

Test(matmul_kernel, a_row_has_the_same_bits_in_a_batch_and_alone)
{
    enum { BATCH = 9, TIME = 61, WIDTH = 136, OUT = 80 };
    for (int transpose_b = 0; transpose_b < 2; transpose_b++) {
        tensor x = dense(3, (int64_t[]){BATCH, TIME, WIDTH}),
               w = dense(2, (int64_t[]){transpose_b ? OUT : WIDTH, transpose_b ? WIDTH : OUT});
        for (int64_t i = 0; i < BATCH * TIME * WIDTH; i++)
            ((float *)x.data)[i] = (float)pick(-1000, 1000) * 1e-3f;
        for (int64_t i = 0; i < OUT * WIDTH; i++)
            ((float *)w.data)[i] = (float)pick(-1000, 1000) * 1e-3f;
        tensor all = sequence_product(&x, &w, transpose_b);
        for (int i = 0; i < 60; i++) {
            tensor part = x; /* some sentences, some tokens, as a view */
            int64_t sentence = pick(0, BATCH - 1), token = pick(0, TIME - 1);
            part.dims[0] = i % 3 ? 1 : pick(1, BATCH - sentence);
            part.dims[1] = i % 2 ? 1 : pick(1, TIME - token);
            part.data = (float *)x.data + (sentence * TIME + token) * WIDTH;
            tensor some = sequence_product(&part, &w, transpose_b);
            for (int64_t b = 0; b < part.dims[0]; b++)
                for (int64_t s = 0; s < part.dims[1]; s++)
                    cr_expect(!memcmp((float *)some.data + (b * part.dims[1] + s) * OUT,
                                      (float *)all.data + ((sentence + b) * TIME + token + s) * OUT,
                                      OUT * sizeof(float)));
            free(some.data);
        }
        free(all.data);
        free(x.data);
        free(w.data);
    }
}

Test(matmul_kernel, what_it_cannot_do_it_says_at_plan)
{
    trial t = {.inputs = {dense(2, (int64_t[]){3, 4}), dense(2, (int64_t[]){4, 5})},
               .output = dense(2, (int64_t[]){3, 5}),
               .k = 4};
    t.output.strides[0] = 1; /* columns of the result one after another */
    t.output.strides[1] = 3;
    cr_expect_not(perform(&t));
    t.output.strides[0] = 5;
    t.output.strides[1] = 1;
    t.attributes[matmul_activation].integer = 4;
    cr_expect_not(perform(&t));
    t.attributes[matmul_activation].integer = 0;
    cr_expect(perform(&t));
    release(&t);
}
