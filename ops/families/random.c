/* Random numbers: each is a function of (site, seed, sentence, t, channel), ops/kernels/dropout_hash.h, so
 * they do not depend on threads, layout, padding or the sentences that share a batch. */
#include "ops/kernels/random_numbers.h"
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"

_Static_assert((int)random_uniform_dims == (int)random_normal_dims &&
                   (int)random_uniform_dims == (int)random_gumbel_dims &&
                   (int)random_uniform_axis == (int)random_normal_axis &&
                   (int)random_uniform_axis == (int)random_gumbel_axis,
               "the three distributions read their attributes alike");

enum { SEED, SENTENCES, OFFSET };

/* ---- infer ---- */

bool infer_random(rondo_graph *g, node *n, value *outputs)
{
    const shape *s = &g->shapes[n->attributes[random_uniform_dims].integer];
    const value *seed = infer_operand(g, n, SEED, RONDO_I32), *offset;
    const value result = {.shape = *s};
    int axis = seed ? infer_axis(g, n, n->attributes[random_uniform_axis].integer, s->rank) : -1;
    if (axis < 0 || !infer_optional(g, n, OFFSET, RONDO_I32, &offset))
        return false;
    if (axis == 0)
        return infer_fail(g, "%s of %s: axis 0 is that of the sentences, it cannot be time too", op_words(n),
                          shape_words(g, s));
    if (seed->shape.rank != 1 || !dim_is_number(seed->shape.dims[0], 2))
        return infer_fail(g, "%s: the seed is %s, it must be [2]", op_words(n), shape_words(g, &seed->shape));
    return infer_per_sentence(g, n, SENTENCES, &result) &&
           (!offset || infer_per_sentence(g, n, OFFSET, &result)) && infer_result(outputs, RONDO_F32, s);
}

/* ---- reference ---- */

typedef double draw_rule(dropout_key row, uint32_t channel);

static double draw_uniform(dropout_key row, uint32_t channel)
{
    return random_unit(dropout_bits(row, channel));
}
static double draw_normal(dropout_key row, uint32_t channel)
{
    return random_normal(random_open(dropout_bits(row, channel)),
                         random_open(dropout_bits(random_second(row), channel)));
}
static double draw_gumbel(dropout_key row, uint32_t channel)
{
    return random_gumbel(random_open(dropout_bits(row, channel)));
}

static bool reference_random(const reference_call *call, draw_rule *draw)
{
    const reference_tensor *y = &call->outputs[0];
    const double *seed = call->inputs[SEED].data, *sentence = call->inputs[SENTENCES].data,
                 *offset = reference_data(call, OFFSET);
    int axis = normal_axis(call->attributes[random_uniform_axis].integer, y->rank);
    int64_t index[MAX_RANK] = {0};
    for (int64_t i = 0; i < y->count; i++, reference_next(index, y->dims, y->rank)) {
        uint64_t key = dropout_sentence(call->attributes[random_uniform_site].integer, (int32_t)seed[0],
                                        (int32_t)seed[1], (int32_t)sentence[index[0]]);
        int64_t t = index[axis] + (offset ? (int64_t)offset[index[0]] : 0);
        y->data[i] = draw(dropout_row(key, t), dropout_channel(y->rank, y->dims, index, axis));
    }
    return true;
}

bool reference_random_uniform(const reference_call *call)
{
    return reference_random(call, draw_uniform);
}
bool reference_random_normal(const reference_call *call)
{
    return reference_random(call, draw_normal);
}
bool reference_random_gumbel(const reference_call *call)
{
    return reference_random(call, draw_gumbel);
}

/* ---- samples ---- */

static value_id sample_random(rondo_graph *g, sampler *s, int index, op_id op)
{
    static const struct {
        int rank;
        int64_t dims[4];
        int64_t site;
        int axis;
        bool offset;
    } cases[] = {
        {3, {1, 1, 1}, 0, -2, false},    {3, {3, 5, 7}, 1, -2, true},    {3, {2, 1, 131}, 4, -2, true},
        {4, {2, 3, 5, 11}, 9, 2, false}, {4, {2, 5, 3, 13}, 2, 1, true}, {2, {3, 17}, 7, 1, true},
        {3, {2, 0, 5}, 1, -2, false},    {3, {2, 67, 66}, 5, -1, false},
    };
    if (index >= (int)(sizeof cases / sizeof *cases))
        return NONE;
    shape dims = {.rank = cases[index].rank};
    for (int i = 0; i < dims.rank; i++)
        dims.dims[i] = dim_number(cases[index].dims[i]);
    value_id inputs[3] = {sample_ids(g, s, 1000000, 1, (int64_t[]){2}), NONE, NONE};
    inputs[SENTENCES] = sample_ids(g, s, 1000000, 1, cases[index].dims);
    if (cases[index].offset)
        inputs[OFFSET] = sample_ids(g, s, 40, 1, cases[index].dims);
    attribute attributes[MAX_ATTRIBUTES] = {0};
    attributes[random_uniform_dims].integer = graph_shape(g, &dims);
    attributes[random_uniform_site].integer = cases[index].site;
    attributes[random_uniform_axis].integer = cases[index].axis;
    return build_node(g, op, 3, inputs, attributes);
}

value_id samples_random_uniform(rondo_graph *g, sampler *s, int index)
{
    return sample_random(g, s, index, OP_random_uniform);
}
value_id samples_random_normal(rondo_graph *g, sampler *s, int index)
{
    return sample_random(g, s, index, OP_random_normal);
}
value_id samples_random_gumbel(rondo_graph *g, sampler *s, int index)
{
    return sample_random(g, s, index, OP_random_gumbel);
}
