/* chrF2: F-score of character n-grams without white space, with recall weighted twice. */
#include "tools/metrics/bleu.h"
#include "tools/data/lines.h"
#include "tools/metrics/ngrams.h"
#include <stdio.h>

static int32_t *characters(arena *a, const char *line, int64_t *count)
{
    const char *end = line + strlen(line);
    int32_t *codes = ARENA_NEW(a, int32_t, end - line + 1);
    *count = 0;
    while (codes && line < end) {
        int32_t code = utf8_next(&line, end);
        line += code < 0;
        if (!is_white_space(code))
            codes[(*count)++] = code;
    }
    return codes;
}

/* The statistics of one pair of lines. */
static bool compare(arena *a, const char *hypothesis, const char *reference, chrf *out)
{
    int64_t in_h, in_r;
    int32_t *h = characters(a, hypothesis, &in_h), *r = characters(a, reference, &in_r);
    *out = (chrf){0};
    for (int n = 0; h && r && n < CHRF_ORDER; n++) {
        int64_t counts[2];
        ngram *list_h = ngrams_sorted(a, h, in_h, n + 1, &counts[0]),
              *list_r = ngrams_sorted(a, r, in_r, n + 1, &counts[1]);
        if (!list_h || !list_r)
            return false;
        out->in_hypothesis[n] =
            counts[1] ? counts[0] : 0; /* nothing can match where the reference has no n-grams */
        out->in_reference[n] = counts[1];
        out->common[n] = ngrams_common(list_h, counts[0], list_r, counts[1]);
    }
    return h && r;
}

bool chrf_add(chrf *c, const char *hypothesis, const char *const *references, int count, rondo_error *error)
{
    chrf best = {0};
    double highest = -1;
    for (int i = 0; i < count; i++) {
        chrf now;
        arena a;
        arena_begin(&a, NULL);
        bool good = compare(&a, hypothesis, references[i], &now);
        arena_end(&a);
        if (!good)
            return fail_memory(error, strlen(hypothesis), "scoring a line");
        double score = chrf_score(&now);
        if (score > highest) {
            highest = score;
            best = now;
        }
    }
    for (int n = 0; n < CHRF_ORDER; n++) {
        c->in_hypothesis[n] += best.in_hypothesis[n];
        c->in_reference[n] += best.in_reference[n];
        c->common[n] += best.common[n];
    }
    c->references = count;
    return true;
}

double chrf_score(const chrf *c)
{
    double precision = 0, recall = 0;
    int orders = 0;
    for (int n = 0; n < CHRF_ORDER; n++)
        if (c->in_hypothesis[n] > 0 && c->in_reference[n] > 0) {
            precision += (double)c->common[n] / (double)c->in_hypothesis[n];
            recall += (double)c->common[n] / (double)c->in_reference[n];
            orders++;
        }
    if (precision + recall == 0)
        return 0;
    precision /= orders;
    recall /= orders;
    return 100 * (5 * precision * recall / (4 * precision + recall));
}

void chrf_signature(const chrf *c, char out[128])
{
    snprintf(out, 128, "nrefs:%d|case:mixed|eff:yes|nc:6|nw:0|space:no|version:rondo-%d.%d.%d", c->references,
             RONDO_VERSION / 10000, RONDO_VERSION / 100 % 100, RONDO_VERSION % 100);
}
