/* search: which token comes next. Greedy or sampled, for any session; finished sequences stop costing anything but their place. */
#include "core/mutant.h"
#include "models/decode/decoder.h"
#include "core/random.h"
#include <math.h>
#include <stdlib.h>

typedef struct candidate {
    float logit;
    int32_t token;
} candidate;

typedef struct searching {
    const rondo_search *options;
    rondo_session *session;
    int32_t begin, end;
    int32_t *now; /* [batch] the tokens to feed */
    bool *done;
    candidate *sorted; /* [V] for sampling; NULL when greedy */
    int64_t batch, vocabulary;
} searching;

/* log Σ e^x in double, around the maximum. */
static double log_sum(const float *logits, int64_t count, double scale)
{
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < count; i++)
        most = logits[i] * scale > most ? logits[i] * scale : most;
    for (int64_t i = 0; i < count; i++)
        sum += exp(logits[i] * scale - most);
    return most + log(sum);
}

/* Ties go to the smaller id; padding and begin are never an answer. */
static int32_t most_likely(const float *logits, int64_t count, int32_t begin)
{
    int32_t best = -1;
    for (int64_t i = 1; i < count; i++)
        if (i != begin && (best < 0 || logits[i] > logits[best]))
            best = (int32_t)i;
    return best;
}

static int by_logit(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit < y->logit ? 1 : -1;
    return x->token - y->token;
}

static int32_t sample(searching *s, const float *logits, int64_t sequence, int64_t at)
{
    const rondo_search *o = s->options;
    int64_t count = 0, keep;
    for (int64_t i = 1; i < s->vocabulary; i++)
        if (i != s->begin)
            s->sorted[count++] = (candidate){logits[i], (int32_t)i};
    qsort(s->sorted, (size_t)count, sizeof *s->sorted, by_logit);
    keep = o->top_k > 0 && o->top_k < count ? o->top_k : count;
    double total = 0, most = s->sorted[0].logit, kept = 0;
    for (int64_t i = 0; i < keep; i++)
        total += exp((s->sorted[i].logit - most) / o->temperature);
    double limit = o->top_p > 0 && o->top_p < 1 ? o->top_p * total : total;
    for (int64_t i = 0; i < keep; i++)
        if ((kept += exp((s->sorted[i].logit - most) / o->temperature)) >= limit)
            keep = i + 1;
    uint32_t bits[4];
    random_block(o->seed, 0, (uint64_t)sequence, (uint32_t)at, 0, bits);
    double left = random_uniform(bits[0]) * kept;
    for (int64_t i = 0; i < keep; i++)
        if ((left -= exp((s->sorted[i].logit - most) / o->temperature)) < 0)
            return s->sorted[i].token;
    return s->sorted[keep - 1].token;
}

/* Chooses a token for every living sequence; how many still live. */
static int64_t choose(searching *s, const float *logits, int64_t at, int32_t *tokens, int64_t *lengths,
                      double *scores)
{
    int64_t alive = 0;
    for (int64_t b = 0; b < s->batch; b++) {
        const float *row = logits + b * s->vocabulary;
        if (MUTANT(search_goes_on_after_the_end, false, s->done[b]))
            continue;
        int32_t token = s->sorted ? sample(s, row, b, at) : most_likely(row, s->vocabulary, s->begin);
        double log_prob = row[token] - log_sum(row, s->vocabulary, 1);
        scores[b] += log_prob;
        s->now[b] = token;
        bool stop = token == s->end;
        if (!stop)
            tokens[b * s->options->max_length + lengths[b]++] = token;
        if (!stop && s->options->on_token)
            stop = !s->options->on_token(s->options->user, b, token, log_prob);
        s->done[b] = stop;
        alive += !stop;
    }
    return alive;
}

static bool generate(searching *s, int32_t *tokens, int64_t *lengths, double *scores, rondo_error *error)
{
    const float *logits = s->options->go_on ? s->session->logits : NULL;
    if (s->options->go_on && !logits)
        return fail(error, RONDO_ARGUMENT, "go_on wants a session that was just advanced by its prompt");
    for (int64_t at = 0; at < s->options->max_length; at++) {
        if (!logits && !(logits = rondo_session_advance(s->session, s->now, 1, NULL, error)))
            return false;
        if (!choose(s, logits, at, tokens, lengths, scores))
            break;
        logits = NULL;
    }
    return true;
}

bool rondo_generate_with(rondo_session *session, int32_t *tokens, int64_t *lengths, double *scores,
                         rondo_error *error, const rondo_search *options)
{
    error_begin(error);
    if (!session)
        return false;
    if (!options || !tokens || !lengths || !scores || options->max_length < 1 || options->temperature < 0 ||
        options->top_k < 0)
        return fail(error, RONDO_ARGUMENT,
                    "generate needs options, room for tokens, lengths and scores, a max_length of at "
                    "least 1, and no negative temperature or top_k");
    arena a;
    arena_begin(&a, &session->context->allocator);
    searching s = {.options = options,
                   .session = session,
                   .begin = options->begin ? options->begin : TOKEN_BEGIN,
                   .end = options->end ? options->end : TOKEN_END,
                   .batch = session->batch,
                   .vocabulary = session->vocabulary};
    s.now = ARENA_NEW(&a, int32_t, s.batch);
    s.done = ARENA_NEW(&a, bool, s.batch);
    s.sorted = options->temperature > 0 ? ARENA_NEW(&a, candidate, s.vocabulary) : NULL;
    bool good = s.now && s.done && (s.sorted || options->temperature == 0);
    if (!good)
        fail_memory(error, sizeof(candidate) * (size_t)s.vocabulary, "a search");
    for (int64_t b = 0; good && b < s.batch; b++) {
        s.now[b] = s.begin;
        lengths[b] = 0;
        scores[b] = 0;
    }
    good = good && generate(&s, tokens, lengths, scores, error);
    arena_end(&a);
    return good;
}
