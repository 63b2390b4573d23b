/* What sample rules share: a small random generator, and leaves with the range of their numbers. */
#include "ops/build.h"
#include <stdio.h>

/* Steele, Lea & Flood's SplitMix64. */
static uint64_t sample_bits(sampler *s)
{
    uint64_t z = s->state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

int64_t sample_between(sampler *s, int64_t low, int64_t high)
{
    return low + (int64_t)(sample_bits(s) % (uint64_t)(high - low + 1));
}

static value_id sample_leaf(rondo_graph *g, sampler *s, rondo_type type, int rank, const int64_t *dims)
{
    char name[16];
    shape extents = {.rank = rank};
    for (int i = 0; i < rank; i++)
        extents.dims[i] = dim_number(dims[i]);
    snprintf(name, sizeof name, "x%d", s->input_count - 1);
    return build_leaf(g, OP_input, name, type, &extents);
}

/* A sample with more leaves than a node can have operands is a mistake in the sample rule. */
static bool sample_domain(rondo_graph *g, sampler *s, double low, double high, bool integer)
{
    if (s->input_count == MAX_INPUTS)
        return graph_refuse(g, RONDO_ARGUMENT, "a sample has at most %d inputs", MAX_INPUTS);
    s->inputs[s->input_count].low = low;
    s->inputs[s->input_count].high = high;
    s->inputs[s->input_count++].integer = integer;
    return true;
}

value_id sample_input(rondo_graph *g, sampler *s, double low, double high, int rank, const int64_t *dims)
{
    return sample_domain(g, s, low, high, false) ? sample_leaf(g, s, RONDO_F32, rank, dims) : NONE;
}

value_id sample_ids(rondo_graph *g, sampler *s, int64_t limit, int rank, const int64_t *dims)
{
    return sample_domain(g, s, 0, (double)limit, true) ? sample_leaf(g, s, RONDO_I32, rank, dims) : NONE;
}
