/* search: chooses the next tokens of a session, greedily or by sampling. A sequence that has ended keeps
 * its row in the batch, with a count of 0. */
#include "core/options.h"
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
    int32_t *tokens; /* the caller's, as are the next two; NULL: on_token receives them */
    int64_t *lengths;
    double *scores;
} searching;

/* ---- checking the options ---- */

/* The number of ids that may be chosen: all but padding and the one that begins a sequence. Never 0 after
 * check_ids. */
static bool check_ids(const searching *s, rondo_error *error)
{
    long long last = (long long)s->vocabulary - 1;
    if (s->begin < 0 || s->begin > last)
        return fail(error, RONDO_ARGUMENT, "begin is %d; the vocabulary has the ids 0 to %lld", s->begin,
                    last);
    if (last < 2)
        return fail(error, RONDO_ARGUMENT,
                    "the vocabulary has %lld entries and none to answer with: 0 is padding, %d begins a "
                    "sequence",
                    last + 1, s->begin);
    if (s->end < -1 || s->end > last)
        return fail(error, RONDO_ARGUMENT,
                    "end is %d; it must be one of the ids 0 to %lld, or -1 if no token ends a sequence",
                    s->end, last);
    return true;
}

/* As text, with a point in every locale. */
static const char *number_text(arena *a, double number)
{
    text t = {.arena = a};
    text_number(&t, number);
    const char *digits = text_done(&t);
    return digits ? digits : "not allowed";
}

static bool check_options(const rondo_search *o, arena *a, rondo_error *error)
{
    if (o->max_length < 1)
        return fail(error, RONDO_ARGUMENT, "max_length is %lld; it must be at least 1",
                    (long long)o->max_length);
    if (!(o->temperature >= 0 && o->temperature < INFINITY))
        return fail(error, RONDO_ARGUMENT, "temperature is %s; it must be 0 (greedy) or a positive number",
                    number_text(a, o->temperature));
    if (!(o->top_p >= 0 && o->top_p <= 1))
        return fail(error, RONDO_ARGUMENT, "top_p is %s; it must lie between 0 and 1",
                    number_text(a, o->top_p));
    if (o->top_k < 0)
        return fail(error, RONDO_ARGUMENT, "top_k is %d; it must be 0 (all) or positive", o->top_k);
    return true;
}

/* ---- choosing ---- */

/* log Σ e^x in double, around the maximum. Not finite if a logit is NaN or +∞, or if all are −∞. */
static double log_sum(const float *logits, int64_t count)
{
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < count; i++)
        most = logits[i] > most ? logits[i] : most;
    for (int64_t i = 0; i < count; i++)
        sum += exp(logits[i] - most);
    return most + log(sum);
}

/* Ties go to the smaller id; padding and begin are never chosen. */
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

/* Stores a token of sequence b and passes it to on_token; false: the sequence ends here. */
static bool take(searching *s, int64_t b, int32_t token, double log_prob)
{
    if (token == s->end)
        return false;
    if (s->tokens)
        s->tokens[b * s->options->max_length + s->lengths[b]] = token;
    s->lengths[b]++;
    return !s->options->on_token || s->options->on_token(s->options->user, b, token, log_prob);
}

/* Chooses token number `at` for every sequence that has not ended; *alive: how many still have not. */
static bool choose(searching *s, const float *logits, int64_t at, int64_t *alive, rondo_error *error)
{
    *alive = 0;
    for (int64_t b = 0; b < s->batch; b++) {
        const float *row = logits + b * s->vocabulary;
        if (s->done[b])
            continue;
        double total = log_sum(row, s->vocabulary);
        if (!isfinite(total))
            return fail_not_finite(s->session, b, at, error);
        int32_t token = s->sorted ? sample(s, row, b, at) : most_likely(row, s->vocabulary, s->begin);
        s->scores[b] += row[token] - total;
        s->now[b] = token;
        s->done[b] = !take(s, b, token, row[token] - total);
        *alive += !s->done[b];
    }
    return true;
}

static bool generate(searching *s, rondo_error *error)
{
    const float *logits = s->options->go_on ? s->session->logits : NULL;
    int64_t alive = s->batch;
    if (s->options->go_on && !logits)
        return fail(error, RONDO_ARGUMENT,
                    "go_on continues a prompt: feed it with rondo_session_advance just before");
    for (int64_t at = 0; alive && at < s->options->max_length; at++) {
        if (!logits && !(logits = rondo_session_advance(s->session, s->now, 1, NULL, error)))
            return false;
        if (!choose(s, logits, at, &alive, error))
            return false;
        logits = NULL;
    }
    return true;
}

bool rondo_generate_with(rondo_session *session, int32_t *tokens, int64_t *lengths, double *scores,
                         rondo_error *error, const rondo_search *given)
{
    error_begin(error);
    if (!session)
        return false;
    rondo_search own;
    const rondo_search *options = &own;
    const char *wrong = options_read(&own, sizeof own, given);
    if (wrong)
        return fail(error, RONDO_ARGUMENT, "rondo_generate: %s", wrong);
    if (!given || !lengths || !scores || (!tokens && !options->on_token))
        return fail(error, RONDO_ARGUMENT,
                    "generate needs options, room for lengths and scores, and for tokens unless on_token "
                    "takes them");
    arena a;
    arena_begin(&a, &session->context->allocator);
    searching s = {.options = options,
                   .session = session,
                   .begin = options->begin ? options->begin : TOKEN_BEGIN,
                   .end = options->end ? options->end : TOKEN_END,
                   .batch = session->batch,
                   .vocabulary = session->program->roles.vocabulary,
                   .tokens = tokens,
                   .lengths = lengths,
                   .scores = scores};
    bool good = check_options(options, &a, error) && check_ids(&s, error);
    if (good) {
        s.now = ARENA_NEW(&a, int32_t, s.batch);
        s.done = ARENA_NEW(&a, bool, s.batch);
        s.sorted = options->temperature > 0 ? ARENA_NEW(&a, candidate, s.vocabulary) : NULL;
        good = !a.failed || fail_memory(error, sizeof(candidate) * (size_t)s.vocabulary, "a search");
    }
    for (int64_t b = 0; good && b < s.batch; b++) {
        s.now[b] = s.begin;
        lengths[b] = 0;
        scores[b] = 0;
    }
    good = good && generate(&s, error);
    arena_end(&a);
    return good;
}
