/* Nearest neighbour by n-grams of words, with an inverted index: a sorted list of (n-gram, line). */
#include "tools/metrics/translation_memory.h"
#include "tools/metrics/bleu.h"
#include <stdlib.h>

enum { ORDER = 3, LONGEST = 512 }; /* words of a line that are used */

typedef struct posting {
    uint64_t key;
    int64_t line;
} posting;

struct translation_memory {
    const rondo_allocator *allocator;
    int64_t count; /* lines */
    posting *postings;
    int64_t posting_count;
    int32_t *keys;   /* [count] number of distinct n-grams of a line */
    int32_t *common; /* [count] scratch memory of a search */
    size_t posting_bytes, keys_bytes;
};

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
}

/* The distinct n-grams of the words and punctuation of a line, as sorted keys; case is ignored. −1: out of
 * memory. */
static int keys_of(const rondo_allocator *allocator, const char *line, uint64_t keys[LONGEST * ORDER])
{
    uint64_t words[LONGEST];
    int length = 0, count = 0;
    arena a;
    arena_begin(&a, allocator);
    const char *at = bleu_tokenize(&a, line);
    for (; at && *at && length < LONGEST; at += *at == ' ') {
        uint64_t hash = 1469598103934665603u;
        for (; *at && *at != ' '; at++)
            hash = (hash ^ (unsigned char)(*at >= 'A' && *at <= 'Z' ? *at + 32 : *at)) * 1099511628211u;
        words[length++] = hash;
    }
    arena_end(&a);
    if (!at)
        return -1;
    for (int i = 0; i < length; i++) {
        uint64_t key = 0;
        for (int n = 0; n < ORDER && i + n < length; n++)
            keys[count++] = key = mix(key + 1, words[i + n]);
    }
    for (int i = 1; i < count; i++) { /* lines are short */
        uint64_t now = keys[i];
        int j = i;
        for (; j > 0 && keys[j - 1] > now; j--)
            keys[j] = keys[j - 1];
        keys[j] = now;
    }
    int distinct = 0;
    for (int i = 0; i < count; i++)
        if (distinct == 0 || keys[distinct - 1] != keys[i])
            keys[distinct++] = keys[i];
    return distinct;
}

static int compare(const void *a, const void *b)
{
    const posting *p = a, *q = b;
    return p->key != q->key ? (p->key < q->key ? -1 : 1) : (p->line > q->line) - (p->line < q->line);
}

/* The postings of a key: [*first, result). */
static int64_t range(const translation_memory *m, uint64_t key, int64_t *first)
{
    int64_t bounds[2];
    for (int side = 0; side < 2; side++) {
        int64_t low = 0, high = m->posting_count;
        while (low < high) {
            int64_t middle = low + (high - low) / 2;
            if (m->postings[middle].key < key || (side && m->postings[middle].key == key))
                low = middle + 1;
            else
                high = middle;
        }
        bounds[side] = low;
    }
    *first = bounds[0];
    return bounds[1];
}

static bool add_postings(translation_memory *m, const lines *source, rondo_error *error)
{
    uint64_t keys[LONGEST * ORDER];
    int64_t at = 0;
    for (int64_t i = 0; i < m->count; i++) {
        int count = keys_of(m->allocator, lines_get(source, i), keys);
        if (count < 0)
            return fail_memory(error, (size_t)lines_length(source, i), "the translation memory");
        m->keys[i] = count;
        for (int k = 0; k < count && m->postings; k++)
            m->postings[at++] = (posting){keys[k], i};
        m->posting_count += m->postings ? 0 : count;
    }
    return true;
}

/* Two passes over the lines: to count, then to fill. */
static bool make_index(translation_memory *m, const lines *source, rondo_error *error)
{
    m->keys_bytes = (size_t)(m->count + 1) * sizeof *m->keys;
    m->keys = memory_new(m->allocator, m->keys_bytes);
    m->common = memory_new(m->allocator, m->keys_bytes);
    if (!m->keys || !m->common)
        return fail_memory(error, 2 * m->keys_bytes, "the translation memory");
    if (!add_postings(m, source, error))
        return false;
    m->posting_bytes = (size_t)(m->posting_count + 1) * sizeof *m->postings;
    m->postings = memory_new(m->allocator, m->posting_bytes);
    if (!m->postings)
        return fail_memory(error, m->posting_bytes, "the translation memory");
    if (!add_postings(m, source, error))
        return false;
    qsort(m->postings, (size_t)m->posting_count, sizeof *m->postings, compare);
    return true;
}

translation_memory *translation_memory_new(const rondo_allocator *allocator, const lines *source,
                                           rondo_error *error)
{
    translation_memory *m = memory_new(allocator, sizeof *m);
    if (!m) {
        fail_memory(error, sizeof *m, "the translation memory");
        return NULL;
    }
    m->allocator = allocator;
    m->count = source->count;
    if (make_index(m, source, error))
        return m;
    translation_memory_free(m);
    return NULL;
}

bool translation_memory_find(translation_memory *m, const char *line, int64_t *found, double *similarity,
                             rondo_error *error)
{
    uint64_t keys[LONGEST * ORDER];
    int count = keys_of(m->allocator, line, keys);
    double best = 0;
    if (count < 0)
        return fail_memory(error, strlen(line), "the translation memory");
    *found = 0;
    memset(m->common, 0, (size_t)m->count * sizeof *m->common);
    for (int k = 0; k < count; k++) {
        int64_t first, end = range(m, keys[k], &first);
        for (int64_t p = first; p < end; p++)
            m->common[m->postings[p].line]++;
    }
    for (int64_t i = 0; i < m->count; i++) {
        double like = m->common[i] ? 2.0 * m->common[i] / (count + m->keys[i]) : 0;
        if (like > best) {
            best = like;
            *found = i;
        }
    }
    if (similarity)
        *similarity = best;
    return true;
}

void translation_memory_free(translation_memory *m)
{
    if (!m)
        return;
    memory_free(m->allocator, m->postings, m->posting_bytes);
    memory_free(m->allocator, m->keys, m->keys_bytes);
    memory_free(m->allocator, m->common, m->keys_bytes);
    memory_free(m->allocator, m, sizeof *m);
}
