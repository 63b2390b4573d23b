/* What is wrong with a tokenizer's file is found before the library reads it, which crashes on some of it. */
#include "models/tokenizer/verify.h"
#include "tests/tools/small_tokenizer.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- one flipped bit ---- */

static void use(const tokenizer *t)
{
    static const char all[] = "\0\1\2\3\x7f\x80\xbf\xc0\xc2\xe0\xed\xa0\x80\xef\xf0\xf4\x90\xff \t\r\n";
    static const char emoji[] =
        "👩‍👩‍👧‍👦🇩🇪 ｆｕｌｌ　ｗｉｄｔｈ ﬁ ﷺ Å ㍿ ½";
    static char every[256], longer[600], text[4096];
    static int32_t ids[8192];
    for (int i = 0; i < 256; i++)
        every[i] = (char)i;
    for (size_t i = 0; i < sizeof longer; i++)
        longer[i] = "the größer zurück state "[i % 26];
    const struct {
        const char *text;
        size_t length;
    } lines[] = {{"", 0},
                 {"the wandering theme", 19},
                 {all, sizeof all},
                 {every, sizeof every},
                 {emoji, sizeof emoji - 1},
                 {longer, sizeof longer},
                 {"   ", 3}};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        int64_t count = 0;
        size_t length;
        if (tokenizer_encode(t, lines[i].text, lines[i].length, ids, 8192, &count, NULL))
            tokenizer_decode(t, ids, count < 8192 ? count : 8192, text, sizeof text, &length, NULL);
    }
    for (int32_t i = 0; i < tokenizer_size(t) && i < 8192; i++)
        ids[i] = i;
    size_t length;
    tokenizer_decode(t, ids, tokenizer_size(t), text, sizeof text, &length, NULL);
}

/* Loads and is used, or is refused: 1. */
static int try(const char *model, size_t size, const char *what, size_t where)
{
    rondo_error error = {0};
    tokenizer *t = tokenizer_load(model, size, &error);
    if (t)
        use(t);
    else
        cr_expect_eq(error.code, RONDO_FILE, "%s %zu: %s", what, where, error.message);
    tokenizer_free(t);
    return t == NULL;
}

/* Each byte outside the charsmap, and some inside of it. */
Test(tokenizer_damage, a_flipped_bit_is_refused_or_does_no_harm)
{
    for (int kind = TOKENIZER_BPE; kind <= TOKENIZER_UNIGRAM; kind++) {
        rondo_error error = {0};
        tokenizer *t = small_tokenizer(60, (tokenizer_kind)kind, &error);
        size_t size, tried = 0, refused = 0;
        const char *model = tokenizer_model(t, &size);
        char *copy = malloc(size);
        memcpy(copy, model, size);
        tokenizer_free(t);
        for (size_t at = 0; at < size; at += at < 1000 || at > size - 20 ? 1 : 499, tried++) {
            copy[at] ^= (char)(1 << at % 8);
            refused += (size_t)try(copy, size, "byte", at);
            copy[at] ^= (char)(1 << at % 8);
        }
        cr_expect(refused > tried / 4 && refused < tried, "%zu of %zu were refused", refused, tried);
        for (size_t left = 0; left < size; left += left < 200 ? 7 : 9973)
            cr_expect(try(copy, left, "cut to", left) == 1, "cut to %zu bytes it loads", left);
        free(copy);
    }
}

/* ---- field by field ---- */

typedef struct message {
    unsigned char data[200000];
    size_t bytes;
} message;

static void put(message *m, const void *data, size_t bytes)
{
    memcpy(m->data + m->bytes, data, bytes);
    m->bytes += bytes;
}
static void put_varint(message *m, uint64_t number)
{
    for (; number >= 0x80; number >>= 7)
        m->data[m->bytes++] = (unsigned char)(number | 0x80);
    m->data[m->bytes++] = (unsigned char)number;
}
static void put_number(message *m, unsigned field, int64_t number)
{
    put_varint(m, field << 3);
    put_varint(m, (uint64_t)number);
}
static void put_bytes(message *m, unsigned field, const void *data, size_t bytes)
{
    put_varint(m, field << 3 | 2);
    put_varint(m, bytes);
    put(m, data, bytes);
}
static void put_piece(message *m, const char *text, float score, int type)
{
    static message piece;
    piece.bytes = 0;
    put_bytes(&piece, 1, text, strlen(text));
    put_varint(&piece, 2 << 3 | 5);
    put(&piece, &score, 4);
    put_number(&piece, 3, type);
    put_bytes(m, 1, piece.data, piece.bytes);
}

/* A model of six pieces, to which a test adds one field more. */
static message *small_model(void)
{
    static message m, part;
    m.bytes = part.bytes = 0;
    put_bytes(&m, 3, "", 0);
    put_piece(&m, "<pad>", 0, 3);
    put_piece(&m, "<s>", 0, 3);
    put_piece(&m, "</s>", 0, 3);
    put_piece(&m, "<unk>", 0, 2);
    put_piece(&m, "a", -1, 1);
    put_piece(&m, "b", -2, 1);
    put_number(&part, 3, 1);
    put_bytes(&m, 2, part.data, part.bytes);
    return &m;
}

static void expect_refused(const message *m, const char *why)
{
    rondo_error error = {0};
    tokenizer *t = tokenizer_load(m->data, m->bytes, &error);
    cr_expect(!t && error.code == RONDO_FILE && strstr(error.message, why), "%s: %s", why, error.message);
    tokenizer_free(t);
}
static void expect_good(const message *m)
{
    rondo_error error = {0};
    tokenizer *t = tokenizer_load(m->data, m->bytes, &error);
    cr_expect(t, "%s", error.message);
    if (t)
        use(t);
    tokenizer_free(t);
}

Test(tokenizer_damage, pieces_are_checked)
{
    char longest[1002];
    memset(longest, 'x', sizeof longest);
    longest[1001] = 0;
    const struct {
        const char *text;
        float score;
        int type;
        const char *why;
    } pieces[] = {{"c", -1, 1, NULL},
                  {longest + 1, -1, 1, NULL},
                  {longest, -1, 1, "piece 6 has a text that is not UTF-8"},
                  {"", -1, 1, "piece 6 is empty"},
                  {"a", -1, 1, "two pieces with the same text"},
                  {"\xff", -1, 1, "not UTF-8"},
                  {"c", NAN, 1, "not finite"},
                  {"c", -INFINITY, 1, "not finite"},
                  {"c", -1, 0, "unknown type"},
                  {"c", -1, 7, "unknown type"},
                  {"c", -1, -1, "unknown type"},
                  {"c", -1, 2, "exactly one piece of type unknown"}};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        message *m = small_model();
        put_piece(m, pieces[i].text, pieces[i].score, pieces[i].type);
        if (pieces[i].why)
            expect_refused(m, pieces[i].why);
        else
            expect_good(m);
    }
    message *m = small_model();
    put_bytes(m, 1,
              "\x0a\x03"
              "c\0d",
              5);
    expect_refused(m, "contains NUL");
}

/* More matches than the library has room for. */
Test(tokenizer_damage, user_defined_pieces_that_begin_alike_are_limited)
{
    char text[65] = "";
    message *m = small_model();
    for (int i = 0; i < 63; i++) {
        text[i] = 'u';
        put_piece(m, text, 0, 4);
    }
    expect_good(m);
    put_piece(m, "v", 0, 4);
    expect_good(m);
    text[63] = 'u';
    put_piece(m, text, 0, 4);
    expect_refused(m, "prefixes of each other");
}

Test(tokenizer_damage, settings_and_form_are_checked)
{
    static const struct {
        unsigned part, field;
        int64_t number;
        const char *why;
    } settings[] = {{2, 3, 2, NULL},          {2, 3, 5, "model type"}, {2, 24, 2, "flag"},
                    {2, 35, 1 << 20, "flag"}, {2, 40, 6, "an id"},     {2, 43, -2, "an id"},
                    {2, 43, -1, NULL},        {3, 3, 2, "flag"},       {3, 4, -1, "flag"},
                    {3, 5, 0, NULL},          {5, 5, 9, "flag"},       {2, 44, 1, "wrong type"},
                    {3, 2, 1, "wrong type"},  {2, 900, 7, NULL},       {6, 1, 1, NULL}};
    static const struct {
        const char *bytes;
        size_t count;
        const char *why;
    } tails[] = {{"\x22\x02\x0a", 3, "truncated"},
                 {"\x0b", 1, "truncated"},
                 {"\x0b\x0c", 2, "truncated"},
                 {"\x00\x00", 2, "truncated"},
                 {"\x09\x01", 2, "truncated"},
                 {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "truncated"},
                 {"\x08\x01", 2, "wrong type"},
                 {"\x22\x02\x0a\x00", 4, "self-test samples"},
                 {"\x22\x00", 2, NULL},
                 {"\x12\x03\xe2\x02\x00", 5, NULL},
                 {"\x12\x04\xe2\x02\x01\xff", 6, "not UTF-8"}};
    expect_good(small_model());
    static message none;
    expect_refused(&none, "impossible size");
    put_bytes(&none, 3, "", 0);
    expect_refused(&none, "no trainer spec or no normalizer spec");
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        static message part;
        message *m = small_model();
        part.bytes = 0;
        put_number(&part, settings[i].field, settings[i].number);
        put_bytes(m, settings[i].part, part.data, part.bytes);
        if (settings[i].why)
            expect_refused(m, settings[i].why);
        else
            expect_good(m);
    }
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        message *m = small_model();
        put(m, tails[i].bytes, tails[i].count);
        if (tails[i].why)
            expect_refused(m, tails[i].why);
        else
            expect_good(m);
    }
}

/* ---- the charsmap ---- */

enum { UNITS = 512, ROOT_CHILDREN = 256 };

/* A unit for this character whose children are at `children`. */
static uint32_t unit(uint32_t index, unsigned char label, bool leaf, uint32_t children)
{
    return (index ^ children) << 10 | (uint32_t)leaf << 8 | label;
}

/* "a" becomes the text at `value` of the pool. */
static void small_trie(uint32_t *units, uint32_t value)
{
    memset(units, 0, sizeof *units * UNITS);
    units[0] = unit(0, 0, false, ROOT_CHILDREN);
    units[ROOT_CHILDREN ^ 'a'] = unit(ROOT_CHILDREN ^ 'a', 'a', true, 10);
    units[10] = 1u << 31 | value;
}

static void expect_charsmap(const uint32_t *units, uint32_t trie_bytes, const void *pool, size_t pool_bytes,
                            const char *why)
{
    static message map, part;
    map.bytes = part.bytes = 0;
    put(&map, &trie_bytes, 4);
    put(&map, units, sizeof *units * UNITS);
    put(&map, pool, pool_bytes);
    rondo_error error = {0};
    const char *wrong = charsmap_verify(map.data, map.bytes, &error);
    cr_expect((wrong == NULL) == (why == NULL) && (!why || strstr(wrong, why)), "%s: %s", why, wrong);
    put_bytes(&part, 2, map.data, map.bytes);
    message *m = small_model();
    put_bytes(m, 3, part.data, part.bytes);
    if (why)
        expect_refused(m, why);
    else
        expect_good(m);
}

Test(tokenizer_damage, a_trie_stays_inside)
{
    static uint32_t units[UNITS];
    static const char pool[] = "b\0\xc3\xbc";
    char longest[1002] = "";
    const uint32_t all = sizeof units;
    for (uint32_t value = 0; value < 7; value++) { /* in the pool, and where a character begins */
        small_trie(units, value);
        expect_charsmap(units, all, pool, sizeof pool, value < 5 && value != 3 ? NULL : "outside");
    }
    small_trie(units, INT32_MAX);
    expect_charsmap(units, all, pool, sizeof pool, "outside");
    small_trie(units, 0);
    expect_charsmap(units, all, pool, sizeof pool - 1,
                    "replacement that is not UTF-8"); /* the last one does not end */
    expect_charsmap(units, all, "\xff", 2, "replacement that is not UTF-8");
    memset(longest, 'x', 1000);
    expect_charsmap(units, all, longest, 1001, "replacement that is not UTF-8");
    expect_charsmap(units, all, longest + 1, 1000, NULL);
    for (uint32_t wrong = 0; wrong < 2 * all; wrong += wrong == 768 ? 512 : 256)
        expect_charsmap(units, wrong, pool, sizeof pool, wrong == all ? NULL : "impossible size");
    units[ROOT_CHILDREN ^ 'a'] = unit(ROOT_CHILDREN ^ 'a', 'a', false, UNITS);
    expect_charsmap(units, all, pool, sizeof pool, "outside");
    small_trie(units, 0);
    units[10] = 0; /* a leaf without a value */
    expect_charsmap(units, all, pool, sizeof pool, "outside");
    small_trie(units, 0);
    units[0] |= 1u << 31; /* the root is followed whatever it says */
    expect_charsmap(units, all, pool, sizeof pool, "outside");
    small_trie(units, 0);
    units[0] = unit(0, 0, false, UNITS);
    expect_charsmap(units, all, pool, sizeof pool, "outside");
}

/* "a" leads back to the root's children: every further "a" is one more match. */
Test(tokenizer_damage, a_trie_has_an_end)
{
    static uint32_t units[UNITS];
    small_trie(units, 0);
    units[ROOT_CHILDREN] = 1u << 31;
    units[ROOT_CHILDREN ^ 'a'] = unit(ROOT_CHILDREN ^ 'a', 'a', true, ROOT_CHILDREN);
    expect_charsmap(units, sizeof units, "", 1, "more than 31 rules");
    units[ROOT_CHILDREN ^ 'a'] =
        unit(ROOT_CHILDREN ^ 'a', 'a', false, ROOT_CHILDREN); /* matches nothing, ever */
    expect_charsmap(units, sizeof units, "", 1, NULL);
}

/* ---- memory ---- */

#ifndef __SANITIZE_ADDRESS__
static rlim_t address_space(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    cr_assert(file && fscanf(file, "%ld", &pages) == 1);
    fclose(file);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* Whatever the limit is, the library loads or is not asked. */
Test(tokenizer_damage, where_memory_is_scarce_it_is_refused)
{
    char text[8];
    rondo_error error = {0};
    struct rlimit before, scarce;
    tokenizer *loaded = NULL;
    message *m = small_model();
    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "c%d", i);
        put_piece(m, text, -(float)i, 1);
    }
    getrlimit(RLIMIT_AS, &before);
    const rlim_t now = address_space();
    int refused = 0;
    for (rlim_t more = 0; !loaded && more < 64 << 20; more += 64 << 10) {
        scarce = (struct rlimit){now + more, before.rlim_max};
        error = (rondo_error){0};
        setrlimit(RLIMIT_AS, &scarce);
        loaded = tokenizer_load(m->data, m->bytes, &error);
        setrlimit(RLIMIT_AS, &before);
        refused += !loaded;
        cr_expect(loaded || error.code == RONDO_MEMORY, "%s", error.message);
    }
    cr_expect(loaded && refused > 10, "refused %d times", refused);
    tokenizer_free(loaded);
}
#endif
