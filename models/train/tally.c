/* Reading, adding up and reporting objectives. */
#include "models/train/tally.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

bool tally_begin(tally *t, const objective_list *objectives, arena *a, rondo_error *error)
{
    int count = objectives->count;
    *t = (tally){.objectives = objectives,
                 .sums = ARENA_NEW(a, double, count),
                 .counts = ARENA_NEW(a, double, count),
                 .measures = ARENA_NEW(a, rondo_measure, count)};
    return (t->sums && t->counts && t->measures) ||
           fail_memory(error, sizeof(rondo_measure) * (size_t)count, "objectives");
}

double tally_number(const instance *i, const char *output)
{
    value_id v = graph_find_output(i->program->graph, output);
    tensor x = v == NONE ? (tensor){0} : instance_tensor(i, v);
    if (!x.data)
        return 0;
    return x.type == RONDO_I32 ? (double)*(const int32_t *)x.data : (double)*(const float *)x.data;
}

void tally_read(tally *t, const instance *i)
{
    t->nll = tally_number(i, "nll");
    t->sums[0] = tally_number(i, "loss");
    t->counts[0] = tally_number(i, "count");
    for (int k = 1; k < t->objectives->count; k++) {
        char name[32];
        snprintf(name, sizeof name, "%d.sum", k);
        t->sums[k] = tally_number(i, name);
        snprintf(name, sizeof name, "%d.count", k);
        t->counts[k] = tally_number(i, name);
    }
}

void tally_copy(tally *into, const tally *from)
{
    size_t bytes = sizeof(double) * (size_t)into->objectives->count;
    into->nll = from->nll;
    memcpy(into->sums, from->sums, bytes);
    memcpy(into->counts, from->counts, bytes);
}

void tally_add(tally *into, const tally *more)
{
    into->nll += more->nll;
    for (int k = 0; k < into->objectives->count; k++) {
        into->sums[k] += more->sums[k];
        into->counts[k] += more->counts[k];
    }
}

bool tally_check_counts(const tally *t, rondo_error *error)
{
    for (int k = 0; k < t->objectives->count; k++)
        if (!(t->counts[k] >= 0 && isfinite(t->counts[k])))
            return fail(error, RONDO_ARGUMENT,
                        "the count of %s is %g, and a count is at least 0 and finite; nothing was changed",
                        t->objectives->items[k].name, t->counts[k]);
    return true;
}

bool tally_check_finite(const tally *t, int64_t update, rondo_error *error)
{
    for (int k = 0; k < t->objectives->count; k++)
        if (t->objectives->items[k].weight != 0 && !isfinite(t->sums[k]))
            return fail(error, RONDO_DIVERGED,
                        "the %s%s is not finite at update %lld; nothing was changed; try a lower rate",
                        k ? "objective " : "", t->objectives->items[k].name, (long long)update);
    return true;
}

static double ratio(double sum, double count)
{
    return count > 0 ? sum / count : 0;
}

double tally_scale(const tally *t, int group)
{
    int k = 0;
    while (t->objectives->items[k].group != group)
        k++;
    return ratio(1, t->counts[k]);
}

void tally_report(tally *t, rondo_step *step)
{
    double loss = 0;
    for (int k = 0; k < t->objectives->count; k++) {
        const objective *o = &t->objectives->items[k];
        double value = ratio(t->sums[k], t->counts[k]);
        t->measures[k] = (rondo_measure){o->name, t->sums[k], t->counts[k], value, o->weight};
        loss += o->weight != 0 ? o->weight * value : 0;
    }
    *step = (rondo_step){.loss = loss,
                         .nll = ratio(t->nll, t->counts[0]),
                         .targets = llround(t->counts[0]),
                         .measures = t->measures,
                         .measure_count = (size_t)t->objectives->count};
}
