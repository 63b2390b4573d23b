/* bench decode: the time of one more token after --position tokens, and the state that a sequence has by
 * then. Without --position: at three positions; without --mixer: for linear and softmax, and from which
 * position on linear is faster and smaller. */
#include "models/decode/decoder.h"
#include "tools/bench/bench.h"
#include "tools/graphs/state_bytes.h"
#include <string.h>

enum { PREFILL = 256, STEPS_A_RUN = 4, WARM_STEPS = 2, MOST_POSITIONS = 3 };

typedef struct decoding {
    bench *b;
    workload w;
    rondo_program *program;
    rondo_session *session;
    int64_t batch, position; /* tokens of each sequence so far */
    int32_t *ids;            /* [batch, PREFILL], random */
} decoding;

typedef struct decode_result {
    double seconds;   /* of a step */
    double allocated; /* as allocated, of one sequence */
    state_bytes needed;
} decode_result;

/* ---- one model ---- */

static bool begin(decoding *d, bench *b, const char *name, int64_t batch)
{
    *d = (decoding){.b = b, .batch = batch};
    const options *before = b->o;
    options with = *before;
    if (name)
        with.encoder_self = with.decoder_self = with.cross = name;
    b->o = &with;
    bool good = workload_begin(b, &d->w);
    b->o = before;
    if (!good || !(d->ids = random_ids(b, batch * PREFILL, d->w.shape.vocabulary)))
        return false;
    d->program = rondo_program_new(d->w.graph.logits, TRANSFORMER_TIME, b->error);
    d->session = d->program ? rondo_session_new(d->program, d->w.weights, batch, b->error) : NULL;
    if (!d->session || !d->w.source)
        return d->session != NULL;
    int32_t *lengths = ARENA_NEW(&b->arena, int32_t, batch + 1),
            *source = random_ids(b, batch * d->w.source, d->w.shape.vocabulary);
    if (!lengths || !source)
        return fail_memory(b->error, sizeof *lengths * (size_t)batch, "a source");
    for (int64_t i = 0; i < batch; i++)
        lengths[i] = (int32_t)d->w.source;
    const rondo_tensor inputs[] = {{"source", RONDO_I32, 2, {batch, d->w.source}, source},
                                   {"source_length", RONDO_I32, 1, {batch}, lengths}};
    return rondo_session_source(d->session, inputs, 2, b->error);
}

static void end(decoding *d)
{
    rondo_session_free(d->session);
    rondo_program_free(d->program);
    workload_end(&d->w);
}

static bool advance(decoding *d, int64_t tokens)
{
    d->position += tokens;
    return signals_check(d->b->error) &&
           rondo_session_advance(d->session, d->ids, tokens, NULL, d->b->error) != NULL;
}

/* Advances to `position` and measures there. */
static bool measure_at(decoding *d, int64_t position, decode_result *result)
{
    bench *b = d->b;
    int64_t steps = b->o->runs * STEPS_A_RUN;
    double *seconds = ARENA_NEW(&b->arena, double, steps);
    if (!seconds)
        return fail_memory(b->error, sizeof *seconds * (size_t)steps, "measurements");
    while (d->position < position - WARM_STEPS)
        if (!advance(d, position - WARM_STEPS - d->position < PREFILL ? position - WARM_STEPS - d->position
                                                                      : PREFILL))
            return false;
    for (int i = 0; i < WARM_STEPS; i++)
        if (!advance(d, 1))
            return false;
    *result = (decode_result){0};
    result->allocated = (double)rondo_session_state_bytes(d->session) / (double)d->batch;
    result->needed = state_bytes_of(d->session);
    for (int64_t i = 0; i < steps; i++) {
        double start = bench_seconds();
        if (!advance(d, 1))
            return false;
        seconds[i] = bench_seconds() - start;
    }
    result->seconds = bench_median(seconds, steps);
    return true;
}

static bool report_at(decoding *d, int64_t position, const decode_result *result)
{
    report *r = &d->b->report;
    const char *name = d->w.shape.decoder_self;
    report_begin(r, "decode %s, position %lld, batch %lld", name, (long long)position, (long long)d->batch);
    report_number(r, "median_seconds", result->seconds, UNIT_SECONDS);
    report_number(r, "runs", (double)(d->b->o->runs * STEPS_A_RUN), UNIT_COUNT);
    report_number(r, "microseconds_per_token", result->seconds * 1e6 / (double)d->batch, UNIT_NUMBER);
    report_number(r, "tokens_per_second", (double)d->batch / result->seconds, UNIT_COUNT);
    report_number(r, "state_bytes_per_sequence", result->allocated, UNIT_BYTES);
    return report_end(r, d->b->error);
}

/* ---- several positions, and two mixers compared ---- */

static const int64_t positions[MOST_POSITIONS] = {64, 1024, 8192};

static bool measure_all(bench *b, const char *name, int64_t batch, decode_result results[MOST_POSITIONS])
{
    decoding d;
    bool good = begin(&d, b, name, batch);
    for (int i = 0; good && i < MOST_POSITIONS; i++)
        good = measure_at(&d, positions[i], &results[i]) && report_at(&d, positions[i], &results[i]);
    end(&d);
    if (!good)
        return false;
    report_begin(&b->report, "decode %s, batch %lld, position %lld against %lld", name, (long long)batch,
                 (long long)positions[MOST_POSITIONS - 1], (long long)positions[0]);
    report_number(&b->report, "ratio", results[MOST_POSITIONS - 1].seconds / results[0].seconds, UNIT_NUMBER);
    return report_end(&b->report, b->error);
}

/* The position where the interpolated time of softmax reaches that of linear; −1: at none that was
 * measured. */
static double crossing(const decode_result *linear, const decode_result *softmax)
{
    if (softmax[0].seconds >= linear[0].seconds)
        return (double)positions[0];
    for (int i = 1; i < MOST_POSITIONS; i++) {
        double before = softmax[i - 1].seconds - linear[i - 1].seconds,
               after = softmax[i].seconds - linear[i].seconds;
        if (after >= 0)
            return (double)positions[i - 1] +
                   (double)(positions[i] - positions[i - 1]) * -before / (after - before);
    }
    return -1;
}

static bool compare_mixers(bench *b, int64_t batch)
{
    decode_result linear[MOST_POSITIONS], softmax[MOST_POSITIONS];
    if (!measure_all(b, "linear", batch, linear) || !measure_all(b, "softmax", batch, softmax))
        return false;
    report *r = &b->report;
    double faster = crossing(linear, softmax);
    report_begin(r, "decode linear against softmax, batch %lld", (long long)batch);
    if (faster < 0)
        report_text(r, "faster_from_position", "not up to the last position measured");
    else
        report_number(r, faster <= (double)positions[0] ? "faster_at_position" : "faster_from_position",
                      faster, UNIT_COUNT);
    if (softmax[0].needed.a_token > 0)
        report_number(r, "smaller_from_position",
                      (linear[0].needed.fixed - softmax[0].needed.fixed) / softmax[0].needed.a_token,
                      UNIT_COUNT);
    return report_end(r, b->error);
}

static bool one_position(bench *b, int64_t batch)
{
    decoding d;
    decode_result result;
    bool good = begin(&d, b, b->o->mixer, batch) && measure_at(&d, b->o->position, &result) &&
                report_at(&d, b->o->position, &result);
    end(&d);
    return good;
}

bool bench_decode(bench *b)
{
    decode_result results[MOST_POSITIONS];
    static const int64_t both[] = {1, 32};
    int64_t first = is_given(b, OPTION_batch) ? b->o->batch : both[0],
            last = is_given(b, OPTION_batch) ? b->o->batch : both[1];
    options with;
    bool good = bench_options(b, &with);
    b->o = &with;
    b->report.compact = !is_given(b, OPTION_position);
    signals_begin();
    for (int64_t batch = first; good; batch = last) {
        if (is_given(b, OPTION_position))
            good = one_position(b, batch);
        else if (b->o->mixer)
            good = measure_all(b, b->o->mixer, batch, results);
        else
            good = compare_mixers(b, batch);
        if (batch == last)
            break;
    }
    return good;
}
