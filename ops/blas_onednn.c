/* oneDNN, 2.6 and later: its product, and the primitives of two candidates. Its sgemm leaves c alone when k is 0, whatever
 * beta says; we do not. */
#include "ops/blas.h"
#include <dnnl.h>
#include <stdatomic.h>
#include <stdio.h>

bool onednn_sgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                  int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    if (m <= 0 || n <= 0)
        return true;
    if (k <= 0) {
        blas_scale(m, n, beta, c, ldc);
        return true;
    }
    int host = openmp_single();
    dnnl_status_t status = dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb,
                                      beta, c, ldc);
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

/* ==== primitives: softmax and layer norm of dense rows. oneDNN keeps a cache of them, so making one again is cheap. ==== */

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t layout;
static bool layout_new(layout *l, int rank, int64_t first, int64_t second)
{
    const dnnl_dims_t dims = {first, second};
    return dnnl_memory_desc_create_with_tag(l, rank, dims, dnnl_f32, rank == 1 ? dnnl_a : dnnl_ab) == dnnl_success;
}
static void layout_free(layout *l) { dnnl_memory_desc_destroy(*l); }
#define LAYOUT(l) (*(l))
#else
typedef dnnl_memory_desc_t layout;
static bool layout_new(layout *l, int rank, int64_t first, int64_t second)
{
    const dnnl_dims_t dims = {first, second};
    return dnnl_memory_desc_init_by_tag(l, rank, dims, dnnl_f32, rank == 1 ? dnnl_a : dnnl_ab) == dnnl_success;
}
static void layout_free(layout *l) { (void)l; }
#define LAYOUT(l) (l)
#endif

static dnnl_status_t softmax_choose(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const layout *rows)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_softmax_forward_primitive_desc_create(out, engine, dnnl_forward_inference, dnnl_softmax_accurate, *rows,
                                                      *rows, 1, NULL);
#else
    dnnl_softmax_desc_t wanted;
    dnnl_status_t status = dnnl_softmax_forward_desc_init(&wanted, dnnl_forward_inference, rows, 1);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &wanted, NULL, engine, NULL) : status;
#endif
}

static dnnl_status_t layer_norm_choose(dnnl_primitive_desc_t *out, dnnl_engine_t engine, const layout *rows,
                                       const layout *statistics, float epsilon)
{
    unsigned flags = dnnl_use_scale | dnnl_use_shift;
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_layer_normalization_forward_primitive_desc_create(out, engine, dnnl_forward_training, *rows, *rows, *statistics,
                                                                  epsilon, flags, NULL);
#else
    dnnl_layer_normalization_desc_t wanted;
    dnnl_status_t status = dnnl_layer_normalization_forward_desc_init(&wanted, dnnl_forward_training, rows, statistics,
                                                                      epsilon, flags);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &wanted, NULL, engine, NULL) : status;
#endif
}

enum { MOST_ARGUMENTS = 6 };
typedef struct argument {
    int name; /* DNNL_ARG_… */
    const layout *layout;
    const float *data;
} argument;

/* Makes the primitive, gives it its memory and runs it on the calling thread. */
static bool primitive_run(dnnl_primitive_desc_t chosen, dnnl_engine_t engine, const argument *arguments, int count)
{
    dnnl_primitive_t primitive = NULL;
    dnnl_stream_t stream = NULL;
    dnnl_exec_arg_t given[MOST_ARGUMENTS];
    int made = 0;
    bool good = dnnl_primitive_create(&primitive, chosen) == dnnl_success &&
                dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) == dnnl_success;
    for (; good && made < count; made += good) {
        given[made].arg = arguments[made].name;
        good = dnnl_memory_create(&given[made].memory, LAYOUT(arguments[made].layout), engine, (void *)arguments[made].data) ==
               dnnl_success;
    }
    good = good && dnnl_primitive_execute(primitive, stream, count, given) == dnnl_success &&
           dnnl_stream_wait(stream) == dnnl_success;
    while (made > 0)
        dnnl_memory_destroy(given[--made].memory);
    dnnl_stream_destroy(stream);
    dnnl_primitive_destroy(primitive);
    return good;
}

bool onednn_softmax(int64_t rows, int64_t n, const float *x, float *y)
{
    layout matrix;
    if (!layout_new(&matrix, 2, rows, n))
        return false;
    dnnl_engine_t engine = NULL;
    dnnl_primitive_desc_t chosen = NULL;
    int host = openmp_single();
    bool good = dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success &&
                softmax_choose(&chosen, engine, &matrix) == dnnl_success &&
                primitive_run(chosen, engine, (argument[]){{DNNL_ARG_SRC, &matrix, x}, {DNNL_ARG_DST, &matrix, y}}, 2);
    openmp_restore(host);
    dnnl_primitive_desc_destroy(chosen);
    dnnl_engine_destroy(engine);
    layout_free(&matrix);
    return good;
}

static bool layer_norm_run(const layout *matrix, const layout *statistics, const argument *arguments, float epsilon)
{
    dnnl_engine_t engine = NULL;
    dnnl_primitive_desc_t chosen = NULL;
    int host = openmp_single();
    bool good = dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success &&
                layer_norm_choose(&chosen, engine, matrix, statistics, epsilon) == dnnl_success &&
                primitive_run(chosen, engine, arguments, MOST_ARGUMENTS);
    openmp_restore(host);
    dnnl_primitive_desc_destroy(chosen);
    dnnl_engine_destroy(engine);
    return good;
}

bool onednn_layer_norm(int64_t rows, int64_t n, const float *x, const float *gain, const float *bias, float epsilon, float *y,
                       float *mean, float *variance)
{
    layout matrix, statistics, vector;
    const argument arguments[MOST_ARGUMENTS] = {{DNNL_ARG_SRC, &matrix, x},         {DNNL_ARG_DST, &matrix, y},
                                                {DNNL_ARG_SCALE, &vector, gain},    {DNNL_ARG_SHIFT, &vector, bias},
                                                {DNNL_ARG_MEAN, &statistics, mean}, {DNNL_ARG_VARIANCE, &statistics, variance}};
    if (!layout_new(&matrix, 2, rows, n))
        return false;
    bool good = layout_new(&statistics, 1, rows, 0);
    if (good) {
        good = layout_new(&vector, 1, n, 0);
        if (good) {
            good = layer_norm_run(&matrix, &statistics, arguments, epsilon);
            layout_free(&vector);
        }
        layout_free(&statistics);
    }
    layout_free(&matrix);
    return good;
}
