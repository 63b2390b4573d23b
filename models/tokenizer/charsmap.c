/* The compiled map of a SentencePiece normalizer: the size of a trie in bytes, the trie as a double array
 * (darts-clone), and a pool of NUL-terminated replacements that its leaves point into. The library walks
 * the trie without bounds checks. */
#include "core/utf8.h"
#include "models/tokenizer/verify.h"
#include "core/memory.h"
#include <string.h>

enum {
    UNIT_BYTES = 4,
    BLOCK = 256, /* children of a unit differ in the last 8 bits of their index: they stay in one block */
    MOST_BYTES = 16 << 20,
    MOST_REPLACEMENT_BYTES = 1000,
    MOST_MATCHES = 31, /* rules that match at one position of a text: the library has room for 32 */
    MOST_RULE_BYTES = 256
};

typedef struct trie {
    const unsigned char *units;
    uint32_t count;
    const char *pool;
    size_t pool_bytes;
} trie;

/* ---- a unit: a character and where its children are, or the value of a leaf ---- */

static uint32_t unit_at(const trie *t, uint32_t index)
{
    const unsigned char *p = t->units + (size_t)UNIT_BYTES * index;
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static bool is_value(uint32_t unit)
{
    return unit >> 31;
}
static bool has_leaf(uint32_t unit)
{
    return unit >> 8 & 1;
}
static uint32_t offset_of(uint32_t unit)
{
    return unit >> 10 << ((unit >> 9 & 1) * 8);
}

/* ---- the checks ---- */

/* Replacements are short, in UTF-8, and each is terminated inside the pool. */
static bool check_pool(const trie *t)
{
    const char *end = t->pool + t->pool_bytes, *begin = t->pool;
    for (const char *at = t->pool; at < end;) {
        int32_t character = utf8_next(&at, end);
        if (character < 0 || at - begin > MOST_REPLACEMENT_BYTES)
            return false;
        if (character == 0)
            begin = at;
    }
    return begin == end;
}

static bool points_into_pool(const trie *t, uint32_t value)
{
    return value < t->pool_bytes && ((unsigned char)t->pool[value] & 0xc0) != 0x80;
}

/* No unit points outside the trie, no leaf outside the pool. */
static bool check_units(const trie *t)
{
    if (is_value(unit_at(t, 0)))
        return false;
    for (uint32_t i = 0; i < t->count; i++) {
        uint32_t unit = unit_at(t, i), children = i ^ offset_of(unit);
        if (is_value(unit))
            continue;
        if (children >= t->count)
            return false;
        uint32_t leaf = unit_at(t, children);
        if (has_leaf(unit) && (!is_value(leaf) || !points_into_pool(t, leaf & INT32_MAX)))
            return false;
    }
    return true;
}

/* Relaxes every edge once. matches[i] is 1 + the largest number of leaves on a path from the root to the
 * children at i, 0 if no path is known. False: nothing has changed, or a path has too many leaves. */
static bool walk_on(const trie *t, unsigned char *matches, bool *too_many)
{
    bool changed = false;
    for (uint32_t i = 0; i < t->count; i++) {
        uint32_t unit = unit_at(t, i), children = i ^ offset_of(unit);
        unsigned char before = is_value(unit) ? 0 : matches[i ^ (unit & 0xff)];
        if (!before || before + has_leaf(unit) <= matches[children])
            continue;
        matches[children] = (unsigned char)(before + has_leaf(unit));
        *too_many = *too_many || matches[children] > 1 + MOST_MATCHES;
        changed = true;
    }
    return changed && !*too_many;
}

/* A hostile trie may have cycles; a cycle with a leaf on it would match without end. */
static const char *check_matches(const trie *t, rondo_error *error)
{
    unsigned char *matches = memory_new(&memory_malloc, t->count);
    bool too_many = false, changed = true;
    if (!matches) {
        fail_memory(error, t->count, "checking a tokenizer");
        return "could not be checked";
    }
    matches[offset_of(unit_at(t, 0))] = 1;
    for (int bytes = 0; changed && bytes <= MOST_RULE_BYTES; bytes++)
        changed = walk_on(t, matches, &too_many);
    memory_free(&memory_malloc, matches, t->count);
    return too_many  ? "has more than 31 rules that match at one position"
           : changed ? "has a rule of more than 256 bytes"
                     : NULL;
}

const char *charsmap_verify(const unsigned char *data, size_t bytes, rondo_error *error)
{
    if (bytes == 0)
        return NULL;
    if (bytes <= UNIT_BYTES || bytes > MOST_BYTES)
        return "has an impossible size";
    uint32_t trie_bytes = unit_at(&(trie){.units = data}, 0);
    if (trie_bytes == 0 || trie_bytes % (UNIT_BYTES * BLOCK) || trie_bytes >= bytes - UNIT_BYTES)
        return "has a trie of an impossible size";
    const trie t = {.units = data + UNIT_BYTES,
                    .count = trie_bytes / UNIT_BYTES,
                    .pool = (const char *)data + UNIT_BYTES + trie_bytes,
                    .pool_bytes = bytes - UNIT_BYTES - trie_bytes};
    if (!check_pool(&t))
        return "has a replacement that is not UTF-8 of at most 1000 bytes";
    return check_units(&t) ? check_matches(&t, error) : "has a trie that points outside of itself";
}
