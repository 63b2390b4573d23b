/* Checks a small language model of the mixer through rondo_session: prefill and steps give the logits of
 * the parallel form, beams can be reordered, a snapshot is independent, and the state keeps its size. */
#include "compiler/pipeline.h"
#include "core/random.h"
#include "models/decode/decoder.h"
#include "tools/check/distance.h"
#include "tools/graphs/state_bytes.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { VOCABULARY = 13, WIDTH = 32, HEADS = 2, BATCH = 3, TIME = 40, PREFIX = 25, BEFORE = 10, LATE = 200 };

typedef struct session_case {
    contract *k;
    rondo_graph *graph;
    rondo_value logits;
    rondo_weights *weights;
    rondo_program *program;
    arena arena;
    leaves leaves;
    double bound; /* twice that of a mixer (docs/NUMERICS.md) */
    uint64_t fed; /* number of tokens, as counted here */
} session_case;

static bool build(session_case *c)
{
    contract *k = c->k;
    rondo_graph *g = c->graph = rondo_graph_new(k->context, k->error);
    if (!g)
        return false;
    rondo_value table = rondo_parameter(g, "embed.weight", "f32[%d,%d]", VOCABULARY, WIDTH),
                none = {NULL, -1};
    rondo_value x = rondo_mul_scalar(rondo_embed(table, rondo_input(g, "tokens", "i32[B,T]")), sqrt(WIDTH));
    rondo_enter(g, "mixer");
    rondo_value y = mixer_make(k->mixer, x, x, none, true, HEADS);
    rondo_leave(g);
    c->logits = rondo_matmul(rondo_add(x, y), table, .transpose_b = true);
    return rondo_graph_check(g, k->error);
}

/* Makes the numbers of the leaves the weights. */
static bool fill_weights(session_case *c)
{
    int64_t bound[MAX_SYMBOLS];
    const extent extents[] = {{"B", BATCH}, {"T", TIME}};
    extents_bind(c->graph, extents, 2, bound);
    c->weights = rondo_weights_new(c->graph, c->k->seed, c->k->error);
    if (!c->weights || !leaves_for(&c->leaves, c->graph, bound, c->k->error))
        return false;
    for (int i = 0; i < c->leaves.count; i++) {
        rondo_tensor view;
        if (rondo_weights_get(c->weights, c->leaves.items[i].name, &view))
            memcpy(view.data, c->leaves.items[i].stored, sizeof(float) * (size_t)c->leaves.items[i].count);
    }
    return true;
}

static bool begin(session_case *c, contract *k)
{
    *c = (session_case){.k = k, .bound = 2 * f32_bound(TIME)};
    arena_begin(&c->arena, &k->context->allocator);
    c->leaves = (leaves){.arena = &c->arena, .seed = k->seed, .ids = VOCABULARY};
    return build(c) && fill_weights(c) && (c->program = rondo_program_new(c->logits, "T", k->error));
}

static void end(session_case *c)
{
    rondo_program_free(c->program);
    rondo_weights_free(c->weights);
    rondo_graph_free(c->graph);
    arena_end(&c->arena);
}

static const int32_t *tokens_of(const session_case *c)
{
    return leaves_find(&c->leaves, "tokens")->stored;
}

/* Logits of [batch, time] tokens by the parallel form in double precision, owned by the arena of the case;
 * NULL: failed. */
static const double *exact_logits(session_case *c, const int32_t *tokens, int64_t batch, int64_t time)
{
    contract *k = c->k;
    int count;
    int64_t bound[MAX_SYMBOLS], room = batch * time * VOCABULARY;
    interpretation values;
    const extent extents[] = {{"B", batch}, {"T", time}};
    rondo_graph *g = pipeline_forward(c->logits, "logits", &(pipeline_options){.after = "mode"}, k->error);
    if (!g)
        return NULL;
    interpret_binding *all = leaves_exact(&c->leaves, g, &c->arena, 1, &count);
    double *ids = ARENA_NEW(&c->arena, double, batch *time), *out = ARENA_NEW(&c->arena, double, room);
    bool good = (all && ids && out) || fail_memory(k->error, sizeof *out * (size_t)room, "logits");
    for (int64_t i = 0; good && i < batch * time; i++)
        ids[i] = tokens[i];
    for (int i = 0; good && i < count; i++) /* bind these tokens */
        if (all[i].value == graph_find_leaf(g, OP_input, "tokens"))
            all[i].data = ids;
    extents_bind(g, extents, 2, bound);
    good = good && interpret(g, bound, all, count, &values, k->error);
    if (good) {
        memcpy(out, values.values[graph_find_output(g, "logits")].data, sizeof *out * (size_t)room);
        interpret_end(&values);
    }
    graph_free(g);
    return good ? out : NULL;
}

/* ---- feeding ---- */

/* Feeds columns from … from + count of [rows, time] tokens. */
static const float *feed(session_case *c, rondo_session *s, const int32_t *tokens, int64_t rows, int64_t time,
                         int64_t from, int64_t count, const int32_t *lengths)
{
    int32_t part[8 * PREFIX];
    for (int64_t r = 0; r < rows; r++)
        memcpy(part + r * count, tokens + r * time + from, sizeof *part * (size_t)count);
    c->fed += (uint64_t)(rows * count);
    return rondo_session_advance(s, part, count, lengths, c->k->error);
}

/* Compares the logits of one row with those of the parallel form at one position. */
static distance row_distance(const float *logits, const double *expected)
{
    double ours[VOCABULARY];
    for (int v = 0; v < VOCABULARY; v++)
        ours[v] = logits[v];
    return distance_of(ours, expected, VOCABULARY);
}

/* ---- the checks ---- */

/* Feeds the first `prefix` tokens at once, then one at a time. */
static bool check_logits(session_case *c, int64_t prefix, const char *what)
{
    distance worst = {0, 0};
    const int32_t *tokens = tokens_of(c);
    const double *expected = exact_logits(c, tokens, BATCH, TIME);
    rondo_session *s = expected ? rondo_session_new(c->program, c->weights, BATCH, c->k->error) : NULL;
    bool good = s != NULL;
    c->fed = 0;
    for (int64_t at = 0, count = prefix; good && at < TIME; at += count, count = 1) {
        const float *logits = feed(c, s, tokens, BATCH, TIME, at, count, NULL);
        good = logits != NULL;
        for (int64_t b = 0; good && b < BATCH; b++)
            worst = distance_worse(worst, row_distance(logits + b * VOCABULARY,
                                                       expected + (b * TIME + at + count - 1) * VOCABULARY));
    }
    good = good && contract_add(c->k, what, distance_f32(worst), c->bound) &&
           contract_add(c->k, "tokens run beyond those given", (double)(s->tokens_run - c->fed), 0);
    rondo_session_free(s);
    return good;
}

/* Prompts of different lengths, each continued at its own position. */
static bool check_ragged(session_case *c)
{
    static const int32_t lengths[BATCH] = {PREFIX, 10, 17};
    distance worst = {0, 0};
    const int32_t *tokens = tokens_of(c);
    const double *expected = exact_logits(c, tokens, BATCH, TIME);
    rondo_session *s = expected ? rondo_session_new(c->program, c->weights, BATCH, c->k->error) : NULL;
    const float *logits = s ? feed(c, s, tokens, BATCH, TIME, 0, PREFIX, lengths) : NULL;
    for (int64_t step = 0; logits && step < 3; step++) {
        int32_t next[BATCH];
        for (int64_t b = 0; b < BATCH; b++) {
            worst = distance_worse(worst,
                                   row_distance(logits + b * VOCABULARY,
                                                expected + (b * TIME + lengths[b] + step - 1) * VOCABULARY));
            next[b] = tokens[b * TIME + lengths[b] + step];
        }
        logits = feed(c, s, next, BATCH, 1, 0, 1, NULL);
    }
    bool good =
        logits && contract_add(c->k, "session: ragged prompts, then steps", distance_f32(worst), c->bound);
    rondo_session_free(s);
    return good;
}

/* Four beams from three sequences, one used twice and one dropped; then each beam gets tokens of its own. */
static bool check_reorder(session_case *c)
{
    enum { BEAMS = 4, AFTER = 3 };
    static const int64_t from[BEAMS] = {2, 0, 0, 2};
    int32_t beams[BEAMS * (BEFORE + AFTER)];
    distance worst = {0, 0};
    const int32_t *tokens = tokens_of(c);
    for (int64_t b = 0; b < BEAMS; b++)
        for (int64_t t = 0; t < BEFORE + AFTER; t++)
            beams[b * (BEFORE + AFTER) + t] =
                t < BEFORE ? tokens[from[b] * TIME + t] : (int32_t)((b * 5 + t) % VOCABULARY);
    const double *expected = exact_logits(c, beams, BEAMS, BEFORE + AFTER);
    rondo_session *s = expected ? rondo_session_new(c->program, c->weights, BATCH, c->k->error) : NULL;
    bool good = s && feed(c, s, tokens, BATCH, TIME, 0, BEFORE, NULL) &&
                rondo_session_reorder(s, from, BEAMS, c->k->error);
    for (int64_t t = BEFORE; good && t < BEFORE + AFTER; t++) {
        const float *logits = feed(c, s, beams, BEAMS, BEFORE + AFTER, t, 1, NULL);
        good = logits != NULL;
        for (int64_t b = 0; good && b < BEAMS; b++)
            worst = distance_worse(worst, row_distance(logits + b * VOCABULARY,
                                                       expected + (b * (BEFORE + AFTER) + t) * VOCABULARY));
    }
    rondo_session_free(s);
    return good && contract_add(c->k, "session: beams reordered, 3 to 4", distance_f32(worst), c->bound);
}

/* A snapshot gives later what the session gave when it was taken. */
static bool check_snapshot(session_case *c)
{
    float then[BATCH * VOCABULARY];
    int64_t different = 0;
    const int32_t *tokens = tokens_of(c);
    rondo_session *s = rondo_session_new(c->program, c->weights, BATCH, c->k->error), *copy = NULL;
    const float *logits = NULL;
    bool good = s && feed(c, s, tokens, BATCH, TIME, 0, BEFORE, NULL) &&
                (copy = rondo_session_clone(s, c->k->error)) &&
                (logits = feed(c, s, tokens, BATCH, TIME, BEFORE, 1, NULL));
    if (good)
        memcpy(then, logits, sizeof then);
    good = good && feed(c, s, tokens, BATCH, TIME, BEFORE + 1, 5, NULL) &&
           (logits = feed(c, copy, tokens, BATCH, TIME, BEFORE, 1, NULL));
    for (int i = 0; good && i < BATCH * VOCABULARY; i++)
        different += memcmp(&logits[i], &then[i], sizeof *then) != 0;
    rondo_session_free(copy);
    rondo_session_free(s);
    return good && contract_add(c->k, "session: bits of a snapshot that differ", (double)different, 0);
}

/* A prompt at once, and in pieces that end where a chunk does: 384 is a multiple of every chunk size of a
 * scan. If the state has one size, the sums are the same. */
static bool check_pieces(session_case *c)
{
    enum { PIECE = 384, PIECES = 3 };
    float whole[VOCABULARY];
    int64_t different = 0;
    int32_t *prompt = ARENA_NEW(&c->arena, int32_t, PIECE * PIECES);
    rondo_session *once = rondo_session_new(c->program, c->weights, 1, c->k->error),
                  *parts = rondo_session_new(c->program, c->weights, 1, c->k->error);
    for (int i = 0; prompt && i < PIECE * PIECES; i++)
        prompt[i] = (int32_t)((i * 7 + i / 5) % VOCABULARY);
    const float *logits = prompt && once && parts
                              ? rondo_session_advance(once, prompt, PIECE * PIECES, NULL, c->k->error)
                              : NULL;
    bool good = logits && state_bytes_of(once).a_token == 0;
    if (good)
        memcpy(whole, logits, sizeof whole);
    for (int i = 0; good && i < PIECES; i++)
        good = (logits = rondo_session_advance(parts, prompt + i * PIECE, PIECE, NULL, c->k->error));
    for (int v = 0; good && v < VOCABULARY; v++)
        different += memcmp(&logits[v], &whole[v], sizeof *whole) != 0;
    rondo_session_free(parts);
    rondo_session_free(once);
    if (!logits)
        return prompt ? false : fail_memory(c->k->error, sizeof *prompt * PIECE * PIECES, "a prompt");
    return !good || contract_add(c->k, "session: a prompt in pieces: bits that differ", (double)different, 0);
}

static bool check_size(session_case *c)
{
    state_bytes early = {0, 0}, late = {0, 0};
    char remark[96];
    const int32_t *tokens = tokens_of(c);
    rondo_session *s = rondo_session_new(c->program, c->weights, BATCH, c->k->error);
    bool good = s && feed(c, s, tokens, BATCH, TIME, 0, BEFORE, NULL);
    if (good)
        early = state_bytes_of(s);
    for (int64_t at = BEFORE; good && at < LATE; at += BEFORE)
        good = feed(c, s, tokens, BATCH, TIME, 0, BEFORE, NULL);
    if (good)
        late = state_bytes_of(s);
    rondo_session_free(s);
    if (!good ||
        !contract_add(c->k, "bytes of state at token 200 more than at 10", late.fixed - early.fixed, 0))
        return false;
    if (late.a_token > 0)
        snprintf(remark, sizeof remark, "%.0f bytes per sequence, and a cache of %.0f bytes per token",
                 late.fixed, late.a_token);
    else
        snprintf(remark, sizeof remark, "%.0f bytes per sequence at any length", late.fixed);
    return contract_remark(c->k, remark);
}

bool check_sessions(contract *k)
{
    session_case c;
    bool good = begin(&c, k) && check_logits(&c, 1, "session: by ones against f64") &&
                check_logits(&c, PREFIX, "session: prefill, then by ones, against f64") && check_ragged(&c) &&
                check_reorder(&c) && check_snapshot(&c) && check_pieces(&c) && check_size(&c);
    end(&c);
    return good;
}
