/* The product of matrices: a · b (+ c) (+ bias), then an activation. Leading axes broadcast. */
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"

enum { MATMUL_C = 2, MATMUL_BIAS = 3 }; /* operands after a and b */

/* The op that the activation attribute means; OP_COUNT: none. */
static op_id activation_op(int64_t activation)
{
    static const op_id ops[] = {OP_COUNT, OP_relu, OP_gelu, OP_silu};
    return activation >= 0 && activation < 4 ? ops[activation] : OP_COUNT;
}

/* ---- infer ---- */

static dim matmul_dim(const shape *s, bool transposed, int from_last)
{
    return s->dims[s->rank - (transposed ? 3 - from_last : from_last)];
}

static shape leading(const shape *s)
{
    shape lead = {.rank = s->rank - 2};
    for (int i = 0; i < lead.rank; i++)
        lead.dims[i] = s->dims[i];
    return lead;
}

static bool infer_product(rondo_graph *g, const node *n, const shape *a, const shape *b, shape *product)
{
    bool transpose_a = n->attributes[matmul_transpose_a].integer,
         transpose_b = n->attributes[matmul_transpose_b].integer;
    const char *a_words = shape_words(g, a), *b_words = shape_words(g, b);
    const char *a_mark = transpose_a ? "ᵀ" : "", *b_mark = transpose_b ? "ᵀ" : "";
    if (a->rank < 2 || b->rank < 2)
        return infer_fail(g, "matmul %s%s × %s%s: both need two axes at least", a_words, a_mark, b_words,
                          b_mark);
    dim a_inner = matmul_dim(a, transpose_a, 1), b_inner = matmul_dim(b, transpose_b, 2);
    if (!dim_equal(a_inner, b_inner))
        return infer_fail(g, "matmul %s%s × %s%s: inner dims %s and %s differ", a_words, a_mark, b_words,
                          b_mark, dim_words(g, a_inner), dim_words(g, b_inner));
    shape a_lead = leading(a), b_lead = leading(b);
    if (!shape_broadcast(&a_lead, &b_lead, product))
        return infer_fail(g, "matmul %s%s × %s%s: leading dims %s and %s do not fit", a_words, a_mark,
                          b_words, b_mark, shape_words(g, &a_lead), shape_words(g, &b_lead));
    product->dims[product->rank++] = matmul_dim(a, transpose_a, 2);
    product->dims[product->rank++] = matmul_dim(b, transpose_b, 1);
    return true;
}

bool infer_matmul(rondo_graph *g, node *n, value *outputs)
{
    const value *a = infer_operand(g, n, 0, RONDO_F32), *b = a ? infer_operand(g, n, 1, RONDO_F32) : NULL, *c,
                *bias;
    shape s;
    if (!b || !infer_product(g, n, &a->shape, &b->shape, &s) ||
        !infer_optional(g, n, MATMUL_C, RONDO_F32, &c) ||
        !infer_optional(g, n, MATMUL_BIAS, RONDO_F32, &bias))
        return false;
    if (c && !shape_equal(&c->shape, &s))
        return infer_fail(g, "matmul: c is %s and the product is %s, they must be alike",
                          shape_words(g, &c->shape), shape_words(g, &s));
    if (bias && (bias->shape.rank != 1 || !dim_equal(bias->shape.dims[0], s.dims[s.rank - 1])))
        return infer_fail(g, "matmul: the bias is %s, it must be one number for each column of %s",
                          shape_words(g, &bias->shape), shape_words(g, &s));
    if (n->attributes[matmul_activation].integer &&
        activation_op(n->attributes[matmul_activation].integer) == OP_COUNT)
        return infer_fail(g, "matmul: there is no activation %lld",
                          (long long)n->attributes[matmul_activation].integer);
    return infer_result(outputs, RONDO_F32, &s);
}

/* ---- vjp ---- */

/* [b…, M, K] → [b… · M, K]; NONE if the number of rows is no monomial. */
static value_id flat_rows(rondo_graph *g, value_id x)
{
    const shape *s = graph_shape_of(g, x);
    shape rows = {.rank = s->rank - 1}, flat = {.rank = 2};
    for (int i = 0; i < rows.rank; i++)
        rows.dims[i] = s->dims[i];
    if (!shape_elements(&rows, &flat.dims[0]))
        return NONE;
    flat.dims[1] = s->dims[s->rank - 1];
    return build_reshape(g, x, &flat);
}

/* A matrix b that all of a's leading axes share: its gradient is one product over all rows, not a sum of
 * many. */
static value_id shared_gradient(rondo_graph *g, const node *n, value_id dy)
{
    value_id a = n->inputs[0];
    if (n->attributes[matmul_transpose_a].integer)
        a = build_swap(g, a, -1, -2);
    if (a == NONE)
        return NONE;
    value_id rows = flat_rows(g, a), flat_dy = rows == NONE ? NONE : flat_rows(g, dy);
    if (n->attributes[matmul_transpose_b].integer)
        return build_matmul(g, flat_dy, rows, true, false);
    return build_matmul(g, rows, flat_dy, true, false);
}

static value_id left_gradient(rondo_graph *g, const node *n, value_id dy)
{
    bool transpose_a = n->attributes[matmul_transpose_a].integer,
         transpose_b = n->attributes[matmul_transpose_b].integer;
    value_id b = n->inputs[1];
    value_id full =
        transpose_a ? build_matmul(g, b, dy, transpose_b, true) : build_matmul(g, dy, b, false, !transpose_b);
    return build_sum_to(g, full, graph_shape_of(g, n->inputs[0]));
}

static value_id right_gradient(rondo_graph *g, const node *n, value_id dy)
{
    bool transpose_a = n->attributes[matmul_transpose_a].integer,
         transpose_b = n->attributes[matmul_transpose_b].integer;
    value_id a = n->inputs[0], b = n->inputs[1];
    if (graph_shape_of(g, b)->rank == 2 && graph_shape_of(g, a)->rank > 2) {
        value_id shared = shared_gradient(g, n, dy);
        if (shared != NONE || !graph_good(g))
            return shared;
    }
    value_id full =
        transpose_b ? build_matmul(g, dy, a, true, transpose_a) : build_matmul(g, a, dy, !transpose_a, false);
    return build_sum_to(g, full, graph_shape_of(g, b));
}

/* The gradient before the activation; the value there is computed again. NONE: failed. */
static value_id before_activation(rondo_graph *g, const node *n, value_id dy)
{
    attribute attributes[MAX_ATTRIBUTES];
    for (int i = 0; i < MAX_ATTRIBUTES; i++)
        attributes[i] = n->attributes[i];
    attributes[matmul_activation].integer = 0;
    op_id op = activation_op(n->attributes[matmul_activation].integer);
    value_id plain = build_node(g, OP_matmul, n->input_count, n->inputs, attributes), gradient = NONE;
    value_id y = build_unary(g, op, plain);
    if (y == NONE)
        return NONE;
    node activation = *graph_node_of(g, y);
    return op_table[op].vjp(g, &activation, &dy, &(bool){true}, &gradient) ? gradient : NONE;
}

bool vjp_matmul(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                value_id *in_gradients)
{
    value_id dy = out_gradients[0];
    if (dy != NONE && n->attributes[matmul_activation].integer)
        dy = before_activation(g, n, dy);
    if (dy == NONE)
        return graph_good(g);
    if (needs[0])
        in_gradients[0] = left_gradient(g, n, dy);
    if (needs[1])
        in_gradients[1] = right_gradient(g, n, dy);
    if (n->input_count > MATMUL_C && needs[MATMUL_C])
        in_gradients[MATMUL_C] = dy;
    if (n->input_count > MATMUL_BIAS && needs[MATMUL_BIAS])
        in_gradients[MATMUL_BIAS] = build_sum_to(g, dy, graph_shape_of(g, n->inputs[MATMUL_BIAS]));
    return graph_good(g);
}

/* ---- reference ---- */

/* One element: row i of op(a) times column j of op(b), in the matrices that `index` leads to. */
static double reference_element(const reference_call *call, const int64_t *index, int rank)
{
    const reference_tensor *a = &call->inputs[0], *b = &call->inputs[1];
    bool transpose_a = call->attributes[matmul_transpose_a].integer,
         transpose_b = call->attributes[matmul_transpose_b].integer;
    int64_t a_index[MAX_RANK], b_index[MAX_RANK], inner = a->dims[a->rank - (transpose_a ? 2 : 1)];
    double sum = 0;
    for (int i = 0; i < rank; i++)
        a_index[i] = b_index[i] = index[i];
    for (int64_t k = 0; k < inner; k++) {
        a_index[rank - 2] = transpose_a ? k : index[rank - 2];
        a_index[rank - 1] = transpose_a ? index[rank - 2] : k;
        b_index[rank - 2] = transpose_b ? index[rank - 1] : k;
        b_index[rank - 1] = transpose_b ? k : index[rank - 1];
        sum += a->data[reference_offset(a, a_index, rank)] * b->data[reference_offset(b, b_index, rank)];
    }
    return sum;
}

bool reference_matmul(const reference_call *call)
{
    const reference_tensor *y = &call->outputs[0];
    const reference_tensor *c = call->input_count > MATMUL_C ? &call->inputs[MATMUL_C] : NULL;
    const reference_tensor *bias = call->input_count > MATMUL_BIAS ? &call->inputs[MATMUL_BIAS] : NULL;
    op_id op = activation_op(call->attributes[matmul_activation].integer);
    int64_t index[MAX_RANK] = {0};
    for (int64_t i = 0; i < y->count; i++, reference_next(index, y->dims, y->rank)) {
        double sum = reference_element(call, index, y->rank);
        if (c && c->data)
            sum += c->data[i];
        if (bias && bias->data)
            sum += bias->data[index[y->rank - 1]];
        y->data[i] = op == OP_COUNT ? sum : reference_elementwise(op, &sum);
    }
    return true;
}

/* ---- samples ---- */

typedef struct matmul_sample {
    int a_rank, b_rank;
    int64_t a[4], b[4];
    bool transpose_a, transpose_b, c, bias;
    int activation;
} matmul_sample;

static const matmul_sample matmul_samples[] = {
    {2, 2, {1, 1}, {1, 1}},
    {2, 2, {3, 5}, {5, 7}},
    {2, 2, {5, 3}, {5, 7}, .transpose_a = true},
    {2, 2, {3, 5}, {7, 5}, .transpose_b = true},
    {2, 2, {5, 3}, {7, 5}, .transpose_a = true, .transpose_b = true},
    {3, 2, {2, 3, 5}, {5, 7}}, /* a linear layer */
    {3, 2, {2, 5, 3}, {7, 5}, .transpose_a = true, .transpose_b = true},
    {4, 4, {2, 3, 5, 4}, {2, 3, 4, 7}},
    {4, 3, {2, 3, 5, 4}, {3, 7, 4}, .transpose_b = true},
    {3, 4, {1, 4, 5}, {2, 3, 4, 1}, .transpose_a = true}, /* both broadcast */
    {2, 3, {3, 5}, {2, 5, 7}},
    {2, 2, {0, 3}, {3, 2}},
    {2, 2, {3, 0}, {0, 2}}, /* an empty sum is 0 */
    {2, 2, {3, 0}, {0, 2}, .bias = true, .activation = 3},
    {2, 2, {3, 5}, {5, 7}, .c = true},
    {3, 2, {2, 3, 5}, {5, 7}, .bias = true},
    {3, 2, {2, 3, 5}, {5, 7}, .c = true, .bias = true, .activation = 1},
    {2, 2, {3, 5}, {7, 5}, .transpose_b = true, .bias = true, .activation = 2},
    {2, 2, {1, 67}, {67, 131}, .bias = true, .activation = 3}, /* one row, as in decoding */
    {2, 2, {5, 67}, {131, 67}, .transpose_b = true},
    {2, 2, {101, 67}, {67, 49}},
    {3, 3, {3, 97, 16}, {3, 97, 33}, .transpose_a = true},
};

value_id samples_matmul(rondo_graph *g, sampler *s, int index)
{
    if (index >= (int)(sizeof matmul_samples / sizeof *matmul_samples))
        return NONE;
    const matmul_sample *c = &matmul_samples[index];
    value_id inputs[4] = {sample_input(g, s, -1, 1, c->a_rank, c->a), NONE, NONE, NONE};
    inputs[1] = sample_input(g, s, -1, 1, c->b_rank, c->b);
    int64_t result[4] = {0}, rank = c->a_rank > c->b_rank ? c->a_rank : c->b_rank;
    for (int i = 0; i < rank - 2; i++)
        result[i] = c->a[i];
    result[rank - 2] = c->a[c->a_rank - (c->transpose_a ? 1 : 2)];
    result[rank - 1] = c->b[c->b_rank - (c->transpose_b ? 2 : 1)];
    if (c->c)
        inputs[MATMUL_C] = sample_input(g, s, -1, 1, (int)rank, result);
    if (c->bias)
        inputs[MATMUL_BIAS] = sample_input(g, s, -1, 1, 1, &result[rank - 1]);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[matmul_transpose_a].integer = c->transpose_a;
    attributes[matmul_transpose_b].integer = c->transpose_b;
    attributes[matmul_activation].integer = c->activation;
    return build_node(g, OP_matmul, c->bias ? 4 : c->c ? 3 : 2, inputs, attributes);
}
