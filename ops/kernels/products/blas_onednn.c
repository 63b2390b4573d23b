/* oneDNN, 2.6 and later: its product, and which of its code runs. Its sgemm leaves c unchanged when k is 0,
 * even if beta is not 1; we apply beta. */
#include "ops/kernels/products/blas.h"
#include <dnnl.h>
#include <stdatomic.h>
#include <stdio.h>

bool onednn_sgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                  const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    if (m <= 0 || n <= 0)
        return true;
    if (k <= 0) {
        blas_scale(m, n, beta, c, ldc);
        return true;
    }
    int host = openmp_single();
    dnnl_status_t status = dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, alpha, a,
                                      lda, b, ldb, beta, c, ldc);
    openmp_restore(host);
    return status == dnnl_success;
}

static onednn_set ask(void)
{
#ifdef __x86_64__
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa(); /* a bit for each set that a set contains */
    if ((isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core)
        return ONEDNN_AVX512;
    if ((isa & dnnl_cpu_isa_avx) == dnnl_cpu_isa_avx)
        return ONEDNN_AVX2;
#endif
    return ONEDNN_SSE;
}

onednn_set onednn_set_here(void)
{
    static atomic_int known; /* asking twice is harmless */
    int set = atomic_load_explicit(&known, memory_order_relaxed);
    if (!set) {
        set = (int)ask();
        atomic_store_explicit(&known, set, memory_order_relaxed);
    }
    return (onednn_set)set;
}

const char *onednn_version(void)
{
    static _Thread_local char text[32];
    const dnnl_version_t *version = dnnl_version();
    snprintf(text, sizeof text, "%d.%d.%d", version->major, version->minor, version->patch);
    return text;
}
