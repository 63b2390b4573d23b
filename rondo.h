/* rondo.h — write a sequence model once, in parallel form; Rondo trains it, decodes with it and exports it.
 *
 *   rondo           context: allocator, threads, log       outlives everything made from it
 *   rondo_graph     a model while it is being written      one thread
 *   rondo_weights   its named parameters                   many readers, or one trainer
 *   rondo_trainer   forward, backward and update           one thread at a time
 *   rondo_function  any compiled graph                     immutable: any number of threads
 *   rondo_results   what one run of it gave                one thread at a time
 *   rondo_program   a compiled decoder                     immutable: any number of threads
 *   rondo_session   buffers and state of one caller        one thread at a time
 *
 * Conventions. Tensors are dense and row-major. Sizes count elements unless the name ends in _bytes. Strings
 * are UTF-8 and are copied. What a function named …_new, …_load, …_clone or …_parse returns belongs to the
 * caller and is released by the …_free of its type, which accepts NULL; every other pointer belongs to the
 * object that returned it. In an options struct, zero stands for the default that the comment names; what has
 * no default is an argument of the function. Its `size` is that of the caller's header, as the macros set it:
 * fields beyond it have their defaults, and an error says if it is 0, or if a field is set that the library
 * is too old to know. The library reads no environment, does not depend on the locale, handles no signal, and
 * never prints, exits or aborts. The one thing that it cannot promise is what SentencePiece does when malloc
 * fails (docs/FILES.md). */
#ifndef RONDO_H
#define RONDO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RONDO_VERSION 100 /* of this header: major * 10000 + minor * 100 + patch */

#ifdef __cplusplus
template <class T> inline const T *rondo_hold(const T &options) { return &options; } /* until the ; */
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

/* ---- Errors and the context ---------------------------------------------------------------------------- */

typedef enum rondo_code {
    RONDO_OK,
    RONDO_ARGUMENT,    /* a function was used wrongly, or a name, type or option is malformed */
    RONDO_SHAPE,       /* shapes or dtypes do not match */
    RONDO_NOT_CAUSAL,  /* a node looks at later tokens, or for another reason has no step form */
    RONDO_NO_GRADIENT, /* a gradient is needed through an op that has none */
    RONDO_MEMORY,      /* the allocator returned NULL */
    RONDO_IO,          /* the operating system refused to open, read, write or rename */
    RONDO_FILE,        /* a file is damaged or hostile */
    RONDO_MISMATCH,    /* valid things do not belong together, such as a model and other weights */
    RONDO_DIVERGED,    /* the loss, the gradient or the logits of a decoder are not finite */
    RONDO_CANCELLED    /* by rondo_session_cancel */
} rondo_code;

/* Lives in the caller's frame, so that "out of memory" can be reported without memory. The message is one
 * sentence: where (source line and scope of the model, or file and offset), what, and what to do.
 *
 * A function that can fail returns NULL or false and writes *error (error may be NULL). What *error held
 * before is overwritten and never read, so it needs no initialisation and can serve any number of calls. A
 * call that succeeds leaves it alone: look at what the function returned, not at the code. One exception: a
 * call that is given a NULL object fails and leaves *error alone too. That NULL came from a call that failed,
 * whose message stays; so a chain of calls that share one struct can be checked once, at its end. */
typedef struct rondo_error {
    rondo_code code;
    char message[508];
} rondo_error;

typedef struct rondo rondo;

/* May be called by several threads at once. alignment: a power of two. */
typedef struct rondo_allocator {
    void *user;
    void *(*allocate)(void *user, size_t bytes, size_t alignment); /* NULL: out of memory */
    void (*release)(void *user, void *memory, size_t bytes);       /* bytes: as allocated */
} rondo_allocator;

typedef struct rondo_options {
    size_t size RONDO_ZERO;
    /* That work on one running call; 0: the calling thread alone. Calls of one context that run a model take
     * turns, in the order in which they come, whatever thread makes them. For calls that run at the same
     * time, make several contexts. */
    int threads RONDO_ZERO;
    /* NULL: malloc. oneDNN, OpenBLAS and SentencePiece use malloc always. */
    const rondo_allocator *allocator RONDO_ZERO;
    /* NULL: silent. Any thread may call it. user: its first argument. */
    void (*log)(void *user, int level, const char *line) RONDO_ZERO;
    void *user RONDO_ZERO;
    /* A file of measured kernel choices (`rondo tune`); NULL: the built-in order. */
    const char *wisdom RONDO_ZERO;
    /* A graph is compiled anew for each combination of extents (batch, lengths) that it runs with, and the
     * results are kept: up to this many bytes a graph, then the least recently used are freed, but never what
     * a running call, a session or a trainer still uses. A program has up to three graphs, a trainer four. 0:
     * 64 MiB. */
    size_t compiled_bytes RONDO_ZERO;
} rondo_options;

/* NULL: out of memory, or an option that this library does not accept. rondo_new(2, .wisdom = "file"). */
RONDO_API rondo *rondo_new_with(const rondo_options *options);
#define rondo_new(...) rondo_new_with(RONDO_OPTIONS(rondo_options, .threads = __VA_ARGS__))
RONDO_API void rondo_free(rondo *context);
RONDO_API int rondo_version(void); /* of the library that is loaded; compare with RONDO_VERSION */

/* ---- Writing a model ----------------------------------------------------------------------------------- */

typedef struct rondo_graph rondo_graph;
/* Where in its source a model makes a node; RONDO_HERE. */
typedef struct rondo_place {
    const char *file;
    int line;
} rondo_place;

/* A handle, passed by value; it lives as long as its graph. {NULL, -1} is "no value", for optional operands.
 * After the first mistake in a graph every further operation on it does nothing; compiling the graph, or
 * rondo_graph_check, reports that first mistake. */
typedef struct rondo_value {
    rondo_graph *graph;
    int32_t id;
} rondo_value;

RONDO_API rondo_graph *rondo_graph_new(rondo *context, rondo_error *error);
RONDO_API void rondo_graph_free(rondo_graph *graph);
/* False: the error is the first mistake. */
RONDO_API bool rondo_graph_check(const rondo_graph *graph, rondo_error *error);

/* Names that are made between enter and leave get a prefix: rondo_enter(g, "layers.%d", 0). Scopes nest. */
RONDO_API void rondo_enter(rondo_graph *graph, const char *format, ...) RONDO_FORMAT(2, 3);
RONDO_API void rondo_leave(rondo_graph *graph);

/* The text form (docs/GRAPH.md), which `rondo explain FILE.graph` reads and `rondo inspect` prints; parsing
 * what was printed gives the same graph. name: what error messages call the text. The caller releases texts
 * with rondo_text_free. */
RONDO_API char *rondo_graph_print(const rondo_graph *graph, rondo_error *error);
RONDO_API rondo_graph *rondo_graph_parse(rondo *context, const char *text, const char *name,
                                         rondo_error *error);
/* The report of `rondo explain`: what becomes recurrent, why, and what that saves. time: the symbol along
 * which decoding advances (NULL: "T"). */
RONDO_API char *rondo_graph_explain(const rondo_graph *graph, const char *time, rondo_error *error);
RONDO_API void rondo_text_free(rondo *context, char *text);

/* A tensor that every run is given. A type is text: a dtype (f32, f64, i32) and dims, where a dim is a number
 * or a symbol that is bound at run time: "f32[B,T,%d]". */
RONDO_API rondo_value rondo_input_at(rondo_place, rondo_graph *, const char *name, const char *type, ...)
    RONDO_FORMAT(4, 5);
#define rondo_input(...) rondo_input_at(RONDO_HERE, __VA_ARGS__)

/* A trained tensor. Matrices begin with Xavier's uniform distribution (Glorot & Bengio 2010, eq. 16), vectors
 * with zeros or ones, as their name ends in "bias" or "weight"; rondo_initialize changes that. To tie
 * parameters, ask for the same name twice. */
RONDO_API rondo_value rondo_parameter_at(rondo_place, rondo_graph *, const char *name, const char *type, ...)
    RONDO_FORMAT(4, 5);
#define rondo_parameter(...) rondo_parameter_at(RONDO_HERE, __VA_ARGS__)
typedef enum rondo_initial {
    RONDO_XAVIER = 1, /* uniform in ± scale · sqrt(6 / (fan_in + fan_out)) */
    RONDO_NORMAL,     /* normal with standard deviation scale */
    RONDO_FILL,       /* every element is scale */
    RONDO_IDENTITY,   /* scale · identity */
    RONDO_ORTHOGONAL  /* scale · normal rows [..., n, d], orthogonal in groups of d (Performer, 2021) */
} rondo_initial;
/* Returns the parameter. */
RONDO_API rondo_value rondo_initialize(rondo_value parameter, rondo_initial kind, double scale);
/* The parameter keeps its initial numbers: no gradient, no update, no weight decay. It is saved and loaded
 * like any other. Returns it. */
RONDO_API rondo_value rondo_freeze(rondo_value parameter);

/* Marks a result, which `rondo inspect` shows and an exported graph returns under this name. */
RONDO_API void rondo_output(rondo_value value, const char *name);

/* What a value is, for code that builds on values it did not make: its rank (−1: no value), an extent (−1:
 * not a number, or no such axis) and a dim as text ("T", "64"; NULL: no such axis; it lives as long as the
 * graph). Negative axes count from the end. */
RONDO_API int rondo_rank(rondo_value value);
RONDO_API int64_t rondo_extent(rondo_value value, int axis);
RONDO_API const char *rondo_dim(rondo_value value, int axis);

/* The value that has this name, as a label in the text form gives it; no value if there is none. */
RONDO_API rondo_value rondo_graph_value(rondo_graph *graph, const char *name);

/* Any op (docs/OPS.md) by its name, with attributes as in the text form (NULL: none) and `count` operands:
 * rondo_apply(g, "cumsum", "axis=1", 1, x). Returns its first result. */
RONDO_API rondo_value rondo_apply_at(rondo_place, rondo_graph *, const char *op, const char *attributes,
                                     int count, ...);
#define rondo_apply(...) rondo_apply_at(RONDO_HERE, __VA_ARGS__)

/* Elementwise ops. Operands broadcast along the literal extent 1 and along missing leading dims. gelu is x
 * Φ(x) with the error function (Hendrycks & Gimpel 2016), elu has α = 1. Comparisons give 1 or 0. */
#define RONDO_UNARY_OPS(X) \
    X(neg) X(exp) X(log) X(tanh) X(sigmoid) X(relu) X(gelu) X(silu) X(elu) X(sqrt) X(rsqrt) X(abs) \
    X(softplus) X(sin) X(cos)
#define RONDO_BINARY_OPS(X) \
    X(add) X(sub) X(mul) X(div) X(power) X(minimum) X(maximum) X(less) X(less_equal) X(equal)
#define RONDO_DECLARE_UNARY(name) RONDO_API rondo_value rondo_##name##_at(rondo_place, rondo_value x);
#define RONDO_DECLARE_BINARY(name) \
    RONDO_API rondo_value rondo_##name##_at(rondo_place, rondo_value a, rondo_value b);
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
/* a where condition is not 0, else b. The branch that is not taken is never looked at, so a NaN there does no
 * harm. */
RONDO_API rondo_value rondo_select_at(rondo_place, rondo_value condition, rondo_value a, rondo_value b);
#define rondo_select(condition, a, b) rondo_select_at(RONDO_HERE, condition, a, b)
/* The same number in every element: rondo_constant(g, 1.0, "f32[T,T]"). */
RONDO_API rondo_value rondo_constant_at(rondo_place, rondo_graph *, double number, const char *type, ...)
    RONDO_FORMAT(4, 5);
#define rondo_constant(...) rondo_constant_at(RONDO_HERE, __VA_ARGS__)

/* Reductions over one axis; negative axes count from the end. With keep the axis stays, with extent 1. cumsum
 * is the running sum, inclusive, and keeps the shape. */
typedef struct rondo_reduce_options {
    size_t size RONDO_ZERO;
    int axis RONDO_ZERO;
    bool keep RONDO_ZERO;
} rondo_reduce_options;
RONDO_API rondo_value rondo_sum_at(rondo_place, rondo_value x, const rondo_reduce_options *);
#define rondo_sum(x, ...) \
    rondo_sum_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_reduce_options, .axis = __VA_ARGS__))
RONDO_API rondo_value rondo_mean_at(rondo_place, rondo_value x, const rondo_reduce_options *);
#define rondo_mean(x, ...) \
    rondo_mean_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_reduce_options, .axis = __VA_ARGS__))
RONDO_API rondo_value rondo_max_at(rondo_place, rondo_value x, const rondo_reduce_options *);
#define rondo_max(x, ...) \
    rondo_max_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_reduce_options, .axis = __VA_ARGS__))
RONDO_API rondo_value rondo_logsumexp_at(rondo_place, rondo_value x, const rondo_reduce_options *);
#define rondo_logsumexp(x, ...) \
    rondo_logsumexp_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_reduce_options, .axis = __VA_ARGS__))
RONDO_API rondo_value rondo_cumsum_at(rondo_place, rondo_value x, int axis);
#define rondo_cumsum(x, axis) rondo_cumsum_at(RONDO_HERE, x, axis)

/* [..., m, k] × [..., k, n] → [..., m, n]. Leading dims broadcast; a flag transposes the last two axes of an
 * operand. */
typedef struct rondo_matmul_options {
    size_t size RONDO_ZERO;
    rondo_value b RONDO_ZERO;
    bool transpose_a RONDO_ZERO, transpose_b RONDO_ZERO;
} rondo_matmul_options;
RONDO_API rondo_value rondo_matmul_at(rondo_place, rondo_value a, const rondo_matmul_options *);
#define rondo_matmul(a, ...) \
    rondo_matmul_at(RONDO_HERE, a, RONDO_OPTIONS(rondo_matmul_options, .b = __VA_ARGS__))

/* y = x Wᵀ + b: [..., n] → [..., width]; n must be a number. Makes the parameters NAME.weight [width, n] and
 * NAME.bias [width]. */
typedef struct rondo_linear_options {
    size_t size RONDO_ZERO;
    int64_t width RONDO_ZERO;
    const char *name RONDO_ZERO; /* NULL: "linear" */
    bool no_bias RONDO_ZERO;
    float gain RONDO_ZERO; /* of Xavier's uniform initialisation; 0: 1 */
} rondo_linear_options;
RONDO_API rondo_value rondo_linear_at(rondo_place, rondo_value x, const rondo_linear_options *);
#define rondo_linear(x, ...) \
    rondo_linear_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_linear_options, .width = __VA_ARGS__))

/* Shapes. dims are written as in a type, without the dtype: rondo_reshape(x, "[B,T,%d,%d]", H, D). */
RONDO_API rondo_value rondo_reshape_at(rondo_place, rondo_value x, const char *dims, ...) RONDO_FORMAT(3, 4);
#define rondo_reshape(...) rondo_reshape_at(RONDO_HERE, __VA_ARGS__)
RONDO_API rondo_value rondo_broadcast_at(rondo_place, rondo_value x, const char *dims, ...)
    RONDO_FORMAT(3, 4);
#define rondo_broadcast(...) rondo_broadcast_at(RONDO_HERE, __VA_ARGS__)
/* order: the axes of x in the order of the result: rondo_transpose(x, "0,2,1,3"). */
RONDO_API rondo_value rondo_transpose_at(rondo_place, rondo_value x, const char *order);
#define rondo_transpose(x, order) rondo_transpose_at(RONDO_HERE, x, order)
/* The `length` elements from `start` on along an axis whose extent is a number. */
RONDO_API rondo_value rondo_slice_at(rondo_place, rondo_value x, int axis, int64_t start, int64_t length);
#define rondo_slice(x, axis, start, length) rondo_slice_at(RONDO_HERE, x, axis, start, length)
RONDO_API rondo_value rondo_concat_at(rondo_place, rondo_value a, rondo_value b, int axis);
#define rondo_concat(a, b, axis) rondo_concat_at(RONDO_HERE, a, b, axis)
/* x backwards along an axis: with lengths, i32[B], the first length[b] rows of each sequence, and zeros after
 * them, whatever x holds there; the axis must then not be that of the sequences. Twice is x again. roll moves
 * element i to i + shift, and past an end to the other. */
typedef struct rondo_reverse_options {
    size_t size RONDO_ZERO;
    int axis RONDO_ZERO;
    rondo_value length RONDO_ZERO; /* no value: all rows */
} rondo_reverse_options;
RONDO_API rondo_value rondo_reverse_at(rondo_place, rondo_value x, const rondo_reverse_options *);
#define rondo_reverse(x, ...) \
    rondo_reverse_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_reverse_options, .axis = __VA_ARGS__))
RONDO_API rondo_value rondo_roll_at(rondo_place, rondo_value x, int axis, int64_t shift);
#define rondo_roll(x, axis, shift) rondo_roll_at(RONDO_HERE, x, axis, shift)
/* [B,T,H·D] → [B,H,T,D] and back. */
RONDO_API rondo_value rondo_split_heads_at(rondo_place, rondo_value x, int64_t heads);
#define rondo_split_heads(x, heads) rondo_split_heads_at(RONDO_HERE, x, heads)
RONDO_API rondo_value rondo_merge_heads_at(rondo_place, rondo_value x);
#define rondo_merge_heads(x) rondo_merge_heads_at(RONDO_HERE, x)

/* Masks select: a masked element becomes `fill` whatever it was, NaN included. x: [..., T, S]; length:
 * i32[B]. causal_mask keeps s ≤ t and fills with 0; causal_mask_fill takes the fill (−INFINITY before a
 * softmax). key_mask keeps s < length[b]. row_mask keeps the rows t < length[b] of x: [B, ..., T, D] and
 * fills with 0. */
RONDO_API rondo_value rondo_causal_mask_at(rondo_place, rondo_value x, double fill);
#define rondo_causal_mask(x) rondo_causal_mask_at(RONDO_HERE, x, 0.0)
#define rondo_causal_mask_fill(x, fill) rondo_causal_mask_at(RONDO_HERE, x, fill)
RONDO_API rondo_value rondo_key_mask_at(rondo_place, rondo_value x, rondo_value length, double fill);
#define rondo_key_mask(x, length, fill) rondo_key_mask_at(RONDO_HERE, x, length, fill)
RONDO_API rondo_value rondo_row_mask_at(rondo_place, rondo_value x, rondo_value length);
#define rondo_row_mask(x, length) rondo_row_mask_at(RONDO_HERE, x, length)

/* Places in a line, i32, and elements by them. Of equals the first comes first; a NaN comes after all
 * numbers. sort puts x, f32, in rising or falling order along an axis; top_k keeps the first k in falling
 * order, and fills with −∞ where a symbol is less than k. Both set *ids, unless it is NULL, to the places
 * that the elements had (−1 for what is filled); the gradient goes back to these. argsort gives the places
 * alone, and argmax that of the largest, 0 in a line without a number. nonzero gives the places of what is
 * not 0, in order and −1 after the last, and sets *count, unless it is NULL, to how many there are. So a
 * layer for some rows of x: [B,T,D] is scatter(f(gather(x, ids, 1)), ids, 1, "[B,T,…]") with ids =
 * nonzero(chosen, 1, …). */
RONDO_API rondo_value rondo_argmax_at(rondo_place, rondo_value x, const rondo_reduce_options *);
#define rondo_argmax(x, ...) \
    rondo_argmax_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_reduce_options, .axis = __VA_ARGS__))
RONDO_API rondo_value rondo_sort_at(rondo_place, rondo_value x, int axis, bool descending,
                                    rondo_value *ids);
#define rondo_sort(x, axis, descending, ids) rondo_sort_at(RONDO_HERE, x, axis, descending, ids)
RONDO_API rondo_value rondo_argsort_at(rondo_place, rondo_value x, int axis, bool descending);
#define rondo_argsort(x, axis, descending) rondo_argsort_at(RONDO_HERE, x, axis, descending)
RONDO_API rondo_value rondo_nonzero_at(rondo_place, rondo_value x, int axis, rondo_value *count);
#define rondo_nonzero(x, axis, count) rondo_nonzero_at(RONDO_HERE, x, axis, count)
RONDO_API rondo_value rondo_top_k_at(rondo_place, rondo_value x, int64_t k, int axis, rondo_value *ids);
#define rondo_top_k(x, k, axis, ids) rondo_top_k_at(RONDO_HERE, x, k, axis, ids)
/* The elements of x along an axis that the ids name, with the gradient of x. For x: [A, n, D] and axis 1 the
 * ids are i32[N], for all of A and D the same, or i32[A, N], which take whole rows [D], or i32[A, N, D]; the
 * result is [A, N, D]. scatter is the reverse: it adds x: [A, N, D] into zeros of `dims`, written as for
 * rondo_reshape, in the order of the ids. An id outside of the axis reads zeros and writes nothing: −1 fills
 * a list of rows that is shorter than its room. */
RONDO_API rondo_value rondo_gather_at(rondo_place, rondo_value x, rondo_value ids, int axis);
#define rondo_gather(x, ids, axis) rondo_gather_at(RONDO_HERE, x, ids, axis)
RONDO_API rondo_value rondo_scatter_at(rondo_place, rondo_value x, rondo_value ids, int axis,
                                       const char *dims, ...) RONDO_FORMAT(5, 6);
#define rondo_scatter(...) rondo_scatter_at(RONDO_HERE, __VA_ARGS__)
/* ids: i32[...] → f32[..., extent], 1 at the id and else 0; an id outside gives zeros. */
RONDO_API rondo_value rondo_one_hot_at(rondo_place, rondo_value ids, int64_t extent);
#define rondo_one_hot(ids, extent) rondo_one_hot_at(RONDO_HERE, ids, extent)

/* Softmax over the last axis. A row of −∞ alone gives zeros. */
RONDO_API rondo_value rondo_softmax_at(rondo_place, rondo_value x);
#define rondo_softmax(x) rondo_softmax_at(RONDO_HERE, x)

/* The delta rule, a causal recurrence that corrects its state by the error it makes on the new token:
 * DeltaNet (Yang et al. 2024, arXiv 2406.06484) and, with a decay, Gated DeltaNet (Yang et al. 2024,
 * arXiv 2412.06464). For each head, with D_t = e^log_decay_t:
 *
 *   U_t = D_t S_{t−1}     S_t = U_t + β_t k_t (v_t − U_tᵀ k_t)ᵀ     y_t = S_tᵀ q_t
 *
 * q, k: [B,H,T,Dk]; v: [B,H,T,Dv]; beta and log_decay: [B,H,T,1]; the result: [B,H,T,Dv]. Give k the length 1
 * and β values in (0, 1): longer keys can make the state grow. Rows at or beyond length[b] give 0. A decoder
 * carries S, [B,H,Dk,Dv]. */
typedef struct rondo_delta_options {
    size_t size RONDO_ZERO;
    rondo_value beta RONDO_ZERO;
    rondo_value log_decay RONDO_ZERO; /* no value: 0 */
    rondo_value length RONDO_ZERO;    /* i32[B]; no value: all rows */
} rondo_delta_options;
RONDO_API rondo_value rondo_delta_at(rondo_place, rondo_value q, rondo_value k, rondo_value v,
                                     const rondo_delta_options *);
#define rondo_delta(q, k, v, ...) \
    rondo_delta_at(RONDO_HERE, q, k, v, RONDO_OPTIONS(rondo_delta_options, __VA_ARGS__))

/* A causal convolution along time, each channel by itself: y_t = Σ_{j<K} weight[K−1−j] ∘ x_{t−j}, with zeros
 * before the first row; x: [B,T,D]. Makes the parameter NAME.weight [K,D], uniform in ± 1/√K at first; there
 * is no bias. DeltaNet has one of width 4 after each projection. A decoder carries the last K − 1 rows. */
typedef struct rondo_convolve_options {
    size_t size RONDO_ZERO;
    int64_t width RONDO_ZERO;      /* K */
    const char *name RONDO_ZERO;   /* NULL: "conv" */
    rondo_value length RONDO_ZERO; /* i32[B], rows at or beyond it give 0; no value: all rows */
} rondo_convolve_options;
RONDO_API rondo_value rondo_convolve_at(rondo_place, rondo_value x, const rondo_convolve_options *);
#define rondo_convolve(x, ...) \
    rondo_convolve_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_convolve_options, .width = __VA_ARGS__))

/* Overlapping pieces of an axis side by side: [A, n, D] → [A, n', width, D] for axis 1, piece i from
 * element i · stride − before on, with `fill` where that lies outside. RONDO_UNPADDED: whole pieces only,
 * before = 0. RONDO_CENTRED: before = ⌊(width − 1) / 2⌋, n' = ⌈n / stride⌉. RONDO_CAUSAL: before = width −
 * 1, so that piece i ends with element i · stride; a decoder carries the last width − 1 rows, if the
 * stride is 1. An extent that is no number must be a multiple of the stride, and n' of its symbols. */
typedef enum rondo_padding { RONDO_UNPADDED, RONDO_CENTRED, RONDO_CAUSAL } rondo_padding;
typedef struct rondo_windows_options {
    size_t size RONDO_ZERO;
    int64_t width RONDO_ZERO;
    int64_t stride RONDO_ZERO; /* 0: 1; of a pooling: the width */
    rondo_padding padding RONDO_ZERO;
    float fill RONDO_ZERO; /* windows alone */
} rondo_windows_options;
RONDO_API rondo_value rondo_windows_at(rondo_place, rondo_value x, int axis, const rondo_windows_options *);
#define rondo_windows(x, axis, ...) \
    rondo_windows_at(RONDO_HERE, x, axis, RONDO_OPTIONS(rondo_windows_options, .width = __VA_ARGS__))
/* Pooling over windows of all axes between the first and the last, of x: [B,T,C], [B,H,W,C], …: the
 * largest, whose gradient goes to the first of equals, or the mean, to which padding counts as 0. */
RONDO_API rondo_value rondo_max_pool_at(rondo_place, rondo_value x, const rondo_windows_options *);
#define rondo_max_pool(x, ...) \
    rondo_max_pool_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_windows_options, .width = __VA_ARGS__))
RONDO_API rondo_value rondo_mean_pool_at(rondo_place, rondo_value x, const rondo_windows_options *);
#define rondo_mean_pool(x, ...) \
    rondo_mean_pool_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_windows_options, .width = __VA_ARGS__))
/* Convolution over the axes between the first and the last, the channels last: [B,T,C] → [B,T',channels],
 * [B,H,W,C] → [B,H',W',channels]: y[i] = Σ_j W[j] x[i · stride + j − before] + b, j over `width` elements
 * of each of these axes. Makes the parameters NAME.weight [channels, width · … · C] (the channel runs
 * fastest) and NAME.bias [channels]. depthwise: each channel by itself, with NAME.weight [width · …, C];
 * causal with stride 1 it is rondo_convolve, and the same weights fit. Causal padding is for one axis. */
typedef struct rondo_conv_options {
    size_t size RONDO_ZERO;
    int64_t channels RONDO_ZERO; /* depthwise: 0 or those of x */
    int64_t width RONDO_ZERO;
    int64_t stride RONDO_ZERO; /* 0: 1 */
    rondo_padding padding RONDO_ZERO;
    const char *name RONDO_ZERO; /* NULL: "conv" */
    bool depthwise RONDO_ZERO, no_bias RONDO_ZERO;
    rondo_value length RONDO_ZERO; /* i32[B]: rows of axis 1 at or beyond it are 0; no value: none */
} rondo_conv_options;
RONDO_API rondo_value rondo_conv_at(rondo_place, rondo_value x, const rondo_conv_options *);
#define rondo_conv(x, ...) \
    rondo_conv_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_conv_options, .channels = __VA_ARGS__))

/* ---- loops: recurrences that are no product over (t, s) ---- */

/* Goes over sequences [B, T, ...] step by step. A function of yours builds the body, once: it is given one
 * row of each sequence, [B, ...], and what the step before left; it sets what this step leaves, of the same
 * type, and the rows of the results. It may use values from around the loop and make parameters; everything
 * that is built meanwhile belongs to the body. An LSTM: docs/LOOPS.md.
 *
 * block: W rows at a time, [B, W, ...], of sequences whose T is a multiple of W ("f32[B,64*N,16]").
 * reverse: from the last row to the first. length: rows at and beyond it change no carry, and their results
 * are 0. The decoder of a model carries what its loops carry. What draws random numbers, such as dropout, has
 * to stay outside. */
enum { RONDO_LOOP_VALUES = 8 };
typedef struct rondo_loop_step {
    rondo_value rows[RONDO_LOOP_VALUES];    /* given: of each sequence */
    rondo_value carries[RONDO_LOOP_VALUES]; /* given: what the step before left; the body sets the next */
    rondo_value results[RONDO_LOOP_VALUES]; /* the body sets them */
} rondo_loop_step;
typedef void rondo_loop_body(rondo_graph *body, rondo_loop_step *step, void *user);
typedef struct rondo_loop_options {
    size_t size RONDO_ZERO;
    rondo_value over[RONDO_LOOP_VALUES] RONDO_ZERO;    /* [B, T, ...], at least one */
    rondo_value carries[RONDO_LOOP_VALUES] RONDO_ZERO; /* what the first step finds */
    const char *name RONDO_ZERO;                       /* NULL: "loop"; a scope for the body's parameters */
    int64_t block RONDO_ZERO;                          /* 0: one row, without an axis */
    bool reverse RONDO_ZERO;
    rondo_value length RONDO_ZERO; /* i32[B]; no value: all rows */
    void *user RONDO_ZERO;         /* for the body */
} rondo_loop_options;
typedef struct rondo_loop_results {
    rondo_value results[RONDO_LOOP_VALUES]; /* [B, T, ...] */
    rondo_value carries[RONDO_LOOP_VALUES]; /* what the last step left */
} rondo_loop_results;
RONDO_API rondo_loop_results rondo_loop_at(rondo_place, rondo_graph *, rondo_loop_body *body,
                                           const rondo_loop_options *);
#define rondo_loop(graph, body, ...) \
    rondo_loop_at(RONDO_HERE, graph, body, RONDO_OPTIONS(rondo_loop_options, __VA_ARGS__))
/* What a loop over x, [B, T, ...], may begin with: zeros, f32[B, width]. */
RONDO_API rondo_value rondo_loop_zeros_at(rondo_place, rondo_value x, int64_t width);
#define rondo_loop_zeros(x, width) rondo_loop_zeros_at(RONDO_HERE, x, width)

/* Norms over the last axis, which must be a number: layer norm (Ba et al. 2016, eq. 4), with the parameters
 * NAME.weight and NAME.bias, and RMS norm (Zhang & Sennrich 2019, eq. 4), with NAME.weight. */
typedef struct rondo_norm_options {
    size_t size RONDO_ZERO;
    const char *name RONDO_ZERO;
    float epsilon RONDO_ZERO; /* added to the variance or mean square; 0: 1e-5 */
} rondo_norm_options;
RONDO_API rondo_value rondo_layer_norm_at(rondo_place, rondo_value x, const rondo_norm_options *);
#define rondo_layer_norm(x, ...) \
    rondo_layer_norm_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_norm_options, .name = __VA_ARGS__))
RONDO_API rondo_value rondo_rms_norm_at(rondo_place, rondo_value x, const rondo_norm_options *);
#define rondo_rms_norm(x, ...) \
    rondo_rms_norm_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_norm_options, .name = __VA_ARGS__))

/* table: [V, d], ids: i32[B, T] → [B, T, d]. An id outside the table is an error when the program runs. */
RONDO_API rondo_value rondo_embed_at(rondo_place, rondo_value table, rondo_value ids);
#define rondo_embed(table, ids) rondo_embed_at(RONDO_HERE, table, ids)
/* The position of each token of `ids` in its sequence, from 0: i32[B, T]. In a decoder it continues from the
 * tokens before. */
RONDO_API rondo_value rondo_positions_at(rondo_place, rondo_value ids);
#define rondo_positions(ids) rondo_positions_at(RONDO_HERE, ids)
/* Sinusoids of the positions (Vaswani et al. 2017, §3.5), first all sines, then all cosines: i32[B, T] → [B,
 * T, width]. */
RONDO_API rondo_value rondo_sinusoid_at(rondo_place, rondo_value positions, int64_t width);
#define rondo_sinusoid(positions, width) rondo_sinusoid_at(RONDO_HERE, positions, width)
/* Inverted dropout: elements become 0 with probability `rate`, the others are divided by 1 − rate; absent in
 * evaluation. The mask is a function of (call site, seed, sentence, position, channel), so padding, batching
 * and recomputation do not change it. x: [B, ..., T, D] or [B, T, D]. */
RONDO_API rondo_value rondo_dropout_at(rondo_place, rondo_value x, float rate);
#define rondo_dropout(x, rate) rondo_dropout_at(RONDO_HERE, x, rate)

/* Random numbers of these dims, [B, …]: uniform in [0, 1), normal with mean 0 and variance 1, or Gumbel,
 * whose sum with logits has a draw from their softmax as its argmax. Each is a function of (call site,
 * seed, sentence, t, channel), t along `axis`, which is not 0: of the inputs `dropout.seed`, i32[2], and
 * `sentences`, i32[B], as for dropout; so threads, padding and batching do not change it, and a decoder
 * draws what training drew. There is no gradient, and unlike dropout they stay in evaluation. */
RONDO_API rondo_value rondo_random_uniform_at(rondo_place, rondo_graph *, int axis, const char *dims, ...)
    RONDO_FORMAT(4, 5);
#define rondo_random_uniform(...) rondo_random_uniform_at(RONDO_HERE, __VA_ARGS__)
RONDO_API rondo_value rondo_random_normal_at(rondo_place, rondo_graph *, int axis, const char *dims, ...)
    RONDO_FORMAT(4, 5);
#define rondo_random_normal(...) rondo_random_normal_at(RONDO_HERE, __VA_ARGS__)
RONDO_API rondo_value rondo_random_gumbel_at(rondo_place, rondo_graph *, int axis, const char *dims, ...)
    RONDO_FORMAT(4, 5);
#define rondo_random_gumbel(...) rondo_random_gumbel_at(RONDO_HERE, __VA_ARGS__)

/* Gradients as values of the graph: out[i] becomes the gradient of `scalar`, one f32, with respect to wrt[i],
 * with the dims of wrt[i], which may be a parameter, an input or any other f32 value; zeros where the scalar
 * does not depend on it. A gradient may be returned, used in further ops and differentiated again. There is
 * no second derivative of softmax, norms, embed, losses, scan, delta, convolve and attention, nor where the
 * compiler replaces a product by a scan: RONDO_NO_GRADIENT then names the op and its line when the graph is
 * compiled. A decoder computes no gradients: RONDO_NOT_CAUSAL. False: the graph holds a mistake, and the
 * out[i] that were not made are no values. */
RONDO_API bool rondo_gradient_at(rondo_place, rondo_value scalar, const rondo_value *wrt, size_t count,
                                 rondo_value *out);
#define rondo_gradient(scalar, wrt, count, out) rondo_gradient_at(RONDO_HERE, scalar, wrt, count, out)
/* x itself, which every gradient treats as a constant. x: f32 of any shape. */
RONDO_API rondo_value rondo_stop_gradient_at(rondo_place, rondo_value x);
#define rondo_stop_gradient(x) rondo_stop_gradient_at(RONDO_HERE, x)

/* ---- Losses and metrics (docs/OBJECTIVES.md) ----------------------------------------------------------- */

/* Cross entropy with label smoothing ε (Szegedy et al. 2016, §7): the sum over the targets of −Σ q log p
 * with q = (1 − ε) · onehot + ε / V, as f32[], which has its count beside it (rondo_count). logits: [...,
 * V], targets: i32[...]. Without `ignore` and `ignore_padding` every target counts; one that is no class
 * makes the loss NaN or is an error when the program runs. Apply it to the logits themselves: the compiler
 * joins it with the matmul that makes them, and all rows of V logits never exist at the same time. */
typedef struct rondo_cross_entropy_options {
    size_t size RONDO_ZERO;
    rondo_value targets RONDO_ZERO;
    float smoothing RONDO_ZERO;
    int32_t ignore RONDO_ZERO;      /* a target with this id does not count; 0: none is ignored */
    bool ignore_padding RONDO_ZERO; /* a target with the id 0 does not count */
} rondo_cross_entropy_options;
RONDO_API rondo_value rondo_cross_entropy_at(rondo_place, rondo_value logits,
                                             const rondo_cross_entropy_options *);
#define rondo_cross_entropy(logits, ...)          \
    rondo_cross_entropy_at(RONDO_HERE, logits,    \
                           RONDO_OPTIONS(rondo_cross_entropy_options, .targets = __VA_ARGS__))

/* What is common to the losses below: they are sums, f32[], that have their counts beside them, of the
 * elements that count: with `length`, i32[B], those before length[b] on axis 1 of [B, T, ...]; with `mask`,
 * f32, those where it is not 0 (it repeats to the elements). What does not count is not looked at and may be
 * NaN. */

/* Σ x, for a loss of your own: rondo_total(x, .length = length). Its count is the number of elements. */
typedef struct rondo_total_options {
    size_t size RONDO_ZERO;
    rondo_value x RONDO_ZERO;
    rondo_value length RONDO_ZERO, mask RONDO_ZERO;
} rondo_total_options;
RONDO_API rondo_value rondo_total_at(rondo_place, const rondo_total_options *);
#define rondo_total(...) rondo_total_at(RONDO_HERE, RONDO_OPTIONS(rondo_total_options, .x = __VA_ARGS__))

/* Of elements and their targets, f32 or i32, which repeat to them and have no gradient unless they are f32:
 * binary cross entropy −y log σ(x) − (1 − y) log(1 − σ(x)) of logits x with y from 0 to 1, without overflow;
 * and the squared error (x − y)². */
typedef struct rondo_loss_options {
    size_t size RONDO_ZERO;
    rondo_value targets RONDO_ZERO;
    rondo_value length RONDO_ZERO, mask RONDO_ZERO;
} rondo_loss_options;
RONDO_API rondo_value rondo_binary_cross_entropy_at(rondo_place, rondo_value logits,
                                                    const rondo_loss_options *);
#define rondo_binary_cross_entropy(logits, ...)         \
    rondo_binary_cross_entropy_at(RONDO_HERE, logits,   \
                                  RONDO_OPTIONS(rondo_loss_options, .targets = __VA_ARGS__))
RONDO_API rondo_value rondo_squared_error_at(rondo_place, rondo_value x, const rondo_loss_options *);
#define rondo_squared_error(x, ...) \
    rondo_squared_error_at(RONDO_HERE, x, RONDO_OPTIONS(rondo_loss_options, .targets = __VA_ARGS__))

/* The Kullback–Leibler divergence Σ p (log p − log q) of rows: q is the softmax of the logits, [..., V], and
 * p that of the teacher, which gets no gradient. With a temperature τ both are divided by τ before, and the
 * result is multiplied by τ² (Hinton et al. 2015, §2.1). Elements are rows: mask repeats to [...]. */
typedef struct rondo_divergence_options {
    size_t size RONDO_ZERO;
    rondo_value teacher RONDO_ZERO;
    bool probabilities RONDO_ZERO; /* the teacher is p itself, rows that sum to 1 */
    float temperature RONDO_ZERO;  /* 0: 1 */
    rondo_value length RONDO_ZERO, mask RONDO_ZERO;
} rondo_divergence_options;
RONDO_API rondo_value rondo_divergence_at(rondo_place, rondo_value logits, const rondo_divergence_options *);
#define rondo_divergence(logits, ...) \
    rondo_divergence_at(RONDO_HERE, logits, RONDO_OPTIONS(rondo_divergence_options, .teacher = __VA_ARGS__))

/* The discretised logistic mixture of PixelCNN++ (Salimans et al. 2017, §2.1): −log of the probability of
 * pixels that hold 0 … levels − 1, scaled to [−1, 1]; the first and the last bin reach to ∓∞, so that the
 * bins sum to 1. One channel: pixels [...], f32 or i32, parameters [..., 3K] for K components: K logits, K
 * means, K logarithms of scales, which count as at least −7. Three channels: pixels [..., 3], parameters
 * [..., 10K]: K logits, then means and logarithms of scales of each channel, then three times K
 * coefficients, whose tanh times the pixel's red is added to the means of green and of blue, and times its
 * green to those of blue (§2.2). Elements are pixels, [...], with all their channels: bits per dimension are
 * value / (channels · log 2). */
typedef struct rondo_logistic_mixture_options {
    size_t size RONDO_ZERO;
    rondo_value pixels RONDO_ZERO;
    int levels RONDO_ZERO;   /* 0: 256 */
    int channels RONDO_ZERO; /* 1 or 3; 0: 1 */
    rondo_value length RONDO_ZERO, mask RONDO_ZERO;
} rondo_logistic_mixture_options;
RONDO_API rondo_value rondo_logistic_mixture_at(rondo_place, rondo_value parameters,
                                                const rondo_logistic_mixture_options *);
#define rondo_logistic_mixture(parameters, ...)          \
    rondo_logistic_mixture_at(RONDO_HERE, parameters,    \
                              RONDO_OPTIONS(rondo_logistic_mixture_options, .pixels = __VA_ARGS__))

/* Connectionist temporal classification (Graves et al. 2006): −log of the probability that frames, with
 * repeats merged and blanks left out, spell the labels. logits: [B, T, V], labels: i32[B, L], none of them
 * the blank. The count is the number of sequences. Labels that do not fit into their frames, or that the
 * logits make impossible by −∞, count 0, add 0 and have gradient 0; the metric NAME.impossible is their
 * share. */
typedef struct rondo_ctc_options {
    size_t size RONDO_ZERO;
    rondo_value labels RONDO_ZERO;
    rondo_value frames RONDO_ZERO;        /* how many of the T count, i32[B]; no value: all */
    rondo_value label_lengths RONDO_ZERO; /* how many of the L count, i32[B]; no value: all */
    int32_t blank RONDO_ZERO;             /* its id */
    const char *name RONDO_ZERO;          /* NULL: "ctc" */
} rondo_ctc_options;
RONDO_API rondo_value rondo_ctc_at(rondo_place, rondo_value logits, const rondo_ctc_options *);
#define rondo_ctc(logits, ...) \
    rondo_ctc_at(RONDO_HERE, logits, RONDO_OPTIONS(rondo_ctc_options, .labels = __VA_ARGS__))

/* The number of targets in the sum that a loss above returned, f32[]. */
RONDO_API rondo_value rondo_count_at(rondo_place, rondo_value sum);
#define rondo_count(sum) rondo_count_at(RONDO_HERE, sum)

/* Adds weight · Σ sum / Σ count to what the graph is trained on. sum: f32[]; count: f32[] or i32[], at least
 * 0 and treated as a constant. Both are added up over all batches of an update and divided once, each
 * objective by its own count. Without a count, the sum of a loss above has its own; any other sum is a mean
 * already, of which an update takes the mean over its batches. Returns the sum. A trainer of any loss of the
 * graph trains all its objectives; name, which the current scope prefixes, is theirs in rondo_step.
 * RONDO_ARGUMENT: the name is taken, or the sum of a loss is a summand of `sum`, which loses its count. */
typedef struct rondo_objective_options {
    size_t size RONDO_ZERO;
    const char *name RONDO_ZERO;
    rondo_value count RONDO_ZERO;
    float weight RONDO_ZERO; /* 0: 1 */
} rondo_objective_options;
RONDO_API rondo_value rondo_objective_at(rondo_place, rondo_value sum, const rondo_objective_options *);
#define rondo_objective(sum, ...) \
    rondo_objective_at(RONDO_HERE, sum, RONDO_OPTIONS(rondo_objective_options, .name = __VA_ARGS__))
/* The same, reported but not trained. count: no value only if the sum is that of a loss above. */
RONDO_API rondo_value rondo_metric_at(rondo_place, rondo_value sum, rondo_value count, const char *name);
#define rondo_metric(sum, count, name) rondo_metric_at(RONDO_HERE, sum, count, name)

/* ---- Weights and training ------------------------------------------------------------------------------ */

typedef enum rondo_type { RONDO_F32 = 1, RONDO_F64, RONDO_I32 } rondo_type;
/* A view of memory that somebody else owns, dense and row-major. */
typedef struct rondo_tensor {
    const char *name;
    rondo_type type;
    int rank;
    int64_t dims[8];
    void *data;
} rondo_tensor;

typedef struct rondo_weights rondo_weights;
/* Numbers for the parameters of a graph: initial ones, which depend on the seed and on the name of each
 * parameter alone, or those of a safetensors file, which has to have each parameter in its shape and may have
 * more. */
RONDO_API rondo_weights *rondo_weights_new(const rondo_graph *graph, uint64_t seed, rondo_error *error);
RONDO_API rondo_weights *rondo_weights_load(const rondo_graph *graph, const char *path, rondo_error *error);
/* Writes a safetensors file, whole or not at all. A symbolic link is followed; RONDO_ARGUMENT: the path is
 * that of a device, a pipe, a socket or a folder. */
RONDO_API bool rondo_weights_save(const rondo_weights *weights, const char *path, rondo_error *error);
/* A view of one parameter, f32, not a copy. False: there is none of this name. */
RONDO_API bool rondo_weights_get(rondo_weights *weights, const char *name, rondo_tensor *view);
RONDO_API int64_t rondo_weights_count(const rondo_weights *weights); /* of numbers in all parameters */
RONDO_API void rondo_weights_free(rondo_weights *weights);

typedef struct rondo_trainer rondo_trainer;
typedef struct rondo_trainer_options {
    size_t size RONDO_ZERO;
    rondo_weights *weights RONDO_ZERO;                            /* the caller's; updated in place */
    float beta1 RONDO_ZERO, beta2 RONDO_ZERO, epsilon RONDO_ZERO; /* of Adam; 0: 0.9, 0.98, 1e-9 */
    float weight_decay RONDO_ZERO;                                /* decoupled (AdamW); 0: none */
    float clip_norm RONDO_ZERO;     /* longest gradient over all parameters; longer ones are scaled; 0: any */
    uint64_t seed RONDO_ZERO;       /* of dropout */
    size_t memory_bytes RONDO_ZERO; /* reserved: 0 */
    bool no_linearize RONDO_ZERO;   /* keeps the quadratic form, for comparison */
} rondo_trainer_options;
/* Compiles the training of `loss` with AdamW (Loshchilov & Hutter 2019, alg. 2), and of all other objectives
 * of its graph. loss: what rondo_objective returned; or the sum of a loss of this header, or any other
 * f32[], which is then the objective "loss" of weight 1 without a count. The weights outlive the trainer;
 * the graph need not. */
RONDO_API rondo_trainer *rondo_trainer_new_with(rondo_value loss, rondo_error *error,
                                                const rondo_trainer_options *);
#define rondo_trainer_new(loss, error, ...) \
    rondo_trainer_new_with(loss, error, RONDO_OPTIONS(rondo_trainer_options, .weights = __VA_ARGS__))
/* An objective or a metric over the batches of a call. */
typedef struct rondo_measure {
    const char *name;
    double sum, count, value; /* value: sum / count, not weighed; 0 if the count is 0 */
    double weight;            /* 0: a metric */
} rondo_measure;
typedef struct rondo_step {
    double loss;          /* what is trained: Σ weight · value; of one cross entropy: per target, in nats */
    double nll;           /* of the first objective; of a cross entropy without smoothing, so that its
                           * exponential is the perplexity */
    double gradient_norm; /* of that loss, before clipping */
    double seconds;       /* that the call took */
    int64_t targets;      /* the count of the first objective */
    int64_t number;       /* of updates so far */
    /* The first objective, which is the loss that the trainer was made for, then all others in the order in
     * which the graph got them. They belong to the trainer and hold until its next call. */
    const rondo_measure *measures;
    size_t measure_count;
} rondo_step;
/* One update at learning rate `rate` on `count` inputs, which are found by name and read during the call. An
 * input "sentences", i32[B], may say which sentence each row is, for dropout; without it rows count from 0. A
 * loss or gradient that is not finite gives RONDO_DIVERGED and changes nothing. The rondo_step may be
 * NULL. */
RONDO_API bool rondo_trainer_step(rondo_trainer *, const rondo_tensor *inputs, int count, float rate,
                                  rondo_step *, rondo_error *);
/* Forward and backward only: adds to the gradients that the next rondo_trainer_step divides by the number of
 * all targets. */
RONDO_API bool rondo_trainer_accumulate(rondo_trainer *, const rondo_tensor *inputs, int count, rondo_step *,
                                        rondo_error *);
/* The loss without dropout. Computes no gradients and changes nothing. */
RONDO_API bool rondo_trainer_evaluate(rondo_trainer *, const rondo_tensor *inputs, int count, rondo_step *,
                                      rondo_error *);
/* A checkpoint: weights, moments and counters in one safetensors file (docs/FILES.md), written whole or not
 * at all. A trainer of the same model that loads it continues with the same bits; a file that does not fit
 * changes nothing. */
RONDO_API bool rondo_trainer_save(const rondo_trainer *, const char *path, rondo_error *);
RONDO_API bool rondo_trainer_load(rondo_trainer *, const char *path, rondo_error *);
RONDO_API void rondo_trainer_free(rondo_trainer *);

/* ---- Functions: any graph, to run; librondo-run has rondo_function_load and what follows it ----------- */

/* A compiled graph with named inputs and outputs. Dropout does nothing in it; gradients are computed. It is
 * immutable: any number of threads may run one function at the same time. */
typedef struct rondo_function rondo_function;
typedef struct rondo_results rondo_results;

/* Compiles `count` values of one graph, which may be freed afterwards. names[i] is the name of output i;
 * names NULL: the name that rondo_output gave the value, else "y0", "y1", … NULL is returned with an error
 * that names the node. */
RONDO_API rondo_function *rondo_function_new(const rondo_value *outputs, const char *const *names,
                                             size_t count, rondo_error *error);
/* The same for everything that rondo_output named, as in a graph that was parsed from text. */
RONDO_API rondo_function *rondo_function_of(const rondo_graph *graph, rondo_error *error);
/* Graph and weights in one safetensors file. weights: NULL if the function has no parameters. */
RONDO_API bool rondo_function_save(const rondo_function *function, const rondo_weights *weights,
                                   const char *path, rondo_error *error);
/* The file is mapped, and checked whole before anything of it is used. It must then stay as it is while the
 * function lives; rondo_program_load says more. */
RONDO_API rondo_function *rondo_function_load(rondo *context, const char *path, rondo_error *error);
/* How the file of a function or a program is loaded: RONDO_OPTIONS(rondo_load_options, .read = true). NULL:
 * the defaults. */
typedef struct rondo_load_options {
    size_t size RONDO_ZERO;
    bool read RONDO_ZERO; /* into memory instead of mapping it: the file may change afterwards */
} rondo_load_options;
RONDO_API rondo_function *rondo_function_load_with(rondo *context, const char *path, rondo_error *error,
                                                   const rondo_load_options *options);
/* After all its results. */
RONDO_API void rondo_function_free(rondo_function *function);
/* What `rondo explain` says about the graph. */
RONDO_API const char *rondo_function_report(const rondo_function *function);
/* The name of an input that must be given, or of an output, and its type as text, such as "f32[B,T,64]"
 * (type may be NULL). NULL: there are no more. Both belong to the function. */
RONDO_API const char *rondo_function_input(const rondo_function *function, size_t index, const char **type);
RONDO_API const char *rondo_function_output(const rondo_function *function, size_t index, const char **type);

/* Runs on dense tensors, f32 or i32, which are found by name, given in any order and read during the call.
 * Their extents bind the symbols of the inputs' types. weights: NULL for those of a loaded function, or if
 * there are no parameters. A tensor that does not fit, an input that is not given, a name that is no input or
 * an id outside its table is named in the error, before anything runs. The results belong to the caller. */
RONDO_API rondo_results *rondo_function_run(const rondo_function *function, const rondo_weights *weights,
                                            const rondo_tensor *inputs, size_t count, rondo_error *error);
/* A view of an output, dense, valid until the results are freed. False: there is no output of this name. */
RONDO_API bool rondo_results_get(const rondo_results *results, const char *name, rondo_tensor *view);
/* Gives the memory back to the function, for its next run. Any thread may call it. */
RONDO_API void rondo_results_free(rondo_results *results);

/* ---- Decoding; librondo-run has this section, except rondo_program_new and rondo_program_save ---------- */

typedef struct rondo_program rondo_program;
typedef struct rondo_session rondo_session;
/* Derives the decoder of `logits`, [B, T, V], along the symbol `time`. What depends on parameters alone runs
 * when a session is made, what depends on the source alone once a sentence, the rest step by step.
 * RONDO_NOT_CAUSAL names the node that prevents it. */
RONDO_API rondo_program *rondo_program_new(rondo_value logits, const char *time, rondo_error *error);
/* Writes weights, graphs and the tokenizer (its serialized SentencePiece model; NULL: none) to one
 * safetensors file. */
RONDO_API bool rondo_program_save(const rondo_program *, const rondo_weights *, const void *tokenizer,
                                  size_t tokenizer_bytes, const char *path, rondo_error *);
/* Maps such a file and checks all of it but the data of the tensors. The program has its own weights then.
 * The file must stay as it is while the program lives: if it is overwritten in place or cut short, the
 * weights change, or reading them raises SIGBUS. Replacing it by rename is safe. Weights that are stored as
 * f16, bf16 or f64 are converted to f32. */
RONDO_API rondo_program *rondo_program_load(rondo *, const char *path, rondo_error *);
/* The same with options. A file that is read, not mapped, is compared with its checksums. */
RONDO_API rondo_program *rondo_program_load_with(rondo *, const char *path, rondo_error *,
                                                 const rondo_load_options *);
/* Reads all of a file that Rondo wrote and compares it with its checksums; loading does that only for what is
 * not mapped. RONDO_FILE: damaged, and where; RONDO_MISMATCH: it was written without checksums. */
RONDO_API bool rondo_file_check(rondo *, const char *path, rondo_error *);
RONDO_API const char *rondo_program_report(const rondo_program *); /* the report of `rondo explain` */
RONDO_API void rondo_program_free(rondo_program *);

/* weights: NULL for those of a loaded program. batch: the number of sequences. Program and weights outlive
 * the session. */
RONDO_API rondo_session *rondo_session_new(const rondo_program *, const rondo_weights *, int64_t batch,
                                           rondo_error *);
/* A session with a copy of the state. */
RONDO_API rondo_session *rondo_session_clone(const rondo_session *, rondo_error *);
/* Begins new sequences: resets the state and runs the source graph on its inputs, those without the time
 * symbol. They are read during the call. */
RONDO_API bool rondo_session_source(rondo_session *, const rondo_tensor *inputs, int count, rondo_error *);
/* Advances by tokens, i32[batch, length]; lengths: how many tokens of each row count (NULL: all). Returns the
 * logits of the last token of each row, [batch, V], which are valid until the next call on the session. */
RONDO_API const float *rondo_session_advance(rondo_session *, const int32_t *tokens, int64_t length,
                                             const int32_t *lengths, rondo_error *);
/* Row i of the new batch gets the state of row from[i]: for beam search, or to drop sequences that have
 * ended. */
RONDO_API bool rondo_session_reorder(rondo_session *, const int64_t *from, int64_t batch, rondo_error *);
RONDO_API size_t rondo_session_state_bytes(const rondo_session *); /* of all sequences, as allocated now */
RONDO_API int64_t rondo_session_vocabulary(const rondo_session *);
/* Makes the call that runs on the session, or else its next one, fail with RONDO_CANCELLED between two
 * kernels. After that the session waits for rondo_session_source, which also withdraws a cancel that came too
 * late. Safe in a signal handler and from any thread while the session exists: it sets one lock-free atomic
 * flag and touches nothing else. */
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
    /* Called for every token as it is found; false ends this sequence. */
    bool (*on_token)(void *user, int64_t sequence, int32_t token, double log_prob) RONDO_ZERO;
    void *user RONDO_ZERO; /* first argument of on_token */
    /* The first token comes from the logits that rondo_session_advance returned for the prompt. */
    bool go_on RONDO_ZERO;
} rondo_search;
/* Continues every sequence of the session, greedily or by sampling, up to `end` or max_length tokens. tokens:
 * room for [batch, max_length], or NULL if on_token takes them; lengths, scores (log-probabilities): [batch].
 * `end` is not stored; id 0 (padding) and `begin` are never generated. Logits that are not finite give
 * RONDO_DIVERGED, and the message names the first weight that is not finite. */
RONDO_API bool rondo_generate_with(rondo_session *, int32_t *tokens, int64_t *lengths, double *scores,
                                   rondo_error *, const rondo_search *);
#define rondo_generate(session, tokens, lengths, scores, error, ...) \
    rondo_generate_with(session, tokens, lengths, scores, error,     \
                        RONDO_OPTIONS(rondo_search, .max_length = __VA_ARGS__))
/* The same for text, with the program's own tokenizer: `count` lines in, as many lines out, in the same
 * order. Any number of threads may call it on one program. */
typedef struct rondo_lines rondo_lines;
RONDO_API rondo_lines *rondo_translate_with(const rondo_program *, const char *const *lines, size_t count,
                                            rondo_error *, const rondo_search *);
#define rondo_translate(program, lines, count, error, ...) \
    rondo_translate_with(program, lines, count, error, RONDO_OPTIONS(rondo_search, .max_length = __VA_ARGS__))
/* A line and its log-probability, which may be NULL. */
RONDO_API const char *rondo_lines_get(const rondo_lines *, size_t index, double *score);
RONDO_API void rondo_lines_free(rondo_lines *);

/* ---- The whole command, with a mechanism of yours ------------------------------------------------------ */

/* A mixer (docs/WRITING_MIXERS.md). x, y: the query side and the key side, [B, T, d] and [B, S, d]; length:
 * how many keys are valid, i32[B], or no value; causal: y is x, and only s ≤ t may be read. Returns [B, T,
 * d]. */
typedef rondo_value (*rondo_mixer)(void *user, rondo_value x, rondo_value y, rondo_value length, bool causal,
                                   int64_t heads);
/* Afterwards `--decoder-self NAME` works in rondo_main with this context. user: first argument of the
 * mixer. */
RONDO_API bool rondo_mixer_add(rondo *, const char *name, rondo_mixer, void *user, rondo_error *);
/* The command `rondo` with the arguments of main. Returns the exit code. */
RONDO_API int rondo_main(rondo *, int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif
