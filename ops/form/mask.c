/* Form rules of masks. A mask with fill 0 becomes part of the pair: the causal mask as a flag, masks by
 * length on the factors. */
#include "ops/form/form.h"
#include "ops/rules.h"
#include <math.h>

/* Only for the report: the attention was causal before it ended. */
static bool end_causal(form_context *c, const node *n, pair_form *outputs)
{
    bool good = form_end(c, n, outputs, "causal mask with fill %s: a separable product is masked with 0",
                         n->attributes[causal_mask_fill].real < -1e30 ? "−inf" : "other than 0");
    outputs[0].causal = outputs[0].kind == FORM_ENDED;
    return good;
}

bool form_causal_mask(form_context *c, const node *n, pair_form *outputs)
{
    const pair_form *f = form_live(c, n->inputs[0]);
    double fill = n->attributes[causal_mask_fill].real,
           wanted = f && f->kind == FORM_DIFFERENCE ? -INFINITY : 0;
    if (!f || fill != wanted) /* a difference becomes an ordinary value */
        return end_causal(c, n, outputs);
    pair_form p = *f;
    const shape *s = graph_shape_of(c->from, n->first_output);
    int t_axis = n->attributes[causal_mask_transposed].integer ? p.rank - 1 : p.rank - 2;
    if (n->input_count > 1 && n->inputs[1] != NONE)
        return form_end(c, n, outputs, "causal mask with an offset for each sentence");
    if (p.t_axis + p.s_axis != 2 * p.rank - 3)
        return form_end(c, n, outputs, "causal mask over other axes than those of the product");
    if (!dim_equal(s->dims[p.t_axis], s->dims[p.s_axis]))
        return form_end(c, n, outputs, "causal mask over two different lengths");
    if (p.t_axis != t_axis && p.causal)
        return form_end(c, n, outputs, "two causal masks in opposite directions");
    if (p.t_axis != t_axis)
        form_swap_roles(c->to, &p);
    p.causal = true;
    p.exclusive = p.exclusive || n->attributes[causal_mask_exclusive].integer;
    outputs[0] = p;
    return true;
}

/* x · 0 is not 0 if x is NaN, so a mask of the product becomes masks, not factors: one of the features and
 * one of the scales. */
static void mask_factor(form_context *c, value_id *factor, value_id length, dim batch, dim time)
{
    if (*factor != NONE)
        *factor = build_row_mask(c->to, form_extent(c->to, form_extent(c->to, *factor, 0, batch), -2, time),
                                 c->map[length], -2, 0);
}

static bool mask_by_length(form_context *c, const node *n, int axis, double fill, pair_form *outputs)
{
    const pair_form *f = form_pair(c, n->inputs[0]);
    if (!f)
        return form_ends(c, n, outputs);
    if (fill != 0)
        return form_end(c, n, outputs, "%s with fill %s: a separable product is masked with 0",
                        op_table[n->op].signature.name, fill < -1e30 ? "−inf" : "other than 0");
    if ((axis != f->t_axis && axis != f->s_axis) || f->t_axis == 0 || f->s_axis == 0)
        return form_end(c, n, outputs, "%s over other axes than those of the product",
                        op_table[n->op].signature.name);
    const shape *s = graph_shape_of(c->from, n->first_output);
    outputs[0] = *f;
    bool rows = axis == f->t_axis;
    mask_factor(c, rows ? &outputs[0].query : &outputs[0].key, n->inputs[1], s->dims[0], s->dims[axis]);
    mask_factor(c, rows ? &outputs[0].row : &outputs[0].column, n->inputs[1], s->dims[0], s->dims[axis]);
    return form_good(c);
}

bool form_key_mask(form_context *c, const node *n, pair_form *outputs)
{
    return mask_by_length(c, n, c->forms[n->inputs[0]].rank - 1, n->attributes[key_mask_fill].real, outputs);
}

bool form_row_mask(form_context *c, const node *n, pair_form *outputs)
{
    int rank = graph_shape_of(c->from, n->first_output)->rank;
    return mask_by_length(c, n, normal_axis(n->attributes[row_mask_axis].integer, rank),
                          n->attributes[row_mask_fill].real, outputs);
}
