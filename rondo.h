/* rondo.h — a sequence model is written once, in parallel form; Rondo trains it, decodes with it, exports it.
 *
 *   rondo           context: allocator, threads, log       outlives everything made from it
 *   rondo_graph     a model while it is being written      one thread
 *   rondo_weights   its named parameters                   many readers, or one trainer
 *   rondo_trainer   forward, backward and update           one thread at a time
 *   rondo_program   a compiled model                       immutable: any number of threads
 *   rondo_session   buffers and state of one caller        one thread at a time
 *
 * Conventions. Tensors are dense and row-major. Sizes count elements unless the name ends in _bytes. Strings are UTF-8
 * and are copied. What x_new, x_load and x_clone return is yours and goes to x_free, which accepts NULL; any other pointer
 * belongs to the object that gave it. In an options struct zero stands for the default that the comment names; what has
 * no default is an argument. The library reads no environment, obeys no locale, handles no signal, and never prints, exits
 * or aborts. The one thing that it cannot promise is what SentencePiece does when malloc refuses (docs/FILES.md). */
#ifndef RONDO_H
#define RONDO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RONDO_VERSION 100 /* of this header: major * 10000 + minor * 100 + patch */

#ifdef __cplusplus
template <class T> inline const T *rondo_hold(const T &options) { return &options; } /* lives until the ; */
#define RONDO_OPTIONS(type, ...) rondo_hold(type{.size = sizeof(type), __VA_ARGS__})
#define RONDO_HERE (rondo_place{__FILE__, __LINE__})
#define RONDO_ZERO {}
extern "C" {
#else
#define RONDO_OPTIONS(type, ...) (&(type){.size = sizeof(type), __VA_ARGS__})
#define RONDO_HERE ((rondo_place){__FILE__, __LINE__})
#define RONDO_ZERO
#endif

#ifdef __GNUC__
#define RONDO_API __attribute__((visibility("default")))
#define RONDO_FORMAT(f, a) __attribute__((format(printf, f, a)))
#else
#define RONDO_API
#define RONDO_FORMAT(f, a)
#endif

/* ---- Errors and the context ---------------------------------------------------------------------------------- */

typedef enum rondo_code {
    RONDO_OK,
    RONDO_ARGUMENT,    /* wrong use of a function or a malformed name, type or option */
    RONDO_SHAPE,       /* shapes or dtypes that do not fit */
    RONDO_NOT_CAUSAL,  /* a node mixes time and has no step form */
    RONDO_NO_GRADIENT, /* a gradient is needed through an op that has none */
    RONDO_MEMORY,      /* the allocator gave NULL */
    RONDO_IO,          /* the operating system refused: open, read, write, rename */
    RONDO_FILE,        /* a damaged or hostile file */
    RONDO_MISMATCH,    /* two good things that do not belong together */
    RONDO_DIVERGED,    /* the loss, the gradient or the logits of a decoder are not finite */
    RONDO_CANCELLED    /* rondo_session_cancel */
} rondo_code;

/* Lives in the caller's frame, so that "out of memory" can be reported without memory. The message is one sentence: where
 * (scope and DSL line, or file and offset), what, and what to do.
 *
 * A function that can fail returns NULL or false and writes *error (error may be NULL: not wanted). Whatever *error held
 * before is overwritten and never read, so it needs no initialisation and can serve any number of calls; a call that succeeds
 * leaves it alone: look at what the function returned, not at the code. One exception: a call that is given a NULL object fails
 * and leaves *error alone too. That NULL came from a call that failed, whose message stands; so a chain of calls that share one
 * struct is checked once, at its end. */
typedef struct rondo_error {
    rondo_code code;
    char message[508];
} rondo_error;

typedef struct rondo rondo;

typedef struct rondo_allocator {
    void *user;
    void *(*allocate)(void *user, size_t bytes, size_t alignment); /* NULL: out of memory */
    void (*release)(void *user, void *memory, size_t bytes);
} rondo_allocator;

typedef struct rondo_options {
    size_t size RONDO_ZERO;
    int threads RONDO_ZERO;                      /* team of one running call; 0: the calling thread alone */
    const rondo_allocator *allocator RONDO_ZERO; /* NULL: malloc. oneDNN, OpenBLAS, SentencePiece: malloc always */
    void (*log)(void *user, int level, const char *line) RONDO_ZERO; /* NULL: silent; may be called from any thread */
    void *user RONDO_ZERO;
    const char *wisdom RONDO_ZERO; /* file of measured kernel choices (`rondo tune`); NULL: the built-in table */
} rondo_options;

RONDO_API rondo *rondo_new_with(const rondo_options *options);
#define rondo_new(...) rondo_new_with(RONDO_OPTIONS(rondo_options, .threads = __VA_ARGS__)) /* rondo_new(2) */
RONDO_API void rondo_free(rondo *context);
RONDO_API int rondo_version(void); /* of the library that runs; compare with RONDO_VERSION */

/* ---- Writing a model ----------------------------------------------------------------------------------------- */

typedef struct rondo_graph rondo_graph;
typedef struct rondo_place {
    const char *file;
    int line;
} rondo_place;

/* A handle, passed by value. {NULL, -1} is "no value", for optional operands. After the first mistake in a graph each
 * further operation on it does nothing; compiling it, or rondo_graph_check, reports that first mistake. */
typedef struct rondo_value {
    rondo_graph *graph;
    int32_t id;
} rondo_value;

RONDO_API rondo_graph *rondo_graph_new(rondo *context, rondo_error *error);
RONDO_API void rondo_graph_free(rondo_graph *graph);
RONDO_API bool rondo_graph_check(const rondo_graph *graph, rondo_error *error); /* the first mistake, if there was one */

/* Names made between enter and leave are prefixed: rondo_enter(g, "layers.%d", 0). Scopes nest. */
RONDO_API void rondo_enter(rondo_graph *graph, const char *format, ...) RONDO_FORMAT(2, 3);
RONDO_API void rondo_leave(rondo_graph *graph);

/* The text form: what `rondo explain FILE.graph` reads and `rondo inspect` prints; parse(print(g)) is g. The caller
 * releases the text with rondo_text_free. */
RONDO_API char *rondo_graph_print(const rondo_graph *graph, rondo_error *error);
RONDO_API rondo_graph *rondo_graph_parse(rondo *context, const char *text, const char *name, rondo_error *error);
/* What becomes recurrent, why, and what it saves; time: the symbol that decoding advances over (NULL: T). */
RONDO_API char *rondo_graph_explain(const rondo_graph *graph, const char *time, rondo_error *error);
RONDO_API void rondo_text_free(rondo *context, char *text);

/* A type is text: dtype and dims, where a dim is a number or a symbol bound at run time: "f32[B,T,%d]". */
RONDO_API rondo_value rondo_input_at(rondo_place, rondo_graph *, const char *name, const char *type, ...) RONDO_FORMAT(4, 5);
#define rondo_input(...) rondo_input_at(RONDO_HERE, __VA_ARGS__)

/* A trained tensor, initialised with Xavier's uniform distribution (matrices), zeros or ones (vectors whose name ends in
 * "bias", "weight"); rondo_initialize changes that. Tied parameters: ask for the same name twice. */
RONDO_API rondo_value rondo_parameter_at(rondo_place, rondo_graph *, const char *name, const char *type, ...)
    RONDO_FORMAT(4, 5);
#define rondo_parameter(...) rondo_parameter_at(RONDO_HERE, __VA_ARGS__)
typedef enum rondo_initial {
    RONDO_XAVIER = 1, /* uniform in ± scale · sqrt(6 / (fan_in + fan_out)) */
    RONDO_NORMAL,     /* normal with standard deviation scale */
    RONDO_FILL,       /* every element is scale */
    RONDO_IDENTITY,   /* scale · identity */
    RONDO_ORTHOGONAL  /* scale · normal rows [..., n, d], orthogonal to each other in groups of d (Choromanski et al. 2021) */
} rondo_initial;
RONDO_API rondo_value rondo_initialize(rondo_value parameter, rondo_initial kind, double scale);
/* It keeps its initial numbers: no gradient, no update, no decay. Saved and loaded as any other. */
RONDO_API rondo_value rondo_freeze(rondo_value parameter);

/* Marks a result: what `rondo inspect` shows and what an exported graph returns under this name. */
RONDO_API void rondo_output(rondo_value value, const char *name);

/* What a value is, for code that builds on values it did not make: its rank (−1: no value), an extent (−1: not a number) and
 * a dim as text ("T", "64"; NULL: no such axis; lives as long as the graph). Negative axes count from the end. */
RONDO_API int rondo_rank(rondo_value value);
RONDO_API int64_t rondo_extent(rondo_value value, int axis);
RONDO_API const char *rondo_dim(rondo_value value, int axis);

/* Any row of the op table by name, its attributes as in the text form: rondo_apply(g, "cumsum", "axis=1", 1, x). */
RONDO_API rondo_value rondo_apply_at(rondo_place, rondo_graph *, const char *op, const char *attributes, int count, ...);
#define rondo_apply(...) rondo_apply_at(RONDO_HERE, __VA_ARGS__)

/* Elementwise, with broadcasting of the literal extent 1 and of missing leading dims. */
#define RONDO_UNARY_OPS(X) \
    X(neg) X(exp) X(log) X(tanh) X(sigmoid) X(relu) X(gelu) X(silu) X(elu) X(sqrt) X(rsqrt) X(abs) X(softplus) X(sin) X(cos)
#define RONDO_BINARY_OPS(X) \
    X(add) X(sub) X(mul) X(div) X(power) X(minimum) X(maximum) X(less) X(less_equal) X(equal)
#define RONDO_DECLARE_UNARY(name) RONDO_API rondo_value rondo_##name##_at(rondo_place, rondo_value x);
#define RONDO_DECLARE_BINARY(name) RONDO_API rondo_value rondo_##name##_at(rondo_place, rondo_value a, rondo_value b);
RONDO_UNARY_OPS(RONDO_DECLARE_UNARY)
RONDO_BINARY_OPS(RONDO_DECLARE_BINARY)
#define rondo_neg(x) rondo_neg_at(RONDO_HERE, x)
#define rondo_exp(x) rondo_exp_at(RONDO_HERE, x)
#define rondo_log(x) rondo_log_at(RONDO_HERE, x)
#define rondo_tanh(x) rondo_tanh_at(RONDO_HERE, x)
#define rondo_sigmoid(x) rondo_sigmoid_at(RONDO_HERE, x)
#define rondo_relu(x) rondo_relu_at(RONDO_HERE, x)
#define rondo_gelu(x) rondo_gelu_at(RONDO_HERE, x)
#define rondo_silu(x) rondo_silu_at(RONDO_HERE, x)
#define rondo_elu(x) rondo_elu_at(RONDO_HERE, x)
#define rondo_sqrt(x) rondo_sqrt_at(RONDO_HERE, x)
#define rondo_rsqrt(x) rondo_rsqrt_at(RONDO_HERE, x)
#define rondo_abs(x) rondo_abs_at(RONDO_HERE, x)
#define rondo_softplus(x) rondo_softplus_at(RONDO_HERE, x)
#define rondo_sin(x) rondo_sin_at(RONDO_HERE, x)
#define rondo_cos(x) rondo_cos_at(RONDO_HERE, x)
#define rondo_add(a, b) rondo_add_at(RONDO_HERE, a, b)
#define rondo_sub(a, b) rondo_sub_at(RONDO_HERE, a, b)
#define rondo_mul(a, b) rondo_mul_at(RONDO_HERE, a, b)
#define rondo_div(a, b) rondo_div_at(RONDO_HERE, a, b)
#define rondo_power(a, b) rondo_power_at(RONDO_HERE, a, b)
#define rondo_minimum(a, b) rondo_minimum_at(RONDO_HERE, a, b)
#define rondo_maximum(a, b) rondo_maximum_at(RONDO_HERE, a, b)
#define rondo_less(a, b) rondo_less_at(RONDO_HERE, a, b) /* 1 where a < b, else 0 */
#define rondo_less_equal(a, b) rondo_less_equal_at(RONDO_HERE, a, b)
#define rondo_equal(a, b) rondo_equal_at(RONDO_HERE, a, b)
RONDO_API rondo_value rondo_add_scalar_at(rondo_place, rondo_value x, double scalar);
#define rondo_add_scalar(x, scalar) rondo_add_scalar_at(RONDO_HERE, x, scalar)
RONDO_API rondo_value rondo_mul_scalar_at(rondo_place, rondo_value x, double scalar);
#define rondo_mul_scalar(x, scalar) rondo_mul_scalar_at(RONDO_HERE, x, scalar)
/* condition is 0 or not; the branch that is not taken is never looked at, so a NaN there does no harm. */
RONDO_API rondo_value rondo_select_at(rondo_place, rondo_value condition, rondo_value a, rondo_value b);
#define rondo_select(condition, a, b) rondo_select_at(RONDO_HERE, condition, a, b)
/* One number everywhere: rondo_constant(g, 1.0, "f32[T,T]"). */
RONDO_API rondo_value rondo_constant_at(rondo_place, rondo_graph *, double number, const char *type, ...)
    RONDO_FORMAT(4, 5);
#define rondo_constant(...) rondo_constant_at(RONDO_HERE, __VA_ARGS__)

/* Reductions over one axis; negative axes count from the end. keep leaves the extent 1 in its place. */
typedef struct rondo_reduce_options {
    size_t size RONDO_ZERO;
    int axis RONDO_ZERO;
    bool keep RONDO_ZERO;
} rondo_reduce_options;
RONDO_API rondo_value rondo_sum_at(rondo_place, rondo_value x, const rondo_reduce_options *);
#define rondo_sum(x, ...) rondo_sum_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_reduce_options, .axis = __VA_ARGS__))
RONDO_API rondo_value rondo_mean_at(rondo_place, rondo_value x, const rondo_reduce_options *);
#define rondo_mean(x, ...) rondo_mean_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_reduce_options, .axis = __VA_ARGS__))
RONDO_API rondo_value rondo_max_at(rondo_place, rondo_value x, const rondo_reduce_options *);
#define rondo_max(x, ...) rondo_max_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_reduce_options, .axis = __VA_ARGS__))
RONDO_API rondo_value rondo_logsumexp_at(rondo_place, rondo_value x, const rondo_reduce_options *);
#define rondo_logsumexp(x, ...) rondo_logsumexp_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_reduce_options, .axis = __VA_ARGS__))
RONDO_API rondo_value rondo_cumsum_at(rondo_place, rondo_value x, int axis);
#define rondo_cumsum(x, axis) rondo_cumsum_at(RONDO_HERE, x, axis)

/* [..., m, k] × [..., k, n] → [..., m, n]; leading dims broadcast; transposes are flags. */
typedef struct rondo_matmul_options {
    size_t size RONDO_ZERO;
    rondo_value b RONDO_ZERO;
    bool transpose_a RONDO_ZERO, transpose_b RONDO_ZERO;
} rondo_matmul_options;
RONDO_API rondo_value rondo_matmul_at(rondo_place, rondo_value a, const rondo_matmul_options *);
#define rondo_matmul(a, ...) rondo_matmul_at(RONDO_HERE, a, RONDO_OPTIONS(rondo_matmul_options, .b = __VA_ARGS__))

/* y = x Wᵀ + b: [..., n] → [..., width]. Makes the parameters NAME.weight [width, n] and NAME.bias [width]. */
typedef struct rondo_linear_options {
    size_t size RONDO_ZERO;
    int64_t width RONDO_ZERO;
    const char *name RONDO_ZERO; /* NULL: "linear" */
    bool no_bias RONDO_ZERO;
    float gain RONDO_ZERO; /* of Xavier's uniform initialisation; 0: 1 */
} rondo_linear_options;
RONDO_API rondo_value rondo_linear_at(rondo_place, rondo_value x, const rondo_linear_options *);
#define rondo_linear(x, ...) rondo_linear_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_linear_options, .width = __VA_ARGS__))

/* Shapes. dims as in a type, without the dtype: rondo_reshape(x, "[B,T,%d,%d]", H, D). */
RONDO_API rondo_value rondo_reshape_at(rondo_place, rondo_value x, const char *dims, ...) RONDO_FORMAT(3, 4);
#define rondo_reshape(...) rondo_reshape_at(RONDO_HERE, __VA_ARGS__)
RONDO_API rondo_value rondo_broadcast_at(rondo_place, rondo_value x, const char *dims, ...) RONDO_FORMAT(3, 4);
#define rondo_broadcast(...) rondo_broadcast_at(RONDO_HERE, __VA_ARGS__)
/* order: which axis of x comes first, second, …: rondo_transpose(x, "0,2,1,3"). */
RONDO_API rondo_value rondo_transpose_at(rondo_place, rondo_value x, const char *order);
#define rondo_transpose(x, order) rondo_transpose_at(RONDO_HERE, x, order)
RONDO_API rondo_value rondo_slice_at(rondo_place, rondo_value x, int axis, int64_t start, int64_t length);
#define rondo_slice(x, axis, start, length) rondo_slice_at(RONDO_HERE, x, axis, start, length)
RONDO_API rondo_value rondo_concat_at(rondo_place, rondo_value a, rondo_value b, int axis);
#define rondo_concat(a, b, axis) rondo_concat_at(RONDO_HERE, a, b, axis)
RONDO_API rondo_value rondo_split_heads_at(rondo_place, rondo_value x, int64_t heads); /* [B,T,H·D] → [B,H,T,D] */
#define rondo_split_heads(x, heads) rondo_split_heads_at(RONDO_HERE, x, heads)
RONDO_API rondo_value rondo_merge_heads_at(rondo_place, rondo_value x); /* [B,H,T,D] → [B,T,H·D] */
#define rondo_merge_heads(x) rondo_merge_heads_at(RONDO_HERE, x)

/* Masks select: what is masked becomes `fill` whatever it was, NaN included. x: [..., T, S].
 * causal keeps s ≤ t; causal_mask_fill takes the fill (−INFINITY before a softmax).
 * key_mask keeps s < length[b]; row_mask keeps row t < length[b] of x: [B, ..., T, D]; length: i32[B]. */
RONDO_API rondo_value rondo_causal_mask_at(rondo_place, rondo_value x, double fill);
#define rondo_causal_mask(x) rondo_causal_mask_at(RONDO_HERE, x, 0.0)
#define rondo_causal_mask_fill(x, fill) rondo_causal_mask_at(RONDO_HERE, x, fill)
RONDO_API rondo_value rondo_key_mask_at(rondo_place, rondo_value x, rondo_value length, double fill);
#define rondo_key_mask(x, length, fill) rondo_key_mask_at(RONDO_HERE, x, length, fill)
RONDO_API rondo_value rondo_row_mask_at(rondo_place, rondo_value x, rondo_value length);
#define rondo_row_mask(x, length) rondo_row_mask_at(RONDO_HERE, x, length)

/* Over the last axis. A row that is −∞ throughout gives zeros. */
RONDO_API rondo_value rondo_softmax_at(rondo_place, rondo_value x);
#define rondo_softmax(x) rondo_softmax_at(RONDO_HERE, x)

/* The delta rule, a causal recurrence that corrects its state by what the state got wrong: DeltaNet (Yang et al. 2024, arXiv
 * 2406.06484), and with a decay Gated DeltaNet (Yang et al. 2024, arXiv 2412.06464). Per head, D_t = e^log_decay_t:
 *
 *   U_t = D_t S_{t−1}     S_t = U_t + β_t k_t (v_t − U_tᵀ k_t)ᵀ     y_t = S_tᵀ q_t
 *
 * q, k: [B,H,T,Dk]; v: [B,H,T,Dv]; beta and log_decay: [B,H,T,1]; the result: [B,H,T,Dv]. Give k the length 1 and β in
 * (0, 1): longer keys can make the state grow. length: i32[B], rows beyond it give 0. A decoder carries S, [B,H,Dk,Dv]. */
typedef struct rondo_delta_options {
    size_t size RONDO_ZERO;
    rondo_value beta RONDO_ZERO;
    rondo_value log_decay RONDO_ZERO; /* none: 0 */
    rondo_value length RONDO_ZERO;    /* none: all rows */
} rondo_delta_options;
RONDO_API rondo_value rondo_delta_at(rondo_place, rondo_value q, rondo_value k, rondo_value v, const rondo_delta_options *);
#define rondo_delta(q, k, v, ...) rondo_delta_at(RONDO_HERE, q, k, v, RONDO_OPTIONS(rondo_delta_options, __VA_ARGS__))

/* A causal convolution along time, each channel by itself: y_t = Σ_{j<K} weight[K−1−j] ∘ x_{t−j}, zeros before the first
 * row; x: [B,T,D]. Makes the parameter NAME.weight [K,D], at first uniform in ± 1/√K, no bias. DeltaNet has one of
 * width 4 behind each projection. A decoder carries the last K − 1 rows. */
typedef struct rondo_convolve_options {
    size_t size RONDO_ZERO;
    int64_t width RONDO_ZERO;      /* K */
    const char *name RONDO_ZERO;   /* NULL: "conv" */
    rondo_value length RONDO_ZERO; /* i32[B], rows beyond it give 0; none: all rows */
} rondo_convolve_options;
RONDO_API rondo_value rondo_convolve_at(rondo_place, rondo_value x, const rondo_convolve_options *);
#define rondo_convolve(x, ...) rondo_convolve_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_convolve_options, .width = __VA_ARGS__))

/* Norms over the last axis; make NAME.weight (and NAME.bias). */
typedef struct rondo_norm_options {
    size_t size RONDO_ZERO;
    const char *name RONDO_ZERO;
    float epsilon RONDO_ZERO; /* 0: 1e-5 */
} rondo_norm_options;
RONDO_API rondo_value rondo_layer_norm_at(rondo_place, rondo_value x, const rondo_norm_options *);
#define rondo_layer_norm(x, ...) rondo_layer_norm_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_norm_options, .name = __VA_ARGS__))
RONDO_API rondo_value rondo_rms_norm_at(rondo_place, rondo_value x, const rondo_norm_options *);
#define rondo_rms_norm(x, ...) rondo_rms_norm_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_norm_options, .name = __VA_ARGS__))

/* table: [V, d], ids: i32[B, T] → [B, T, d]. An id outside the table is an error when the program runs. */
RONDO_API rondo_value rondo_embed_at(rondo_place, rondo_value table, rondo_value ids);
#define rondo_embed(table, ids) rondo_embed_at(RONDO_HERE, table, ids)
/* Where each token of `ids` stands in its sequence: i32[B, T]; in a decoder it goes on counting by itself. */
RONDO_API rondo_value rondo_positions_at(rondo_place, rondo_value ids);
#define rondo_positions(ids) rondo_positions_at(RONDO_HERE, ids)
/* Sinusoids of the positions (Vaswani et al. 2017, §3.5): first the sines, then the cosines: [B, T] → [B, T, d]. */
RONDO_API rondo_value rondo_sinusoid_at(rondo_place, rondo_value positions, int64_t width);
#define rondo_sinusoid(positions, width) rondo_sinusoid_at(RONDO_HERE, positions, width)
/* Inverted dropout; nothing in evaluation. The mask is a function of (call site, seed, sentence, position, channel), so
 * padding, batching and recomputation do not change it. x: [B, ..., T, D] or [B, T, D]. */
RONDO_API rondo_value rondo_dropout_at(rondo_place, rondo_value x, float rate);
#define rondo_dropout(x, rate) rondo_dropout_at(RONDO_HERE, x, rate)

/* The training loss: Σ over the targets that are not `ignore` of −log p smoothed, an [1] value whose division by their
 * count happens once, in the update. logits: [B, T, V], targets: i32[B, T]. Write it on the logits: the compiler joins it
 * with the matmul that makes them, and [B·T, V] never exists whole. smoothing ε: q = (1−ε)·onehot + ε/V. */
typedef struct rondo_cross_entropy_options {
    size_t size RONDO_ZERO;
    rondo_value targets RONDO_ZERO;
    float smoothing RONDO_ZERO;
    int32_t ignore RONDO_ZERO; /* 0 counts as −1 does in most data: id 0 is the padding; see rondo_trainer */
} rondo_cross_entropy_options;
RONDO_API rondo_value rondo_cross_entropy_at(rondo_place, rondo_value logits, const rondo_cross_entropy_options *);
#define rondo_cross_entropy(logits, ...) \
    rondo_cross_entropy_at(RONDO_HERE, logits, RONDO_OPTIONS(rondo_cross_entropy_options, .targets = __VA_ARGS__))

/* ---- Weights and training ------------------------------------------------------------------------------------ */

typedef enum rondo_type { RONDO_F32 = 1, RONDO_F64, RONDO_I32 } rondo_type;
typedef struct rondo_tensor {
    const char *name;
    rondo_type type;
    int rank;
    int64_t dims[8];
    void *data;
} rondo_tensor;

typedef struct rondo_weights rondo_weights;
RONDO_API rondo_weights *rondo_weights_new(const rondo_graph *graph, uint64_t seed, rondo_error *error);
RONDO_API rondo_weights *rondo_weights_load(const rondo_graph *graph, const char *path, rondo_error *error); /* safetensors */
RONDO_API bool rondo_weights_save(const rondo_weights *weights, const char *path, rondo_error *error); /* all or nothing */
RONDO_API bool rondo_weights_get(rondo_weights *weights, const char *name, rondo_tensor *view); /* a view, not a copy */
RONDO_API int64_t rondo_weights_count(const rondo_weights *weights);                            /* numbers in all */
RONDO_API void rondo_weights_free(rondo_weights *weights);

typedef struct rondo_trainer rondo_trainer;
typedef struct rondo_trainer_options {
    size_t size RONDO_ZERO;
    rondo_weights *weights RONDO_ZERO;                            /* the caller's; updated in place */
    float beta1 RONDO_ZERO, beta2 RONDO_ZERO, epsilon RONDO_ZERO; /* of Adam; 0: 0.9, 0.98, 1e-9 */
    float weight_decay RONDO_ZERO;                                /* decoupled (AdamW); 0: none */
    float clip_norm RONDO_ZERO;                                   /* of the global gradient; 0: none */
    uint64_t seed RONDO_ZERO;                                     /* of dropout */
    size_t memory_bytes RONDO_ZERO;                               /* reserved: 0 */
    bool no_linearize RONDO_ZERO;                                 /* keep the quadratic form, to compare */
} rondo_trainer_options;
RONDO_API rondo_trainer *rondo_trainer_new_with(rondo_value loss, rondo_error *error, const rondo_trainer_options *);
#define rondo_trainer_new(loss, error, ...) \
    rondo_trainer_new_with(loss, error, RONDO_OPTIONS(rondo_trainer_options, .weights = __VA_ARGS__))
typedef struct rondo_step {
    double loss;          /* smoothed, per target */
    double nll;           /* per target, in nats; its exponential is the perplexity */
    double gradient_norm; /* before clipping */
    double seconds;
    int64_t targets; /* that counted */
    int64_t number;  /* of updates so far */
} rondo_step;
/* One update on `count` inputs, found by name and read during the call. A loss or gradient that is not finite gives
 * RONDO_DIVERGED and changes nothing. */
RONDO_API bool rondo_trainer_step(rondo_trainer *, const rondo_tensor *inputs, int count, float rate, rondo_step *,
                                  rondo_error *);
/* Forward and backward only, adding to the gradients that the next rondo_trainer_step divides by all targets. */
RONDO_API bool rondo_trainer_accumulate(rondo_trainer *, const rondo_tensor *inputs, int count, rondo_step *,
                                        rondo_error *);
/* Loss without dropout, gradients or change. */
RONDO_API bool rondo_trainer_evaluate(rondo_trainer *, const rondo_tensor *inputs, int count, rondo_step *, rondo_error *);
RONDO_API bool rondo_trainer_save(const rondo_trainer *, const char *path, rondo_error *);
RONDO_API bool rondo_trainer_load(rondo_trainer *, const char *path, rondo_error *); /* goes on bit for bit */
RONDO_API void rondo_trainer_free(rondo_trainer *);

/* ---- Decoding; librondo-run has what is from here to rondo_mixer, but for rondo_program_new and _save --------- */

typedef struct rondo_program rondo_program;
typedef struct rondo_session rondo_session;
/* The derived decoder of `logits` along the symbol `time`: what hangs on parameters alone runs at load, what hangs on the
 * source alone once a sentence, the rest step by step. RONDO_NOT_CAUSAL names the node that forbids it. */
RONDO_API rondo_program *rondo_program_new(rondo_value logits, const char *time, rondo_error *error);
/* Weights, graphs and the tokenizer (its serialized model; NULL: none) in one safetensors file. */
RONDO_API bool rondo_program_save(const rondo_program *, const rondo_weights *, const void *tokenizer,
                                  size_t tokenizer_bytes, const char *path, rondo_error *);
RONDO_API rondo_program *rondo_program_load(rondo *, const char *path, rondo_error *); /* mapped; checked but for the tensors' data */
/* Reads all of a file that Rondo wrote and compares it with its checksums, which loading does for what is not mapped only.
 * RONDO_FILE: damaged, and where; RONDO_MISMATCH: it was written without checksums. */
RONDO_API bool rondo_file_check(rondo *, const char *path, rondo_error *);
RONDO_API const char *rondo_program_report(const rondo_program *);                     /* the text of `rondo explain` */
RONDO_API void rondo_program_free(rondo_program *);

/* weights: NULL for those of a loaded program. Program and weights outlive the session. batch: sequences at once. */
RONDO_API rondo_session *rondo_session_new(const rondo_program *, const rondo_weights *, int64_t batch, rondo_error *);
RONDO_API rondo_session *rondo_session_clone(const rondo_session *, rondo_error *); /* a snapshot of its state */
/* Starts anew: runs the source graph on the inputs that do not carry the time symbol. */
RONDO_API bool rondo_session_source(rondo_session *, const rondo_tensor *inputs, int count, rondo_error *);
/* Advances by tokens: i32 [batch, length]; lengths: how many of each row count (NULL: all). Returns the logits of each
 * row's last token, [batch, V], valid until the next call. */
RONDO_API const float *rondo_session_advance(rondo_session *, const int32_t *tokens, int64_t length, const int32_t *lengths,
                                             rondo_error *);
RONDO_API bool rondo_session_reorder(rondo_session *, const int64_t *from, int64_t batch, rondo_error *); /* beams */
RONDO_API size_t rondo_session_state_bytes(const rondo_session *); /* of all sequences, as allocated now */
RONDO_API int64_t rondo_session_vocabulary(const rondo_session *);
/* Makes the call that runs on the session, or else its next one, fail with RONDO_CANCELLED between two kernels. After that
 * the session waits for rondo_session_source, which also withdraws a cancel that came too late. Safe in a signal handler
 * and from any thread while the session exists: it sets one lock-free atomic flag and touches nothing else. */
RONDO_API void rondo_session_cancel(rondo_session *);
RONDO_API void rondo_session_free(rondo_session *);

typedef struct rondo_search {
    size_t size RONDO_ZERO;
    int64_t max_length RONDO_ZERO;
    int32_t begin RONDO_ZERO, end RONDO_ZERO; /* token ids; 0: 1 and 2; end −1: no token ends a sequence */
    float temperature RONDO_ZERO;             /* finite; 0: greedy, ties to the smaller id */
    float top_p RONDO_ZERO;                   /* between 0 and 1; 0: 1 */
    int top_k RONDO_ZERO;                     /* 0: all */
    uint64_t seed RONDO_ZERO;
    bool (*on_token)(void *user, int64_t sequence, int32_t token, double log_prob) RONDO_ZERO; /* false: stop this one */
    void *user RONDO_ZERO;
    bool go_on RONDO_ZERO; /* the first token comes from the logits that rondo_session_advance gave for the prompt */
} rondo_search;
/* tokens: room for [batch, max_length], or NULL if on_token takes them; lengths, scores (log-probability): [batch]. `end` is
 * not stored; id 0 (padding) and `begin` are never an answer. Logits that are not finite give RONDO_DIVERGED, and the
 * message names the first weight that is not finite. */
RONDO_API bool rondo_generate_with(rondo_session *, int32_t *tokens, int64_t *lengths, double *scores, rondo_error *,
                                   const rondo_search *);
#define rondo_generate(session, tokens, lengths, scores, error, ...) \
    rondo_generate_with(session, tokens, lengths, scores, error, RONDO_OPTIONS(rondo_search, .max_length = __VA_ARGS__))
/* The same on text, with the program's own tokenizer: count lines in, count lines out, in their order. Any number of
 * threads may call it on one program. */
typedef struct rondo_lines rondo_lines;
RONDO_API rondo_lines *rondo_translate_with(const rondo_program *, const char *const *lines, size_t count, rondo_error *,
                                            const rondo_search *);
#define rondo_translate(program, lines, count, error, ...) \
    rondo_translate_with(program, lines, count, error, RONDO_OPTIONS(rondo_search, .max_length = __VA_ARGS__))
RONDO_API const char *rondo_lines_get(const rondo_lines *, size_t index, double *score);
RONDO_API void rondo_lines_free(rondo_lines *);

/* ---- The whole command, with a mechanism of yours ------------------------------------------------------------- */

/* After rondo_mixer_add(r, "mine", f, …) `--decoder-self mine` works in rondo_main. x, y: the queries' and the keys'
 * side, [B, T, d] and [B, S, d]; length: how many keys count, i32[B], or no value; causal: y is x and s ≤ t. Returns
 * [B, T, d]. */
typedef rondo_value (*rondo_mixer)(void *user, rondo_value x, rondo_value y, rondo_value length, bool causal,
                                   int64_t heads);
RONDO_API bool rondo_mixer_add(rondo *, const char *name, rondo_mixer, void *user, rondo_error *);
RONDO_API int rondo_main(rondo *, int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif
