/* The one builder: checks a node, infers its types, and reuses an equal node if there is one. Then ports,
 * outputs and lookup by name. */
#include "core/body.h"
#include <math.h>
#include <string.h>

/* ---- checks that hold for every op ---- */

static bool check_inputs(rondo_graph *g, const op_signature *op, const value_id *inputs, int count)
{
    if (count < op->min_inputs || count > op->max_inputs) {
        if (op->min_inputs == op->max_inputs)
            return graph_refuse(g, RONDO_ARGUMENT, "%s takes %d operand%s, not %d", op->name, op->min_inputs,
                                op->min_inputs == 1 ? "" : "s", count);
        return graph_refuse(g, RONDO_ARGUMENT, "%s takes %d to %d operands, not %d", op->name, op->min_inputs,
                            op->max_inputs, count);
    }
    for (int i = 0; i < count; i++) {
        if (inputs[i] < NONE || inputs[i] >= g->value_count)
            return graph_refuse(g, RONDO_ARGUMENT, "operand %d of %s is not a value of this graph", i + 1,
                                op->name);
        if (inputs[i] == NONE && i < op->min_inputs)
            return graph_refuse(g, RONDO_ARGUMENT, "operand %d of %s is required, but absent", i + 1,
                                op->name);
    }
    return true;
}

/* Whether order is packed as ATTRIBUTE_ORDER says: at most MAX_RANK axes of four bits each, all other bits 0.
 */
static bool is_order(int64_t order)
{
    uint64_t bits = (uint64_t)order;
    int count = (int)(bits >> 60);
    if (count > MAX_RANK)
        return false;
    for (int i = 0; i < 15; i++) {
        int axis = (int)(bits >> (4 * i) & 15);
        if (i < count ? axis >= count : axis != 0)
            return false;
    }
    return true;
}

static bool attribute_fits(const rondo_graph *g, attribute_kind kind, attribute a)
{
    switch (kind) {
    case ATTRIBUTE_FLAG:
        return a.integer == 0 || a.integer == 1;
    case ATTRIBUTE_DIMS:
        return a.integer >= 0 && a.integer < g->shape_count;
    case ATTRIBUTE_NAME:
        return a.integer >= 0 && a.integer < g->name_count;
    case ATTRIBUTE_BODY:
        return graph_body_named(g, a.integer);
    case ATTRIBUTE_ORDER:
        return is_order(a.integer);
    case ATTRIBUTE_TYPE:
        return a.integer >= RONDO_F32 && a.integer <= RONDO_I32;
    case ATTRIBUTE_INTEGER:
    case ATTRIBUTE_REAL:
    case ATTRIBUTE_END:
        break;
    }
    return true;
}

/* Copies the given attributes, or the initial values if none are given; the rest of out stays zero, so that
 * nodes compare as bytes. */
static bool take_attributes(rondo_graph *g, const op_signature *op, const attribute *given, attribute *out)
{
    const attribute_field *f = op->fields;
    for (int i = 0; f && f[i].kind != ATTRIBUTE_END; i++) {
        if (i == MAX_ATTRIBUTES)
            return graph_refuse(g, RONDO_ARGUMENT, "%s has more than %d attributes", op->name,
                                MAX_ATTRIBUTES);
        if (!given && isnan(f[i].initial))
            return graph_refuse(g, RONDO_ARGUMENT, "%s needs its attribute %s", op->name, f[i].name);
        if (given)
            out[i] = given[i];
        else if (f[i].kind == ATTRIBUTE_REAL)
            out[i].real = f[i].initial;
        else
            out[i].integer = (int64_t)f[i].initial;
        if (!attribute_fits(g, f[i].kind, out[i]))
            return graph_refuse(g, RONDO_ARGUMENT, "attribute %s of %s has an invalid value", f[i].name,
                                op->name);
    }
    return true;
}

/* Checks what infer returned, since everything later relies on it. */
static bool check_outputs(rondo_graph *g, const op_signature *op, const node *n, const value *outputs)
{
    if (n->output_count < 1 || n->output_count > MAX_OUTPUTS)
        return graph_refuse(g, RONDO_ARGUMENT, "%s has %d results", op->name, n->output_count);
    for (int p = 0; p < n->output_count; p++) {
        const shape *s = &outputs[p].shape;
        bool good = outputs[p].type >= RONDO_F32 && outputs[p].type <= RONDO_I32 && s->rank >= 0 &&
                    s->rank <= MAX_RANK;
        for (int i = 0; good && i < s->rank; i++)
            good = s->dims[i].factor >= 0;
        if (!good)
            return graph_refuse(g, RONDO_SHAPE, "the result of %s has too many elements", op->name);
    }
    return true;
}

/* ---- hash-consing ---- */

static uint64_t mix(uint64_t hash, uint64_t bits)
{
    hash = (hash ^ bits) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static bool nodes_equal(const node *a, const node *b)
{
    return a->op == b->op && a->input_count == b->input_count &&
           !memcmp(a->inputs, b->inputs, sizeof *a->inputs * (size_t)a->input_count) &&
           !memcmp(a->attributes, b->attributes, sizeof a->attributes);
}

/* The bucket of an equal node, or the free one where n belongs; NULL: the table is full. */
static int32_t *node_bucket(const rondo_graph *g, const node *n)
{
    uint64_t at = mix((uint64_t)n->op, (uint64_t)n->input_count);
    for (int i = 0; i < n->input_count; i++)
        at = mix(at, (uint64_t)n->inputs[i]);
    for (int i = 0; i < MAX_ATTRIBUTES; i++)
        at = mix(at, (uint64_t)n->attributes[i].integer);
    for (int tries = 0; tries < g->bucket_count; tries++, at++) {
        int32_t *bucket = &g->buckets[at & (uint64_t)(g->bucket_count - 1)];
        if (*bucket < 0 || (*bucket < g->node_count && nodes_equal(&g->nodes[*bucket], n)))
            return bucket;
    }
    return NULL;
}

static bool buckets_room(rondo_graph *g)
{
    if (g->node_count < g->bucket_count / 2)
        return true;
    if (!graph_grow_buckets(g, &g->buckets, &g->bucket_count))
        return false;
    for (node_id id = 0; id < g->node_count; id++)
        if (graph_signature(g, g->nodes[id].op)->pure)
            *node_bucket(g, &g->nodes[id]) = id;
    return true;
}

/* ---- the builder ---- */

/* As arena_grow, for tables that have an element of index NONE. */
static bool grow_with_none(arena *a, void **items, size_t element_bytes, int count, int *capacity)
{
    int larger = *capacity ? *capacity * 2 : 8;
    char *grown = *capacity <= INT32_MAX / 4 ? arena_array(a, element_bytes, (size_t)larger + 1) : NULL;
    if (!grown)
        return false;
    if (*items)
        memcpy(grown, (char *)*items - element_bytes, element_bytes * ((size_t)count + 1));
    *items = grown + element_bytes;
    *capacity = larger;
    return true;
}

static bool nodes_room(rondo_graph *g)
{
    return g->node_count < g->node_capacity ||
           grow_with_none(&g->arena, (void **)&g->nodes, sizeof *g->nodes, g->node_count, &g->node_capacity);
}

static bool values_room(rondo_graph *g, int count)
{
    while (g->value_count > g->value_capacity - count)
        if (!grow_with_none(&g->arena, (void **)&g->values, sizeof *g->values, g->value_count,
                            &g->value_capacity))
            return false;
    return true;
}

bool graph_begin_tables(rondo_graph *g)
{
    value_id *inputs = ARENA_NEW(&g->arena, value_id, MAX_INPUTS);
    if (!inputs || !nodes_room(g) || !values_room(g, 1))
        return false;
    value none = {.node = NONE, .type = RONDO_F32, .shape = {.rank = MAX_RANK / 2}};
    for (int a = 0; a < MAX_RANK; a++)
        none.shape.dims[a] = dim_number(1);
    for (int i = 0; i < MAX_INPUTS; i++)
        inputs[i] = NONE;
    g->nodes[NONE] = (node){.inputs = inputs, .output_count = 1, .first_output = NONE};
    g->values[NONE] = none;
    return true;
}

/* Puts the checked node n and its outputs into the tables. */
static value_id store(rondo_graph *g, const op_signature *op, const node *n, const value *outputs)
{
    int slots = op->max_inputs > n->input_count ? op->max_inputs : n->input_count;
    value_id *inputs = ARENA_NEW(&g->arena, value_id, slots);
    if (!inputs || !nodes_room(g) || !values_room(g, n->output_count) || !buckets_room(g))
        return graph_fail(g, RONDO_MEMORY, "out of memory for a node");
    for (int i = 0; i < slots; i++)
        inputs[i] = i < n->input_count ? n->inputs[i] : NONE;
    node_id id = g->node_count++;
    node *stored = &g->nodes[id];
    *stored = *n;
    stored->inputs = inputs;
    stored->first_output = g->value_count;
    for (int p = 0; p < n->output_count; p++) {
        value *v = &g->values[g->value_count++];
        *v = outputs[p];
        v->node = id;
        v->port = p;
        v->name = 0;
    }
    int32_t *bucket = op->pure ? node_bucket(g, stored) : NULL;
    if (bucket && *bucket < 0)
        *bucket = id;
    return stored->first_output;
}

value_id graph_add(rondo_graph *g, int op, const value_id *inputs, int input_count,
                   const attribute *attributes)
{
    if (!g || !graph_good(g))
        return NONE;
    const op_signature *signature = graph_signature(g, op);
    if (!signature)
        return graph_fail(g, RONDO_ARGUMENT, "there is no op with the number %d", op);
    node n = {.op = op,
              .output_count = signature->output_count,
              .first_output = g->value_count,
              .scope = g->scope,
              .line = g->line};
    if (!check_inputs(g, signature, inputs, input_count) ||
        !take_attributes(g, signature, attributes, n.attributes))
        return NONE;
    while (input_count > signature->min_inputs && inputs[input_count - 1] == NONE)
        input_count--;
    value_id operands[MAX_INPUTS];
    for (int i = 0; i < MAX_INPUTS; i++)
        operands[i] = i < input_count ? inputs[i] : NONE;
    n.inputs = operands;
    n.input_count = input_count;
    value outputs[MAX_OUTPUTS];
    memset(outputs, 0, sizeof outputs);
    if (!signature->infer(g, &n, outputs))
        return graph_fail(g, RONDO_SHAPE, "%s: the operands do not fit",
                          signature->name); /* if infer did not say */
    if (!check_outputs(g, signature, &n, outputs))
        return NONE;
    int32_t *equal = signature->pure ? node_bucket(g, &n) : NULL;
    if (equal && *equal >= 0)
        return g->nodes[*equal].first_output;
    const rondo_graph *body = graph_body_of(g, &n);
    if (body && g->repeats + 1 + body->repeats > MAX_REPEATS)
        return graph_fail(g, RONDO_ARGUMENT,
                          "loops in loops: their bodies would be run in more than %d places", MAX_REPEATS);
    g->repeats += body ? 1 + body->repeats : 0;
    n.file = g->file ? graph_intern(g, g->file) : NULL; /* a copy: the caller's text may be temporary */
    return graph_good(g) ? store(g, signature, &n, outputs) : NONE;
}

/* ---- ports, outputs, initial values ---- */

static bool is_value(const rondo_graph *g, value_id v)
{
    return v >= 0 && v < g->value_count;
}

static bool check_port(rondo_graph *g, const port *p)
{
    const char *name = g->names[p->name];
    bool fixed = p->kind == PORT_FIXED;
    if (!is_value(g, p->in) || (p->out != NONE && (fixed || !is_value(g, p->out))))
        return graph_refuse(g, RONDO_ARGUMENT, "port %.80s: `in` or `out` is not a value of this graph",
                            name);
    int rank = g->values[p->in].shape.rank;
    if (p->batch_axis < -1 || p->batch_axis >= rank ||
        (p->kind == PORT_APPEND && (p->append_axis < 0 || p->append_axis >= rank)))
        return graph_refuse(g, RONDO_ARGUMENT, "port %.80s: an axis is outside its %d dims", name, rank);
    if (p->out == NONE)
        return true;
    const value *in = &g->values[p->in], *out = &g->values[p->out];
    if (in->type != out->type || !shape_equal(&in->shape, &out->shape))
        return graph_refuse(g, RONDO_SHAPE, "port %.80s: `in` and `out` have different types", name);
    return true;
}

int graph_add_port(rondo_graph *g, const char *name, value_id in, value_id out, port_kind kind,
                   int batch_axis, int append_axis, double initial)
{
    if (!g || !graph_good(g))
        return NONE;
    port p = {
        graph_name(g, name), in, out, kind, batch_axis, kind == PORT_APPEND ? append_axis : -1, initial};
    if (graph_good(g) && !p.name)
        return graph_fail(g, RONDO_ARGUMENT, "a port needs a name");
    for (int i = 0; i < g->port_count; i++)
        if (g->ports[i].name == p.name)
            return graph_fail(g, RONDO_ARGUMENT, "there are two ports with the name %.80s", name);
    if (!graph_good(g) || !check_port(g, &p))
        return NONE;
    if (g->port_count == MAX_PORTS)
        return graph_fail(g, RONDO_ARGUMENT, "a graph has at most %d ports", MAX_PORTS);
    if (!ARENA_PUSH(&g->arena, g->ports, g->port_count, g->port_capacity))
        return graph_fail(g, RONDO_MEMORY, "out of memory for a port");
    g->ports[g->port_count] = p;
    return g->port_count++;
}

bool graph_add_output(rondo_graph *g, const char *name, value_id v)
{
    if (!g || !graph_good(g))
        return false;
    int index = graph_name(g, name);
    if (!graph_good(g))
        return false;
    if (!index || !is_value(g, v))
        return graph_refuse(g, RONDO_ARGUMENT, "output %.80s: %s", name ? name : "",
                            index ? "it is not a value of this graph" : "it needs a name");
    for (int i = 0; i < g->output_count; i++)
        if (g->outputs[i].name == index)
            return g->outputs[i].value == v ||
                   graph_refuse(g, RONDO_ARGUMENT, "two outputs have the name %.80s", name);
    if (g->output_count == MAX_NAMED_OUTPUTS)
        return graph_refuse(g, RONDO_ARGUMENT, "a graph has at most %d outputs", MAX_NAMED_OUTPUTS);
    if (!ARENA_PUSH(&g->arena, g->outputs, g->output_count, g->output_capacity))
        return graph_refuse(g, RONDO_MEMORY, "out of memory for an output");
    g->outputs[g->output_count++] = (output){index, v};
    return true;
}

int graph_add_initial(rondo_graph *g, value_id v, rondo_initial kind, double scale)
{
    if (!g || !graph_good(g))
        return NONE;
    if (!is_value(g, v) || kind < RONDO_XAVIER || kind > RONDO_ORTHOGONAL)
        return graph_fail(
            g, RONDO_ARGUMENT,
            "an initial value of an unknown kind, or of something that is not a value of this graph");
    int at = 0;
    while (at < g->initial_count && g->initials[at].value != v)
        at++;
    if (at == MAX_INITIALS)
        return graph_fail(g, RONDO_ARGUMENT, "a graph has at most %d initial values", MAX_INITIALS);
    if (at == g->initial_count) {
        if (!ARENA_PUSH(&g->arena, g->initials, g->initial_count, g->initial_capacity))
            return graph_fail(g, RONDO_MEMORY, "out of memory for an initial value");
        g->initial_count++;
    }
    g->initials[at].value = v;
    g->initials[at].initial = (parameter_initial){kind, scale};
    return at;
}

/* ---- by name ---- */

value_id graph_find_output(const rondo_graph *g, const char *name)
{
    for (int i = 0; i < g->output_count; i++)
        if (!strcmp(g->names[g->outputs[i].name], name))
            return g->outputs[i].value;
    return NONE;
}

value_id graph_find_leaf(const rondo_graph *g, int op, const char *name)
{
    const op_signature *signature = graph_signature(g, op);
    int field = 0;
    while (signature && signature->fields[field].kind != ATTRIBUTE_END &&
           signature->fields[field].kind != ATTRIBUTE_NAME)
        field++;
    if (!signature || signature->fields[field].kind == ATTRIBUTE_END)
        return NONE;
    for (node_id id = 0; id < g->node_count; id++)
        if (g->nodes[id].op == op && !strcmp(g->names[g->nodes[id].attributes[field].integer], name))
            return g->nodes[id].first_output;
    return NONE;
}
