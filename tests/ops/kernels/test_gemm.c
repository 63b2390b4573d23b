/* Matrix products: every element has defined bits, tasks cover a product once, the thread settings of the
 * host are restored. */
#include "core/team.h"
#include "ops/kernels/products/blas.h"
#include "ops/kernels/products/gemm.h"
#include "ops/vector/table.h"
#include <cblas.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 1;
static int64_t pick(int64_t least, int64_t most)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return least + (int64_t)((seed >> 33) % (uint64_t)(most - least + 1));
}
static float *numbers(int64_t count)
{
    float *x = malloc((size_t)(count + 1) * sizeof *x);
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)pick(-1000000, 1000000) * 1e-6f;
    return x;
}
static bool same_bits(const float *x, const float *y, int64_t count)
{
    return !memcmp(x, y, (size_t)count * sizeof *x);
}

/* The definition in ops/kernels/products/gemm.h as a plain loop. `fused`: this processor multiplies and adds
 * with one rounding. */
static void defined(const gemm_shape *s, const float *a, const float *b, bool add, float *c, bool fused)
{
    for (int64_t i = 0; i < s->m; i++)
        for (int64_t j = 0; j < s->n; j++) {
            float *to = &c[i * s->ldc + j];
            for (int64_t k = 0; k < s->k; k += GEMM_BLOCK) {
                volatile float sum = 0;
                for (int64_t l = k; l < s->k && l < k + GEMM_BLOCK; l++) {
                    float x = s->transpose_a ? a[l * s->lda + i] : a[i * s->lda + l];
                    float y = s->transpose_b ? b[j * s->ldb + l] : b[l * s->ldb + j];
                    volatile float product = x * y;
                    sum = fused ? fmaf(x, y, sum) : sum + product;
                }
                *to = add || k ? *to + sum : sum;
            }
            if (s->k == 0 && !add)
                *to = 0;
        }
}

typedef struct example {
    gemm_shape s;
    float *a, *b, *c, *expected;
    int64_t c_count;
} example;

static example make(int64_t m, int64_t n, int64_t k, bool transpose_a, bool transpose_b)
{
    example e = {{m, n, k, transpose_a, transpose_b, (transpose_a ? m : k) + pick(0, 3),
                  (transpose_b ? k : n) + pick(0, 3), n + pick(0, 3)}};
    e.a = numbers((transpose_a ? k : m) * e.s.lda);
    e.b = numbers((transpose_b ? n : k) * e.s.ldb);
    e.c_count = m * e.s.ldc;
    e.c = numbers(e.c_count);
    e.expected = malloc((size_t)(e.c_count + 1) * sizeof *e.c);
    memcpy(e.expected, e.c, (size_t)e.c_count * sizeof *e.c);
    return e;
}
static void drop(example *e)
{
    free(e->a);
    free(e->b);
    free(e->c);
    free(e->expected);
}

/* oneDNN's AVX2 code for transposed a, and OpenBLAS instead of it, sum in an order of their own: close, not
 * equal. */
static bool has_defined_bits(const gemm_shape *s)
{
    return !(s->transpose_a && onednn_set_here() == ONEDNN_AVX2);
}

static void expect_defined(int64_t m, int64_t n, int64_t k, int transposes, bool add)
{
    example e = make(m, n, k, transposes & 1, transposes >> 1);
    defined(&e.s, e.a, e.b, add, e.expected, vectors()->lanes > 4);
    gemm_panel(&e.s, e.a, e.b, add, e.c);
    if (has_defined_bits(&e.s))
        cr_expect(same_bits(e.c, e.expected, e.c_count), "%d × %d × %d, transposes %d", (int)m, (int)n,
                  (int)k, transposes);
    for (int64_t i = 0; i < e.c_count; i++)
        cr_expect_float_eq(e.c[i], e.expected[i], 1e-5 * sqrt((double)k + 1));
    drop(&e);
}

Test(gemm, every_product_has_the_bits_of_its_definition)
{
    static const int64_t shapes[][3] = {{1, 1, 1},      {1, 64, 256},   {3, 65, 257},   {6, 100, 37},
                                        {8, 256, 512},  {15, 33, 300},  {16, 48, 48},   {17, 17, 17},
                                        {23, 200, 513}, {24, 128, 128}, {95, 64, 256},  {96, 256, 256},
                                        {97, 130, 300}, {200, 1, 100},  {130, 5, 5},    {61, 129, 700},
                                        {96, 257, 640}, {48, 16, 1100}, {240, 96, 129}, {100, 100, 100}};
    blas_begin();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int transposes = 0; transposes < 4; transposes++)
            expect_defined(shapes[i][0], shapes[i][1], shapes[i][2], transposes, transposes & 1);
    for (int i = 0; i < 200; i++)
        expect_defined(pick(1, 120), pick(1, 90), pick(0, 300), (int)pick(0, 3), pick(0, 1));
    blas_end();
}

Test(gemm, our_own_kernel_has_them_in_every_build_of_it)
{
    for (int set = 0; set < 3; set++)
        for (int i = 0; vectors_of(set) && i < 150; i++) {
            int transposes = (int)pick(0, 3);
            bool add = pick(0, 1);
            example e = make(pick(1, 20), pick(1, 150), pick(1, 600), transposes & 1, transposes >> 1);
            defined(&e.s, e.a, e.b, add, e.expected, set > 0);
            vectors_of(set)->small_gemm(&(small_product){
                e.s.m, e.s.n, e.s.k, e.a, e.s.transpose_a ? 1 : e.s.lda, e.s.transpose_a ? e.s.lda : 1, e.b,
                e.s.ldb, e.s.transpose_b, add, e.c, e.s.ldc});
            cr_expect(same_bits(e.c, e.expected, e.c_count), "set %d", set);
            drop(&e);
        }
}

Test(gemm, a_row_does_not_depend_on_the_others_nor_on_how_many_there_are)
{
    blas_begin();
    for (int transpose_b = 0; transpose_b < 2; transpose_b++) {
        example e = make(300, 136, 384, false, transpose_b);
        gemm_panel(&e.s, e.a, e.b, false, e.expected);
        for (int64_t m = 1; m <= 300; m += m < 50 ? 1 : 23) {
            gemm_shape part = e.s;
            part.m = m;
            int64_t first = pick(0, 300 - m); /* other rows above it, so another position in the panel */
            gemm_panel(&part, e.a + first * e.s.lda, e.b, false, e.c);
            for (int64_t i = 0; i < m; i++)
                cr_expect(same_bits(e.c + i * e.s.ldc, e.expected + (first + i) * e.s.ldc, e.s.n), "%d rows",
                          (int)m);
        }
        drop(&e);
    }
    blas_end();
}

Test(gemm, nothing_to_sum_gives_zero_or_what_was_there)
{
    static blas_product *const products[] = {onednn_sgemm, openblas_sgemm};
    for (int i = 0; i < 2; i++) {
        float a[1] = {1}, c[4] = {1, NAN, 3, 4}, kept[4] = {1, 2, 3, 4};
        cr_expect(products[i](false, false, 2, 2, 0, 1, a, 1, a, 2, 0, c, 2));
        for (int j = 0; j < 4; j++)
            cr_expect_eq(c[j], 0);
        cr_expect(products[i](false, false, 2, 2, 0, 1, a, 1, a, 2, 1, kept, 2));
        cr_expect_eq(kept[3], 4);
        cr_expect(products[i](false, false, 0, 2, 2, 1, a, 2, a, 2, 0, NULL, 2));
        cr_expect(products[i](false, false, 2, 0, 2, 1, a, 2, a, 2, 0, NULL, 2));
    }
}

static void mark(void *argument, const gemm_piece *piece)
{
    const gemm_problem *p = argument;
    for (int64_t i = 0; i < piece->rows; i++)
        for (int64_t j = 0; j < piece->columns; j++)
            piece->c[i * p->shape.ldc + j] += 1;
}

Test(gemm, tasks_cover_each_element_once)
{
    blas_begin();
    for (int i = 0; i < 60; i++) {
        int64_t m = pick(1, i < 20 ? 400 : 40), n = pick(1, i % 3 ? 60 : 1500), first = pick(1, 5),
                second = pick(1, i < 20 ? 3 : 40);
        gemm_problem p = {.shape = {m, n, 3, pick(0, 1), false, 0, n, n},
                          .add = true,
                          .axes = 2,
                          .batch = {first, second},
                          .stride_c = {second * m * n, m * n}};
        p.shape.lda = p.shape.transpose_a ? m : 3;
        gemm_plan plan = gemm_plan_of(&p);
        float *a = calloc((size_t)(3 * m), sizeof *a), *b = calloc((size_t)(3 * n), sizeof *b);
        int64_t count = first * second * m * n;
        float *c = calloc((size_t)count, sizeof *c);
        for (int64_t task = 0; task < plan.tasks; task++)
            gemm_task(&p, &plan, task, a, b, c, mark, &p, NULL);
        for (int64_t j = 0; j < count; j++)
            cr_assert_eq(c[j], 1);
        free(a);
        free(b);
        free(c);
    }
    blas_end();
}

Test(gemm, large_products_and_batches_keep_more_than_one_worker_busy)
{
    static const gemm_problem problems[] = {{.shape = {2048, 128, 128}},
                                            {.shape = {2048, 256, 1024, false, true}},
                                            {.shape = {128, 128, 2048, true}},
                                            {.shape = {256, 1024, 2048, true}},
                                            {.shape = {4, 8000, 256, false, true}},
                                            {.shape = {32, 32, 32}, .axes = 1, .batch = {256}}};
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++)
        cr_expect_geq(gemm_plan_of(&problems[i]).tasks, 2, "problem %d", (int)i);
    cr_expect_eq(gemm_plan_of(&(gemm_problem){.shape = {0, 5, 5}}).tasks, 0);
    cr_expect_eq(gemm_plan_of(&(gemm_problem){.shape = {5, 5, 5}, .axes = 1, .batch = {0}}).tasks, 0);
}

Test(gemm, bias_and_activation_follow_the_product)
{
    blas_begin();
    for (int activation = 0; activation < 4; activation++) {
        example e = make(37, 83, 29, false, true);
        float *bias = numbers(e.s.n);
        gemm_problem p = {.shape = e.s};
        gemm_plan plan = gemm_plan_of(&p);
        for (int64_t task = 0; task < plan.tasks; task++)
            gemm_task(&p, &plan, task, e.a, e.b, e.c, NULL, NULL, &(gemm_finish){bias, activation});
        defined(&e.s, e.a, e.b, false, e.expected, vectors()->lanes > 4);
        for (int64_t i = 0; i < e.s.m; i++)
            for (int64_t j = 0; j < e.s.n; j++) {
                double x = (double)e.expected[i * e.s.ldc + j] + bias[j];
                double y = activation == 1   ? fmax(x, 0)
                           : activation == 2 ? 0.5 * x * erfc(-x / sqrt(2))
                           : activation == 3 ? x / (1 + exp(-x))
                                             : x;
                cr_expect_float_eq(e.c[i * e.s.ldc + j], y, 2e-6);
            }
        free(bias);
        drop(&e);
    }
    blas_end();
}

/* ---- threads ---- */

static int threads_alive(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;
    for (struct dirent *entry = readdir(tasks); entry; entry = readdir(tasks))
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

typedef struct shared_product {
    gemm_problem p;
    gemm_plan plan;
    example e;
    float *c;
} shared_product;
static void product_task(void *argument, int64_t task, int worker)
{
    shared_product *s = argument;
    (void)worker;
    gemm_task(&s->p, &s->plan, task, s->e.a, s->e.b, s->c, NULL, NULL, NULL);
}

Test(gemm, same_bits_and_no_thread_but_the_teams_for_any_team)
{
    blas_stop_threads();
    int others = threads_alive() - 1; /* of the test's own machinery */
    shared_product s = {.e = make(500, 200, 300, false, true)};
    s.p.shape = s.e.s;
    s.plan = gemm_plan_of(&s.p);
    for (int threads = 1; threads <= 7; threads += threads == 3 ? 4 : 1) {
        rondo_error error = {0};
        team *t = team_new(&memory_malloc, threads, &error);
        cr_assert(t);
        blas_begin();
        s.c = threads == 1 ? s.e.expected : s.e.c;
        team_run(t, s.plan.tasks, product_task, &s);
        float other[64 * 64];
        cr_expect(openblas_sgemm(false, false, 64, 64, 64, 1, s.e.a, 64, s.e.b, 64, 0, other, 64));
        blas_end();
        cr_expect_eq(threads_alive(), others + threads);
        if (threads > 1)
            for (int64_t i = 0; i < 500; i++)
                cr_assert(same_bits(s.e.c + i * s.e.s.ldc, s.e.expected + i * s.e.s.ldc, 200));
        team_free(t);
        cr_expect_eq(threads_alive(), others + 1);
    }
    drop(&s.e);
}

Test(gemm, the_hosts_thread_settings_come_back)
{
    int (*openmp)(void);
    void (*openmp_set)(int);
    void *found = dlsym(RTLD_DEFAULT, "omp_get_max_threads"),
         *found_set = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    memcpy(&openmp, &found, sizeof found);
    memcpy(&openmp_set, &found_set, sizeof found_set);
    openblas_set_num_threads(2);
    if (openmp_set)
        openmp_set(5);
    int openblas = openblas_get_num_threads();
    blas_begin();
    blas_begin();
    cr_expect_eq(openblas_get_num_threads(), 1);
    example e = make(200, 200, 200, false, false);
    gemm_panel(&e.s, e.a, e.b, false, e.c);
    blas_end();
    cr_expect_eq(openblas_get_num_threads(), 1);
    blas_end();
    cr_expect_eq(openblas_get_num_threads(), openblas);
    if (openmp)
        cr_expect_eq(openmp(), 5);
    drop(&e);
}
