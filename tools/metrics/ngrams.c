/* N-grams as sorted lists. */
#include "tools/metrics/ngrams.h"
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(ngram));
}

ngram *ngrams_sorted(arena *a, const int32_t *ids, int64_t length, int order, int64_t *count)
{
    *count = length >= order ? length - order + 1 : 0;
    ngram *list = ARENA_NEW(a, ngram, *count + 1);
    if (!list)
        return NULL;
    for (int64_t i = 0; i < *count; i++)
        memcpy(list[i].id, ids + i, (size_t)order * sizeof *ids);
    qsort(list, (size_t)*count, sizeof *list, compare);
    return list;
}

int64_t ngrams_common(const ngram *a, int64_t in_a, const ngram *b, int64_t in_b)
{
    int64_t common = 0;
    for (int64_t i = 0, j = 0; i < in_a && j < in_b;) {
        int order = compare(&a[i], &b[j]);
        common += order == 0;
        i += order <= 0;
        j += order >= 0;
    }
    return common;
}

ngram *ngrams_union(arena *memory, const ngram *a, int64_t in_a, const ngram *b, int64_t in_b, int64_t *count)
{
    ngram *list = ARENA_NEW(memory, ngram, in_a + in_b + 1);
    *count = 0;
    if (!list)
        return NULL;
    for (int64_t i = 0, j = 0; i < in_a || j < in_b;) {
        int order = i == in_a ? 1 : j == in_b ? -1 : compare(&a[i], &b[j]);
        list[(*count)++] = order <= 0 ? a[i] : b[j];
        i += order <= 0;
        j += order >= 0;
    }
    return list;
}

bool is_white_space(int32_t code)
{
    return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 || code == 0xA0 ||
           code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
           code == 0x202F || code == 0x205F || code == 0x3000;
}
