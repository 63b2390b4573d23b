/* fuse: fewer sweeps over memory. First a matmul absorbs what is applied to its result if that has no other
 * reader: a bias, a residual, an activation. Then chains of elementwise ops become one postfix program: a
 * value with a single elementwise reader of the same shape is computed inside its reader and never stored.
 * Such trees cannot close a cycle, so no check for that is needed.
 *
 *   needs: simplify has run
 *   gives: matmul with c, bias, activation; `fused`
 *   breaks: vjp (fused has none) */
#include "compiler/passes/passes.h"
#include <math.h>
#include <string.h>

/* ---- products ---- */

static bool only_reader(const rewriter *r, const int *readers, value_id old)
{
    return old != NONE && readers[old] == 1 && r->map[old] != NONE;
}

/* bias: [n] along the last axis of a product with n columns. */
static bool is_bias(const rondo_graph *g, value_id bias, value_id product)
{
    const shape *b = graph_shape_of(g, bias), *p = graph_shape_of(g, product);
    if (b->rank < 1 || b->rank > p->rank || !dim_equal(b->dims[b->rank - 1], p->dims[p->rank - 1]))
        return false;
    for (int a = 0; a + 1 < b->rank; a++)
        if (!dim_is_number(b->dims[a], 1))
            return false;
    return dim_is_literal(b->dims[b->rank - 1]) && !dim_is_number(b->dims[b->rank - 1], 1);
}

static value_id with_operand(rondo_graph *g, const node *product, int at, value_id operand,
                             int64_t activation)
{
    value_id inputs[4] = {NONE, NONE, NONE, NONE};
    attribute attributes[MAX_ATTRIBUTES];
    memcpy(inputs, product->inputs, sizeof *inputs * (size_t)product->input_count);
    memcpy(attributes, product->attributes, sizeof attributes);
    if (at >= 0)
        inputs[at] = operand;
    attributes[matmul_activation].integer = activation;
    int count = inputs[3] != NONE ? 4 : inputs[2] != NONE ? 3 : 2;
    return graph_add(g, OP_matmul, inputs, count, attributes);
}

static value_id into_product(rewriter *r, const int *readers, const node *n)
{
    rondo_graph *g = r->to;
    for (int i = 0; n->op == OP_add && i < 2; i++) {
        if (!only_reader(r, readers, n->inputs[i]) || n->inputs[0] == n->inputs[1])
            continue;
        value_id product = r->map[n->inputs[i]], other = r->map[n->inputs[1 - i]];
        node p = *graph_node_of(g, product);
        if (p.op != OP_matmul || p.attributes[matmul_activation].integer ||
            g->values[other].type != RONDO_F32)
            continue;
        bool has_c = p.input_count > 2 && p.inputs[2] != NONE,
             has_bias = p.input_count > 3 && p.inputs[3] != NONE;
        if (!has_bias && !has_c && is_bias(g, other, product)) {
            const shape *s = graph_shape_of(g, other);
            shape flat = {.rank = 1};
            flat.dims[0] = s->dims[s->rank - 1];
            return with_operand(g, &p, 3, build_reshape(g, other, &flat), 0);
        }
        if (!has_c && shape_equal(graph_shape_of(g, other), graph_shape_of(g, product)) &&
            shape_equal(graph_shape_of(g, product), graph_shape_of(r->from, n->first_output)))
            return with_operand(g, &p, 2, other, 0);
    }
    static const op_id activations[] = {0, OP_relu, OP_gelu, OP_silu};
    for (int64_t a = 1; a <= 3; a++)
        if (n->op == (int)activations[a] && only_reader(r, readers, n->inputs[0])) {
            node p = *graph_node_of(g, r->map[n->inputs[0]]);
            if (p.op == OP_matmul && !p.attributes[matmul_activation].integer)
                return with_operand(g, &p, -1, NONE, a);
        }
    return NONE;
}

static rondo_graph *fuse_products(const rondo_graph *g, value_id **map, rondo_error *error)
{
    rewriter r;
    if (!rewrite_begin(&r, g, error))
        return NULL;
    int *readers = count_readers(&r.to->arena, g);
    if (!readers)
        graph_fail(r.to, RONDO_MEMORY, "out of memory while fusing");
    for (node_id id = 0; graph_good(r.to) && id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        graph_at(r.to, g, id);
        value_id v = into_product(&r, readers, n);
        if (v == NONE)
            graph_copy_node(r.to, g, id, r.map);
        else
            r.map[n->first_output] = v;
    }
    return rewrite_end(&r, map, error);
}

/* ---- chains ---- */

/* A deferred value: its program over operands that are values of the new graph. */
typedef struct chain {
    text program;
    value_id operands[MAX_FUSED];
    int operand_count, op_count; /* no ops: not deferred */
} chain;

static bool chainable(const rondo_graph *g, const node *n)
{
    if (!(op_table[n->op].flags & OP_ELEMENTWISE) || n->op == OP_cast ||
        g->values[n->first_output].type != RONDO_F32)
        return false;
    for (int i = 0; i < n->input_count; i++)
        if (g->values[n->inputs[i]].type != RONDO_F32)
            return false;
    return true;
}

/* By value: the one node that reads it, if that is a chainable node of the same shape; else −1. */
static node_id *find_hosts(arena *a, const rondo_graph *g, const int *readers)
{
    node_id *hosts = ARENA_NEW(a, node_id, g->value_count + 1);
    if (!hosts)
        return NULL;
    memset(hosts, -1, sizeof *hosts * (size_t)g->value_count);
    for (node_id id = 0; id < g->node_count; id++) {
        const node *n = &g->nodes[id];
        if (!chainable(g, n))
            continue;
        for (int i = 0; i < n->input_count; i++) {
            value_id v = n->inputs[i];
            if (readers[v] == 1 && chainable(g, graph_node_of(g, v)) &&
                shape_equal(graph_shape_of(g, v), graph_shape_of(g, n->first_output)))
                hosts[v] = id;
        }
    }
    return hosts;
}

static int operand_index(chain *c, value_id v)
{
    for (int i = 0; i < c->operand_count; i++)
        if (c->operands[i] == v)
            return i;
    if (c->operand_count == MAX_FUSED)
        return -1;
    c->operands[c->operand_count] = v;
    return c->operand_count++;
}

static void add_word(chain *c, const char *word, int length)
{
    text_add(&c->program, "%s%.*s", c->program.length ? " " : "", length, word);
}

static void add_index(chain *c, int index)
{
    text_add(&c->program, "%s%d", c->program.length ? " " : "", index);
}

static bool add_operand(rondo_graph *g, chain *c, value_id v, bool embed)
{
    const node *n = graph_node_of(g, v);
    if (embed && n->op == OP_constant && isfinite(n->attributes[constant_number].real)) {
        add_word(c, "#", 1);
        text_number(&c->program, n->attributes[constant_number].real);
        return true;
    }
    int index = operand_index(c, v);
    add_index(c, index);
    return index >= 0;
}

/* Appends the words of `inner`, its operand numbers translated. False: too many operands. */
static bool add_chain(chain *c, const chain *inner)
{
    int numbers[MAX_FUSED];
    const char *at = text_done(&inner->program);
    for (int i = 0; i < inner->operand_count; i++)
        if ((numbers[i] = operand_index(c, inner->operands[i])) < 0)
            return false;
    while (at && *at) {
        int length = (int)strcspn(at, " ");
        if (*at >= '0' && *at <= '9')
            add_index(c,
                      numbers[at[1] >= '0' && at[1] <= '9' ? (at[0] - '0') * 10 + at[1] - '0' : at[0] - '0']);
        else
            add_word(c, at, length);
        at += length + (at[length] == ' ');
    }
    c->op_count += inner->op_count;
    return true;
}

static value_id materialise(rondo_graph *g, chain *c)
{
    add_word(c, "=0", 2);
    const char *program = text_done(&c->program);
    if (!program)
        return graph_fail(g, RONDO_MEMORY, "out of memory while fusing");
    attribute attributes[MAX_ATTRIBUTES] = {{.integer = graph_name(g, program)}};
    value_id v = graph_add(g, OP_fused, c->operands, c->operand_count, attributes);
    *c = (chain){0};
    return v;
}

typedef struct chaining {
    rewriter r;
    chain *chains; /* by old value */
    node_id *hosts;
} chaining;

static value_id settle(chaining *k, value_id old)
{
    if (k->r.map[old] == NONE && k->chains[old].op_count)
        k->r.map[old] = materialise(k->r.to, &k->chains[old]);
    return k->r.map[old];
}

enum { MOST_OPS = 24 };

/* Whether the operands alone, without the constants that became numbers, still give the node's shape. */
static bool keeps_shape(const rondo_graph *g, const chain *c, const shape *result)
{
    shape joined = {0}, next;
    for (int i = 0; i < c->operand_count; i++) {
        if (!shape_broadcast(&joined, graph_shape_of(g, c->operands[i]), &next))
            return false;
        joined = next;
    }
    return shape_equal(&joined, result);
}

/* Builds n's chain from its operands'; those that do not fit are stored first. embed: constants become
 * numbers in the program. */
static bool build_chain(chaining *k, const node *n, chain *c, bool embed)
{
    rondo_graph *g = k->r.to;
    *c = (chain){.program = {.arena = &g->arena}};
    for (int i = 0; i < n->input_count; i++) {
        const chain *inner = &k->chains[n->inputs[i]];
        chain before = *c;
        size_t length = c->program.length;
        bool inside =
            k->r.map[n->inputs[i]] == NONE && inner->op_count && c->op_count + inner->op_count < MOST_OPS;
        if (inside && c->operand_count + inner->operand_count <= MAX_FUSED - (n->input_count - i - 1) &&
            add_chain(c, inner))
            continue;
        c->operand_count = before.operand_count;
        c->op_count = before.op_count;
        text_cut(&c->program, length);
        value_id v = settle(k, n->inputs[i]);
        if (v == NONE || !add_operand(g, c, v, embed))
            return false;
    }
    add_word(c, op_table[n->op].signature.name, (int)strlen(op_table[n->op].signature.name));
    c->op_count++;
    return true;
}

static bool chain_node(chaining *k, node_id id)
{
    const node *n = &k->r.from->nodes[id];
    bool host = chainable(k->r.from, n), deferred = host && k->hosts[n->first_output] != NONE;
    bool takes = false;
    for (int i = 0; i < n->input_count; i++)
        takes = takes || (n->inputs[i] != NONE && k->r.map[n->inputs[i]] == NONE);
    graph_at(k->r.to, k->r.from, id);
    if (deferred || (host && takes)) {
        chain c;
        const shape *result = graph_shape_of(k->r.from, n->first_output);
        if (!build_chain(k, n, &c, true) ||
            (!keeps_shape(k->r.to, &c, result) && !build_chain(k, n, &c, false)))
            return false;
        if (c.operand_count) {
            k->chains[n->first_output] = c;
            return deferred || settle(k, n->first_output) != NONE;
        }
    }
    for (int i = 0; i < n->input_count; i++)
        if (n->inputs[i] != NONE && settle(k, n->inputs[i]) == NONE)
            return false;
    return graph_copy_node(k->r.to, k->r.from, id, k->r.map);
}

static rondo_graph *fuse_chains(const rondo_graph *g, value_id **map, rondo_error *error)
{
    chaining k = {0};
    if (!rewrite_begin(&k.r, g, error))
        return NULL;
    int *readers = count_readers(&k.r.to->arena, g);
    k.hosts = readers ? find_hosts(&k.r.to->arena, g, readers) : NULL;
    k.chains = ARENA_NEW(&k.r.to->arena, chain, g->value_count + 1);
    if (!k.hosts || !k.chains)
        graph_fail(k.r.to, RONDO_MEMORY, "out of memory while fusing");
    for (node_id id = 0; graph_good(k.r.to) && id < g->node_count; id++)
        if (!chain_node(&k, id))
            graph_fail(k.r.to, RONDO_MEMORY, "out of memory while fusing");
    return rewrite_end(&k.r, map, error);
}

rondo_graph *fuse(const rondo_graph *g, value_id **map, rondo_error *error)
{
    value_id *first = NULL, *second = NULL;
    rondo_graph *products = fuse_products(g, &first, error);
    rondo_graph *chains = products ? fuse_chains(products, &second, error) : NULL;
    compose_maps(g, first, second, &chains, map, error);
    graph_free(products);
    return chains;
}
