/* tests/compiler/attention_generator.h. */
#include "tests/compiler/attention_generator.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct generator {
    uint64_t state;
    attention_case out;
    rondo_graph *g;
    dim b, h, t, s, features, width;
    bool batched, headed; /* [B, …], [B, H, …] */
    bool merged;          /* now [B·H, …] */
    bool swapped;         /* now [..., S, T] */
    bool masked_rows;     /* some row sums are 0 */
    bool triangular;      /* the causal mask is there */
    bool decayed;         /* so is a decay */
    bool negative;        /* some products may be below 0 */
    value_id a, length;
    int inputs;
} generator;

static uint64_t draw(generator *r, uint64_t sides)
{
    r->state += 0x9e3779b97f4a7c15u;
    uint64_t x = r->state;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (x ^ x >> 31) % sides;
}

static bool coin(generator *r)
{
    return draw(r, 2);
}

static void tell(generator *r, const char *step)
{
    size_t used = strlen(r->out.story);
    snprintf(r->out.story + used, sizeof r->out.story - used, "%s%s", used ? ", " : "", step);
}

/* [batch…, x, y]; shared: every batch axis is 1. */
static shape matrix(const generator *r, dim x, dim y, bool shared)
{
    shape s = {0};
    dim both = r->b;
    if (r->merged && dim_multiply(r->b, r->h, &both))
        s.dims[s.rank++] = both;
    else if (r->batched)
        s.dims[s.rank++] = r->b;
    if (r->headed && !r->merged)
        s.dims[s.rank++] = r->h;
    for (int i = 0; shared && i < s.rank; i++)
        s.dims[i] = dim_number(1);
    s.dims[s.rank++] = x;
    s.dims[s.rank++] = y;
    return s;
}

static value_id input(generator *r, const char *name, const shape *s)
{
    char full[32];
    snprintf(full, sizeof full, "%s%d", name, r->inputs++);
    return build_leaf(r->g, OP_input, full, RONDO_F32, s);
}

static value_id matrix_input(generator *r, const char *name, dim x, dim y, bool shared)
{
    shape s = matrix(r, x, y, shared);
    return input(r, name, &s);
}

/* Gives x as [..., rows, F]; *flag: whether matmul has to transpose it for that. */
static value_id operand(generator *r, const char *name, dim rows, dim columns, bool *flag, bool shared)
{
    *flag = coin(r);
    return *flag ? matrix_input(r, name, columns, rows, shared)
                 : matrix_input(r, name, rows, columns, shared);
}

/* ---- the product ---- */

static void make_product(generator *r)
{
    bool query_flag, key_flag, shared = r->headed && draw(r, 4) == 0;
    if (draw(r, 8) == 0) { /* ones: an average */
        tell(r, "ones");
        r->features = dim_number(1);
        shape s = matrix(r, r->t, r->s, false), one = {0};
        if (coin(r)) {
            r->a = build_constant(r->g, 0.5, RONDO_F32, &s);
            return;
        }
        one.rank = 0;
        r->a = build_broadcast(r->g, build_constant(r->g, 0.5, RONDO_F32, &one), &s);
        return;
    }
    if (draw(r, 8) == 0) { /* row · column */
        tell(r, "outer");
        r->features = dim_number(1);
        value_id row = matrix_input(r, "row", r->t, dim_number(1), false),
                 column = matrix_input(r, "column", dim_number(1), r->s, false);
        r->a = coin(r) ? build_mul(r->g, row, column) : build_mul(r->g, column, row);
        return;
    }
    value_id query = operand(r, "q", r->t, r->features, &query_flag, false);
    value_id key = operand(r, "k", r->s, r->features, &key_flag, shared);
    if (shared)
        tell(r, "shared keys");
    if (coin(r)) {
        r->a = build_matmul(r->g, query, key, query_flag, !key_flag);
    } else {
        tell(r, "k qT");
        r->a = build_matmul(r->g, key, query, key_flag, !query_flag);
        r->swapped = true;
    }
}

/* ---- steps that keep it separable ---- */

static void step_number(generator *r)
{
    value_id number = build_number(r->g, 0.75);
    tell(r, "number");
    switch (draw(r, 4)) {
    case 0:
        r->a = build_mul(r->g, r->a, number);
        break;
    case 1:
        r->a = build_mul(r->g, number, r->a);
        break;
    case 2:
        r->a = build_div(r->g, r->a, number);
        break;
    default:
        r->a = build_unary(r->g, OP_neg, build_unary(r->g, OP_neg, r->a));
        break;
    }
}

/* A factor of t, of s, or of neither. */
static void step_factor(generator *r)
{
    int which = (int)draw(r, 3);
    dim one = dim_number(1), first = r->swapped ? r->s : r->t, last = r->swapped ? r->t : r->s;
    bool shared = coin(r);
    tell(r, which == 0 ? "factor of rows" : which == 1 ? "factor of columns" : "factor of batch");
    value_id f = matrix_input(r, "f", which == 0 ? first : one, which == 1 ? last : one, shared);
    r->a = coin(r) ? build_div(r->g, r->a, f) : coin(r) ? build_mul(r->g, f, r->a) : build_mul(r->g, r->a, f);
}

static value_id length_mask(generator *r, bool keys)
{
    attribute attributes[MAX_ATTRIBUTES] = {0};
    value_id inputs[2] = {r->a, r->length};
    if (keys != r->swapped && coin(r)) /* the last axis */
        return build_node(r->g, OP_key_mask, 2, inputs, attributes);
    return build_row_mask(r->g, r->a, r->length, keys == r->swapped ? -2 : -1, 0);
}

static void step_length(generator *r)
{
    if (!r->batched || r->merged)
        return;
    if (r->length == NONE)
        r->length = build_leaf(r->g, OP_input, "length", RONDO_I32, &(shape){.rank = 1, .dims = {r->b}});
    bool keys = coin(r);
    tell(r, keys ? "key mask" : "row mask");
    r->masked_rows = r->masked_rows || !keys;
    r->a = length_mask(r, keys);
}

static void step_swap(generator *r)
{
    tell(r, "transpose");
    r->a = build_swap(r->g, r->a, -2, -1);
    r->swapped = !r->swapped;
}

static void step_merge(generator *r)
{
    if (!r->headed)
        return;
    tell(r, r->merged ? "split heads" : "merge heads");
    r->merged = !r->merged;
    shape s = matrix(r, r->swapped ? r->s : r->t, r->swapped ? r->t : r->s, false);
    r->a = build_reshape(r->g, r->a, &s);
}

static value_id causal(generator *r, value_id x, double fill)
{
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[causal_mask_fill] = real_attribute(fill);
    attributes[causal_mask_exclusive] = integer_attribute(r->out.exclusive);
    attributes[causal_mask_transposed] = integer_attribute(r->swapped);
    return build_node(r->g, OP_causal_mask, 1, &x, attributes);
}

/* As a mask, or as a product with a triangle of ones. */
static void step_causal(generator *r)
{
    r->triangular = true;
    if (draw(r, 4)) {
        tell(r, "causal");
        r->a = causal(r, r->a, 0);
        return;
    }
    tell(r, "triangle of ones");
    value_id ones = build_constant(r->g, 1, RONDO_F32, &(shape){.rank = 2, .dims = {r->t, r->t}});
    r->a = build_mul(r->g, r->a, causal(r, ones, 0));
}

/* A second product, or a value of t, of s or of neither, added or subtracted. */
static void step_sum(generator *r)
{
    if (r->triangular || r->decayed) /* the sum would be neither */
        return;
    dim one = dim_number(1), first = r->swapped ? r->s : r->t, last = r->swapped ? r->t : r->s;
    int which = (int)draw(r, 4);
    tell(r, which == 3 ? "sum of two products" : "sum with a vector");
    value_id other;
    if (which == 3) {
        value_id rows = matrix_input(r, "rows", first, dim_number(2), coin(r)),
                 columns = matrix_input(r, "columns", last, dim_number(2), false);
        other = build_matmul(r->g, rows, columns, false, true);
    } else {
        other = matrix_input(r, "term", which == 0 ? first : one, which == 1 ? last : one, coin(r));
    }
    r->masked_rows = true; /* row sums may be anything */
    r->negative = true;
    r->a = coin(r)   ? build_add(r->g, r->a, other)
           : coin(r) ? build_add(r->g, other, r->a)
                     : build_sub(r->g, r->a, other);
}

/* c[t] − c[s] in the orientation of a, from growth g, in one of the usual ways to write it. */
static value_id difference(generator *r, value_id c)
{
    value_id t = r->swapped ? build_swap(r->g, c, -2, -1) : c,
             s = r->swapped ? c : build_swap(r->g, c, -2, -1);
    switch (draw(r, 3)) {
    case 0:
        return build_sub(r->g, t, s);
    case 1:
        return build_unary(r->g, OP_neg, build_sub(r->g, s, t));
    default:
        return build_add(r->g, t, build_unary(r->g, OP_neg, s));
    }
}

/* e^(c[t] − c[s]) of a running sum, masked before the exponential or by the product; or γ^(t − s). */
static void step_decay(generator *r)
{
    if (!r->out.causal)
        return;
    bool shared = coin(r), base = coin(r);
    r->decayed = true;
    tell(r, base ? "power decay" : "decay");
    value_id growth = base ? NONE : matrix_input(r, "growth", r->t, dim_number(1), shared), d;
    if (base) {
        shape s = matrix(r, r->t, dim_number(1), true);
        growth = build_constant(r->g, 1, RONDO_F32, &s);
    }
    d = difference(r, build_cumsum(r->g, growth, -2, false, false));
    if (base) {
        value_id gamma = matrix_input(r, "gamma", dim_number(1), dim_number(1), coin(r));
        gamma = build_unary(r->g, OP_sigmoid, gamma);
        d = coin(r) ? build_binary(r->g, OP_power, gamma, d)
                    : build_unary(r->g, OP_exp, build_mul(r->g, d, build_unary(r->g, OP_log, gamma)));
    } else {
        d = coin(r) ? build_mul(r->g, d, build_number(r->g, 0.5)) : d;
        if (coin(r)) {
            d = causal(r, d, -INFINITY);
            r->triangular = true;
        }
        d = build_unary(r->g, OP_exp, d);
    }
    r->a = coin(r) ? build_mul(r->g, r->a, d) : build_mul(r->g, d, r->a);
}

static void some_steps(generator *r, int most)
{
    static void (*const steps[])(generator *) = {step_number, step_factor, step_length, step_swap,
                                                 step_merge,  step_sum,    step_decay};
    for (int i = (int)draw(r, (uint64_t)most + 1); i > 0; i--)
        steps[draw(r, sizeof steps / sizeof *steps)](r);
}

/* ---- sums over s ---- */

/* Σ_s a, made positive: [..., T, 1] or [..., 1, T], in the orientation of a. */
static value_id row_sum(generator *r)
{
    int axis = r->swapped ? -2 : -1,
        kind = r->masked_rows || r->out.exclusive ? 1 + (int)draw(r, 2) : (int)draw(r, 3);
    bool mean = !r->out.causal && draw(r, 4) == 0, keep = coin(r);
    value_id n = build_reduce(r->g, mean ? OP_mean : OP_sum, r->a, axis, keep);
    if (!keep)
        n = build_unsqueeze(r->g, n, axis);
    tell(r, mean ? "mean" : keep ? "sum" : "sum without keep");
    if (kind == 1)
        n = build_add(r->g, n, build_number(r->g, 1e-2));
    if (kind == 2)
        n = build_binary(r->g, OP_maximum, n, build_number(r->g, 1e-2));
    return n;
}

/* a · v in any order; always [..., T, Dv]. */
static value_id contracted(generator *r, dim width)
{
    bool flag;
    if (draw(r, 6) == 0 && dim_is_number(width, 1)) { /* a sum of products */
        tell(r, "column and sum");
        r->out.one_scan = false;
        value_id v =
            r->swapped ? matrix_input(r, "v", r->s, width, false) : matrix_input(r, "v", width, r->s, false);
        value_id y = build_reduce(r->g, OP_sum, build_mul(r->g, r->a, v), r->swapped ? -2 : -1, true);
        return r->swapped ? build_swap(r->g, y, -2, -1) : y;
    }
    value_id v = operand(r, "v", r->s, width, &flag, r->headed && draw(r, 4) == 0);
    if (coin(r)) {
        tell(r, "a v");
        return build_matmul(r->g, r->a, v, r->swapped, flag);
    }
    tell(r, "vT aT");
    return build_swap(r->g, build_matmul(r->g, v, r->a, !flag, !r->swapped), -2, -1);
}

static void finish(generator *r)
{
    bool normalised = coin(r), before = coin(r);
    value_id n = NONE;
    if (normalised) {
        n = row_sum(r);
        graph_add_output(r->g, "n", n);
        if (before) {
            tell(r, "normalised before");
            r->a = build_div(r->g, r->a, n);
        } else if (r->swapped) {
            n = build_swap(r->g, n, -2, -1);
        }
    }
    value_id y = contracted(r, r->width);
    if (normalised && !before) {
        tell(r, "normalised after");
        y = build_div(r->g, y, n);
    }
    r->out.contractions = 1;
    graph_add_output(r->g, "y", y);
    if (draw(r, 4) == 0) {
        tell(r, "second reader");
        graph_add_output(r->g, "y2", contracted(r, dim_number(2)));
        r->out.contractions++;
    }
}

static bool begin(generator *r, rondo *context, uint64_t seed, rondo_error *error)
{
    *r = (generator){.state = seed * 2 + 1, .length = NONE};
    r->g = r->out.graph = graph_new(context, error);
    if (!r->g)
        return false;
    int symbols[3] = {graph_symbol(r->g, "B"), graph_symbol(r->g, "T"), graph_symbol(r->g, "S")};
    int kind = (int)draw(r, 4); /* causal twice as often */
    r->out.causal = kind < 2;
    r->out.exclusive = kind == 1 && coin(r);
    r->out.one_scan = true;
    r->b = dim_symbol(symbols[0]);
    r->t = dim_symbol(symbols[1]);
    r->s = kind == 3 ? dim_symbol(symbols[2]) : r->t;
    r->h = dim_number(1 + (int64_t)draw(r, 3));
    r->features = dim_number(1 + (int64_t)draw(r, 4));
    r->width = dim_number(1 + (int64_t)draw(r, 4));
    r->batched = draw(r, 4) != 0;
    r->headed = r->batched && coin(r) && !dim_is_number(r->h, 1);
    tell(r, kind == 3          ? "cross"
            : kind == 2        ? "both directions"
            : r->out.exclusive ? "exclusive"
                               : "inclusive");
    return true;
}

static attention_case end(generator *r, rondo_error *error)
{
    if (!rondo_graph_check(r->g, error)) {
        graph_free(r->g);
        r->out.graph = NULL;
    }
    return r->out;
}

attention_case attention_generate(rondo *context, uint64_t seed, rondo_error *error)
{
    generator r;
    if (!begin(&r, context, seed, error))
        return r.out;
    make_product(&r);
    some_steps(&r, 3);
    if (r.out.causal)
        step_causal(&r);
    some_steps(&r, 2);
    finish(&r);
    return end(&r, error);
}

/* ---- what must be refused ---- */

static void poison_unary(generator *r)
{
    static const struct {
        op_id op;
        const char *reason;
    } ops[] = {{OP_exp, "exp is not linear"},         {OP_tanh, "tanh is not linear"},
               {OP_sigmoid, "sigmoid is not linear"}, {OP_relu, "relu is not linear"},
               {OP_gelu, "gelu is not linear"},       {OP_abs, "abs is not linear"},
               {OP_sqrt, "sqrt is not linear"},       {OP_softmax, "softmax couples t and s"},
               {OP_log, "log is not linear"},         {OP_softplus, "softplus is not linear"}};
    int i = (int)draw(r, sizeof ops / sizeof *ops);
    if (ops[i].op == OP_sqrt && r->negative)
        i = 0;
    if (ops[i].op == OP_log) /* of a positive number, also where it is masked: max ends the product */
        r->a = build_binary(r->g, OP_maximum, r->a, build_number(r->g, 0.1));
    r->a = build_unary(r->g, ops[i].op, r->a);
    r->out.refusing = ops[i].op == OP_log ? OP_maximum : ops[i].op;
    r->out.reason = ops[i].op == OP_log ? "maximum is not linear" : ops[i].reason;
}

static void poison_bias(generator *r)
{
    shape s = *graph_shape_of(r->g, r->a);
    bool sum = coin(r);
    value_id bias = input(r, "bias", &s);
    r->a = build_binary(r->g, sum ? OP_add : OP_mul, r->a, bias);
    r->out.refusing = sum ? OP_add : OP_mul;
    r->out.reason = sum ? "sum with a value" : "its factor depends on t and s";
}

static void poison_mask(generator *r)
{
    if (!r->out.causal) {
        poison_bias(r);
        return;
    }
    r->a = causal(r, r->a, 3);
    r->out.refusing = OP_causal_mask;
    r->out.reason = "causal mask with fill";
}

static void poison_softmax(generator *r)
{
    if (!r->out.causal || r->swapped || r->out.exclusive) {
        r->a = build_unary(r->g, OP_softmax, r->a);
    } else {
        attribute attributes[MAX_ATTRIBUTES] = {0};
        attributes[causal_mask_fill] = real_attribute(-INFINITY);
        r->a = build_unary(r->g, OP_softmax, build_node(r->g, OP_causal_mask, 1, &r->a, attributes));
    }
    r->out.refusing = OP_softmax;
    r->out.reason = "softmax couples t and s";
}

static void poison_square(generator *r)
{
    if (dim_is_number(r->features, 1)) {
        poison_bias(r);
        return;
    }
    r->a = build_mul(r->g, r->a, r->a);
    r->out.refusing = OP_mul;
    r->out.reason = "product of two forms";
}

/* The sum of a masked product and of a product or number that is not masked. */
static void poison_sum(generator *r)
{
    if (!r->out.causal) {
        poison_bias(r);
        return;
    }
    shape s = *graph_shape_of(r->g, r->a);
    bool number = coin(r);
    value_id other = number ? build_number(r->g, 2) : build_constant(r->g, 2, RONDO_F32, &s);
    r->a = build_add(r->g, r->a, other);
    r->out.refusing = OP_add;
    r->out.reason = number ? "is not masked as the product is" : "with different masks or decays";
}

static void poison_divisor(generator *r)
{
    r->a =
        build_div(r->g, build_number(r->g, 1), build_binary(r->g, OP_maximum, r->a, build_number(r->g, 1)));
    r->out.refusing = OP_maximum;
    r->out.reason = "maximum is not linear";
}

/* Splitting and merging again would be harmless; t and s merged are one axis. */
static void poison_reshape(generator *r)
{
    shape s = *graph_shape_of(r->g, r->a), flat = s;
    flat.rank--;
    if (dim_is_number(r->features, 1) ||
        !dim_multiply(s.dims[s.rank - 2], s.dims[s.rank - 1], &flat.dims[flat.rank - 1])) {
        poison_bias(r);
        return;
    }
    r->a = build_reshape(r->g, build_reshape(r->g, r->a, &flat), &s);
    r->out.refusing = OP_reshape;
    r->out.reason = "reshape that does not keep t and s";
}

static void poison_output(generator *r)
{
    graph_add_output(r->g, "weights", r->a);
    r->out.refusing = (op_id)graph_op_of(r->g, r->a);
    r->out.reason = "is itself an output";
}

static void poison_later(generator *r)
{
    if (!r->out.causal) {
        poison_square(r);
        return;
    }
    value_id sum = build_reduce(r->g, OP_sum, r->a, r->swapped ? -1 : -2, false);
    graph_add_output(r->g, "later", sum);
    r->out.refusing = OP_sum;
    r->out.reason = "summed over t";
}

attention_case attention_generate_refused(rondo *context, uint64_t seed, rondo_error *error)
{
    static void (*const poisons[])(generator *) = {poison_unary,  poison_mask, poison_softmax, poison_bias,
                                                   poison_square, poison_sum,  poison_divisor, poison_reshape,
                                                   poison_output, poison_later};
    generator r;
    if (!begin(&r, context, seed, error))
        return r.out;
    make_product(&r);
    some_steps(&r, 3);
    if (r.out.causal)
        step_causal(&r);
    poisons[draw(&r, sizeof poisons / sizeof *poisons)](&r);
    if (r.out.reason)
        tell(&r, r.out.reason);
    if (r.out.refusing != OP_reshape || coin(&r))
        graph_add_output(r.g, "y", contracted(&r, r.width));
    else
        graph_add_output(r.g, "y", build_reduce(r.g, OP_sum, r.a, r.swapped ? -2 : -1, false));
    return end(&r, error);
}
