/* Memory, texts, numbers, errors and the context: what each promises, and what each does when there is no
 * memory. */
#include "core/context.h"
#include "core/text/text.h"
#include "tests/core/counting_allocator.h"
#include <criterion/criterion.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <string.h>

Test(status, the_first_error_wins)
{
    rondo_error e = {0};
    cr_assert_not(fail(&e, RONDO_IO, "disk %d", 1));
    cr_assert_not(fail(&e, RONDO_SHAPE, "later"));
    cr_assert_eq(e.code, RONDO_IO);
    cr_assert_str_eq(e.message, "disk 1");
    cr_assert_not(fail(NULL, RONDO_IO, "nobody listens"));
}

Test(status, a_long_message_is_cut_not_overrun)
{
    rondo_error e = {0};
    char big[2000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    fail(&e, RONDO_IO, "%s", big);
    cr_assert_eq(strlen(e.message), sizeof e.message - 1);
}

Test(memory, is_zeroed_aligned_and_released_with_its_size)
{
    counting c = {0};
    rondo_allocator a = counting_allocator(&c);
    size_t sizes[] = {0, 1, 63, 64, 65, 100000};
    for (int i = 0; i < 6; i++) {
        unsigned char *m = memory_new(&a, sizes[i]);
        cr_assert_eq((uintptr_t)m % 64, 0);
        for (size_t j = 0; j < sizes[i]; j++)
            cr_assert_eq(m[j], 0);
        memory_free(&a, m, sizes[i]);
        cr_assert_eq(c.live_bytes, 0);
    }
    cr_assert_null(memory_new(&a, SIZE_MAX), "a size that overflows is refused, not rounded to zero");
    memory_free(&a, NULL, 10);
}

Test(arena, grows_is_aligned_and_dies_together)
{
    counting c = {0};
    rondo_allocator a = counting_allocator(&c);
    arena region;
    arena_begin(&region, &a);
    for (size_t i = 0; i < 3000; i++) {
        size_t bytes = i % 700 * (i % 50 == 0 ? 40 : 1);
        unsigned char *m = arena_new(&region, bytes);
        cr_assert_eq((uintptr_t)m % (bytes >= 256 ? 64 : 16), 0);
        for (size_t j = 0; j < bytes; j++)
            cr_assert_eq(m[j], 0, "arena memory comes zeroed");
        memset(m, 0xee, bytes);
    }
    cr_assert_not(region.failed);
    arena_end(&region);
    cr_assert_eq(c.live_bytes, 0);
}

Test(arena, remembers_that_it_failed)
{
    counting c = {.refuse_at = 2};
    rondo_allocator a = counting_allocator(&c);
    arena region;
    arena_begin(&region, &a);
    cr_assert_not_null(arena_new(&region, 10));
    cr_assert_null(arena_new(&region, 100000));
    cr_assert_not_null(arena_new(&region, 10));
    cr_assert(region.failed);
    cr_assert_null(arena_array(&region, SIZE_MAX / 2, 3), "an array whose size overflows is refused");
    arena_end(&region);
    cr_assert_eq(c.live_bytes, 0);
}

Test(arena, push_keeps_the_items)
{
    arena region;
    arena_begin(&region, NULL);
    int *items = NULL, count = 0, capacity = 0;
    for (int i = 0; i < 1000; i++) {
        cr_assert(ARENA_PUSH(&region, items, count, capacity));
        items[count++] = i;
    }
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(items[i], i);
    cr_assert_str_eq(arena_text(&region, "%d-%s", 7, "x"), "7-x");
    cr_assert_str_eq(arena_copy_text(&region, "abcdef", 3), "abc");
    arena_end(&region);
}

/* At most 17 digits, and fewer where fewer are enough. */
Test(numbers, are_the_shortest_that_read_back)
{
    static const struct {
        double number;
        const char *shortest;
    } cases[] = {{0, "0"},          {-0.0, "-0"},
                 {1, "1"},          {-2.5, "-2.5"},
                 {0.1, "0.1"},      {1e-5, "1e-05"},
                 {1e300, "1e+300"}, {0.30000000000000004, "0.30000000000000004"},
                 {INFINITY, "inf"}, {-INFINITY, "-inf"},
                 {NAN, "nan"}};
    arena region;
    arena_begin(&region, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        text t = {.arena = &region};
        text_number(&t, cases[i].number);
        cr_assert_str_eq(text_done(&t), cases[i].shortest);
    }
    uint64_t bits = 1;
    for (int i = 0; i < 20000; i++) {
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        double number, again;
        memcpy(&number, &bits, sizeof number);
        if (!isfinite(number))
            continue;
        text t = {.arena = &region};
        const char *end;
        text_number(&t, number);
        cr_assert(parse_number(text_done(&t), &end, &again));
        cr_assert(!memcmp(&number, &again, sizeof number) && !*end, "%s", text_done(&t));
    }
    arena_end(&region);
}

Test(numbers, obey_no_locale)
{
    static const char *const commas[] = {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8", "de_AT.UTF-8"};
    for (int i = 0; i < 4 && !setlocale(LC_ALL, commas[i]); i++) {
    }
    arena region;
    arena_begin(&region, NULL);
    text t = {.arena = &region};
    text_number(&t, 1234567.5);
    cr_assert_str_eq(text_done(&t), "1234567.5");
    const char *end;
    double number;
    cr_assert(parse_number("2.75,3", &end, &number));
    cr_assert_eq(number, 2.75);
    cr_assert_str_eq(end, ",3", "a comma is never a decimal point");
    arena_end(&region);
}

Test(numbers, are_refused_when_they_are_none)
{
    static const char *const none[] = {"", "x", "-", ".", " 1", "--1", "e5", "1e999", "-1e400", ",5"};
    const char *end;
    double number;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        cr_assert_not(parse_number(none[i], &end, &number), "%s", none[i]);
    cr_assert(parse_number("0x10", &end, &number) && number == 0 && *end == 'x', "no hexadecimal");
    cr_assert(parse_number("5e-324", &end, &number) && number == DBL_TRUE_MIN);
    cr_assert(parse_number("infinity", &end, &number) && isinf(number) && *end == 'i');
}

Test(texts, grow_and_end_in_nul)
{
    arena region;
    arena_begin(&region, NULL);
    text t = {.arena = &region};
    cr_assert_str_eq(text_done(&t), "", "nothing is a text too");
    for (int i = 0; i < 5000; i++)
        text_add(&t, "%d,", i % 10);
    cr_assert_eq(t.length, 10000);
    cr_assert_eq(strlen(text_done(&t)), 10000);
    text_cut(&t, 3);
    text_cut(&t, 100);
    cr_assert_str_eq(text_done(&t), "0,1");
    arena_end(&region);
}

/* Whichever addition is refused, there is no text in the end: never one with a piece missing. */
Test(texts, that_failed_once_stay_failed)
{
    enum { PIECES = 3000 };
    for (long refused = 1, whole = 0; !whole; refused++) {
        counting c = {.refuse_at = refused};
        const rondo_allocator allocator = counting_allocator(&c);
        arena region;
        arena_begin(&region, &allocator);
        text t = {.arena = &region};
        for (int i = 0; i < PIECES; i++)
            text_add(&t, "%03d", i % 1000);
        whole = c.requests < refused;
        const char *all = text_done(&t);
        cr_expect_eq(all != NULL, whole, "request %ld", refused);
        cr_expect_eq(region.failed, !whole);
        cr_expect(!whole || (strlen(all) == 3 * PIECES && refused > 1));
        text_cut(&t, 0);
        cr_expect_eq(text_done(&t) != NULL, whole, "what is taken back was still refused");
        arena_end(&region);
    }
}

static void keep_line(void *user, int level, const char *line)
{
    (void)level;
    strncpy(user, line, 99);
}

Test(context, takes_options_of_older_and_newer_callers)
{
    rondo *r = rondo_new(3);
    cr_assert_eq(r->threads, 3);
    rondo_free(r);
    r = rondo_new(0);
    cr_assert_eq(r->threads, 1);
    rondo_free(r);
    struct {
        rondo_options o;
        long later;
    } newer = {.o = {.size = sizeof newer, .threads = 2}};
    r = rondo_new_with(&newer.o);
    cr_assert_eq(r->threads, 2);
    rondo_free(r);
    newer.later = 1;
    cr_assert_null(rondo_new_with(&newer.o), "an option that is not known is not ignored");
    rondo_options older = {.size = offsetof(rondo_options, allocator), .threads = 4, .wisdom = "never read"};
    r = rondo_new_with(&older);
    cr_assert(r->threads == 4 && !r->wisdom);
    rondo_free(r);
    cr_assert_null(rondo_new(-1));
    cr_assert_eq(rondo_version(), RONDO_VERSION);
    rondo_free(NULL);
}

Test(context, logs_where_it_is_told)
{
    char line[100] = "";
    rondo *r = rondo_new(1, .log = keep_line, .user = line);
    context_log(r, 1, "%d tasks", 7);
    cr_assert_str_eq(line, "7 tasks");
    rondo_free(r);
    r = rondo_new(1);
    context_log(r, 1, "silence");
    rondo_free(r);
}

static rondo_value no_mixer(void *user, rondo_value x, rondo_value y, rondo_value length, bool causal,
                            int64_t heads)
{
    (void)user, (void)y, (void)length, (void)causal, (void)heads;
    return x;
}

Test(context, keeps_mixers_by_name)
{
    counting c = {0};
    rondo_allocator a = counting_allocator(&c);
    rondo *r = rondo_new(1, .allocator = &a, .wisdom = "w");
    rondo_error e = {0};
    char name[20] = "mine";
    cr_assert(rondo_mixer_add(r, name, no_mixer, &c, &e));
    name[0] = 'x';
    cr_assert_str_eq(r->mixers[0].name, "mine", "strings are copied");
    cr_assert_not(rondo_mixer_add(r, "mine", no_mixer, NULL, &e));
    cr_assert_eq(e.code, RONDO_ARGUMENT);
    cr_assert_not(rondo_mixer_add(r, "a b", no_mixer, NULL, NULL));
    cr_assert_not(rondo_mixer_add(r, "other", NULL, NULL, NULL));
    rondo_error untouched = {0};
    cr_assert_not(rondo_mixer_add(NULL, "mine", no_mixer, NULL, &untouched));
    cr_assert_eq(untouched.code, RONDO_OK);
    rondo_free(r);
    cr_assert_eq(c.live_bytes, 0);
}

Test(context, survives_every_refused_request)
{
    for (long at = 1; at < 6; at++) {
        counting c = {.refuse_at = at};
        rondo_allocator a = counting_allocator(&c);
        rondo *r = rondo_new(1, .allocator = &a, .wisdom = "w");
        rondo_error e = {0};
        if (r && !rondo_mixer_add(r, "mine", no_mixer, NULL, &e))
            cr_assert_eq(e.code, RONDO_MEMORY);
        rondo_free(r);
        cr_assert_eq(c.live_bytes, 0);
    }
}
