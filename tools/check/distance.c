/* Comparing results: relative distances, and bits that differ. */
#include "tools/check/distance.h"
#include <math.h>
#include <string.h>

double f32_bound(int64_t time)
{
    return 1e-6 * fmax(1, sqrt((double)time / 1000));
}

typedef struct sums {
    double square, difference, most;
} sums;

static void add_numbers(sums *s, const double *a, const double *b, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        double d = fabs(a[i] - b[i]);
        s->square += b[i] * b[i];
        s->difference += d * d;
        s->most = d <= s->most ? s->most : d; /* NaN is kept */
    }
}

static distance finish(const sums *s, int64_t count)
{
    if (!count || (s->most == 0 && s->difference == 0))
        return (distance){0, 0};
    double rms = sqrt(s->square / (double)count);
    distance d = {sqrt(s->difference / (double)count) / rms, s->most / rms};
    return isnan(d.rms) || isnan(d.most) ? (distance){INFINITY, INFINITY} : d;
}

distance distance_of(const double *a, const double *b, int64_t count)
{
    sums s = {0};
    add_numbers(&s, a, b, count);
    return finish(&s, count);
}

distance distance_rows(const contract_case *x, const double *a, const double *b)
{
    sums s = {0};
    int64_t rows = 0, row = x->shape.width;
    for (int64_t sentence = 0; sentence < x->shape.batch; sentence++) {
        int64_t at = sentence * x->shape.time * row, length = case_length(x, sentence);
        add_numbers(&s, a + at, b + at, length * row);
        rows += length;
    }
    return finish(&s, rows * row);
}

double rms_of(const double *a, int64_t count)
{
    double square = 0;
    for (int64_t i = 0; i < count; i++)
        square += a[i] * a[i];
    return count ? sqrt(square / (double)count) : 0;
}

static bool is_gradient(const char *name)
{
    return !strncmp(name, "gradient.", 9);
}

double largest_gradient(const results *r)
{
    double largest = 0;
    for (int i = 0; i < r->count; i++)
        if (is_gradient(r->names[i]))
            largest = fmax(largest, rms_of(r->data[i], r->counts[i]));
    return largest;
}

distance distance_beside(distance d, double rms, double largest)
{
    if (rms < 1e-6 * largest)
        return (distance){d.rms * rms / largest, d.most * rms / largest};
    return d;
}

distance distance_gradients(const results *a, const results *b)
{
    double largest = largest_gradient(b);
    distance worst = {0, 0};
    for (int i = 0; i < b->count; i++) {
        int64_t count = b->counts[i], found = 0;
        if (!is_gradient(b->names[i]))
            continue;
        const double *other = results_find(a, b->names[i], &found);
        if (!other || found != count)
            return (distance){INFINITY, INFINITY};
        distance now = distance_of(other, b->data[i], count);
        worst = distance_worse(worst, distance_beside(now, rms_of(b->data[i], count), largest));
    }
    return worst;
}

int64_t count_different(const double *a, const double *b, int64_t count)
{
    int64_t different = 0;
    for (int64_t i = 0; i < count; i++)
        different += memcmp(&a[i], &b[i], sizeof *a) != 0;
    return different;
}
