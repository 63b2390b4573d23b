/* tests/compiler/linearize_text.h. */
#include "tests/compiler/linearize_text.h"
#include "tests/compiler/graph_compare.h"
#include <criterion/criterion.h>
#include <string.h>

static const double algebra = 1e-11; /* docs/NUMERICS.md: the same sum in another order, in double */

/* B, T, S: three primes, one for all, and ones. */
static const int64_t sizes[][MAX_SYMBOLS] = {{2, 7, 5}, {4, 4, 4}, {1, 1, 1}, {3, 1, 6}};

void same_numbers(const rondo_graph *before, const rondo_graph *after, uint64_t seed, const char *story)
{
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        rondo_error error = {0};
        const char *worst;
        graph_inputs inputs = {.seed = seed,
                               .low = 0.1,
                               .high = 1,
                               .shortest = 1,
                               .longest = sizes[i][1] < sizes[i][2] ? sizes[i][1] : sizes[i][2]};
        double difference = graph_difference(before, after, sizes[i], &inputs, &worst, &error);
        cr_assert(difference >= 0 && difference <= algebra, "seed %lu, sizes %zu: %s differs by %g (%s) %s",
                  (unsigned long)seed, i, worst, difference, story, error.message);
    }
}

rewritten rewrite_parse(const char *source)
{
    rewritten r = {.context = rondo_new(1)};
    rondo_error error = {0};
    arena_begin(&r.arena, NULL);
    r.before = graph_parse(r.context, source, "test.graph", &error);
    cr_assert(r.before, "%s", error.message);
    return r;
}

void rewrite_run(rewritten *r)
{
    rondo_error error = {0};
    r->report = (linearize_report){.arena = &r->arena};
    r->after = linearize(r->before, &r->report, NULL, &error);
    cr_assert(r->after, "%s", error.message);
    cr_assert(graph_verify(r->after, &error), "%s", error.message);
}

void rewritten_free(rewritten *r)
{
    graph_free(r->after);
    graph_free(r->before);
    arena_end(&r->arena);
    rondo_free(r->context);
}

rewritten becomes_one_scan(const char *body)
{
    rewritten r = rewrite_parse(body);
    rewrite_run(&r);
    cr_assert_eq(graph_count(r.after, OP_scan), 1, "%d scans of:\n%s", graph_count(r.after, OP_scan), body);
    cr_assert(!graph_has_pair(r.after, "T"), "T × T is still made:\n%s", body);
    cr_assert_eq(r.report.count, 1);
    cr_assert_eq(r.report.records[0].kind, LINEARIZE_SCAN);
    same_numbers(r.before, r.after, 1, body);
    return r;
}

void is_refused(const char *body, int line, const char *reason)
{
    rewritten r = rewrite_parse(body);
    rewrite_run(&r);
    cr_assert_eq(r.report.count, 1, "%d records of:\n%s", r.report.count, body);
    const linearize_record *record = &r.report.records[0];
    cr_assert_eq(record->kind, LINEARIZE_REFUSED);
    cr_assert(strstr(record->reason, reason), "the reason of\n%sis: %s", body, record->reason);
    cr_assert_eq(record->line, line, "line %d, not %d: %s", record->line, line, record->reason);
    same_numbers(r.before, r.after, 1, body);
    rewritten_free(&r);
}
