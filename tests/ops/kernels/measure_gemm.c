/* Measures what docs/GEMM.md says of this machine: rates of both libraries for the shapes of a training step
 * and of decoding, and for which panel heights the bits of a row are independent of M and of its position.
 * Prints Markdown. measure_gemm [rates|rows|panels|small] */
#include "ops/kernels/products/blas.h"
#include "ops/kernels/products/gemm.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *numbers(int64_t count, uint64_t seed)
{
    float *x = aligned_alloc(64, ((size_t)count * sizeof *x + 1023) / 64 * 64);
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        x[i] = (float)(int32_t)(seed >> 32) * 0x1p-31f;
    }
    return x;
}

typedef struct product {
    bool transpose_a, transpose_b;
    int64_t m, n, k;
    int64_t panel; /* rows per call; 0: all */
    int64_t pad;   /* added to each pitch */
} product;

static bool gemm_as_product(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                            const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                            int64_t ldc)
{
    (void)alpha;
    gemm_panel(&(gemm_shape){m, n, k, transpose_a, transpose_b, lda, ldb, ldc}, a, b, beta != 0, c);
    return true;
}

/* The best of many short runs: the machine may be shared. */
static double rate(blas_product *f, product p)
{
    int64_t lda = (p.transpose_a ? p.m : p.k) + p.pad, ldb = (p.transpose_b ? p.k : p.n) + p.pad,
            ldc = p.n + p.pad;
    float *a = numbers((p.transpose_a ? p.k : p.m) * lda, 1),
          *b = numbers((p.transpose_b ? p.n : p.k) * ldb, 2);
    float *c = numbers(p.m * ldc, 3);
    int64_t panel = p.panel ? p.panel : p.m;
    double best = 1e9, flops = 2.0 * (double)p.m * (double)p.n * (double)p.k, start = now();
    int repeat = (int)fmax(1, 2e6 / flops);
    for (int run = 0; run < 10 || (now() - start < 0.25 && run < 2000); run++) {
        double t = now();
        for (int r = 0; r < repeat; r++)
            for (int64_t i = 0; i < p.m; i += panel)
                f(p.transpose_a, p.transpose_b, panel < p.m - i ? panel : p.m - i, p.n, p.k, 1,
                  a + (p.transpose_a ? i : i * lda), lda, b, ldb, 0, c + i * ldc, ldc);
        best = fmin(best, (now() - t) / repeat);
    }
    free(a), free(b), free(c);
    return flops / best * 1e-9;
}

static void rates(void)
{
    static const product list[] = {
        {0, 0, 512, 512, 512},   {0, 0, 1024, 1024, 1024}, {0, 0, 1024, 1024, 1024, 0, 16},
        {0, 0, 2048, 128, 128},  {0, 1, 2048, 128, 128},   {0, 0, 2048, 256, 256},
        {0, 1, 2048, 256, 256},  {0, 0, 2048, 768, 256},   {0, 1, 2048, 768, 256},
        {0, 0, 2048, 256, 128},  {0, 1, 2048, 256, 128},   {0, 0, 2048, 128, 256},
        {0, 1, 2048, 128, 256},  {0, 0, 2048, 1024, 256},  {0, 1, 2048, 1024, 256},
        {0, 0, 2048, 256, 1024}, {0, 1, 2048, 256, 1024},  {1, 0, 128, 128, 2048},
        {1, 0, 256, 128, 2048},  {1, 0, 128, 256, 2048},   {1, 0, 256, 256, 2048},
        {1, 0, 1024, 256, 2048}, {1, 0, 256, 1024, 2048},  {1, 0, 1024, 256, 2048, 0, 16},
        {0, 1, 240, 8000, 128},  {0, 1, 240, 8000, 256},   {0, 0, 240, 8000, 256},
        {0, 0, 240, 128, 8000},  {0, 0, 240, 256, 8000},   {1, 0, 8000, 128, 240},
        {1, 0, 8000, 256, 240},  {0, 0, 32, 32, 32},       {0, 1, 32, 32, 32},
        {1, 0, 32, 32, 32},      {0, 0, 64, 64, 64},       {0, 1, 64, 64, 64},
        {1, 0, 64, 64, 64},      {0, 0, 32, 32, 1024},     {0, 1, 1024, 1024, 32},
        {0, 0, 96, 64, 64},      {0, 1, 96, 64, 32}};
    printf("| op a | op b | m | n | k | pitch | oneDNN | OpenBLAS | oneDNN, panels of 96 | ours "
           "|\n|---|---|---|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        product p = list[i], q = p;
        q.panel = 96;
        printf("| %c | %c | %d | %d | %d | %s | %.0f | %.0f | %.0f | %.0f |\n", p.transpose_a ? 'T' : 'N',
               p.transpose_b ? 'T' : 'N', (int)p.m, (int)p.n, (int)p.k, p.pad ? "+16" : "",
               rate(onednn_sgemm, p), rate(openblas_sgemm, p), rate(onednn_sgemm, q),
               rate(gemm_as_product, p));
        fflush(stdout);
    }
}

static void panels(void)
{
    static const int height[] = {24, 32, 48, 64, 72, 80, 96, 120, 128, 144, 192, 240, 256, 288, 384};
    static const product list[] = {{0, 0, 3840, 128, 128},  {0, 0, 3840, 256, 256},  {0, 1, 3840, 256, 256},
                                   {0, 0, 3840, 1024, 256}, {0, 1, 3840, 1024, 256}, {0, 0, 3840, 256, 1024},
                                   {0, 1, 3840, 8000, 256}};
    printf("| n × k |");
    for (size_t h = 0; h < sizeof height / sizeof *height; h++)
        printf(" %d |", height[h]);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        for (int which = 0; which < 2; which++) {
            printf("\n| %s %c %d × %d |", which ? "OpenBLAS" : "oneDNN", list[i].transpose_b ? 'T' : 'N',
                   (int)list[i].n, (int)list[i].k);
            for (size_t h = 0; h < sizeof height / sizeof *height; h++) {
                product p = list[i];
                p.panel = height[h];
                if (p.n > 4000)
                    p.m = height[h] * 2;
                printf(" %.0f |", rate(which ? openblas_sgemm : onednn_sgemm, p));
                fflush(stdout);
            }
        }
    printf("\n");
}

static void small(void)
{
    static const int rows[] = {1, 2, 4, 5, 6, 8, 12, 16, 24}, columns[] = {256, 768, 1024, 8000};
    printf("| op b | m | n | k | oneDNN | OpenBLAS | ours |\n|---|---|---|---|---|---|---|\n");
    for (int t = 0; t < 2; t++)
        for (size_t j = 0; j < 4; j++)
            for (size_t i = 0; i < 9; i++) {
                product p = {0, t, rows[i], columns[j], 256};
                printf("| %c | %d | %d | %d | %.1f | %.1f | %.1f |\n", t ? 'T' : 'N', (int)p.m, (int)p.n,
                       (int)p.k, rate(onednn_sgemm, p), rate(openblas_sgemm, p), rate(gemm_as_product, p));
                fflush(stdout);
            }
}

/* How many rows of a panel differ in bits from the same row elsewhere: at another position (the rows rotated
 * by 1 …), and in a full product. */
static void differences(blas_product *f, product p, int64_t full, int *slot, int *alone)
{
    int64_t lda = p.transpose_a ? full + 7 : p.k, ldb = p.transpose_b ? p.k : p.n, n = p.n, panel = p.panel;
    float *a = numbers(full * p.k + lda * (p.k + 1), 5), *b = numbers(p.k * p.n, 6),
          *c = numbers(full * n, 7), *d = numbers(full * n, 7);
    *slot = *alone = 0;
    for (int64_t i = 0; i + panel <= full; i += panel)
        f(p.transpose_a, p.transpose_b, panel, n, p.k, 1, a + (p.transpose_a ? i : i * lda), lda, b, ldb, 0,
          c + i * n, n);
    static const int shifts[] = {1, 3, 7, 8, 16, 24, 31, 40};
    for (size_t s = 0; s < sizeof shifts / sizeof *shifts; s++) { /* panels at other positions */
        int64_t o = shifts[s];
        if (o >= panel)
            continue;
        for (int64_t i = o; i + panel <= full; i += panel)
            f(p.transpose_a, p.transpose_b, panel, n, p.k, 1, a + (p.transpose_a ? i : i * lda), lda, b, ldb,
              0, d + i * n, n);
        for (int64_t i = o; i < o + (full - o) / panel * panel && i < full / panel * panel; i++)
            *slot += memcmp(c + i * n, d + i * n, (size_t)n * 4) != 0;
    }
    f(p.transpose_a, p.transpose_b, full, n, p.k, 1, a, lda, b, ldb, 0, d, n);
    for (int64_t i = 0; i < full / panel * panel; i++)
        *alone += memcmp(c + i * n, d + i * n, (size_t)n * 4) != 0;
    free(a), free(b), free(c), free(d);
}

static void rows(void)
{
    static const int height[] = {8, 16, 24, 32, 48, 64, 72, 80, 96, 120, 128, 144, 192, 240, 256, 288, 384};
    static const int nk[][2] = {{128, 128},  {256, 256}, {1024, 256}, {256, 1024}, {8000, 128},
                                {100, 37},   {17, 300},  {1, 64},     {5, 5},      {31, 513},
                                {257, 2048}, {48, 48},   {33, 1000}};
    printf("| | op a | op b | panel | shapes where a row's bits depend on its slot | on M "
           "|\n|---|---|---|---|---|---|\n");
    for (int which = 0; which < 2; which++)
        for (int t = 0; t < 4; t++)
            for (size_t h = 0; h < sizeof height / sizeof *height; h++) {
                char bad[400] = "", bad_m[400] = "";
                for (size_t s = 0; s < sizeof nk / sizeof *nk; s++) {
                    int slot, alone;
                    product p = {t & 1, t >> 1, 0, nk[s][0], nk[s][1], height[h]};
                    differences(which ? openblas_sgemm : onednn_sgemm, p, height[h] * 2 + 200, &slot, &alone);
                    if (slot)
                        sprintf(bad + strlen(bad), "%d×%d ", nk[s][0], nk[s][1]);
                    if (alone)
                        sprintf(bad_m + strlen(bad_m), "%d×%d ", nk[s][0], nk[s][1]);
                }
                printf("| %s | %c | %c | %d | %s | %s |\n", which ? "OpenBLAS" : "oneDNN", t & 1 ? 'T' : 'N',
                       t >> 1 ? 'T' : 'N', height[h], bad, bad_m);
                fflush(stdout);
            }
}

int main(int count, char **words)
{
    blas_begin();
    printf("oneDNN %s, %s\n\n", onednn_version(), openblas_version());
    const char *what = count > 1 ? words[1] : "rates";
    if (!strcmp(what, "rates"))
        rates();
    if (!strcmp(what, "panels"))
        panels();
    if (!strcmp(what, "small"))
        small();
    if (!strcmp(what, "rows"))
        rows();
    blas_end();
    return 0;
}
