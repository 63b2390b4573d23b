/* oneDNN's primitives, 2.6 and later: how each kind is made, and a cache of them. Making one takes 60 µs or
 * more; several threads may run it at once, since each has its own scratchpad. */
#include "ops/kernels/onednn/primitives.h"
#include "ops/kernels/products/blas.h"
#include "ops/op.h"
#include <dnnl.h>
#include <pthread.h>
#include <string.h>

/* ---- the two ways in which oneDNN writes memory descriptors ---- */

typedef dnnl_memory_desc_t layout;
/* oneDNN's arrays are longer than ours. */
typedef struct extents {
    dnnl_dims_t dims, strides;
} extents;
static extents extents_of(const primitive_tensor *t)
{
    extents e = {{0}, {0}};
    memcpy(e.dims, t->dims, sizeof t->dims);
    memcpy(e.strides, t->strides, sizeof t->strides);
    return e;
}

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t layout_view;
#define VIEW(layout) (layout)
static bool layout_begin(layout *l, const primitive_tensor *t)
{
    const extents e = extents_of(t);
    return dnnl_memory_desc_create_with_strides(l, (int)t->rank, e.dims, dnnl_f32, e.strides) == dnnl_success;
}
static void layout_end(layout *l)
{
    dnnl_memory_desc_destroy(*l);
}
#else
typedef const dnnl_memory_desc_t *layout_view;
#define VIEW(layout) (&(layout))
static bool layout_begin(layout *l, const primitive_tensor *t)
{
    const extents e = extents_of(t);
    return dnnl_memory_desc_init_by_strides(l, (int)t->rank, e.dims, dnnl_f32, e.strides) == dnnl_success;
}
static void layout_end(layout *l)
{
    (void)l;
}
#endif

/* ---- one function a kind ---- */

/* oneDNN's algorithm for an op; 0: none that we use. Left out, because they fail our tests
 * (docs/PRIMITIVES.md): exp, relu, min and max, elementwise and over an axis, hide a NaN; log, gelu and
 * softplus are too far off. */
static const dnnl_alg_kind_t algorithms[OP_COUNT] = {
    [OP_tanh] = dnnl_eltwise_tanh, [OP_sigmoid] = dnnl_eltwise_logistic, [OP_silu] = dnnl_eltwise_swish,
    [OP_elu] = dnnl_eltwise_elu,   [OP_sqrt] = dnnl_eltwise_sqrt,        [OP_abs] = dnnl_eltwise_abs,
    [OP_add] = dnnl_binary_add,    [OP_sub] = dnnl_binary_sub,           [OP_mul] = dnnl_binary_mul,
    [OP_div] = dnnl_binary_div,    [OP_sum] = dnnl_reduction_sum,        [OP_mean] = dnnl_reduction_mean,
};
enum { ALPHA = 1, BETA = 0 }; /* factors of elu and silu; unused by the others */

typedef struct recipe {
    const primitive *wanted;
    const layout *l;
    dnnl_engine_t engine;
    dnnl_primitive_attr_t attributes;
} recipe;
typedef dnnl_status_t make_rule(const recipe *r, dnnl_primitive_desc_t *out);

/* 2.6 has one descriptor for x and y. */
static dnnl_status_t make_unary(const recipe *r, dnnl_primitive_desc_t *out)
{
    if (memcmp(&r->wanted->tensors[0], &r->wanted->tensors[1], sizeof r->wanted->tensors[0]))
        return dnnl_unimplemented;
    dnnl_alg_kind_t algorithm = algorithms[r->wanted->op];
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_eltwise_forward_primitive_desc_create(out, r->engine, dnnl_forward_inference, algorithm,
                                                      r->l[0], r->l[1], ALPHA, BETA, r->attributes);
#else
    dnnl_eltwise_desc_t wanted;
    dnnl_status_t status =
        dnnl_eltwise_forward_desc_init(&wanted, dnnl_forward_inference, algorithm, &r->l[0], ALPHA, BETA);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &wanted, r->attributes, r->engine, NULL)
                                  : status;
#endif
}

static dnnl_status_t make_binary(const recipe *r, dnnl_primitive_desc_t *out)
{
    dnnl_alg_kind_t algorithm = algorithms[r->wanted->op];
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_binary_primitive_desc_create(out, r->engine, algorithm, r->l[0], r->l[1], r->l[2],
                                             r->attributes);
#else
    dnnl_binary_desc_t wanted;
    dnnl_status_t status = dnnl_binary_desc_init(&wanted, algorithm, &r->l[0], &r->l[1], &r->l[2]);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &wanted, r->attributes, r->engine, NULL)
                                  : status;
#endif
}

static dnnl_status_t make_reduction(const recipe *r, dnnl_primitive_desc_t *out)
{
    dnnl_alg_kind_t algorithm = algorithms[r->wanted->op];
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_reduction_primitive_desc_create(out, r->engine, algorithm, r->l[0], r->l[1], 0, 0,
                                                r->attributes);
#else
    dnnl_reduction_desc_t wanted;
    dnnl_status_t status = dnnl_reduction_desc_init(&wanted, algorithm, &r->l[0], &r->l[1], 0, 0);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &wanted, r->attributes, r->engine, NULL)
                                  : status;
#endif
}

static dnnl_status_t make_reorder(const recipe *r, dnnl_primitive_desc_t *out)
{
    return dnnl_reorder_primitive_desc_create(out, VIEW(r->l[0]), r->engine, VIEW(r->l[1]), r->engine,
                                              r->attributes);
}

/* What follows the product: y is added, then the activation. */
static bool append_post_ops(const recipe *r)
{
    dnnl_post_ops_t list = NULL;
    bool good = dnnl_post_ops_create(&list) == dnnl_success;
    int64_t op = r->wanted->op;
#if DNNL_VERSION_MAJOR >= 3
    if (good && r->wanted->add)
        good = dnnl_post_ops_append_sum(list, 1, 0, dnnl_data_type_undef) == dnnl_success;
    if (good && op != OP_COUNT)
        good = dnnl_post_ops_append_eltwise(list, algorithms[op], ALPHA, BETA) == dnnl_success;
#else
    if (good && r->wanted->add)
        good = dnnl_post_ops_append_sum(list, 1) == dnnl_success;
    if (good && op != OP_COUNT)
        good = dnnl_post_ops_append_eltwise(list, 1, algorithms[op], ALPHA, BETA) == dnnl_success;
#endif
    good = good && dnnl_primitive_attr_set_post_ops(r->attributes, list) == dnnl_success;
    dnnl_post_ops_destroy(list);
    return good;
}

static dnnl_status_t make_matmul(const recipe *r, dnnl_primitive_desc_t *out)
{
    if (!append_post_ops(r))
        return dnnl_out_of_memory;
    layout_view bias = r->wanted->tensors[2].rank ? VIEW(r->l[2]) : NULL;
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_matmul_primitive_desc_create(out, r->engine, r->l[0], r->l[1], bias, r->l[3], r->attributes);
#else
    dnnl_matmul_desc_t wanted;
    dnnl_status_t status = dnnl_matmul_desc_init(&wanted, &r->l[0], &r->l[1], bias, &r->l[3]);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &wanted, r->attributes, r->engine, NULL)
                                  : status;
#endif
}

static dnnl_status_t make_softmax(const recipe *r, dnnl_primitive_desc_t *out)
{
    int axis = (int)r->wanted->tensors[0].rank - 1;
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_softmax_forward_primitive_desc_create(
        out, r->engine, dnnl_forward_inference, dnnl_softmax_accurate, r->l[0], r->l[1], axis, r->attributes);
#else
    dnnl_softmax_desc_t wanted;
    dnnl_status_t status = dnnl_softmax_forward_desc_init(&wanted, dnnl_forward_inference, &r->l[0], axis);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &wanted, r->attributes, r->engine, NULL)
                                  : status;
#endif
}

static dnnl_status_t make_layer_norm(const recipe *r, dnnl_primitive_desc_t *out)
{
    unsigned flags = dnnl_use_scale | dnnl_use_shift;
    float epsilon = (float)r->wanted->epsilon;
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_layer_normalization_forward_primitive_desc_create(
        out, r->engine, dnnl_forward_training, r->l[0], r->l[3], r->l[4], epsilon, flags, r->attributes);
#else
    dnnl_layer_normalization_desc_t wanted;
    dnnl_status_t status = dnnl_layer_normalization_forward_desc_init(&wanted, dnnl_forward_training,
                                                                      &r->l[0], &r->l[4], epsilon, flags);
    return status == dnnl_success ? dnnl_primitive_desc_create(out, &wanted, r->attributes, r->engine, NULL)
                                  : status;
#endif
}

static const struct {
    make_rule *make;
    int arguments[PRIMITIVE_TENSORS]; /* oneDNN's names of the tensors */
} kinds[] = {
    [PRIMITIVE_UNARY] = {make_unary, {DNNL_ARG_SRC, DNNL_ARG_DST}},
    [PRIMITIVE_BINARY] = {make_binary, {DNNL_ARG_SRC_0, DNNL_ARG_SRC_1, DNNL_ARG_DST}},
    [PRIMITIVE_REDUCTION] = {make_reduction, {DNNL_ARG_SRC, DNNL_ARG_DST}},
    [PRIMITIVE_REORDER] = {make_reorder, {DNNL_ARG_FROM, DNNL_ARG_TO}},
    [PRIMITIVE_MATMUL] = {make_matmul, {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST}},
    [PRIMITIVE_SOFTMAX] = {make_softmax, {DNNL_ARG_SRC, DNNL_ARG_DST}},
    [PRIMITIVE_LAYER_NORM] = {make_layer_norm,
                              {DNNL_ARG_SRC, DNNL_ARG_SCALE, DNNL_ARG_SHIFT, DNNL_ARG_DST, DNNL_ARG_MEAN,
                               DNNL_ARG_VARIANCE}},
};

/* ---- making one ---- */

typedef struct entry {
    primitive key;
    dnnl_primitive_t made; /* NULL: this entry is free */
    layout_view views[PRIMITIVE_TENSORS], scratch;
    size_t scratch_bytes;
    int users;     /* threads that run it now */
    uint64_t used; /* number of the last look-up */
} entry;

/* Generic reference code, far slower than ours. */
static bool is_reference_code(const_dnnl_primitive_desc_t chosen)
{
    const char *name = NULL;
    if (dnnl_primitive_desc_query(chosen, dnnl_query_impl_info_str, 0, &name) != dnnl_success || !name)
        return true;
    return !strncmp(name, "ref", 3) || !strncmp(name, "simple:any", 10);
}

static bool choose(const recipe *r, dnnl_primitive_desc_t *chosen)
{
    return dnnl_primitive_attr_set_scratchpad_mode(r->attributes, dnnl_scratchpad_mode_user) ==
               dnnl_success &&
           kinds[r->wanted->kind].make(r, chosen) == dnnl_success && !is_reference_code(*chosen);
}

/* The views are owned by the primitive's description. */
static bool set_views(entry *e)
{
    const_dnnl_primitive_desc_t own;
    if (dnnl_primitive_get_primitive_desc(e->made, &own) != dnnl_success)
        return false;
    for (int i = 0; i < PRIMITIVE_TENSORS; i++) {
        if (!e->key.tensors[i].rank)
            continue;
        e->views[i] =
            dnnl_primitive_desc_query_md(own, dnnl_query_exec_arg_md, kinds[e->key.kind].arguments[i]);
        if (!e->views[i])
            return false;
    }
    e->scratch = dnnl_primitive_desc_query_md(own, dnnl_query_scratchpad_md, 0);
    e->scratch_bytes = e->scratch ? dnnl_memory_desc_get_size(e->scratch) : 0;
    return true;
}

static bool make(entry *e, const primitive *wanted, dnnl_engine_t on)
{
    layout layouts[PRIMITIVE_TENSORS];
    memset(layouts, 0, sizeof layouts);
    dnnl_primitive_desc_t chosen = NULL;
    recipe r = {wanted, layouts, on, NULL};
    bool good = dnnl_primitive_attr_create(&r.attributes) == dnnl_success;
    for (int i = 0; good && i < PRIMITIVE_TENSORS; i++)
        good = !wanted->tensors[i].rank || layout_begin(&layouts[i], &wanted->tensors[i]);
    e->key = *wanted;
    good = good && choose(&r, &chosen) && dnnl_primitive_create(&e->made, chosen) == dnnl_success &&
           set_views(e);
    if (!good && e->made) {
        dnnl_primitive_destroy(e->made);
        e->made = NULL;
    }
    dnnl_primitive_desc_destroy(chosen);
    dnnl_primitive_attr_destroy(r.attributes);
    for (int i = 0; i < PRIMITIVE_TENSORS; i++)
        layout_end(&layouts[i]);
    return good;
}

/* ---- the cache ---- */

enum { KEPT = 128 };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static dnnl_engine_t engine;
static entry entries[KEPT];
static uint64_t hashes[KEPT], clock_of_uses;

static uint64_t hash_of(const primitive *p)
{
    uint64_t words[sizeof *p / 8], hash = 0;
    _Static_assert(sizeof *p % 8 == 0, "a primitive is whole words");
    memcpy(words, p, sizeof words);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15u, hash ^= hash >> 29;
    return hash;
}

/* Under the lock: the entry of this primitive, or NULL. */
static entry *find(const primitive *wanted, uint64_t hash)
{
    for (int i = 0; i < KEPT; i++)
        if (hashes[i] == hash && entries[i].made && !memcmp(&entries[i].key, wanted, sizeof *wanted))
            return &entries[i];
    return NULL;
}

/* Under the lock: an entry to fill, in place of the least recently used. NULL: all are in use. */
static entry *make_room(void)
{
    entry *oldest = NULL;
    for (int i = 0; i < KEPT; i++) {
        if (!entries[i].made)
            return &entries[i];
        if (!entries[i].users && (!oldest || entries[i].used < oldest->used))
            oldest = &entries[i];
    }
    if (oldest) {
        dnnl_primitive_destroy(oldest->made);
        oldest->made = NULL;
    }
    return oldest;
}

/* Under the lock. What a primitive does may depend on OpenMP's number of threads when it is made. */
static entry *add(const primitive *wanted, uint64_t hash)
{
    entry *e = NULL;
    int host = openmp_single();
    if ((engine || dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success) && (e = make_room())) {
        hashes[e - entries] = hash;
        e = make(e, wanted, engine) ? e : NULL;
    }
    openmp_restore(host);
    return e;
}

static entry *acquire(const primitive *wanted)
{
    uint64_t hash = hash_of(wanted);
    pthread_mutex_lock(&lock);
    entry *e = find(wanted, hash);
    if (!e)
        e = add(wanted, hash);
    if (e) {
        e->users++;
        e->used = ++clock_of_uses;
    }
    pthread_mutex_unlock(&lock);
    return e;
}

static void release(entry *e)
{
    pthread_mutex_lock(&lock);
    e->users--;
    pthread_mutex_unlock(&lock);
}

/* At the end of the process, or when the library is unloaded. Primitives that a thread still runs are not
 * freed. */
__attribute__((destructor)) static void forget(void)
{
    bool idle = true;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < KEPT; i++) {
        idle = idle && !entries[i].users;
        if (entries[i].made && !entries[i].users) {
            dnnl_primitive_destroy(entries[i].made);
            entries[i].made = NULL;
        }
    }
    if (idle) {
        dnnl_engine_destroy(engine);
        engine = NULL;
    }
    pthread_mutex_unlock(&lock);
}

bool primitive_plan(const primitive *wanted, size_t *scratch_bytes)
{
    entry *e = acquire(wanted);
    if (!e)
        return false;
    *scratch_bytes = *scratch_bytes > e->scratch_bytes ? *scratch_bytes : e->scratch_bytes;
    release(e);
    return true;
}

/* ---- running one ---- */

static bool add_memory(dnnl_exec_arg_t *given, int *count, int name, layout_view view, void *data)
{
    given[*count].arg = name;
    bool good = dnnl_memory_create(&given[*count].memory, view, engine, data) == dnnl_success;
    *count += good;
    return good;
}

static bool execute(const entry *e, float *const *data, void *scratch)
{
    dnnl_exec_arg_t given[PRIMITIVE_TENSORS + 1];
    dnnl_stream_t stream = NULL;
    int count = 0;
    bool good = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) == dnnl_success;
    for (int i = 0; good && i < PRIMITIVE_TENSORS; i++)
        if (e->key.tensors[i].rank)
            good = add_memory(given, &count, kinds[e->key.kind].arguments[i], e->views[i], data[i]);
    if (good && e->scratch_bytes)
        good = add_memory(given, &count, DNNL_ARG_SCRATCHPAD, e->scratch, scratch);
    good = good && dnnl_primitive_execute(e->made, stream, count, given) == dnnl_success &&
           dnnl_stream_wait(stream) == dnnl_success;
    while (count > 0)
        dnnl_memory_destroy(given[--count].memory);
    dnnl_stream_destroy(stream);
    return good;
}

bool primitive_run(const primitive *wanted, float *const data[PRIMITIVE_TENSORS], void *scratch)
{
    entry *e = acquire(wanted);
    if (!e)
        return false;
    int host = openmp_single();
    bool good = execute(e, data, scratch);
    openmp_restore(host);
    release(e);
    return good;
}
