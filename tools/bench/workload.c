/* A preset's model, weights and data; and how much work a step of it is. */
#include "core/random.h"
#include "tools/bench/bench.h"
#include <string.h>

enum { FIRST_WORD = 4, SENTENCES = 64, SENTENCE_TOKENS = 32, DOCUMENTS = 2, DOCUMENT_TOKENS = 1024 };

bool is_given(const bench *b, option_id id)
{
    return options_origin(b->o, id) != FROM_DEFAULT;
}

bool bench_options(const bench *b, options *with)
{
    *with = *b->o;
    if (is_given(b, OPTION_preset) || is_given(b, OPTION_type))
        return true;
    with->preset = "long";
    return options_finish(with, b->error);
}

int32_t *random_ids(bench *b, int64_t count, int64_t vocabulary)
{
    int32_t *ids = ARENA_NEW(&b->arena, int32_t, count + 1);
    if (!ids)
        fail_memory(b->error, sizeof *ids * (size_t)count, "random tokens");
    for (int64_t i = 0; ids && i < count; i++) {
        uint32_t bits[4];
        random_block(1, 0, 0, (uint32_t)i, 0, bits);
        ids[i] = (int32_t)(FIRST_WORD + bits[0] % (uint64_t)(vocabulary - FIRST_WORD));
    }
    return ids;
}

static bool add_input(bench *b, workload *w, const char *name, int64_t tokens)
{
    int32_t *ids = random_ids(b, w->batch * tokens, w->shape.vocabulary);
    w->inputs[w->input_count++] =
        (rondo_tensor){.name = name, .type = RONDO_I32, .rank = 2, .dims = {w->batch, tokens}, .data = ids};
    return ids != NULL;
}

static bool add_lengths(bench *b, workload *w)
{
    int32_t *lengths = ARENA_NEW(&b->arena, int32_t, w->batch + 1);
    for (int64_t i = 0; lengths && i < w->batch; i++)
        lengths[i] = (int32_t)w->source;
    w->inputs[w->input_count++] = (rondo_tensor){
        .name = "source_length", .type = RONDO_I32, .rank = 1, .dims = {w->batch}, .data = lengths};
    return lengths || fail_memory(b->error, sizeof *lengths * (size_t)w->batch, "lengths");
}

bool workload_begin(bench *b, workload *w)
{
    const options *o = b->o;
    *w = (workload){.shape = transformer_of_options(o, o->vocabulary)};
    bool language = w->shape.language_model;
    w->batch = is_given(b, OPTION_batch) ? o->batch : language ? DOCUMENTS : SENTENCES;
    w->target = is_given(b, OPTION_length) ? o->length : language ? DOCUMENT_TOKENS : SENTENCE_TOKENS;
    w->source = language ? 0 : w->target;
    w->extents[0] = (extent){"B", w->batch};
    w->extents[1] = (extent){TRANSFORMER_TIME, w->target};
    w->extents[2] = (extent){"S", w->source};
    if (w->shape.vocabulary <= FIRST_WORD)
        return fail(b->error, RONDO_ARGUMENT, "--vocabulary %lld is too small to measure with",
                    (long long)w->shape.vocabulary);
    if (!transformer_build(b->c->context, &w->shape, &w->graph, b->error) ||
        !(w->weights = rondo_weights_new(w->graph.graph, 1, b->error))) {
        workload_end(w);
        return false;
    }
    if (add_input(b, w, "target_in", w->target) && add_input(b, w, "target_out", w->target) &&
        (language || (add_input(b, w, "source", w->source) && add_lengths(b, w))))
        return true;
    workload_end(w);
    return false;
}

void workload_end(workload *w)
{
    rondo_weights_free(w->weights);
    rondo_graph_free(w->graph.graph);
    *w = (workload){0};
}

/* "small", "tiny linear softmax" when mixers were chosen, or the shape in numbers when there is no preset. */
const char *workload_name(const bench *b, const workload *w)
{
    const options *o = b->o;
    const transformer *s = &w->shape;
    const char *name =
        o->preset
            ? o->preset
            : arena_text((arena *)&b->arena, "%s d %lld ffn %lld heads %lld layers %d+%d",
                         s->language_model ? "language" : "translation", (long long)s->dim, (long long)s->ffn,
                         (long long)s->heads, s->language_model ? 0 : s->encoder_layers, s->decoder_layers);
    if (s->language_model)
        return arena_text((arena *)&b->arena, "%s, %s", name ? name : "", s->decoder_self);
    return arena_text((arena *)&b->arena, "%s, %s/%s/%s", name ? name : "", s->encoder_self, s->decoder_self,
                      s->cross);
}

bool forward_flops(rondo_value loss, const extent *extents, int extent_count, bool no_linearize,
                   double *flops, rondo_error *error)
{
    int64_t bound[MAX_SYMBOLS];
    const pipeline_options until = {.no_linearize = no_linearize,
                                    .after = no_linearize ? "verify" : "linearize"};
    program *p = program_new(pipeline_train(loss, &until, error), NULL, error);
    const specialisation *s = NULL;
    if (p) {
        extents_bind(p->graph, extents, extent_count, bound);
        s = program_specialise(p, bound, error);
    }
    if (s)
        *flops = s->flops;
    program_free(p);
    return s != NULL;
}
