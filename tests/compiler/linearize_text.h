/* What the tests of linearize share: a graph as text, linearized, and the two compared in double. */
#pragma once
#include "compiler/passes/linearize.h"
#include "ops/op.h"
#include "tests/compiler/graph_compare.h"

/* Fails the test where the results differ by more than docs/NUMERICS.md allows the same sum in another order,
 * at four sizes. */
void same_numbers(const rondo_graph *before, const rondo_graph *after, uint64_t seed, const char *story);

/* Parses one attention and linearizes it; fails the test when it does not parse. */
typedef struct rewritten {
    rondo *context;
    arena arena;
    rondo_graph *before, *after;
    linearize_report report;
} rewritten;

rewritten rewrite_parse(const char *source);
void rewrite_run(rewritten *r);
void rewritten_free(rewritten *r);

/* One scan, nothing over (t, s), one record. */
rewritten becomes_one_scan(const char *body);
/* One record, for this line, with this in its reason; and the numbers do not change. */
void is_refused(const char *body, int line, const char *reason);
