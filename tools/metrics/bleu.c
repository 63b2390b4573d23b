/* BLEU. The tokeniser works on bytes: its patterns contain only ASCII, and each byte of a longer character
 * matches as the character would, as "not a digit". */
#include "tools/metrics/bleu.h"
#include "tools/data/lines.h"
#include "tools/metrics/ngrams.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Tokeniser 13a ---- */

static void replace(char *line, const char *from, const char *to)
{
    size_t length = strlen(from), shorter = strlen(to);
    char *out = line;
    for (const char *at = line; *at;)
        if (strncmp(at, from, length) == 0) {
            memcpy(out, to, shorter);
            out += shorter;
            at += length;
        } else
            *out++ = *at++;
    *out = 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static bool is_stop(char c)
{
    return c == '.' || c == ',';
}
static bool is_symbol(char c)
{
    return (c >= '{' && c <= '~') || (c >= '[' && c <= '`') || (c >= ' ' && c <= '&') ||
           (c >= '(' && c <= '+') || (c >= ':' && c <= '@') || c == '/';
}

/* Each pass is one pattern of the tokeniser, from `in` to `out`; matches are found from left to right and
 * do not overlap. */
static void split_symbols(const char *in, char *out)
{
    for (; *in; in++)
        if (is_symbol(*in)) {
            *out++ = ' ';
            *out++ = *in;
            *out++ = ' ';
        } else
            *out++ = *in;
    *out = 0;
}

static void split_stops_not_after_digits(const char *in, char *out)
{
    for (; *in; in++) {
        *out++ = *in;
        if (!is_digit(*in) && is_stop(in[1])) {
            *out++ = ' ';
            *out++ = *++in;
            *out++ = ' ';
        }
    }
    *out = 0;
}

static void split_stops_not_before_digits(const char *in, char *out)
{
    for (; *in; in++)
        if (is_stop(*in) && in[1] && !is_digit(in[1])) {
            *out++ = ' ';
            *out++ = *in++;
            *out++ = ' ';
            *out++ = *in;
        } else
            *out++ = *in;
    *out = 0;
}

static void split_dashes_after_digits(const char *in, char *out)
{
    for (; *in; in++) {
        *out++ = *in;
        if (is_digit(*in) && in[1] == '-') {
            *out++ = ' ';
            *out++ = *++in;
            *out++ = ' ';
        }
    }
    *out = 0;
}

/* Leaves single spaces between tokens and none around them. */
static void join(const char *in, char *out)
{
    const char *end = in + strlen(in);
    char *begin = out;
    bool space = false;
    while (in < end) {
        const char *here = in;
        int32_t code = utf8_next(&in, end);
        in += code < 0; /* what is not UTF-8 is not white space */
        if (code >= 0 && is_white_space(code)) {
            space = out > begin;
            continue;
        }
        if (space)
            *out++ = ' ';
        space = false;
        memcpy(out, here, (size_t)(in - here));
        out += in - here;
    }
    *out = 0;
}

char *bleu_tokenize(arena *a, const char *line)
{
    size_t room =
        12 * strlen(line) +
        64; /* one byte becomes at most 3, 2, 2 and 2 bytes in the passes, but never in all of them */
    char *one = arena_new(a, room), *two = arena_new(a, room);
    if (!one || !two)
        return NULL;
    snprintf(one, room, " %s ", line);
    replace(one, "<skipped>", "");
    if (strchr(one, '&')) {
        replace(one, "&quot;", "\"");
        replace(one, "&amp;", "&");
        replace(one, "&lt;", "<");
        replace(one, "&gt;", ">");
    }
    split_symbols(one, two);
    split_stops_not_after_digits(two, one);
    split_stops_not_before_digits(one, two);
    split_dashes_after_digits(two, one);
    join(one, two);
    return two;
}

/* ---- Tokens as numbers ---- */

typedef struct word {
    const char *begin;
    int32_t *id; /* where to store its number */
} word;

static int compare_words(const void *a, const void *b)
{
    return strcmp(((const word *)a)->begin, ((const word *)b)->begin);
}

typedef struct sentence {
    int32_t *ids;
    int64_t length;
    ngram *ngrams[BLEU_ORDER];
    int64_t counts[BLEU_ORDER];
} sentence;

/* Cuts `line` at its spaces and appends its words; their numbers are filled in later. */
static bool add_words(arena *a, const char *line, sentence *s, word **words, int *count, int *capacity)
{
    char *tokens = bleu_tokenize(a, line);
    if (!tokens)
        return false;
    s->length = *tokens != 0;
    for (const char *at = tokens; *at; at++)
        s->length += *at == ' ';
    s->ids = ARENA_NEW(a, int32_t, s->length + 1);
    if (!s->ids)
        return false;
    for (int64_t i = 0; i < s->length; i++) {
        char *end = tokens + strcspn(tokens, " ");
        if (!ARENA_PUSH(a, *words, *count, *capacity))
            return false;
        (*words)[(*count)++] = (word){tokens, &s->ids[i]};
        tokens = end + (*end == ' ');
        *end = 0;
    }
    return true;
}

/* Equal words get equal numbers. */
static void number_words(word *words, int count)
{
    int32_t id = 0;
    if (count)
        qsort(words, (size_t)count, sizeof *words, compare_words);
    for (int i = 0; i < count; i++) {
        id += i > 0 && strcmp(words[i].begin, words[i - 1].begin) != 0;
        *words[i].id = id;
    }
}

static bool read_sentences(arena *a, const char *hypothesis, const char *const *references, int count,
                           sentence *sentences)
{
    word *words = NULL;
    int words_in = 0, capacity = 0;
    for (int s = 0; s <= count; s++)
        if (!add_words(a, s ? references[s - 1] : hypothesis, &sentences[s], &words, &words_in, &capacity))
            return false;
    number_words(words, words_in);
    for (int s = 0; s <= count; s++)
        for (int n = 0; n < BLEU_ORDER; n++) {
            sentence *now = &sentences[s];
            if (!(now->ngrams[n] = ngrams_sorted(a, now->ids, now->length, n + 1, &now->counts[n])))
                return false;
        }
    return true;
}

/* Of several references, the length closest to that of the hypothesis; of two equally close ones the
 * shorter. */
static int64_t closest_length(const sentence *sentences, int count)
{
    int64_t closest = sentences[1].length, length = sentences[0].length;
    for (int s = 2; s <= count; s++) {
        int64_t now = sentences[s].length, distance = llabs(now - length), least = llabs(closest - length);
        if (distance < least || (distance == least && now < closest))
            closest = now;
    }
    return closest;
}

static bool add_sentences(bleu *b, arena *a, const sentence *sentences, int count)
{
    bleu sum = *b;
    for (int n = 0; n < BLEU_ORDER; n++) {
        const ngram *best = sentences[1].ngrams[n];
        int64_t in_best = sentences[1].counts[n];
        for (int s = 2; s <= count; s++)
            if (!(best = ngrams_union(a, best, in_best, sentences[s].ngrams[n], sentences[s].counts[n],
                                      &in_best)))
                return false;
        sum.correct[n] += ngrams_common(sentences[0].ngrams[n], sentences[0].counts[n], best, in_best);
        sum.total[n] += sentences[0].counts[n];
    }
    sum.length += sentences[0].length;
    sum.reference_length += closest_length(sentences, count);
    sum.references = count;
    *b = sum;
    return true;
}

bool bleu_add(bleu *b, const char *hypothesis, const char *const *references, int count, rondo_error *error)
{
    arena a;
    arena_begin(&a, NULL);
    sentence *sentences = ARENA_NEW(&a, sentence, count + 1);
    bool good = sentences && read_sentences(&a, hypothesis, references, count, sentences) &&
                add_sentences(b, &a, sentences, count);
    arena_end(&a);
    return good || fail_memory(error, strlen(hypothesis), "scoring a line");
}

bleu_result bleu_score(const bleu *b)
{
    bleu_result r = {.brevity_penalty = 1};
    if (b->length < b->reference_length)
        r.brevity_penalty = b->length ? exp(1 - (double)b->reference_length / (double)b->length) : 0;
    double smoothing = 1, logarithms = 0;
    bool any = false;
    for (int n = 0; n < BLEU_ORDER; n++)
        any |= b->correct[n] > 0;
    if (!any)
        return r;
    for (int n = 0; n < BLEU_ORDER && b->total[n] > 0; n++)
        r.precisions[n] = b->correct[n] ? 100. * (double)b->correct[n] / (double)b->total[n]
                                        : 100. / ((smoothing *= 2) * (double)b->total[n]);
    for (int n = 0; n < BLEU_ORDER; n++)
        logarithms += r.precisions[n] > 0 ? log(r.precisions[n]) : -9999999999;
    r.score = r.brevity_penalty * exp(logarithms / BLEU_ORDER);
    return r;
}

void bleu_signature(const bleu *b, char out[128])
{
    snprintf(out, 128, "nrefs:%d|case:mixed|eff:no|tok:13a|smooth:exp|version:rondo-%d.%d.%d", b->references,
             RONDO_VERSION / 10000, RONDO_VERSION / 100 % 100, RONDO_VERSION % 100);
}

void bleu_format(const bleu *b, char out[256])
{
    bleu_result r = bleu_score(b);
    snprintf(out, 256,
             "BLEU = %.2f %.1f/%.1f/%.1f/%.1f (BP = %.3f ratio = %.3f hyp_len = %lld ref_len = %lld)",
             r.score, r.precisions[0], r.precisions[1], r.precisions[2], r.precisions[3], r.brevity_penalty,
             b->reference_length ? (double)b->length / (double)b->reference_length : 0, (long long)b->length,
             (long long)b->reference_length);
}
