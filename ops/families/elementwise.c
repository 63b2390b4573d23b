/* Elementwise ops of one, two and three operands, and cast. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <math.h>

/* ---- infer ---- */

bool infer_unary(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32);
    return x && infer_result(outputs, RONDO_F32, &x->shape);
}

bool infer_cast(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, 0);
    int64_t type = n->attributes[cast_type].integer;
    if (!x)
        return false;
    if (type != RONDO_F32 && type != RONDO_I32)
        return infer_fail(g, "cast: to f32 or i32 only");
    return infer_result(outputs, (rondo_type)type, &x->shape);
}

/* The first extents, from the last axis on, that do not fit. */
static bool infer_misfit(rondo_graph *g, const node *n, const shape *a, const shape *b)
{
    for (int i = 1; i <= a->rank && i <= b->rank; i++) {
        dim x = a->dims[a->rank - i], y = b->dims[b->rank - i];
        if (!dim_equal(x, y) && !dim_is_number(x, 1) && !dim_is_number(y, 1))
            return infer_fail(g, "%s of %s and %s: extents %s and %s differ", op_words(n), shape_words(g, a),
                              shape_words(g, b), dim_words(g, x), dim_words(g, y));
    }
    return infer_fail(g, "%s of %s and %s: they do not fit", op_words(n), shape_words(g, a),
                      shape_words(g, b));
}

static bool takes_integers(int op)
{
    return op == OP_add || op == OP_sub || op == OP_mul || op == OP_less || op == OP_less_equal ||
           op == OP_equal;
}

static bool compares(int op)
{
    return op == OP_less || op == OP_less_equal || op == OP_equal;
}

bool infer_binary(rondo_graph *g, node *n, value *outputs)
{
    const value *a = infer_operand(g, n, 0, takes_integers(n->op) ? 0 : RONDO_F32);
    const value *b = a ? infer_operand(g, n, 1, a->type) : NULL;
    shape s;
    if (!b)
        return false;
    if (!shape_broadcast(&a->shape, &b->shape, &s))
        return infer_misfit(g, n, &a->shape, &b->shape);
    return infer_result(outputs, compares(n->op) ? RONDO_F32 : a->type, &s);
}

bool infer_select(rondo_graph *g, node *n, value *outputs)
{
    const value *condition = infer_operand(g, n, 0, RONDO_F32);
    const value *a = condition ? infer_operand(g, n, 1, RONDO_F32) : NULL;
    const value *b = a ? infer_operand(g, n, 2, RONDO_F32) : NULL;
    shape s, all;
    if (!b)
        return false;
    if (!shape_broadcast(&a->shape, &b->shape, &s))
        return infer_misfit(g, n, &a->shape, &b->shape);
    if (!shape_broadcast(&condition->shape, &s, &all))
        return infer_misfit(g, n, &condition->shape, &s);
    return infer_result(outputs, RONDO_F32, &all);
}

/* ---- vjp ---- */

/* `gradient` where dy is not 0, else 0: a value that a mask or a select has dropped may be infinite or NaN,
 * and 0 times that must not become a gradient. */
static value_id guarded(rondo_graph *g, value_id dy, value_id gradient)
{
    value_id zero = build_number(g, 0);
    return build_select(g, build_binary(g, OP_equal, dy, zero), zero, gradient);
}

/* One operand. In the rule: x, y = op(x), dy; NONE when a node failed. */
#define UNARY_VJP(name, gradient)                                                                            \
    static value_id gradient_##name(rondo_graph *g, value_id x, value_id y, value_id dy)                     \
    {                                                                                                        \
        (void)g, (void)x, (void)y;                                                                           \
        return gradient;                                                                                     \
    }                                                                                                        \
    bool vjp_##name(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,         \
                    value_id *in_gradients)                                                                  \
    {                                                                                                        \
        if (needs[0] && out_gradients[0] != NONE)                                                            \
            in_gradients[0] = gradient_##name(g, n->inputs[0], n->first_output, out_gradients[0]);           \
        return graph_good(g);                                                                                \
    }

/* Operands are in a list, which is evaluated from left to right, so that every C compiler builds the same
 * graph. */
static value_id listed(rondo_graph *g, op_id op, int count, const value_id *inputs)
{
    for (int i = 0; i < count; i++)
        if (inputs[i] == NONE)
            return NONE;
    return build_node(g, op, count, inputs, NULL);
}
#define LISTED(op, count, ...) listed(g, OP_##op, count, (const value_id[]){__VA_ARGS__})
#define NUMBER(number)         build_number(g, number)
#define NEG(a)                 LISTED(neg, 1, a)
#define EXP(a)                 LISTED(exp, 1, a)
#define LOG(a)                 LISTED(log, 1, a)
#define ERF(a)                 LISTED(erf, 1, a)
#define SIN(a)                 LISTED(sin, 1, a)
#define COS(a)                 LISTED(cos, 1, a)
#define SIGMOID(a)             LISTED(sigmoid, 1, a)
#define ADD(a, b)              LISTED(add, 2, a, b)
#define SUB(a, b)              LISTED(sub, 2, a, b)
#define MUL(a, b)              LISTED(mul, 2, a, b)
#define DIV(a, b)              LISTED(div, 2, a, b)
#define POWER(a, b)            LISTED(power, 2, a, b)
#define LESS(a, b)             LISTED(less, 2, a, b)
#define AT_MOST(a, b)          LISTED(less_equal, 2, a, b)
#define SELECT(c, a, b)        LISTED(select, 3, c, a, b)

UNARY_VJP(watch, dy)
UNARY_VJP(neg, NEG(dy))
UNARY_VJP(exp, guarded(g, dy, MUL(dy, y)))
UNARY_VJP(log, guarded(g, dy, DIV(dy, x)))
UNARY_VJP(tanh, MUL(dy, SUB(NUMBER(1), MUL(y, y))))
UNARY_VJP(sigmoid, MUL(dy, MUL(y, SUB(NUMBER(1), y))))
UNARY_VJP(relu, SELECT(LESS(NUMBER(0), y), dy, NUMBER(0)))
/* Φ(x) + x φ(x) */
#define DENSITY_AT_0 (M_2_SQRTPI * M_SQRT1_2 / 2)
UNARY_VJP(gelu, MUL(dy, ADD(MUL(NUMBER(0.5), ADD(NUMBER(1), ERF(MUL(x, NUMBER(M_SQRT1_2))))),
                            MUL(MUL(x, NUMBER(DENSITY_AT_0)), EXP(MUL(NUMBER(-0.5), MUL(x, x)))))))
UNARY_VJP(silu, MUL(dy, ADD(y, MUL(SIGMOID(x), SUB(NUMBER(1), y)))))
/* below 0, e^x is y + 1 */
UNARY_VJP(elu, SELECT(LESS(NUMBER(0), y), dy, MUL(dy, ADD(y, NUMBER(1)))))
/* at 0, where the true slope is infinite, it is taken as 0 */
UNARY_VJP(sqrt, SELECT(LESS(NUMBER(0), y), DIV(MUL(NUMBER(0.5), dy), y), NUMBER(0)))
UNARY_VJP(rsqrt, guarded(g, dy, MUL(MUL(NUMBER(-0.5), dy), MUL(y, MUL(y, y)))))
UNARY_VJP(abs, SELECT(LESS(NUMBER(0), x), dy, SELECT(LESS(x, NUMBER(0)), NEG(dy), NUMBER(0))))
UNARY_VJP(softplus, MUL(dy, SIGMOID(x)))
UNARY_VJP(erf, MUL(dy, MUL(NUMBER(M_2_SQRTPI), EXP(NEG(MUL(x, x))))))
UNARY_VJP(sin, MUL(dy, COS(x)))
UNARY_VJP(cos, NEG(MUL(dy, SIN(x))))

bool vjp_cast(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
              value_id *in_gradients)
{
    bool real = g->values[n->inputs[0]].type == RONDO_F32 && n->attributes[cast_type].integer == RONDO_F32;
    in_gradients[0] = real && needs[0] ? out_gradients[0] : NONE;
    return true;
}

/* Two operands. In the rule: a, b, y = op(a, b), dy; where an operand was broadcast, its gradient is summed.
 */
#define BINARY_VJP(name, gradient_a, gradient_b)                                                             \
    bool vjp_##name(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,         \
                    value_id *in_gradients)                                                                  \
    {                                                                                                        \
        value_id a = n->inputs[0], b = n->inputs[1], y = n->first_output, dy = out_gradients[0];             \
        (void)y;                                                                                             \
        if (dy != NONE && needs[0])                                                                          \
            in_gradients[0] = build_sum_to(g, gradient_a, graph_shape_of(g, a));                             \
        if (dy != NONE && needs[1])                                                                          \
            in_gradients[1] = build_sum_to(g, gradient_b, graph_shape_of(g, b));                             \
        return graph_good(g);                                                                                \
    }

BINARY_VJP(add, dy, dy)
BINARY_VJP(sub, dy, NEG(dy))
BINARY_VJP(mul, MUL(dy, b), MUL(dy, a))
BINARY_VJP(div, guarded(g, dy, DIV(dy, b)), guarded(g, dy, NEG(DIV(MUL(dy, y), b))))
/* b a^(b − 1), and 0 for b = 0 whatever a is; y log a, and 0 where a has no logarithm */
BINARY_VJP(power, guarded(g, MUL(dy, b), MUL(MUL(dy, b), POWER(a, SUB(b, NUMBER(1))))),
           SELECT(LESS(NUMBER(0), a), MUL(MUL(dy, y), LOG(a)), NUMBER(0)))
BINARY_VJP(minimum, SELECT(AT_MOST(a, b), dy, NUMBER(0)), SELECT(AT_MOST(a, b), NUMBER(0), dy))
BINARY_VJP(maximum, SELECT(AT_MOST(b, a), dy, NUMBER(0)), SELECT(AT_MOST(b, a), NUMBER(0), dy))

bool vjp_select(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                value_id *in_gradients)
{
    value_id condition = n->inputs[0], dy = out_gradients[0];
    if (dy != NONE && needs[1])
        in_gradients[1] = build_sum_to(g, SELECT(condition, dy, NUMBER(0)), graph_shape_of(g, n->inputs[1]));
    if (dy != NONE && needs[2])
        in_gradients[2] = build_sum_to(g, SELECT(condition, NUMBER(0), dy), graph_shape_of(g, n->inputs[2]));
    return graph_good(g);
}

/* ---- reference ---- */

#define OF_ONE(name, number)                                                                                 \
    static double number_##name(double x)                                                                    \
    {                                                                                                        \
        return number;                                                                                       \
    }
#define OF_TWO(name, number)                                                                                 \
    static double number_##name(double a, double b)                                                          \
    {                                                                                                        \
        return number;                                                                                       \
    }
/* clang-format off */
OF_ONE(copy, x)
OF_ONE(neg, -x)
OF_ONE(sigmoid, x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)))
OF_ONE(relu, x < 0 ? 0 : x)
OF_ONE(gelu, 0.5 * x * erfc(-x * M_SQRT1_2))
OF_ONE(silu, x * number_sigmoid(x))
OF_ONE(elu, x > 0 ? x : expm1(x))
OF_ONE(rsqrt, 1 / sqrt(x))
OF_ONE(softplus, x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)))
OF_TWO(add, a + b)
OF_TWO(sub, a - b)
OF_TWO(mul, a * b)
OF_TWO(div, a / b)
OF_TWO(minimum, a <= b ? a : b)
OF_TWO(maximum, a >= b ? a : b)
OF_TWO(less, a < b)
OF_TWO(less_equal, a <= b)
OF_TWO(equal, a == b)
/* clang-format on */

static double (*const unary_numbers[OP_COUNT])(double) = {
    [OP_stop_gradient] = number_copy,
    [OP_watch] = number_copy,
    [OP_neg] = number_neg,
    [OP_exp] = exp,
    [OP_log] = log,
    [OP_tanh] = tanh,
    [OP_sigmoid] = number_sigmoid,
    [OP_relu] = number_relu,
    [OP_gelu] = number_gelu,
    [OP_silu] = number_silu,
    [OP_elu] = number_elu,
    [OP_sqrt] = sqrt,
    [OP_rsqrt] = number_rsqrt,
    [OP_abs] = fabs,
    [OP_softplus] = number_softplus,
    [OP_erf] = erf,
    [OP_sin] = sin,
    [OP_cos] = cos,
};
static double (*const binary_numbers[OP_COUNT])(double, double) = {
    [OP_add] = number_add,         [OP_sub] = number_sub,   [OP_mul] = number_mul,
    [OP_div] = number_div,         [OP_power] = pow,        [OP_minimum] = number_minimum,
    [OP_maximum] = number_maximum, [OP_less] = number_less, [OP_less_equal] = number_less_equal,
    [OP_equal] = number_equal,
};

double reference_elementwise(int op, const double *operands)
{
    if (op == OP_select)
        return operands[0] != 0 ? operands[1] : operands[2];
    return unary_numbers[op] ? unary_numbers[op](operands[0]) : binary_numbers[op](operands[0], operands[1]);
}

static bool reference_map(const reference_call *call, int op)
{
    reference_tensor *y = &call->outputs[0];
    int64_t index[MAX_RANK] = {0};
    for (int64_t i = 0; i < y->count; i++, reference_next(index, y->dims, y->rank)) {
        double operands[3] = {0};
        for (int k = 0; k < call->input_count; k++)
            operands[k] = call->inputs[k].data[reference_offset(&call->inputs[k], index, y->rank)];
        y->data[i] = reference_elementwise(op, operands);
    }
    return true;
}

#define REFERENCE(name)                                                                                      \
    bool reference_##name(const reference_call *call)                                                        \
    {                                                                                                        \
        return reference_map(call, OP_##name);                                                               \
    }
/* clang-format off */
REFERENCE(neg) REFERENCE(exp) REFERENCE(log) REFERENCE(tanh) REFERENCE(sigmoid) REFERENCE(relu)
REFERENCE(gelu) REFERENCE(silu) REFERENCE(elu) REFERENCE(sqrt) REFERENCE(rsqrt) REFERENCE(abs)
REFERENCE(softplus) REFERENCE(erf) REFERENCE(sin) REFERENCE(cos) REFERENCE(stop_gradient) REFERENCE(watch)
REFERENCE(add) REFERENCE(sub) REFERENCE(mul) REFERENCE(div) REFERENCE(power) REFERENCE(minimum)
REFERENCE(maximum) REFERENCE(less) REFERENCE(less_equal) REFERENCE(equal) REFERENCE(select)
    /* clang-format on */

    bool reference_cast(const reference_call *call)
{
    for (int64_t i = 0; i < call->outputs[0].count; i++) {
        double x = call->inputs[0].data[i];
        call->outputs[0].data[i] = call->attributes[cast_type].integer == RONDO_I32 ? trunc(x) : x;
    }
    return true;
}

/* ---- samples ---- */

typedef struct sample_dims {
    int rank;
    int64_t dims[4];
} sample_dims;
#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static value_id sample_unary(rondo_graph *g, sampler *s, int index, op_id op, double low, double high)
{
    static const sample_dims cases[] = {{0, {0}},       {1, {1}},       {1, {7}},          {2, {2, 3}},
                                        {3, {1, 5, 1}}, {3, {3, 0, 2}}, {4, {2, 3, 5, 7}}, {2, {3, 1031}}};
    if (index >= COUNT(cases))
        return NONE;
    return build_unary(g, op, sample_input(g, s, low, high, cases[index].rank, cases[index].dims));
}

#define SAMPLES_UNARY(name, low, high)                                                                       \
    value_id samples_##name(rondo_graph *g, sampler *s, int index)                                           \
    {                                                                                                        \
        return sample_unary(g, s, index, OP_##name, low, high);                                              \
    }
SAMPLES_UNARY(neg, -3, 3)
SAMPLES_UNARY(exp, -5, 4)
SAMPLES_UNARY(log, 0.05, 9)
SAMPLES_UNARY(tanh, -4, 4)
SAMPLES_UNARY(sigmoid, -9, 9)
SAMPLES_UNARY(relu, -2, 2)
SAMPLES_UNARY(gelu, -5, 5)
SAMPLES_UNARY(silu, -9, 9)
SAMPLES_UNARY(elu, -5, 3)
SAMPLES_UNARY(sqrt, 0.1, 9)
SAMPLES_UNARY(rsqrt, 0.1, 9)
SAMPLES_UNARY(abs, -2, 2)
SAMPLES_UNARY(softplus, -9, 9)
SAMPLES_UNARY(erf, -3, 3)
SAMPLES_UNARY(sin, -9, 9)
SAMPLES_UNARY(cos, -9, 9)
SAMPLES_UNARY(stop_gradient, -3, 3)
SAMPLES_UNARY(watch, -3, 3)

static const sample_dims pairs[][2] = {
    {{0, {0}}, {0, {0}}},
    {{1, {5}}, {1, {5}}},
    {{2, {3, 7}}, {1, {7}}}, /* a missing leading axis */
    {{1, {4}}, {3, {2, 3, 4}}},
    {{2, {3, 1}}, {2, {1, 5}}}, /* both repeat */
    {{0, {0}}, {2, {3, 2}}},
    {{3, {2, 0, 3}}, {1, {3}}}, /* empty */
    {{4, {2, 1, 3, 5}}, {4, {1, 7, 3, 1}}},
    {{2, {5, 1033}}, {2, {5, 1}}},
};

static value_id sample_binary(rondo_graph *g, sampler *s, int index, op_id op, const double range[4])
{
    if (index < COUNT(pairs)) {
        value_id a = sample_input(g, s, range[0], range[1], pairs[index][0].rank, pairs[index][0].dims);
        value_id b = sample_input(g, s, range[2], range[3], pairs[index][1].rank, pairs[index][1].dims);
        return build_binary(g, op, a, b);
    }
    if (index == COUNT(pairs) && takes_integers(op)) {
        value_id a = sample_ids(g, s, 9, 2, (int64_t[]){3, 11});
        return build_binary(g, op, a, sample_ids(g, s, 9, 1, (int64_t[]){11}));
    }
    return NONE;
}

#define SAMPLES_BINARY(name, ...)                                                                            \
    value_id samples_##name(rondo_graph *g, sampler *s, int index)                                           \
    {                                                                                                        \
        return sample_binary(g, s, index, OP_##name, (const double[]){__VA_ARGS__});                         \
    }
SAMPLES_BINARY(add, -3, 3, -2, 2)
SAMPLES_BINARY(sub, -3, 3, -2, 2)
SAMPLES_BINARY(mul, -3, 3, -2, 2)
SAMPLES_BINARY(div, -3, 3, 0.3, 4)
SAMPLES_BINARY(power, 0.2, 3, -2, 2)
SAMPLES_BINARY(minimum, -2, 2, -2, 2)
SAMPLES_BINARY(maximum, -2, 2, -2, 2)
SAMPLES_BINARY(less, -2, 2, -2, 2)
SAMPLES_BINARY(less_equal, -2, 2, -2, 2)
SAMPLES_BINARY(equal, -2, 2, -2, 2)

value_id samples_cast(rondo_graph *g, sampler *s, int index)
{
    switch (index) {
    case 0:
        return build_cast(g, sample_ids(g, s, 100000, 2, (int64_t[]){3, 37}), RONDO_F32);
    case 1:
        return build_cast(g, sample_input(g, s, -40, 40, 3, (int64_t[]){2, 5, 17}), RONDO_I32);
    case 2:
        return build_cast(g, sample_ids(g, s, 5, 1, (int64_t[]){0}), RONDO_F32);
    case 3:
        return build_cast(g, sample_input(g, s, -4, 4, 0, NULL), RONDO_I32);
    default:
        return NONE;
    }
}

value_id samples_select(rondo_graph *g, sampler *s, int index)
{
    static const sample_dims cases[][3] = {
        {{1, {7}}, {1, {7}}, {1, {7}}},
        {{2, {3, 1}}, {2, {3, 5}}, {0, {0}}},
        {{3, {2, 3, 5}}, {1, {1}}, {2, {3, 1}}},
        {{1, {3}}, {2, {0, 3}}, {1, {3}}},
        {{2, {67, 67}}, {2, {67, 67}}, {1, {67}}},
    };
    if (index >= COUNT(cases))
        return NONE;
    const sample_dims *c = cases[index];
    value_id condition = build_cast(g, sample_ids(g, s, 1, c[0].rank, c[0].dims), RONDO_F32);
    value_id a = sample_input(g, s, -2, 2, c[1].rank, c[1].dims);
    return build_select(g, condition, a, sample_input(g, s, -2, 2, c[2].rank, c[2].dims));
}
