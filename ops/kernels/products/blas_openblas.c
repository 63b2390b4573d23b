/* OpenBLAS, of any flavour (pthread, OpenMP, serial: they share a soname), and who may use how many threads.
 */
#include "ops/kernels/products/blas.h"
#include <cblas.h>
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

bool openblas_sgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                    const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                    int64_t ldc)
{
    if (m <= 0 || n <= 0)
        return true;
    if (k <= 0) {
        blas_scale(m, n, beta, c, ldc);
        return true;
    }
    if (sizeof(blasint) < 8 &&
        (m > INT_MAX || n > INT_MAX || k > INT_MAX || lda > INT_MAX || ldb > INT_MAX || ldc > INT_MAX))
        return false;
    int host = openmp_single(); /* the OpenMP flavour uses OpenMP's number, not its own */
    cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans,
                transpose_b ? CblasTrans : CblasNoTrans, (blasint)m, (blasint)n, (blasint)k, alpha, a,
                (blasint)lda, b, (blasint)ldb, beta, c, (blasint)ldc);
    openmp_restore(host);
    return true;
}

void blas_scale(int64_t m, int64_t n, float beta, float *c, int64_t ldc)
{
    for (int64_t i = 0; i < m; i++) {
        float *row = c + i * ldc;
        if (beta == 0)
            memset(row, 0, (size_t)n * sizeof *row);
        else
            for (int64_t j = 0; j < n; j++)
                row[j] *= beta;
    }
}

/* OpenMP is looked up at run time instead of being linked, so that the process has one runtime, the one of
 * oneDNN, whatever compiler builds this. */
static pthread_once_t openmp_once = PTHREAD_ONCE_INIT;
static int (*openmp_get)(void);
static void (*openmp_set)(int);

static void openmp_find(void)
{
    void *get = dlsym(RTLD_DEFAULT, "omp_get_max_threads"), *set = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    if (get && set) {
        memcpy(&openmp_get, &get, sizeof get);
        memcpy(&openmp_set, &set, sizeof set);
    }
}

int openmp_single(void)
{
    pthread_once(&openmp_once, openmp_find);
    if (!openmp_get)
        return 0;
    int threads = openmp_get();
    if (threads != 1)
        openmp_set(1);
    return threads;
}

void openmp_restore(int threads)
{
    if (threads > 1)
        openmp_set(threads);
}

static pthread_mutex_t begin_lock = PTHREAD_MUTEX_INITIALIZER;
static int begun, host_threads;

static void set_threads(int threads)
{
    int openmp = openmp_single(); /* the OpenMP flavour would set OpenMP's number too */
    openblas_set_num_threads(threads);
    if (openmp == 1)
        openmp_set(1);
    openmp_restore(openmp);
}

void blas_begin(void)
{
    pthread_mutex_lock(&begin_lock);
    if (begun++ == 0) {
        host_threads = openblas_get_num_threads();
        if (host_threads > 1)
            set_threads(1);
    }
    pthread_mutex_unlock(&begin_lock);
}

void blas_end(void)
{
    pthread_mutex_lock(&begin_lock);
    if (--begun == 0 && host_threads > 1 &&
        openblas_get_num_threads() == 1) /* unless the host has changed it meanwhile */
        set_threads(host_threads);
    pthread_mutex_unlock(&begin_lock);
}

void blas_stop_threads(void)
{
    set_threads(1);
    int (*stop)(void); /* what OpenBLAS calls before a fork; the serial flavour lacks it */
    void *found = dlsym(RTLD_DEFAULT, "blas_thread_shutdown_");
    memcpy(&stop, &found, sizeof found);
    if (stop)
        stop();
}

const char *openblas_version(void)
{
    return openblas_get_config();
}
