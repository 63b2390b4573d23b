/* Making a corpus from the lists of apt: reading, pairing, dropping repetitions, writing. */
#include "tools/data/debian_corpus.h"
#include "core/file.h"
#include "core/folder.h"
#include "tools/signals.h"
#include "tools/data/debian_lists.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRAIN, VALID, TEST, PARTS };
/* At most so many pairs in valid and in test, and so many of one source package, so that no family of
 * packages dominates. */
enum { HELD_OUT = 1000, HELD_OUT_OF_SOURCE = 4 };

typedef struct pair {
    const char *text[2];
    uint64_t key[2]; /* of the text without case and punctuation, and with all digits equal */
    int64_t number;  /* in the order of the lists */
    uint64_t source; /* hash of the source package */
    int part;
    bool dropped;
} pair;

typedef struct work {
    const rondo_allocator *allocator;
    arena arena;
    lines lists[3]; /* Packages, English, translation */
    description_list english, translated;
    source_map sources;
    pair *pairs;
    int count, capacity;
    debian_counts *counts;
    rondo_error *error;
} work;

/* ---- The lists ---- */

/* The first file of the folder, by name, with this ending. */
static char *find_list(arena *a, const char *folder, const char *ending, rondo_error *error)
{
    DIR *open = opendir(folder);
    char best[512] = "";
    if (!open) {
        fail(error, RONDO_FILE, "cannot open the folder %s: %s", folder, strerror(errno));
        return NULL;
    }
    for (struct dirent *entry; (entry = readdir(open));) {
        size_t length = strlen(entry->d_name), tail = strlen(ending);
        if (length > tail && length < sizeof best && strcmp(entry->d_name + length - tail, ending) == 0 &&
            (!best[0] || strcmp(entry->d_name, best) < 0))
            strcpy(best, entry->d_name);
    }
    closedir(open);
    if (best[0]) {
        char *path = arena_text(a, "%s/%s", folder, best);
        if (!path)
            fail_memory(error, sizeof best, folder);
        return path;
    }
    fail(error, RONDO_FILE, "%s has no *%s; fetch it with tools/data/debian_corpus.sh", folder, ending);
    return NULL;
}

static bool find_lists(work *w, const char *folder, const char *language, char *paths[3])
{
    char ending[64];
    snprintf(ending, sizeof ending, "_i18n_Translation-%s", language);
    const char *const endings[3] = {"_Packages", "_i18n_Translation-en", ending};
    for (int i = 0; i < 3; i++)
        if (!(paths[i] = find_list(&w->arena, folder, endings[i], w->error)))
            return false;
    return true;
}

static bool read_lists(work *w, char *const paths[3])
{
    for (int i = 0; i < 3; i++)
        if (!lines_read(&w->lists[i], w->allocator, paths[i], w->error))
            return false;
    if (!sources_read(&w->sources, &w->arena, &w->lists[0], w->error) ||
        !descriptions_read(&w->english, &w->arena, &w->lists[1], w->error) ||
        !descriptions_read(&w->translated, &w->arena, &w->lists[2], w->error))
        return false;
    descriptions_sort(&w->english);
    return true;
}

/* ---- Pairs ---- */

static uint64_t mix(uint64_t hash, unsigned char byte)
{
    return (hash ^ byte) * 1099511628211u;
}

static uint64_t hash_text(const char *words)
{
    uint64_t hash = 1469598103934665603u;
    while (*words)
        hash = mix(hash, (unsigned char)*words++);
    return hash ^ hash >> 32;
}

/* Equal for texts that differ only in case, punctuation, spaces or numbers. */
static uint64_t hash_normal(const char *words)
{
    uint64_t hash = 1469598103934665603u;
    for (; *words; words++) {
        unsigned char c = (unsigned char)*words;
        if (c >= '0' && c <= '9')
            hash = mix(hash, '0');
        else if (c >= 'A' && c <= 'Z')
            hash = mix(hash, c + 32);
        else if ((c >= 'a' && c <= 'z') || c >= 0x80)
            hash = mix(hash, c);
    }
    return hash;
}

/* 90 of 100 source packages are for training. */
static int part_of(uint64_t source)
{
    uint64_t number = source % 100;
    return number < 5 ? TEST : number < 10 ? VALID : TRAIN;
}

/* Neither side is longer than two and a half times the other, plus a few bytes. */
static bool is_even(const char *a, const char *b)
{
    size_t m = strlen(a), n = strlen(b);
    return 2 * m <= 5 * n + 20 && 2 * n <= 5 * m + 20;
}

static bool add_pair(work *w, const char *english, const char *translated, uint64_t source, int64_t max_words)
{
    w->counts->segments++;
    int64_t words[2] = {words_count(english), words_count(translated)};
    if (strcmp(english, translated) == 0)
        w->counts->same++;
    else if (words[0] > max_words || words[1] > max_words)
        w->counts->long_ones++;
    else if (words[0] == 0 || words[1] == 0 || !is_even(english, translated))
        w->counts->uneven++;
    else {
        if (!ARENA_PUSH(&w->arena, w->pairs, w->count, w->capacity))
            return fail_memory(w->error, sizeof *w->pairs, "the corpus");
        w->pairs[w->count] = (pair){{english, translated},
                                    {hash_normal(english), hash_normal(translated)},
                                    w->count,
                                    source,
                                    part_of(source),
                                    false};
        w->count++;
    }
    return true;
}

/* Whether the segments of both texts correspond, judging by their number and kind. */
static bool correspond(const segments *a, const segments *b)
{
    if (a->count != b->count || a->count == DESCRIPTION_SEGMENTS)
        return false;
    for (int i = 0; i < a->count; i++)
        if (a->item[i] != b->item[i])
            return false;
    return true;
}

static bool collect(work *w, int64_t max_words)
{
    static const size_t segments_bytes = sizeof(segments);
    segments *e = arena_new(&w->arena, segments_bytes), *t = arena_new(&w->arena, segments_bytes);
    if (!e || !t)
        return fail_memory(w->error, 2 * segments_bytes, "descriptions");
    for (int64_t i = 0; i < w->translated.count; i++) {
        const description *translated = &w->translated.items[i],
                          *english = descriptions_find(&w->english, translated->md5);
        if (!english)
            continue;
        w->counts->descriptions++;
        if (!segments_read(e, &w->arena, &w->english, english, w->error) ||
            !segments_read(t, &w->arena, &w->translated, translated, w->error))
            return false;
        int both = correspond(e, t) ? e->count : e->count && t->count; /* the synopses always correspond */
        uint64_t source = hash_text(sources_find(&w->sources, english->package));
        for (int s = 0; s < both; s++)
            if (!add_pair(w, e->text[s], t->text[s], source, max_words))
                return false;
    }
    return true;
}

/* ---- Repetitions ---- */

static int by_key(const void *a, const void *b, int side)
{
    const pair *p = *(const pair *const *)a, *q = *(const pair *const *)b;
    if (p->key[side] != q->key[side])
        return p->key[side] < q->key[side] ? -1 : 1;
    if (p->part != q->part)
        return p->part - q->part;
    return (p->number > q->number) - (p->number < q->number);
}
static int by_english(const void *a, const void *b)
{
    return by_key(a, b, 0);
}
static int by_translation(const void *a, const void *b)
{
    return by_key(a, b, 1);
}

/* Pointers to all pairs, to be sorted; NULL: out of memory. */
static pair **list_pairs(work *w)
{
    pair **all = ARENA_NEW(&w->arena, pair *, w->count + 1);
    if (!all)
        fail_memory(w->error, (size_t)w->count * sizeof *all, "the corpus");
    for (int i = 0; all && i < w->count; i++)
        all[i] = &w->pairs[i];
    return all;
}

/* Drops repeated pairs, and each pair of which a side occurs in an earlier part too. */
static bool drop_repeated(work *w)
{
    pair **order = list_pairs(w);
    if (!order)
        return false;
    for (int side = 0; side < 2; side++) {
        qsort(order, (size_t)w->count, sizeof *order, side ? by_translation : by_english);
        for (int first = 0, end; first < w->count; first = end)
            for (end = first; end < w->count && order[end]->key[side] == order[first]->key[side]; end++) {
                bool seen = order[end]->part != order[first]->part;
                for (int k = first; side == 0 && k < end && !seen; k++)
                    seen = strcmp(order[k]->text[0], order[end]->text[0]) == 0 &&
                           strcmp(order[k]->text[1], order[end]->text[1]) == 0;
                order[end]->dropped |= seen;
            }
    }
    return true;
}

static int by_source(const void *a, const void *b)
{
    const pair *p = *(const pair *const *)a, *q = *(const pair *const *)b;
    if (p->source != q->source)
        return p->source < q->source ? -1 : 1;
    return (p->number > q->number) - (p->number < q->number);
}

/* Keeps the first few pairs of each source package in valid and test. */
static bool thin_out(work *w)
{
    pair **order = list_pairs(w);
    if (!order)
        return false;
    qsort(order, (size_t)w->count, sizeof *order, by_source);
    int held_out[PARTS] = {0}, of_source = 0;
    for (int i = 0; i < w->count; i++) {
        pair *p = order[i];
        of_source = i > 0 && p->source == order[i - 1]->source ? of_source : 0;
        w->counts->repeated += p->dropped;
        if (!p->dropped && p->part != TRAIN)
            p->dropped = of_source++ >= HELD_OUT_OF_SOURCE || held_out[p->part]++ >= HELD_OUT;
        w->counts->kept[p->part] += !p->dropped;
    }
    return true;
}

/* ---- Writing ---- */

static bool write_part(work *w, const char *folder, int part, int which, const char *language)
{
    static const char *const names[PARTS] = {"train", "valid", "test"};
    char *path = arena_text(&w->arena, "%s/%s.%s", folder, names[part], language);
    if (!path)
        return fail_memory(w->error, strlen(folder), "a path");
    file_writer *file = file_create(w->allocator, path, w->error);
    if (!file)
        return false;
    for (int i = 0; i < w->count; i++) {
        const pair *p = &w->pairs[i];
        if (p->part != part || p->dropped)
            continue;
        if (!signals_check(w->error) || !file_write(file, p->text[which], strlen(p->text[which]), w->error) ||
            !file_write(file, "\n", 1, w->error)) {
            file_abandon(file);
            return false;
        }
    }
    return file_commit(file, w->error);
}

bool debian_corpus_make(const rondo_allocator *allocator, const char *lists, const char *folder,
                        const char *language, int64_t max_words, debian_counts *counts, rondo_error *error)
{
    *counts = (debian_counts){0};
    work w = {.allocator = allocator, .counts = counts, .error = error};
    arena_begin(&w.arena, allocator);
    char *paths[3];
    bool good = find_lists(&w, lists, language, paths) && folder_make(folder, error) &&
                read_lists(&w, paths) && collect(&w, max_words) && drop_repeated(&w) && thin_out(&w);
    if (good && counts->kept[TRAIN] == 0)
        good = fail(error, RONDO_FILE, "%s has no translated descriptions", lists);
    for (int part = 0; good && part < PARTS; part++)
        good = write_part(&w, folder, part, 0, "en") && write_part(&w, folder, part, 1, language);
    for (int i = 0; i < 3; i++)
        lines_free(&w.lists[i]);
    arena_end(&w.arena);
    return good;
}
