/* The two libraries: every call of oneDNN is in blas_onednn.c or ops/kernels/onednn/primitives.c, every call
 * of OpenBLAS in blas_openblas.c. Both products are row-major, run on the calling thread alone, and apply
 * beta even when k is 0. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* c[m, n] = alpha · op(a)[m, k] · op(b)[k, n] + beta · c. transpose: a is stored [k, m], b [n, k]. lda,
 * ldb, ldc are the distances between stored rows. beta = 0 never reads c. False: the library refused, and
 * c is undefined. */
typedef bool blas_product(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                          const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                              int64_t ldc);
blas_product onednn_sgemm, openblas_sgemm;

/* Which of its code oneDNN runs here: sets differ in the order of sums (docs/GEMM.md). */
/* ANY is never returned */
typedef enum onednn_set { ONEDNN_ANY, ONEDNN_SSE, ONEDNN_AVX2, ONEDNN_AVX512 } onednn_set;
onednn_set onednn_set_here(void);

/* Around all calls of the libraries: OpenBLAS, whose number of threads is global to the process, has one from
 * the first begin to the last end, and then the host's number again. Any thread may call; pairs may
 * overlap. */
void blas_begin(void);
void blas_end(void);
/* Sets OpenBLAS to one thread for good and ends the idle threads that it started when it was loaded. Only for
 * a program that owns its process: no thread may be inside OpenBLAS meanwhile. */
void blas_stop_threads(void);

/* OpenMP's number of threads is a setting of the calling thread. openmp_single sets it to 1 and returns what
 * it was (0: the process has no OpenMP), openmp_restore brings that back. The runtime is the one that oneDNN
 * uses, whatever compiler built this. */
int openmp_single(void);
void openmp_restore(int threads);

/* c = beta · c, for products with k = 0. */
void blas_scale(int64_t m, int64_t n, float beta, float *c, int64_t ldc);

const char *onednn_version(void);   /* "2.6.3" */
const char *openblas_version(void); /* "OpenBLAS 0.3.21 … SkylakeX" */
