/* ops/infer.h, and the infer rule of ops whose operands and result are alike. */
#include "ops/infer.h"
#include "ops/rules.h"
#include <string.h>

const char *shape_words(rondo_graph *g, const shape *s)
{
    return shape_words_of(g, g, s);
}

const char *shape_words_of(rondo_graph *g, const rondo_graph *of, const shape *s)
{
    text t = {.arena = &g->arena};
    shape_text(&t, of, s);
    const char *words = text_done(&t);
    return words ? words : "[…]"; /* the graph's arena has failed: what is said of it will be that */
}

const char *dim_words(rondo_graph *g, dim d)
{
    text t = {.arena = &g->arena};
    dim_text(&t, g, d);
    const char *words = text_done(&t);
    return words ? words : "…";
}

static bool infer_has_type(rondo_graph *g, const node *n, int i, rondo_type type)
{
    const value *x = &g->values[n->inputs[i]];
    if (!type || x->type == type)
        return true;
    return infer_fail(g, "%s: operand %d is %s%s, it must be %s", op_words(n), i, type_name(x->type),
                      shape_words(g, &x->shape), type_name(type));
}

const value *infer_operand(rondo_graph *g, const node *n, int i, rondo_type type)
{
    if (i >= n->input_count || n->inputs[i] == NONE) {
        graph_fail(g, RONDO_ARGUMENT, "%s: operand %d is missing", op_words(n), i);
        return NULL;
    }
    return infer_has_type(g, n, i, type) ? &g->values[n->inputs[i]] : NULL;
}

bool infer_optional(rondo_graph *g, const node *n, int i, rondo_type type, const value **operand)
{
    *operand = NULL;
    if (i >= n->input_count || n->inputs[i] == NONE)
        return true;
    *operand = infer_operand(g, n, i, type);
    return *operand != NULL;
}

bool infer_fits(rondo_graph *g, const node *n, int i, const char *what, const shape *expected)
{
    const value *given;
    if (!infer_optional(g, n, i, RONDO_F32, &given))
        return false;
    if (!given || shape_equal(&given->shape, expected))
        return true;
    return infer_fail(g, "%s: the %s is %s, it must be %s", op_words(n), what, shape_words(g, &given->shape),
                      shape_words(g, expected));
}

bool infer_recurrence(rondo_graph *g, const node *n, const value *qkv[3])
{
    for (int i = 0; i < 3; i++)
        if (!(qkv[i] = infer_operand(g, n, i, RONDO_F32)))
            return false;
    const shape *q = &qkv[0]->shape, *k = &qkv[1]->shape, *v = &qkv[2]->shape;
    bool fit = q->rank == 4 && v->rank == 4 && shape_equal(q, k);
    for (int i = 0; fit && i < 3; i++)
        fit = dim_equal(q->dims[i], v->dims[i]);
    return fit ||
           infer_fail(g,
                      "%s: queries %s, keys %s and values %s do not fit [B,H,T,Dk], [B,H,T,Dk], [B,H,T,Dv]",
                      op_words(n), shape_words(g, q), shape_words(g, k), shape_words(g, v));
}

int infer_axis(rondo_graph *g, const node *n, int64_t axis, int rank)
{
    int normal = normal_axis(axis, rank);
    if (normal < 0)
        graph_fail(g, RONDO_SHAPE, "%s: axis %lld of a tensor with %d axes", op_words(n), (long long)axis,
                   rank);
    return normal;
}

bool infer_per_sentence(rondo_graph *g, const node *n, int i, const value *x)
{
    const value *length = infer_operand(g, n, i, RONDO_I32);
    if (!length)
        return false;
    if (length->shape.rank != 1 || !dim_equal(length->shape.dims[0], x->shape.dims[0]))
        return infer_fail(g, "%s %s: operand %d is %s, it must have one number for each of the %s of axis 0",
                          op_words(n), shape_words(g, &x->shape), i, shape_words(g, &length->shape),
                          dim_words(g, x->shape.dims[0]));
    return true;
}

/* softmax, cumsum */
bool infer_same(rondo_graph *g, node *n, value *outputs)
{
    const value *x = infer_operand(g, n, 0, RONDO_F32);
    if (!x)
        return false;
    if (x->shape.rank < 1)
        return infer_fail(g, "%s: a single number has no axis", op_words(n));
    if (n->op == OP_cumsum && infer_axis(g, n, n->attributes[cumsum_axis].integer, x->shape.rank) < 0)
        return false;
    for (int i = 1; i < n->input_count; i++) {
        const value *other = infer_operand(g, n, i, RONDO_F32);
        if (!other)
            return false;
        if (!shape_equal(&x->shape, &other->shape))
            return infer_fail(g, "%s: operands are %s and %s, they must be alike", op_words(n),
                              shape_words(g, &x->shape), shape_words(g, &other->shape));
    }
    return infer_result(outputs, RONDO_F32, &x->shape);
}
