/* lower_check: proves that the calls of a specialisation stay inside its memory. Done once for each, because
 * the graph may come from a hostile file. */
#include "compiler/program/lower.h"

/* The bytes from a tensor's first element to the end of its last. */
static int64_t extent_bytes(const tensor *t)
{
    int64_t last = 0;
    for (int a = 0; a < t->rank; a++) {
        if (t->dims[a] == 0)
            return 0;
        last += (t->dims[a] - 1) * t->strides[a];
    }
    return (last + 1) * type_bytes(t->type);
}

static bool lies_inside(const specialisation *s, const rondo_graph *g, const relocation *r)
{
    const kernel_call *call = &s->calls[r->call];
    const tensor *t = r->operand >= 0 ? &call->inputs[r->operand] : &call->outputs[-1 - r->operand];
    int64_t bytes = extent_bytes(t), all = value_bytes(s, g, r->root), at = s->offsets[r->root];
    return bytes == 0 ||
           (r->offset >= 0 && r->offset + bytes <= all && (at < 0 || at + all <= (int64_t)s->arena_bytes));
}

static bool fail_call(const specialisation *s, const rondo_graph *g, int call, const char *what,
                      rondo_error *error)
{
    char place[PLACE_BYTES];
    return fail(error, RONDO_MISMATCH, "%s: %s of %s would lie outside its memory; the graph cannot run",
                graph_place(g, s->nodes[call], place), what,
                op_table[g->nodes[s->nodes[call]].op].signature.name);
}

bool lower_check(const specialisation *s, const program *p, rondo_error *error)
{
    for (int i = 0; i < s->relocation_count; i++)
        if (!lies_inside(s, p->graph, &s->relocations[i]))
            return fail_call(s, p->graph, s->relocations[i].call,
                             s->relocations[i].operand >= 0 ? "an operand" : "a result", error);
    for (int c = 0; c < s->call_count; c++) {
        int64_t at = s->scratch[c].shared_offset, bytes = (int64_t)s->calls[c].shared_bytes;
        if (bytes < 0 ||
            (at >= 0 && (bytes > (int64_t)s->arena_bytes || at > (int64_t)s->arena_bytes - bytes)))
            return fail_call(s, p->graph, c, "the scratch memory", error);
    }
    return true;
}
