/* Choosing at most 16 batch shapes: the target lengths are cut into classes, and the source lengths of
 * each class into classes again, both by dynamic programming over a histogram, so that the whole corpus
 * has the least padding. */
#include "tools/data/batch_shapes.h"
#include <math.h>

enum { STEPS = 256 }; /* distinct extents to choose from */

typedef struct scale {
    int64_t fine, coarse; /* extents are multiples of `fine` up to 32, of `coarse` above it */
} scale;

static int64_t extent_of(scale s, int64_t length)
{
    int64_t step = length <= 32 ? s.fine : s.coarse;
    return (length + step - 1) / step * step;
}

/* From extents to small consecutive numbers, and back. */
static int step_of(scale s, int64_t length)
{
    int64_t extent = extent_of(s, length);
    if (s.fine != s.coarse && extent > 32)
        return (int)(32 / s.fine + (extent - 32) / s.coarse);
    return (int)(extent / s.fine);
}

static int64_t extent_at(scale s, int step)
{
    int64_t fine_steps = s.fine != s.coarse ? 32 / s.fine : STEPS;
    return step <= fine_steps ? step * s.fine : 32 + (step - fine_steps) * s.coarse;
}

/* Multiples of 2 and 4 pad 2.6 % less than 4 and 8 do (Multi30k, 8k subwords: 1.165 against 1.196 cells a
 * token). */
static scale scale_for(int64_t longest)
{
    scale s = {2, 4};
    while (longest > (STEPS - 16) * s.coarse)
        s.fine = s.coarse *= 2;
    return s;
}

/* Cuts steps 1 … STEPS − 1 into at most `classes` runs so that Σ histogram · extent of the run's end is
 * least. bounds: the last step of each run, ascending; returns the number of runs. */
static int cut(scale s, const int64_t *histogram, int classes, int *bounds)
{
    static const double never = 1e300;
    double cost[BATCH_SHAPES + 1][STEPS];
    int from[BATCH_SHAPES + 1][STEPS], last = 0;
    int64_t before[STEPS] = {0};
    for (int i = 1; i < STEPS; i++) {
        before[i] = before[i - 1] + histogram[i];
        last = histogram[i] ? i : last;
    }
    for (int k = 0; k <= classes; k++)
        for (int i = 0; i <= last; i++) {
            cost[k][i] = before[i] == 0 ? 0 : never;
            from[k][i] = 0;
            for (int j = 0; k > 0 && j < i && histogram[i]; j++) {
                double with = cost[k - 1][j] + (double)(before[i] - before[j]) * (double)extent_at(s, i);
                if (with < cost[k][i]) {
                    cost[k][i] = with;
                    from[k][i] = j;
                }
            }
            if (k > 0 && i > 0 && !histogram[i]) { /* a run ends at a step that has sequences */
                cost[k][i] = cost[k][i - 1];
                from[k][i] = from[k][i - 1];
            }
        }
    int runs = 0, ends[BATCH_SHAPES];
    for (int k = classes, i = last; k > 0 && i > 0 && before[i] > 0; i = from[k][i], k--) {
        while (!histogram[i])
            i--;
        ends[runs++] = i;
    }
    for (int r = 0; r < runs; r++)
        bounds[r] = ends[runs - 1 - r];
    return runs;
}

typedef struct table {
    int64_t cell[STEPS][STEPS]; /* number of sequences by target step and source step */
} table;

/* Tries `targets` classes of target lengths, each with the same number of source classes; returns the
 * padded cells, those of the target counted twice because the decoder has more work with them. */
static double try_classes(const table *t, scale s, int targets, bool has_source, batch_shape *shapes,
                          int *count)
{
    int64_t histogram[STEPS] = {0};
    int bounds[BATCH_SHAPES], inner[BATCH_SHAPES], from = 1;
    for (int i = 0; i < STEPS; i++)
        for (int j = 0; j < STEPS; j++)
            histogram[i] += t->cell[i][j];
    int runs = cut(s, histogram, targets, bounds), sources = BATCH_SHAPES / targets;
    double cells = 0;
    *count = 0;
    for (int r = 0; r < runs; from = bounds[r++] + 1) {
        int64_t by_source[STEPS] = {0};
        for (int i = from; i <= bounds[r]; i++)
            for (int j = 0; j < STEPS; j++)
                by_source[j] += t->cell[i][j];
        int inner_runs = has_source ? cut(s, by_source, sources, inner) : 1, low = 0;
        for (int q = 0; q < inner_runs; q++) {
            batch_shape shape = {.target = (int32_t)extent_at(s, bounds[r])};
            int high = has_source ? inner[q] : 0;
            shape.source = (int32_t)extent_at(s, high);
            for (int j = low; j <= high; j++)
                shape.count += by_source[j];
            cells += (double)shape.count * (2.0 * shape.target + shape.source);
            shapes[(*count)++] = shape;
            low = high + 1;
        }
    }
    return cells;
}

bool batch_shapes_choose(const corpus *c, int64_t batch_tokens, batch_shape *shapes, int *count,
                         rondo_error *error)
{
    int64_t longest = 1;
    for (int64_t i = 0; i < c->count; i++)
        for (int side = !c->has_source; side < 2; side++)
            longest = corpus_length(c, side, i) > longest ? corpus_length(c, side, i) : longest;
    scale s = scale_for(longest);
    table *t = memory_new(c->allocator, sizeof *t);
    if (!t)
        return fail_memory(error, sizeof *t, "the lengths of the corpus");
    for (int64_t i = 0; i < c->count; i++)
        t->cell[step_of(s, corpus_length(c, 1, i))][c->has_source ? step_of(s, corpus_length(c, 0, i)) : 0]++;
    double least = HUGE_VAL;
    for (int targets = 1; targets <= BATCH_SHAPES; targets++) {
        batch_shape tried[BATCH_SHAPES];
        int tried_count;
        double cells = try_classes(t, s, targets, c->has_source, tried, &tried_count);
        if (cells < least) {
            least = cells;
            *count = tried_count;
            memcpy(shapes, tried, sizeof tried);
        }
    }
    memory_free(c->allocator, t, sizeof *t);
    for (int i = 0; i < *count; i++) {
        int64_t extent = shapes[i].source > shapes[i].target ? shapes[i].source : shapes[i].target;
        int64_t rows = batch_tokens / extent;
        rows = rows < 1 ? 1 : rows > c->count ? c->count : rows;
        shapes[i].rows = (int32_t)rows;
    }
    return true;
}
