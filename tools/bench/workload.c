/* The model, weights and inputs of a preset, and how much work a step is. */
#include "core/random.h"
#include "tools/bench/bench.h"

enum { FIRST_WORD = 4 };

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

/* A batch of the task: random tokens, full lengths. */
static bool fill_inputs(bench *b, workload *w)
{
    batch all = {.rows = w->batch, .source_extent = w->source, .target_extent = w->target};
    int32_t *numbers = ARENA_NEW(&b->arena, int32_t, 2 * w->batch);
    if (!numbers)
        return fail_memory(b->error, 2 * sizeof *numbers * (size_t)w->batch, "a batch");
    all.sentence = numbers;
    all.source_length = numbers + w->batch;
    for (int64_t i = 0; i < w->batch; i++) {
        all.sentence[i] = (int32_t)i;
        all.source_length[i] = (int32_t)w->source;
    }
    int64_t vocabulary = w->shape.vocabulary;
    if (!(all.target_in = random_ids(b, w->batch * w->target, vocabulary)) ||
        !(all.target_out = random_ids(b, w->batch * w->target, vocabulary)) ||
        !(all.source = random_ids(b, w->batch * w->source, vocabulary)))
        return false;
    w->input_count = task_of(b->o)->inputs(&all, w->inputs);
    return true;
}

bool workload_begin(bench *b, workload *w)
{
    const options *o = b->o;
    const task *t = task_of(o);
    *w = (workload){.shape = task_transformer(o, o->vocabulary)};
    w->batch = is_given(b, OPTION_batch) ? o->batch : t->bench_sequences;
    w->target = is_given(b, OPTION_length) ? o->length : t->bench_tokens;
    w->source = t->places[PLACE_ENCODER] ? w->target : 0;
    w->extents[0] = (extent){"B", w->batch};
    w->extents[1] = (extent){TRANSFORMER_TIME, w->target};
    w->extents[2] = (extent){"S", w->source};
    if (w->shape.vocabulary <= FIRST_WORD)
        return fail(b->error, RONDO_ARGUMENT, "--vocabulary %lld is too small; measuring needs at least 5",
                    (long long)w->shape.vocabulary);
    if (t->build(b->c->context, o, o->vocabulary, &w->graph, b->error) &&
        (w->weights = rondo_weights_new(w->graph.graph, 1, b->error)) && fill_inputs(b, w))
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

/* "small", or the extents if there is no preset; then the mixers. */
const char *workload_name(const bench *b, const workload *w)
{
    const options *o = b->o;
    const transformer *s = &w->shape;
    arena *a = (arena *)&b->arena;
    const char *name = o->preset
                           ? o->preset
                           : arena_text(a, "%s d %lld ffn %lld heads %lld layers %d+%d", task_of(o)->name,
                                        (long long)s->dim, (long long)s->ffn, (long long)s->heads,
                                        s->language_model ? 0 : s->encoder_layers, s->decoder_layers);
    if (s->language_model)
        return arena_text(a, "%s, %s", name ? name : "", s->decoder_self);
    return arena_text(a, "%s, %s/%s/%s", name ? name : "", s->encoder_self, s->decoder_self, s->cross);
}

bool forward_flops(rondo_value loss, const extent *extents, int extent_count, bool no_linearize,
                   double *flops, rondo_error *error)
{
    int64_t bound[MAX_SYMBOLS];
    const pipeline_options until = {.no_linearize = no_linearize,
                                    .after = no_linearize ? "verify" : "linearize"};
    program *p = program_new(pipeline_evaluate(loss, &until, error), NULL, error);
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
