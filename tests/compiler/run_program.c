/* tests/compiler/run_program.h. */
#include "tests/compiler/run_program.h"
#include "core/random.h"
#include "ops/interpret.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t elements_of(const rondo_graph *g, value_id v, const int64_t *bound)
{
    dim all;
    return shape_elements(graph_shape_of(g, v), &all) ? dim_value(all, bound) : -1;
}

/* f32 in [−1, 1), or ids in [0, 5). */
static double number_of(const rondo_graph *g, const node *n, int64_t index)
{
    uint32_t bits[4];
    random_block(1, 0, random_key(g->names[n->attributes[0].integer]), (uint32_t)index, 0, bits);
    if (g->values[n->first_output].type == RONDO_I32)
        return (double)(bits[0] % 5);
    return (double)(float)(2 * random_uniform(bits[0]) - 1);
}

static void put(program_outputs *out, const char *name, int64_t elements)
{
    snprintf(out->items[out->count].name, sizeof out->items->name, "%s", name);
    out->items[out->count].elements = elements;
    out->items[out->count++].data = calloc((size_t)elements + 1, sizeof(float));
}

static void *fill_leaf(const rondo_graph *g, const node *n, const int64_t *bound)
{
    int64_t count = elements_of(g, n->first_output, bound);
    char *data = calloc((size_t)count + 1, 4);
    for (int64_t i = 0; i < count; i++) {
        double number = number_of(g, n, i);
        float real = (float)number;
        int32_t whole = (int32_t)number;
        memcpy(data + 4 * i, g->values[n->first_output].type == RONDO_I32 ? (void *)&whole : (void *)&real,
               4);
    }
    return data;
}

typedef struct port_buffers {
    void *data, *other;
} port_buffers;

static void read_back(const instance *i, const int64_t *bound, const port_buffers *ports,
                      program_outputs *out)
{
    const rondo_graph *g = i->program->graph;
    for (int o = 0; o < g->output_count; o++) {
        tensor t = instance_tensor(i, g->outputs[o].value);
        put(out, g->names[g->outputs[o].name], elements_of(g, g->outputs[o].value, bound));
        memcpy(out->items[out->count - 1].data, t.data,
               sizeof(float) * (size_t)out->items[out->count - 1].elements);
    }
    for (int p = 0; p < g->port_count; p++) {
        put(out, g->names[g->ports[p].name], elements_of(g, g->ports[p].in, bound));
        memcpy(out->items[out->count - 1].data, ports[p].data,
               sizeof(float) * (size_t)out->items[out->count - 1].elements);
    }
}

bool run_program(const rondo_graph *g, const program_options *options, const int64_t *bound, int times,
                 int threads, program_outputs *out, rondo_error *error)
{
    instance i = {0};
    *out = (program_outputs){0};
    program *p = program_new(graph_clean(g, NULL, error), options, error);
    team *t = p && instance_begin(&i, p, error) ? team_new(&p->context->allocator, threads, error) : NULL;
    if (!t)
        return false;
    g = p->graph;
    void **leaves = calloc((size_t)g->node_count + 1, sizeof *leaves);
    port_buffers *ports = calloc((size_t)g->port_count + 1, sizeof *ports);
    for (node_id id = 0; id < g->node_count; id++)
        if (op_table[g->nodes[id].op].flags & OP_LEAF)
            instance_bind(&i, g->nodes[id].first_output, leaves[id] = fill_leaf(g, &g->nodes[id], bound));
    for (int k = 0; k < g->port_count; k++)
        ports[k] = (port_buffers){leaves[g->values[g->ports[k].in].node],
                                  calloc((size_t)elements_of(g, g->ports[k].in, bound) + 1, 4)};
    bool good = true;
    for (int run = 0; run < times && good; run++) {
        for (int k = 0; k < g->port_count; k++) {
            instance_bind(&i, g->ports[k].in, ports[k].data);
            instance_bind(&i, g->ports[k].out, p->in_place[k] ? ports[k].data : ports[k].other);
        }
        good = instance_run(&i, t, bound, error);
        for (int k = 0; k < g->port_count && good; k++)
            if (!p->in_place[k])
                ports[k] = (port_buffers){ports[k].other, ports[k].data};
    }
    if (good)
        read_back(&i, bound, ports, out);
    for (int k = 0; k < g->port_count; k++) {
        leaves[g->values[g->ports[k].in].node] = ports[k].data;
        free(ports[k].other);
    }
    for (node_id id = 0; id < g->node_count; id++)
        free(leaves[id]);
    free(leaves);
    free(ports);
    team_free(t);
    instance_end(&i);
    program_free(p);
    return good;
}

static double *leaf_numbers(const rondo_graph *g, const node *n, const int64_t *bound)
{
    int64_t count = elements_of(g, n->first_output, bound);
    double *data = calloc((size_t)count + 1, sizeof *data);
    for (int64_t i = 0; i < count; i++)
        data[i] = number_of(g, n, i);
    return data;
}

static void copy_out(program_outputs *out, const char *name, const reference_tensor *t)
{
    put(out, name, t->count);
    for (int64_t i = 0; i < t->count; i++)
        out->items[out->count - 1].data[i] = (float)t->data[i];
}

bool run_interpreter(const rondo_graph *g, const int64_t *bound, int times, program_outputs *out,
                     rondo_error *error)
{
    interpret_binding *bindings = calloc((size_t)g->node_count + 1, sizeof *bindings);
    double **leaves = calloc((size_t)g->node_count + 1, sizeof *leaves);
    bool good = true;
    int count = 0;
    *out = (program_outputs){0};
    for (node_id id = 0; id < g->node_count; id++)
        if (op_table[g->nodes[id].op].flags & OP_LEAF) {
            leaves[id] = leaf_numbers(g, &g->nodes[id], bound);
            bindings[count++] = (interpret_binding){g->nodes[id].first_output, leaves[id]};
        }
    for (int run = 0; run < times && good; run++) {
        interpretation result;
        good = interpret(g, bound, bindings, count, &result, error);
        for (int o = 0; o < g->output_count && good && run + 1 == times; o++)
            copy_out(out, g->names[g->outputs[o].name], &result.values[g->outputs[o].value]);
        for (int p = 0; p < g->port_count && good; p++) {
            const reference_tensor *t = &result.values[g->ports[p].out];
            memcpy(leaves[g->values[g->ports[p].in].node], t->data, sizeof(double) * (size_t)t->count);
            if (run + 1 == times)
                copy_out(out, g->names[g->ports[p].name], t);
        }
        if (good)
            interpret_end(&result);
    }
    for (node_id id = 0; id < g->node_count; id++)
        free(leaves[id]);
    free(leaves);
    free(bindings);
    return good;
}

void outputs_free(program_outputs *o)
{
    for (int i = 0; i < o->count; i++)
        free(o->items[i].data);
    o->count = 0;
}

bool outputs_same(const program_outputs *a, const program_outputs *b, const char **where)
{
    *where = "";
    for (int i = 0; i < a->count; i++) {
        *where = a->items[i].name;
        if (a->count != b->count || a->items[i].elements != b->items[i].elements ||
            memcmp(a->items[i].data, b->items[i].data, sizeof(float) * (size_t)a->items[i].elements))
            return false;
    }
    return true;
}

double outputs_difference(const program_outputs *a, const program_outputs *b, const char **where)
{
    double most = 0;
    *where = "";
    for (int i = 0; i < a->count; i++) {
        double squares = 0, differences = 0, largest = 0;
        if (a->count != b->count || a->items[i].elements != b->items[i].elements)
            return INFINITY;
        for (int64_t k = 0; k < a->items[i].elements; k++) {
            double x = a->items[i].data[k], y = b->items[i].data[k], d = fabs(x - y);
            if (x == y)
                d = 0;
            if (!isfinite(d))
                d = INFINITY;
            squares += isfinite(y) ? y * y : 0;
            differences += d * d;
            largest = fmax(largest, d);
        }
        double n = (double)a->items[i].elements,
               rms = fmax(sqrt(squares / n), 0.1); /* operands are near 1: less is cancellation */
        double now = largest == 0 ? 0 : fmax(sqrt(differences / n), largest / 10) / rms;
        if (now > most) {
            most = now;
            *where = a->items[i].name;
        }
    }
    return most;
}
