/* Initial weights. They depend on the name of the parameter and the seed only, not on the rest of the
 * model. */
#include "core/random.h"
#include "models/weights.h"
#include <math.h>

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), e = strlen(end);
    return n >= e && !strcmp(name + n - e, end);
}

/* The default: Xavier for matrices, one for the gain of a norm, zero for any other vector. */
static parameter_initial usual_initial(const weight *item)
{
    if (item->rank >= 2)
        return (parameter_initial){RONDO_XAVIER, 1};
    return (parameter_initial){RONDO_FILL, ends_with(item->name, "weight") ? 1 : 0};
}

static double dot(const float *a, const float *b, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

/* Makes a row orthogonal to the rows before it and keeps its length, which is that of a normal vector
 * (Performer, §2.4). */
static void turn_row(const float *rows, int64_t before, float *row, int64_t width)
{
    double length = sqrt(dot(row, row, width));
    for (int turn = 0; turn < 2; turn++) /* the second pass removes the rounding error of the first */
        for (int64_t r = 0; r < before; r++) {
            const float *other = rows + r * width;
            double share = dot(row, other, width) / dot(other, other, width);
            for (int64_t i = 0; i < width; i++)
                row[i] = (float)(row[i] - share * other[i]);
        }
    double scale = length / sqrt(dot(row, row, width));
    for (int64_t i = 0; i < width; i++)
        row[i] = (float)(row[i] * scale);
}

static void make_orthogonal(float *out, int64_t count, int64_t rows, int64_t width)
{
    for (int64_t matrix = 0; width && rows && matrix < count / (rows * width); matrix++)
        for (int64_t r = 0; r < rows; r++) {
            float *first = out + (matrix * rows + r / width * width) * width;
            turn_row(first, r % width, first + r % width * width, width);
        }
}

static void fill(const weight *item, float *out, parameter_initial initial, uint64_t seed)
{
    uint64_t key = random_key(item->name);
    int64_t out_features = item->rank ? item->dims[item->rank >= 2 ? item->rank - 2 : 0] : 1;
    int64_t in_features = item->rank ? item->dims[item->rank - 1] : 1;
    double bound = initial.scale * sqrt(6.0 / (double)(in_features + out_features));
    switch (initial.kind) {
    case RONDO_ORTHOGONAL:
    case RONDO_NORMAL:
        random_fill_normal(out, item->count, initial.scale, seed, key);
        if (initial.kind == RONDO_ORTHOGONAL)
            make_orthogonal(out, item->count, item->rank >= 2 ? out_features : 1, in_features);
        break;
    case RONDO_FILL:
        for (int64_t i = 0; i < item->count; i++)
            out[i] = (float)initial.scale;
        break;
    case RONDO_IDENTITY:
        for (int64_t i = 0; i < item->count; i++)
            out[i] = i / in_features % out_features == i % in_features ? (float)initial.scale : 0;
        break;
    case RONDO_XAVIER:
    default:
        random_fill_uniform(out, item->count, -bound, bound, seed, key);
    }
}

void weights_fill(rondo_weights *w, uint64_t seed)
{
    for (int i = 0; i < w->item_count; i++) {
        const weight *item = &w->items[i];
        fill(item, w->block + item->offset, item->initial.kind ? item->initial : usual_initial(item), seed);
    }
}
