/* tests/models/double_model.h. */
#include "tests/models/double_model.h"
#include "core/random.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const sizes primes = {3, 5, 7, 2, 22, 13, 17, 19}, fours = {4, 4, 4, 4, 16, 4, 4, 8},
            ones = {1, 1, 1, 1, 2, 1, 4, 2};

transformer transformer_of(const sizes *n, const char *encoder, const char *decoder, const char *cross,
                           bool post_norm)
{
    return (transformer){.language_model = !encoder,
                         .vocabulary = n->vocabulary,
                         .dim = n->dim,
                         .ffn = n->ffn,
                         .heads = n->heads,
                         .encoder_layers = 1,
                         .decoder_layers = n->dim > 16 ? 1 : 2,
                         .post_norm = post_norm,
                         .encoder_self = encoder,
                         .decoder_self = decoder,
                         .cross = cross};
}

void double_bound(const double_model *m, const rondo_graph *g, int64_t step, int64_t *bound)
{
    const struct {
        const char *name;
        int64_t number;
    } known[] = {{"B", m->n.batch},
                 {"T", m->n.time},
                 {"S", m->n.source},
                 {STEP_SYMBOL, step},
                 {CAPACITY_SYMBOL, m->n.capacity}};
    for (int s = 0; s < MAX_SYMBOLS; s++)
        bound[s] = 0;
    for (int s = 0; s < g->symbol_count; s++)
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            if (!strcmp(g->symbols[s], known[k].name))
                bound[s] = known[k].number;
}

static double unit(const char *name, int64_t index)
{
    uint32_t bits[4];
    random_block(5, 0, random_key(name), (uint32_t)index, 0, bits);
    return random_uniform(bits[0]);
}

/* Weights of a scale that keeps activations near 1, gains around 1, lengths from 1 to S. */
const double *double_leaf(double_model *m, const rondo_graph *g, const node *leaf, const int64_t *bound)
{
    const char *name = g->names[leaf->attributes[input_name].integer];
    const value *v = &g->values[leaf->first_output];
    dim elements;
    if (leaf->op == OP_state)
        return NULL;
    if (!strcmp(name, "target_in") && m->tokens)
        return m->tokens;
    shape_elements(&v->shape, &elements);
    int64_t count = dim_value(elements, bound),
            width = v->shape.rank ? dim_value(v->shape.dims[v->shape.rank - 1], bound) : 1;
    double *data = ARENA_NEW(&m->numbers, double, count + 1);
    for (int64_t i = 0; i < count; i++) {
        double u = unit(name, i);
        if (!strcmp(name, "source_length"))
            data[i] = i == 0 ? (double)m->n.source : 1 + floor(u * (double)m->n.source);
        else if (v->type == RONDO_I32)
            data[i] = floor(u * (double)m->n.vocabulary);
        else if (v->shape.rank == 1)
            data[i] = (strstr(name, "norm") && strstr(name, "weight") ? 1 : 0) + 0.6 * (u - 0.5);
        else
            data[i] = (2 * u - 1) * 1.5 / sqrt((double)width);
    }
    return data;
}

static bool run_graph(double_model *m, const rondo_graph *g, const double_state *s, int64_t step,
                      const double *tokens, const double *count, interpretation *out, rondo_error *error)
{
    int64_t bound[MAX_SYMBOLS];
    interpret_binding *bindings = malloc(sizeof *bindings * (size_t)(g->node_count + 1));
    int used = 0;
    double_bound(m, g, step, bound);
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        if (!(op_table[n->op].flags & OP_LEAF))
            continue;
        const char *name = g->names[n->attributes[input_name].integer];
        const double *data = NULL;
        for (int p = 0; n->op == OP_state && s && p < s->count; p++)
            data = !strcmp(s->ports[p].name, name) ? s->ports[p].data : data;
        if (n->op == OP_input && !strcmp(name, "count"))
            data = count;
        else if (n->op == OP_input && tokens && !strcmp(name, "target_in"))
            data = tokens;
        else if (n->op != OP_state)
            data = double_leaf(m, g, n, bound);
        if (data)
            bindings[used++] = (interpret_binding){n->first_output, data};
    }
    bool good = interpret(g, bound, bindings, used, out, error);
    free(bindings);
    return good;
}

double_model double_model_new(transformer shape, const sizes *n, uint64_t seed)
{
    rondo_error error = {0};
    double_model m = {.context = rondo_new(1), .shape = shape, .n = *n};
    arena_begin(&m.numbers, NULL);
    cr_assert(transformer_build(m.context, &shape, &m.built, &error), "%s", error.message);
    m.tokens = ARENA_NEW(&m.numbers, double, n->batch * n->time + 1);
    for (int64_t i = 0; i < n->batch * n->time; i++)
        m.tokens[i] = floor(unit("tokens", i + (int64_t)seed * 1000) * (double)n->vocabulary);
    static const char *const name = "logits";
    rondo_graph *g = extract(m.built.graph, &m.built.logits.id, &name, 1, true, NULL, &error);
    interpretation result;
    cr_assert(g && run_graph(&m, g, NULL, 0, NULL, NULL, &result, &error), "%s", error.message);
    const reference_tensor *logits = &result.values[g->outputs[0].value];
    m.logits = ARENA_NEW(&m.numbers, double, logits->count + 1);
    memcpy(m.logits, logits->data, sizeof(double) * (size_t)logits->count);
    interpret_end(&result);
    graph_free(g);
    return m;
}

void double_model_free(double_model *m)
{
    arena_end(&m->numbers);
    rondo_graph_free(m->built.graph);
    rondo_free(m->context);
}

/* ---- state ---- */

static void state_set(double_state *s, const char *name, const reference_tensor *t, port_kind kind, int axis)
{
    int p = 0;
    while (p < s->count && strcmp(s->ports[p].name, name))
        p++;
    cr_assert_lt(p, MOST_PORTS);
    if (p == s->count) {
        s->count++;
        snprintf(s->ports[p].name, sizeof s->ports[p].name, "%s", name);
        s->ports[p].data = NULL;
    }
    free(s->ports[p].data);
    s->ports[p].data = malloc(sizeof(double) * (size_t)(t->count + 1));
    memcpy(s->ports[p].data, t->data, sizeof(double) * (size_t)t->count);
    s->ports[p].elements = t->count;
    s->ports[p].kind = kind;
    s->ports[p].axis = axis;
}

void state_free(double_state *s)
{
    for (int p = 0; p < s->count; p++)
        free(s->ports[p].data);
    s->count = 0;
}

double *double_advance(double_model *m, const rondo_graph *advance, double_state *s, int64_t step,
                       const double *tokens, const double *count, int64_t *elements)
{
    interpretation result;
    rondo_error error = {0};
    cr_assert(run_graph(m, advance, s, step, tokens, count, &result, &error), "%s", error.message);
    for (int p = 0; p < advance->port_count; p++) {
        const port *port = &advance->ports[p];
        if (port->out != NONE)
            state_set(s, advance->names[port->name], &result.values[port->out], port->kind,
                      port->append_axis);
    }
    const reference_tensor *logits = &result.values[graph_find_output(advance, "logits")];
    double *out = malloc(sizeof(double) * (size_t)(logits->count + 1));
    memcpy(out, logits->data, sizeof(double) * (size_t)logits->count);
    *elements = logits->count;
    interpret_end(&result);
    return out;
}

void double_stage(double_model *m, const rondo_graph *stage, double_state *s)
{
    interpretation result;
    rondo_error error = {0};
    if (!stage)
        return;
    cr_assert(run_graph(m, stage, s, 0, NULL, NULL, &result, &error), "%s", error.message);
    for (int o = 0; o < stage->output_count; o++)
        state_set(s, stage->names[stage->outputs[o].name], &result.values[stage->outputs[o].value],
                  PORT_FIXED, -1);
    interpret_end(&result);
}

/* ---- comparing ---- */

double double_difference(const double *a, const double *b, int64_t count)
{
    double squares = 0, differences = 0, largest = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = fabs(a[i] - b[i]);
        if (!isfinite(a[i]) || !isfinite(b[i]))
            return INFINITY;
        squares += b[i] * b[i];
        differences += d * d;
        largest = fmax(largest, d);
    }
    double rms = sqrt(squares / (double)(count ? count : 1));
    return largest == 0 ? 0 : fmax(sqrt(differences / (double)count), largest / 10) / rms;
}

double state_difference(const double_state *a, const double_state *b, const double_model *m, int64_t filled)
{
    double most = 0;
    for (int p = 0; p < a->count; p++) {
        int q = 0;
        while (q < b->count && strcmp(a->ports[p].name, b->ports[q].name))
            q++;
        if (q == b->count || a->ports[p].elements != b->ports[q].elements)
            return INFINITY;
        if (a->ports[p].kind != PORT_APPEND) {
            most = fmax(most, double_difference(a->ports[p].data, b->ports[q].data, a->ports[p].elements));
            continue;
        }
        /* caches are [B, H, C, D] or [B, C, …]: the elements of a row after the capacity axis */
        int64_t outer = m->n.batch * (a->ports[p].axis == 2 ? m->n.heads : 1),
                row = a->ports[p].elements / outer / m->n.capacity;
        cr_assert_eq(a->ports[p].elements, outer * m->n.capacity * row);
        for (int64_t o = 0; o < outer; o++)
            most = fmax(most, double_difference(a->ports[p].data + o * m->n.capacity * row,
                                                b->ports[q].data + o * m->n.capacity * row, filled * row));
    }
    return most;
}
