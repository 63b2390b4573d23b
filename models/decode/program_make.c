/* Making a compiled model from logits, and writing it to one file. */
#include "models/decode/decoder.h"
#include "compiler/explain/explain.h"
#include "compiler/pipeline.h"
#include <string.h>

rondo_program *rondo_program_new(rondo_value logits, const char *time, rondo_error *error)
{
    error_begin(error);
    staged stages;
    if (!logits.graph || !graph_check(logits.graph, error))
        return NULL;
    if (!time) {
        fail(error, RONDO_ARGUMENT, "name the symbol that decoding advances over, such as \"T\"");
        return NULL;
    }
    rondo_program *p = program_begin(logits.graph->context, error);
    if (!p)
        return NULL;
    text report = {.arena = &p->arena};
    p->time = program_text(p, time);
    bool good = (p->time || fail_memory(error, sizeof *p, "a program")) &&
                explain_graph(logits.graph, time, &report, error) &&
                pipeline_decode(logits, time, NULL, &stages, error);
    p->report = text_done(&report);
    good = good && (p->report || fail_memory(error, report.length, "a report"));
    if (good && program_stages(p, &stages, error))
        return p;
    rondo_program_free(p);
    return NULL;
}

/* ---- writing: JSON holds text, so the tokenizer's bytes become hex ---- */

static char *to_hex(arena *a, const unsigned char *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    char *hex = arena_new(a, 2 * count + 1);
    for (size_t i = 0; hex && i < count; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    return hex;
}

/* The parameters that the stages read, each once. */
static bool collect_tensors(const rondo_program *p, const rondo_weights *w, arena *a, rondo_tensor **out,
                            int *count, rondo_error *error)
{
    program *const stages[] = {p->load, p->source, p->step};
    int capacity = 0;
    for (int k = 0; k < 3; k++) {
        const rondo_graph *g = stages[k] ? stages[k]->graph : NULL;
        for (node_id id = 0; g && id < g->node_count; id++) {
            if (g->nodes[id].op != OP_parameter)
                continue;
            const char *name = g->names[g->nodes[id].attributes[parameter_name].integer];
            const weight *item = weights_find(w, name);
            bool seen = false;
            for (int i = 0; i < *count; i++)
                seen = seen || !strcmp((*out)[i].name, name);
            if (!item)
                return fail(error, RONDO_MISMATCH,
                            "the weights have no parameter %s; they belong to another model", name);
            if (seen)
                continue;
            if (!ARENA_PUSH(a, *out, *count, capacity))
                return fail_memory(error, sizeof **out, "an exported model");
            rondo_tensor *t = &(*out)[(*count)++];
            *t = (rondo_tensor){
                .name = name, .type = RONDO_F32, .rank = item->rank, .data = w->block + item->offset};
            memcpy(t->dims, item->dims, sizeof t->dims);
        }
    }
    return true;
}

bool rondo_program_save(const rondo_program *p, const rondo_weights *w, const void *subwords,
                        size_t subword_bytes, const char *path, rondo_error *error)
{
    error_begin(error);
    if (!p || !w)
        return false;
    arena a;
    arena_begin(&a, &p->context->allocator);
    program *const stages[] = {p->load, p->source, p->step};
    const char *metadata[20] = {"format",     "pt",      "rondo.format", "1",
                                "rondo.kind", "decoder", "rondo.time",   p->time};
    int pairs = 4, count = 0;
    bool good = true;
    for (int k = 0; good && k < 3; k++) {
        text t = {.arena = &a};
        if (!stages[k])
            continue;
        graph_print(stages[k]->graph, &t);
        metadata[2 * pairs] = stage_keys[k];
        metadata[2 * pairs + 1] = text_done(&t);
        good = metadata[2 * pairs++ + 1] || fail_memory(error, t.length, "an exported model");
    }
    if (p->report) {
        metadata[2 * pairs] = "rondo.report";
        metadata[2 * pairs++ + 1] = p->report;
    }
    if (subwords) {
        metadata[2 * pairs] = "rondo.tokenizer";
        metadata[2 * pairs++ + 1] = to_hex(&a, subwords, subword_bytes);
        good = good && (metadata[2 * pairs - 1] || fail_memory(error, subword_bytes, "an exported model"));
    }
    rondo_tensor *tensors = NULL;
    good = good && collect_tensors(p, w, &a, &tensors, &count, error) &&
           safetensors_save(&p->context->allocator, path, tensors, count, metadata, pairs, error);
    arena_end(&a);
    return good;
}
