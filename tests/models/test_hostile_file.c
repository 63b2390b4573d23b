/* Exported models that were changed with knowledge of the format: graphs that can be parsed, but whose ports,
 * stages, shapes and ops no longer fit together. Each is refused in a sentence, when it is loaded or used, or
 * it runs and writes only to its own memory; with sanitizers, and the guards that come with them, it reads
 * only that as well. */
#include "core/guard.h"
#include "tests/models/mutate_graph.h"
#include "tests/models/small_model.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 2, MOST_BYTES = 16 << 20, STAGES = 3 };

/* Memory is bounded, so that a graph that asks for much is refused quickly. Each block is followed by a
 * guard, so that a write past its end is noticed even without sanitizers. */
static int blocks_overrun;

static void *allocate(void *user, size_t bytes, size_t alignment)
{
    (void)user;
    char *memory = bytes > MOST_BYTES ? NULL : aligned_alloc(alignment, bytes + GUARD_BYTES);
    if (memory)
        guard_set(memory + bytes, GUARD_BYTES);
    return memory;
}

static void release(void *user, void *memory, size_t bytes)
{
    (void)user;
    blocks_overrun += memory && !guard_holds((char *)memory + bytes, GUARD_BYTES);
    free(memory);
}

static const rondo_allocator bounded = {NULL, allocate, release};

static rondo *small_context(void)
{
    rondo *r = rondo_new(1, .allocator = &bounded);
    cr_assert(r);
    return r;
}

/* An exported model, taken apart. */
typedef struct exported {
    rondo *context;
    safetensors file;
    rondo_tensor *tensors;
    const char *stages[STAGES];
    char path[100];
} exported;

static void take_apart(exported *e)
{
    rondo_error error = {0};
    cr_assert(safetensors_open(&e->file, &e->context->allocator, e->path, &error), "%s", error.message);
    e->tensors = calloc((size_t)e->file.count + 1, sizeof *e->tensors);
    for (int i = 0; i < e->file.count; i++) {
        const stored_tensor *t = &e->file.tensors[i];
        e->tensors[i] = (rondo_tensor){
            .name = t->name, .type = t->type, .rank = t->rank, .data = (void *)safetensors_data(&e->file, t)};
        memcpy(e->tensors[i].dims, t->dims, sizeof t->dims);
    }
    for (int k = 0; k < STAGES; k++)
        e->stages[k] = safetensors_metadata(&e->file, stage_keys[k]);
}

static exported export_small(const char *encoder, const char *decoder, const char *cross)
{
    rondo_error error = {0};
    exported e = {.context = small_context()};
    transformer_graph built;
    const transformer shape = {.language_model = !encoder,
                               .vocabulary = 9,
                               .dim = 4,
                               .ffn = 4,
                               .heads = 2,
                               .encoder_layers = 1,
                               .decoder_layers = 1,
                               .encoder_self = encoder,
                               .decoder_self = decoder,
                               .cross = cross};
    cr_assert(transformer_build(e.context, &shape, &built, &error), "%s", error.message);
    rondo_weights *w = rondo_weights_new(built.graph, 1, &error);
    rondo_program *p = rondo_program_new(built.logits, "T", &error);
    snprintf(e.path, sizeof e.path, "/tmp/rondo-test-%d-%s-%s.rondo", (int)getpid(), decoder,
             encoder ? cross : "");
    cr_assert(rondo_program_save(p, w, NULL, 0, e.path, &error), "%s", error.message);
    rondo_program_free(p);
    rondo_weights_free(w);
    rondo_graph_free(built.graph);
    take_apart(&e);
    return e;
}

static void export_free(exported *e)
{
    safetensors_close(&e->file);
    free(e->tensors);
    rondo_free(e->context);
    unlink(e->path);
}

static void save_changed(const exported *e, const char *path, const char *const *stages)
{
    rondo_error error = {0};
    const char *metadata[6 + 2 * STAGES] = {"rondo.format", "1", "rondo.kind", "decoder", "rondo.time", "T"};
    int pairs = 3;
    for (int k = 0; k < STAGES; k++)
        if (stages[k]) {
            metadata[2 * pairs] = stage_keys[k];
            metadata[2 * pairs++ + 1] = stages[k];
        }
    cr_assert(
        safetensors_save(&e->context->allocator, path, e->tensors, e->file.count, metadata, pairs, &error),
        "%s", error.message);
}

/* ---- running whatever loads ---- */

enum { MOST_INPUTS = 8, MOST_ELEMENTS = 4096, EXTENT = 3 };

/* A tensor for each input of the source stage, whatever it is: symbols are the batch, and else 3. */
static int make_inputs(const rondo_program *p, rondo_tensor *inputs, int32_t (*numbers)[MOST_ELEMENTS])
{
    const rondo_graph *g = p->source->graph;
    int64_t bound[MAX_SYMBOLS];
    int count = 0;
    for (int k = 0; k < MAX_SYMBOLS; k++)
        bound[k] = k < g->symbol_count && p->roles.step_symbol[k] == p->roles.batch ? BATCH : EXTENT;
    for (node_id id = 0; id < g->node_count && count < MOST_INPUTS; id++) {
        value_id v = g->nodes[id].first_output;
        rondo_tensor *t = &inputs[count];
        int64_t elements = 1;
        if (g->nodes[id].op != OP_input)
            continue;
        *t = (rondo_tensor){g->names[g->nodes[id].attributes[input_name].integer],
                            g->values[v].type,
                            graph_shape_of(g, v)->rank,
                            {0},
                            numbers[count]};
        for (int a = 0; a < t->rank; a++) {
            t->dims[a] = dim_value(graph_shape_of(g, v)->dims[a], bound);
            if (t->dims[a] > MOST_ELEMENTS || (elements *= t->dims[a]) > MOST_ELEMENTS)
                return count;
        }
        for (int64_t i = 0; i < elements; i++)
            numbers[count][i] = (int32_t)(1 + i % 3);
        count++;
    }
    return count;
}

static bool run_all(const rondo_program *p, rondo_error *error)
{
    static int32_t numbers[MOST_INPUTS][MOST_ELEMENTS];
    rondo_tensor inputs[MOST_INPUTS];
    int32_t tokens[BATCH * 70], out[3 * 4];
    int64_t lengths[3];
    double scores[3];
    for (int i = 0; i < BATCH * 70; i++)
        tokens[i] = 3 + i % 5;
    rondo_session *s = rondo_session_new(p, NULL, BATCH, error), *copy = NULL;
    bool good = s &&
                rondo_session_source(s, inputs, p->source ? make_inputs(p, inputs, numbers) : 0, error) &&
                rondo_session_advance(s, tokens, 2, NULL, error) &&
                rondo_session_advance(s, tokens, 3, (int32_t[]){0, 2}, error) &&
                rondo_session_reorder(s, (int64_t[]){1, 0, 1}, 3, error) &&
                (copy = rondo_session_clone(s, error)) && rondo_session_advance(s, tokens, 1, NULL, error) &&
                rondo_session_reorder(copy, (int64_t[]){2, 0}, 2, error) &&
                rondo_session_advance(copy, tokens, 70, NULL, error) && /* caches grow */
                rondo_generate(copy, out, lengths, scores, error, 4, .temperature = 1) &&
                rondo_generate(s, out, lengths, scores, error, 4);
    if (s)
        rondo_session_state_bytes(s);
    rondo_session_free(copy);
    rondo_session_free(s);
    return good;
}

typedef enum fate { REFUSED_TO_LOAD, REFUSED_TO_RUN, RAN, FATES } fate;

static fate load_and_run(const char *path, const char *what)
{
    rondo_error error = {0};
    rondo *r = small_context();
    rondo_program *p = rondo_program_load(r, path, &error);
    fate f = !p ? REFUSED_TO_LOAD : run_all(p, &error) ? RAN : REFUSED_TO_RUN;
    cr_expect(f == RAN || (error.code && strlen(error.message) > 10), "%s: refused without a sentence", what);
    rondo_program_free(p);
    rondo_free(r);
    cr_expect_eq(blocks_overrun, 0, "%s: wrote past the end of %d blocks", what, blocks_overrun);
    blocks_overrun = 0;
    return f;
}

/* ---- the changes ---- */

/* Two stages change places, one is another's, one is missing. */
static void change_stages(mutation *m, const char **stages)
{
    int a = (int)mutation_random(m, STAGES), b = (int)mutation_random(m, STAGES);
    const char *was = stages[a];
    switch (mutation_random(m, 3)) {
    case 0:
        stages[a] = stages[b];
        stages[b] = was;
        break;
    case 1:
        stages[a] = stages[b];
        break;
    default:
        stages[a] = NULL;
    }
}

/* The same in all stages, which may still fit together: two names, symbols, sizes or types are exchanged. */
static void exchange_everywhere(mutation *m, const exported *e, char **changed, uint64_t seed)
{
    static const char *const words[] = {"load.0",  "source.0", "source.1", "source.2", "state.0",
                                        "state.1", "position", "count",    "B",        "P",
                                        "C",       "S",        "1",        "2",        "4",
                                        "i32",     "f32",      "fixed",    "carry",    "append"};
    uint64_t names = 8, all = sizeof words / sizeof *words, from = mutation_random(m, 2) ? 0 : names;
    const char *a = words[from + mutation_random(m, from ? all - names : names)],
               *b = words[from + mutation_random(m, from ? all - names : names)];
    for (int k = 0; k < STAGES; k++) {
        if (!e->stages[k])
            continue;
        mutation_begin(m, e->stages[k], seed);
        mutation_exchange(m, a, b);
        changed[k] = mutation_end(m);
    }
}

/* One change of the graph of a stage; which. */
static const char *change_graph(mutation *m, const exported *e, char **changed, int stage, uint64_t seed)
{
    while (!e->stages[stage])
        stage = (stage + 1) % STAGES;
    mutation_begin(m, changed[stage] ? changed[stage] : e->stages[stage], seed);
    const char *what = mutation_change(m);
    free(changed[stage]);
    changed[stage] = mutation_end(m);
    return what;
}

/* Of 30 seeds, 5 exchange words everywhere and one exchanges stages; most change one or two graphs as
 * well. */
static fate change_and_run(const exported *e, uint64_t seed)
{
    static mutation m;
    char path[110], what[400];
    const char *stages[STAGES], *changes[2] = {"", ""};
    char *changed[STAGES] = {NULL};
    m.random = seed * 2654435761u + 99;
    uint64_t wrong = 1 + (mutation_random(&m, 4) == 0), how = mutation_random(&m, 30);
    int first = (int)mutation_random(&m, STAGES);
    if (how % 6 == 1)
        exchange_everywhere(&m, e, changed, seed);
    for (uint64_t k = 0; k < wrong && how % 12 != 1; k++)
        changes[k] = change_graph(&m, e, changed, ((int)k + first) % STAGES, seed * 4 + k);
    for (int k = 0; k < STAGES; k++)
        stages[k] = changed[k] ? changed[k] : e->stages[k];
    if (!how)
        change_stages(&m, stages);
    snprintf(path, sizeof path, "%s.changed", e->path);
    snprintf(what, sizeof what, "seed %d of %s:%s %s %s", (int)seed, e->path,
             how % 6 == 1 ? " two words everywhere" : "", changes[0], changes[1]);
    save_changed(e, path, stages);
    if (getenv("HOSTILE_VERBOSE"))
        fprintf(stderr, "%s\n", what);
    fate f = load_and_run(path, what);
    for (int k = 0; k < STAGES; k++)
        free(changed[k]);
    unlink(path);
    return f;
}

Test(hostile_file, is_refused_or_keeps_to_its_memory, .timeout = 600)
{
    static const char *const kinds[][3] = {
        {"softmax", "softmax", "softmax"}, {"linear", "linear", "memsizer"},
        {"softmax", "deltanet", "linear"}, {NULL, "softmax", NULL},
        {NULL, "average", NULL},           {NULL, "gla", NULL}};
    enum { KINDS = sizeof kinds / sizeof *kinds };
    const char *rounds = getenv("HOSTILE_ROUNDS"), *from = getenv("HOSTILE_FROM");
    uint64_t first = from ? strtoull(from, NULL, 10) : 0,
             last = first + (rounds ? strtoull(rounds, NULL, 10) : 60);
    int fates[FATES] = {0};
    for (int k = 0; k < KINDS; k++) {
        exported e = export_small(kinds[k][0], kinds[k][1], kinds[k][2]);
        cr_assert_eq(load_and_run(e.path, "as exported"), RAN);
        for (uint64_t seed = first; seed < last; seed++)
            fates[change_and_run(&e, seed)]++;
        export_free(&e);
    }
    if (getenv("HOSTILE_VERBOSE"))
        fprintf(stderr, "%d refused to load, %d to run, %d ran\n", fates[0], fates[1], fates[2]);
    int all = fates[REFUSED_TO_LOAD] + fates[REFUSED_TO_RUN] + fates[RAN];
    cr_expect_gt(fates[REFUSED_TO_LOAD], all / 4);
    cr_expect_gt(fates[RAN], all / 10);
}
