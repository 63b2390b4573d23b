/* staged_verify: proves that the stages of a decoder, load → source → step, fit together, so that a session
 * can run them without further checks. A file is hostile until this has passed; the compiler's own output
 * goes through it too.
 *
 *   In each graph
 *     1  every state node has a port, of its own name
 *     2  an `out` belongs to one port, and an op computes it, or it is the port's own `in`
 *     3  inputs have different names
 *     4  every symbol has a value when the stage runs: none at load; at the source, those that stand alone on
 *        an axis of an input, and the batch; in the step graph, those of the source, and B, P and C
 *   The step graph
 *     5  takes the inputs count, i32[B], and one more, the tokens, i32[B,P]; its output logits is f32[B,1,V],
 *        where V is a number
 *     6  B stands alone on the batch axis of a port and C alone on its append axis; neither stands anywhere
 *        else in it, and P nowhere
 *     7  a port that is not f32 begins with 0
 *   Between them
 *     8  load reads parameters only, and the source keeps nothing: its ports are fixed
 *     9  each fixed port is an output of exactly one earlier stage (the source takes from load alone), with
 *        its name, type and dims, where symbols are equal by name
 *    10  each output of load and source is taken by a later stage
 *
 * graph_add_port has checked that ports have different names, that fixed ones have no `out`, and that `in`
 * and `out` have one type. So every buffer of a session has the size that all its readers and writers
 * expect. Which ports are updated in place is not in the file: schedule_ports decides it from the graph. */
#include "models/decode/staged.h"
#include "models/decode/binding.h"
#include "ops/op.h"
#include <stdlib.h>
#include <string.h>

typedef struct handed_on { /* an output of load or source */
    const char *name;
    value_id value;
    bool taken;
} handed_on;

typedef struct stage {
    const char *name;
    const rondo_graph *graph; /* NULL: nothing to do */
    handed_on *outputs;       /* sorted by name; of load and source */
} stage;

typedef struct contract {
    stage load, source, step;
    arena *scratch;
    roles *out;
    rondo_error *error;
} contract;

static const char *port_name(const stage *s, int p)
{
    return s->graph->names[s->graph->ports[p].name];
}

/* "f32[B,4]"; NULL: out of memory. */
static const char *type_text(const contract *c, const rondo_graph *g, value_id v)
{
    text t = {.arena = c->scratch};
    text_add(&t, "%s", type_name(g->values[v].type));
    shape_text(&t, g, graph_shape_of(g, v));
    return text_done(&t);
}

static bool fail_port(const contract *c, const stage *s, int p, const char *why)
{
    return fail(c->error, RONDO_SHAPE, "the %s graph: port %.80s %s", s->name, port_name(s, p), why);
}

/* ---- one graph: rules 1 to 3 ---- */

static bool check_port_ends(const contract *c, const stage *s, int p, bool *kept, bool *written)
{
    const rondo_graph *g = s->graph;
    const port *q = &g->ports[p];
    if (graph_node_of(g, q->in)->attributes[state_name].integer != q->name)
        return fail_port(c, s, p, "keeps a state of another name");
    kept[q->in] = true;
    if (q->out == NONE || q->out == q->in)
        return true;
    if (op_table[graph_op_of(g, q->out)].flags & OP_LEAF)
        return fail_port(c, s, p, "has an `out` that no op computes");
    if (written[q->out])
        return fail_port(c, s, p, "shares its `out` with another port");
    return written[q->out] = true;
}

static bool check_leaves(const contract *c, const stage *s, const bool *kept)
{
    const rondo_graph *g = s->graph;
    bool *names = ARENA_NEW(c->scratch, bool, g->name_count);
    if (!names)
        return fail_memory(c->error, (size_t)g->name_count, "the check of a decoder");
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        int64_t name = n->op == OP_input ? n->attributes[input_name].integer : 0;
        if (n->op == OP_state && !kept[n->first_output])
            return fail(c->error, RONDO_SHAPE, "the %s graph: state %.80s has no port", s->name,
                        g->names[n->attributes[state_name].integer]);
        if (n->op == OP_input && names[name])
            return fail(c->error, RONDO_SHAPE, "the %s graph: two inputs have the name %.80s", s->name,
                        g->names[name]);
        names[name] = n->op == OP_input || names[name];
    }
    return true;
}

static bool check_ends(const contract *c, const stage *s)
{
    const rondo_graph *g = s->graph;
    bool *seen = g ? ARENA_NEW(c->scratch, bool, 2 * (size_t)g->value_count + 1) : NULL;
    if (!g)
        return true;
    if (!seen)
        return fail_memory(c->error, 2 * (size_t)g->value_count, "the check of a decoder");
    for (int p = 0; p < g->port_count; p++)
        if (!check_port_ends(c, s, p, seen, seen + g->value_count))
            return false;
    return check_leaves(c, s, seen);
}

/* ---- rule 4 ---- */

static bool fail_symbol(const contract *c, const stage *s, value_id v, int symbol)
{
    const char *type = type_text(c, s->graph, v);
    return type ? fail(c->error, RONDO_SHAPE,
                       "the %s graph: a tensor is %.120s, and no input gives the symbol %s a value", s->name,
                       type, s->graph->symbols[symbol])
                : fail_memory(c->error, PLACE_BYTES, "a message");
}

/* Every symbol in the shape of a value is one of `known`. */
static bool check_symbols(const contract *c, const stage *s, const bool *known)
{
    const rondo_graph *g = s->graph;
    for (value_id v = 0; v < g->value_count; v++)
        for (int a = 0; a < g->values[v].shape.rank; a++)
            for (int k = 0; k < g->symbol_count; k++)
                if (dim_has(g->values[v].shape.dims[a], k) && !known[k])
                    return fail_symbol(c, s, v, k);
    return true;
}

static void mark_symbol(const rondo_graph *g, const char *name, bool *known, bool is)
{
    int k = graph_find_symbol(g, name);
    if (k >= 0)
        known[k] = is;
}

static bool check_all_symbols(const contract *c)
{
    const rondo_graph *source = c->source.graph, *step = c->step.graph;
    bool at_load[MAX_SYMBOLS] = {false}, at_source[MAX_SYMBOLS] = {false}, at_step[MAX_SYMBOLS] = {false};
    for (node_id id = 0; source && id < source->node_count; id++) {
        const shape *dims = graph_shape_of(source, source->nodes[id].first_output);
        for (int a = 0; source->nodes[id].op == OP_input && a < dims->rank; a++)
            if (dim_only_symbol(dims->dims[a]) >= 0)
                at_source[dim_only_symbol(dims->dims[a])] = true;
    }
    if (source) {
        mark_symbol(source, step->symbols[c->out->batch], at_source, true);
        mark_symbol(source, STEP_SYMBOL, at_source, false);
        mark_symbol(source, CAPACITY_SYMBOL, at_source, false);
    }
    for (int k = 0; source && k < source->symbol_count; k++)
        if (at_source[k])
            mark_symbol(step, source->symbols[k], at_step, true);
    at_step[c->out->batch] = at_step[c->out->advance] = true;
    mark_symbol(step, CAPACITY_SYMBOL, at_step, true);
    return (!c->load.graph || check_symbols(c, &c->load, at_load)) &&
           (!source || check_symbols(c, &c->source, at_source)) && check_symbols(c, &c->step, at_step);
}

/* ---- the step graph: rules 5 to 7 ---- */

/* Whether v is of this type, its first dims these symbols; a symbol of −1 stands for the extent 1. */
static bool has_symbols(const rondo_graph *g, value_id v, rondo_type type, int rank, const int *symbols)
{
    if (v == NONE || g->values[v].type != type || graph_shape_of(g, v)->rank < rank)
        return false;
    for (int a = 0; a < rank; a++) {
        dim d = graph_shape_of(g, v)->dims[a];
        if (symbols[a] < 0 ? !dim_is_number(d, 1) : dim_only_symbol(d) != symbols[a])
            return false;
    }
    return true;
}

static bool find_roles(const contract *c)
{
    const rondo_graph *g = c->step.graph;
    roles *r = c->out;
    int inputs = 0;
    r->count = graph_find_leaf(g, OP_input, "count");
    r->logits = graph_find_output(g, "logits");
    r->tokens = NONE;
    r->advance = graph_find_symbol(g, STEP_SYMBOL);
    r->capacity = graph_find_symbol(g, CAPACITY_SYMBOL);
    r->batch = r->count != NONE && graph_shape_of(g, r->count)->rank == 1
                   ? dim_only_symbol(graph_shape_of(g, r->count)->dims[0])
                   : -1;
    for (node_id id = 0; id < g->node_count; id++)
        if (g->nodes[id].op == OP_input && g->nodes[id].first_output != r->count) {
            r->tokens = g->nodes[id].first_output;
            inputs++;
        }
    if (r->batch < 0 || r->batch == r->advance || r->batch == r->capacity ||
        !has_symbols(g, r->count, RONDO_I32, 1, &r->batch))
        return fail(c->error, RONDO_NOT_CAUSAL, "the logits do not depend on tokens");
    if (inputs != 1 || r->advance < 0 || graph_shape_of(g, r->tokens)->rank != 2 ||
        !has_symbols(g, r->tokens, RONDO_I32, 2, (int[]){r->batch, r->advance}))
        return fail(c->error, RONDO_SHAPE, "a decoder takes one input along time, the tokens, i32[B,T]");
    if (!has_symbols(g, r->logits, RONDO_F32, 2, (int[]){r->batch, -1}) ||
        graph_shape_of(g, r->logits)->rank != 3 || !dim_is_literal(graph_shape_of(g, r->logits)->dims[2]))
        return fail(c->error, RONDO_SHAPE, "the logits must be f32[B,T,V] with a number for V");
    r->vocabulary = graph_shape_of(g, r->logits)->dims[2].factor;
    r->token_limit = binding_id_limit(g, r->tokens);
    r->token_name = g->names[graph_node_of(g, r->tokens)->attributes[input_name].integer];
    return true;
}

/* Whether the symbol stands alone on this axis and on no other; axis −1: on none. Ports are moved along
 * the axes of symbols that change while a session lives. */
static bool stands_on(const shape *s, int symbol, int axis)
{
    for (int a = 0; a < s->rank; a++)
        if (a == axis ? dim_only_symbol(s->dims[a]) != symbol : dim_has(s->dims[a], symbol))
            return false;
    return axis < s->rank;
}

static bool check_axes(const contract *c, int p)
{
    const rondo_graph *g = c->step.graph;
    const port *q = &g->ports[p];
    const shape *s = graph_shape_of(g, q->in);
    if (!stands_on(s, c->out->batch, q->batch_axis))
        return fail_port(c, &c->step, p, "does not have the batch, and it alone, on its batch_axis");
    if (q->kind == PORT_APPEND && c->out->capacity < 0)
        return fail_port(c, &c->step, p, "grows, but has no axis " CAPACITY_SYMBOL);
    if (!stands_on(s, c->out->capacity, q->kind == PORT_APPEND ? q->append_axis : -1))
        return fail_port(c, &c->step, p,
                         "does not have " CAPACITY_SYMBOL ", and it alone, on its append_axis");
    if (!stands_on(s, c->out->advance, -1))
        return fail_port(c, &c->step, p, "has the axis " STEP_SYMBOL ", which differs from call to call");
    if (g->values[q->in].type != RONDO_F32 && q->initial != 0)
        return fail_port(c, &c->step, p, "does not hold f32, so it must begin with 0");
    return true;
}

/* ---- between the stages: rules 8 to 10 ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const handed_on *)a)->name, ((const handed_on *)b)->name);
}

static bool list_outputs(const contract *c, stage *s)
{
    const rondo_graph *g = s->graph;
    if (!g)
        return true;
    s->outputs = ARENA_NEW(c->scratch, handed_on, g->output_count + 1);
    if (!s->outputs)
        return fail_memory(c->error, sizeof(handed_on) * (size_t)g->output_count, "the check of a decoder");
    for (int o = 0; o < g->output_count; o++)
        s->outputs[o] = (handed_on){g->names[g->outputs[o].name], g->outputs[o].value, false};
    if (g->output_count)
        qsort(s->outputs, (size_t)g->output_count, sizeof *s->outputs, by_name);
    return true;
}

static handed_on *find_output(const stage *s, const char *name)
{
    const handed_on key = {.name = name};
    return s->graph && s->graph->output_count
               ? bsearch(&key, s->outputs, (size_t)s->graph->output_count, sizeof key, by_name)
               : NULL;
}

/* Whether values of two graphs have the same type, where symbols are equal by name. */
static bool same_type(const rondo_graph *a, value_id v, const rondo_graph *b, value_id w)
{
    if (a->values[v].type != b->values[w].type || a->values[v].shape.rank != b->values[w].shape.rank)
        return false;
    for (int axis = 0; axis < a->values[v].shape.rank; axis++) {
        dim from = a->values[v].shape.dims[axis], to = {.factor = from.factor};
        for (int k = 0; k < a->symbol_count; k++) {
            int other = from.power[k] ? graph_find_symbol(b, a->symbols[k]) : -1;
            if (from.power[k] && other < 0)
                return false;
            if (other >= 0)
                to.power[other] = from.power[k];
        }
        if (!dim_equal(to, b->values[w].shape.dims[axis]))
            return false;
    }
    return true;
}

static bool fail_handed_on(const contract *c, const stage *s, int p, const stage *giver, value_id made)
{
    const char *wanted = type_text(c, s->graph, s->graph->ports[p].in),
               *given = type_text(c, giver->graph, made);
    if (!wanted || !given)
        return fail_memory(c->error, PLACE_BYTES, "a message");
    return fail(c->error, RONDO_SHAPE, "the %s graph: port %.80s is %.120s, but the %s graph makes it %.120s",
                s->name, port_name(s, p), wanted, giver->name, given);
}

/* The stage that makes what fixed port p of `s` holds. */
static bool find_giver(const contract *c, const stage *s, int p, port_role *role)
{
    const port *q = &s->graph->ports[p];
    handed_on *load = find_output(&c->load, port_name(s, p)),
              *source = s == &c->step ? find_output(&c->source, port_name(s, p)) : NULL,
              *made = load ? load : source;
    if (!made || (load && source))
        return fail_port(
            c, s, p, made ? "is made by both load and source" : "is fixed, and no earlier stage makes it");
    const stage *giver = load ? &c->load : &c->source;
    if (!same_type(giver->graph, made->value, s->graph, q->in))
        return fail_handed_on(c, s, p, giver, made->value);
    made->taken = true;
    *role = (port_role){load ? GIVEN_BY_LOAD : GIVEN_BY_SOURCE, made->value, false};
    return true;
}

static bool check_ports(const contract *c, const stage *s, arena *a, port_role **list)
{
    const rondo_graph *g = s->graph;
    *list = g ? ARENA_NEW(a, port_role, g->port_count + 1) : NULL;
    if (!g)
        return true;
    if (!*list)
        return fail_memory(c->error, sizeof **list * (size_t)g->port_count, "the check of a decoder");
    for (int p = 0; p < g->port_count; p++) {
        (*list)[p] = (port_role){GIVEN_BY_SESSION, NONE, false};
        if (s == &c->source && g->ports[p].kind != PORT_FIXED)
            return fail_port(c, s, p, "must be fixed: this stage keeps nothing");
        if (s == &c->step && !check_axes(c, p))
            return false;
        if (g->ports[p].kind == PORT_FIXED && !find_giver(c, s, p, &(*list)[p]))
            return false;
    }
    return true;
}

static bool check_taken(const contract *c, const stage *s)
{
    for (int o = 0; s->graph && o < s->graph->output_count; o++)
        if (!s->outputs[o].taken)
            return fail(c->error, RONDO_SHAPE, "the %s graph: no later stage takes its output %.80s", s->name,
                        s->outputs[o].name);
    return true;
}

/* Marks outputs of the source that cannot be written to the memory of the port directly. */
static bool mark_copies(const contract *c)
{
    const rondo_graph *g = c->source.graph;
    bool *bound = g ? ARENA_NEW(c->scratch, bool, g->value_count + 1) : NULL;
    if (g && !bound)
        return fail_memory(c->error, (size_t)g->value_count, "the check of a decoder");
    for (int p = 0; p < c->step.graph->port_count; p++) {
        port_role *role = &c->out->step_ports[p];
        if (role->giver != GIVEN_BY_SOURCE)
            continue;
        role->copied = bound[role->made] || op_table[graph_op_of(g, role->made)].flags & OP_LEAF;
        bound[role->made] = true;
    }
    return true;
}

static bool check_first_stages(const contract *c)
{
    const rondo_graph *load = c->load.graph;
    for (node_id id = 0; load && id < load->node_count; id++)
        if (load->nodes[id].op == OP_input || load->nodes[id].op == OP_state)
            return fail(c->error, RONDO_SHAPE, "the load graph may read parameters only");
    return true;
}

static void map_symbols(const contract *c)
{
    const rondo_graph *g = c->source.graph;
    for (int k = 0; k < MAX_SYMBOLS; k++)
        c->out->step_symbol[k] =
            g && k < g->symbol_count ? graph_find_symbol(c->step.graph, g->symbols[k]) : -1;
}

bool staged_verify(const staged *stages, arena *a, roles *out, rondo_error *error)
{
    arena scratch;
    arena_begin(&scratch, a->allocator);
    contract c = {{"load", stages->load, NULL},
                  {"source", stages->source, NULL},
                  {"step", stages->step, NULL},
                  &scratch,
                  out,
                  error};
    *out = (roles){0};
    bool good = check_ends(&c, &c.load) && check_ends(&c, &c.source) && check_ends(&c, &c.step) &&
                check_first_stages(&c) && find_roles(&c) && check_all_symbols(&c) &&
                list_outputs(&c, &c.load) && list_outputs(&c, &c.source) &&
                check_ports(&c, &c.source, a, &out->source_ports) &&
                check_ports(&c, &c.step, a, &out->step_ports) && check_taken(&c, &c.load) &&
                check_taken(&c, &c.source) && mark_copies(&c);
    if (good)
        map_symbols(&c);
    arena_end(&scratch);
    return good;
}
