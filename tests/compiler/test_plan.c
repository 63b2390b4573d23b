/* plan: buffers that live at the same time never share a byte, and the arena is hardly larger than what lives
 * at once. */
#include "compiler/program/plan.h"
#include <criterion/criterion.h>
#include <stdlib.h>

enum { MOST = 400 };

static uint64_t state;
static int64_t below(int64_t limit)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((state >> 33) % (uint64_t)limit);
}

static memory_report planned(lifetime *records, int count)
{
    int *scratch = calloc(5 * (size_t)count + 1, sizeof *scratch);
    memory_report report = plan(records, count, 64, scratch);
    int64_t highest = 0, most = 0;
    free(scratch);
    for (int i = 0; i < count; i++) {
        const lifetime *a = &records[i];
        cr_assert(a->offset >= 0 && a->offset % 64 == 0 && a->bytes % 64 == 0);
        highest = a->bytes && a->offset + a->bytes > highest ? a->offset + a->bytes : highest;
        int64_t alive = 0;
        for (int k = 0; k < count; k++)
            alive += records[k].first <= a->first && a->first <= records[k].last ? records[k].bytes : 0;
        most = alive > most ? alive : most;
        for (int k = 0; k < i; k++) {
            const lifetime *b = &records[k];
            bool in_time = a->first <= b->last && b->first <= a->last;
            bool in_space = a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
            cr_assert_not(a->bytes && b->bytes && in_time && in_space, "buffers %d and %d share memory", k,
                          i);
        }
    }
    cr_assert_eq(report.peak_bytes, highest);
    cr_assert_eq(report.lower_bytes, most);
    cr_assert_geq(report.peak_bytes, report.lower_bytes);
    cr_assert_leq(report.peak_bytes, report.naive_bytes);
    return report;
}

Test(plan, of_nothing)
{
    memory_report r = planned((lifetime[1]){{0}}, 0);
    cr_expect(r.peak_bytes == 0 && r.lower_bytes == 0 && r.naive_bytes == 0);
}

Test(plan, of_empty_buffers)
{
    lifetime records[] = {{0, 0, 5}, {100, 0, 5}, {0, 2, 2}, {1, 1, 3}};
    memory_report r = planned(records, 4);
    cr_expect_eq(r.peak_bytes, 128 + 64);
    cr_expect_eq(r.lower_bytes, 128 + 64);
}

Test(plan, one_after_the_other_share_one_place)
{
    lifetime records[10];
    for (int i = 0; i < 10; i++)
        records[i] = (lifetime){1000, 2 * i, 2 * i + 1};
    memory_report r = planned(records, 10);
    cr_expect_eq(r.peak_bytes, 1024);
    cr_expect_eq(r.naive_bytes, 10240);
}

Test(plan, a_gap_is_filled)
{
    lifetime records[] = {{640, 0, 9}, {640, 0, 3}, {640, 3, 9}, {320, 4, 9}, {320, 5, 9}};
    cr_expect_eq(planned(records, 5).peak_bytes, 1920);
}

/* Random lifetimes. */
Test(plan, never_overlaps)
{
    for (int round = 0; round < 300; round++) {
        state = (uint64_t)round;
        lifetime records[MOST];
        int count = 1 + (int)below(60);
        for (int i = 0; i < count; i++) {
            int first = (int)below(50);
            records[i] = (lifetime){below(4) ? below(5000) : 0, first, first + (int)below(50 - first)};
        }
        planned(records, count);
    }
}

/* Lifetimes as in training: most are a step or two, those of activations reach from a forward step to its
 * backward step. */
static int training_set(lifetime *records, int layers)
{
    int count = 0, calls = layers * 12;
    for (int l = 0; l < layers; l++)
        for (int k = 0; k < 6; k++) {
            int at = l * 6 + k;
            int64_t bytes = 1024 * (1 + below(4)) * (k == 3 ? 4 : 1);
            records[count++] = (lifetime){bytes, at, below(3) ? calls - 1 - at : at + 1};
            records[count++] = (lifetime){bytes, calls - 1 - at, calls - at + (int)below(2)};
            if (!below(3))
                records[count++] = (lifetime){512 * (1 + below(6)), at, at};
        }
    return count;
}

Test(plan, is_close_to_the_lower_bound)
{
    double sum = 0;
    enum { ROUNDS = 60 };
    for (int round = 0; round < ROUNDS; round++) {
        state = 77 + (uint64_t)round;
        lifetime records[MOST];
        memory_report r = planned(records, training_set(records, 2 + (int)below(14)));
        double ratio = (double)r.peak_bytes / (double)r.lower_bytes;
        sum += ratio;
        cr_expect_leq(ratio, 1.35, "round %d: %g", round, ratio);
    }
    cr_expect_leq(sum / ROUNDS, 1.15, "%g in the mean", sum / ROUNDS);
}

/* The same records give the same offsets. */
Test(plan, is_a_function)
{
    lifetime a[MOST], b[MOST];
    state = 3;
    int count = training_set(a, 9);
    state = 3;
    training_set(b, 9);
    planned(a, count);
    planned(b, count);
    for (int i = 0; i < count; i++)
        cr_assert_eq(a[i].offset, b[i].offset);
}

/* Whatever is moved out of its place, past the end or onto another that is alive, is found. */
Test(plan, verify_finds_what_is_out_of_place)
{
    for (int round = 0; round < 100; round++) {
        lifetime records[MOST];
        int scratch[3 * MOST];
        state = (uint64_t)round;
        int count = training_set(records, 2 + (int)below(5));
        int64_t peak = planned(records, count).peak_bytes;
        cr_assert(plan_verify(records, count, peak, scratch));
        cr_expect_not(plan_verify(records, count, peak - 1, scratch),
                      "the highest buffer ends past the arena");
        lifetime *moved = &records[below(count)], before = *moved;
        moved->offset = -64;
        cr_expect_not(plan_verify(records, count, peak, scratch));
        moved->offset = peak - moved->bytes + 64;
        cr_expect_not(plan_verify(records, count, peak, scratch));
        *moved = before;
        moved->used = moved->bytes + 1;
        cr_expect_not(plan_verify(records, count, peak, scratch));
        *moved = before;
        for (int i = 0; i < count; i++) {
            const lifetime *other = &records[i];
            if (other == moved || other->first > moved->last || moved->first > other->last)
                continue;
            moved->offset = other->offset;
            cr_expect_not(plan_verify(records, count, peak, scratch), "two buffers at one place");
            moved->offset = other->offset + other->bytes - 64;
            cr_expect_not(plan_verify(records, count, peak + moved->bytes, scratch),
                          "one reaches into another");
            *moved = before;
        }
    }
}

/* More than any model has, as a hostile file may: no overlap, and equal sizes share places. */
Test(plan, of_very_many_buffers)
{
    enum { MANY = PLAN_BY_SIZE_MOST + 700 };
    lifetime *records = calloc(MANY, sizeof *records);
    state = 5;
    for (int i = 0; i < MANY; i++)
        records[i] = (lifetime){64 * below(20), i, i + (int)below(300)};
    memory_report r = planned(records, MANY);
    cr_expect_lt(r.peak_bytes, 3 * r.lower_bytes);
    free(records);
}

/* Sizes that no memory has are a size that no memory has, and not a small one. */
Test(plan, sums_do_not_overflow)
{
    lifetime records[4];
    int scratch[20];
    for (int i = 0; i < 4; i++)
        records[i] = (lifetime){INT64_MAX - 100 * i, i, 9};
    memory_report r = plan(records, 4, 64, scratch);
    cr_expect(r.peak_bytes == INT64_MAX && r.naive_bytes == INT64_MAX && r.lower_bytes == INT64_MAX);
}
