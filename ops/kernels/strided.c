/* ops/kernels/strided.h. */
#include "ops/kernels/strided.h"
#include "ops/vector/table.h"
#include <string.h>

void walk_begin(strided_walk *w, int rank, const int64_t *dims)
{
    w->rank = rank;
    w->count = 0;
    for (int i = 0; i < rank; i++)
        w->dims[i] = dims[i];
}

int walk_add(strided_walk *w, const tensor *t)
{
    for (int i = 0; i < w->rank; i++) {
        int own = i - (w->rank - t->rank);
        bool repeats = own < 0 || (t->dims[own] == 1 && w->dims[i] != 1);
        w->strides[w->count][i] = repeats ? 0 : t->strides[own];
    }
    return w->count++;
}

/* Whether axis i lies outside axis j. */
static bool walk_outside(const strided_walk *w, int i, int j)
{
    for (int k = 0; k < w->count; k++)
        if (w->strides[k][i] != w->strides[k][j])
            return w->strides[k][i] > w->strides[k][j];
    return i < j;
}

static void walk_swap(strided_walk *w, int i, int j)
{
    int64_t d = w->dims[i];
    w->dims[i] = w->dims[j];
    w->dims[j] = d;
    for (int k = 0; k < w->count; k++) {
        int64_t s = w->strides[k][i];
        w->strides[k][i] = w->strides[k][j];
        w->strides[k][j] = s;
    }
}

static bool walk_merges(const strided_walk *w, int outer, int inner)
{
    for (int k = 0; k < w->count; k++)
        if (w->strides[k][outer] != w->strides[k][inner] * w->dims[inner])
            return false;
    return true;
}

static void walk_move(strided_walk *w, int from, int to)
{
    w->dims[to] = w->dims[from];
    for (int k = 0; k < w->count; k++)
        w->strides[k][to] = w->strides[k][from];
}

void walk_merge(strided_walk *w)
{
    int kept = 0;
    for (int i = 0; i < w->rank; i++)
        if (w->dims[i] != 1)
            walk_move(w, i, kept++);
    w->rank = kept;
    for (int i = 1; i < w->rank; i++)
        for (int j = i; j > 0 && walk_outside(w, j, j - 1); j--)
            walk_swap(w, j, j - 1);
    kept = 0;
    for (int i = 0; i < w->rank; i++) {
        if (kept && walk_merges(w, kept - 1, i)) {
            w->dims[kept - 1] *= w->dims[i];
            for (int k = 0; k < w->count; k++)
                w->strides[k][kept - 1] = w->strides[k][i];
        } else
            walk_move(w, i, kept++);
    }
    w->rank = kept;
    if (!w->rank) { /* a single element */
        w->rank = 1;
        w->dims[0] = 1;
        for (int k = 0; k < w->count; k++)
            w->strides[k][0] = 1;
    }
    w->inner = w->dims[w->rank - 1];
    w->rows = 1;
    for (int i = 0; i < w->rank - 1; i++)
        w->rows *= w->dims[i];
}

static int64_t walk_offset(const strided_walk *w, int operand, int axes, int64_t flat)
{
    int64_t offset = 0;
    for (int i = axes - 1; i > 0; i--) {
        offset += flat % w->dims[i] * w->strides[operand][i];
        flat /= w->dims[i];
    }
    return axes ? offset + flat * w->strides[operand][0] : 0;
}

int64_t walk_row(const strided_walk *w, int operand, int64_t row)
{
    return walk_offset(w, operand, w->rank - 1, row);
}
int64_t walk_at(const strided_walk *w, int operand, int64_t flat)
{
    return walk_offset(w, operand, w->rank, flat);
}

bool walk_dense(const strided_walk *w, int operand)
{
    int64_t step = 1;
    for (int i = w->rank - 1; i >= 0; i--) {
        if (w->strides[operand][i] != step)
            return false;
        step *= w->dims[i];
    }
    return true;
}

tensor tensor_without(const tensor *t, int axis)
{
    tensor less = *t;
    if (axis < 0 || axis >= t->rank)
        return less;
    less.rank--;
    memmove(&less.dims[axis], &less.dims[axis + 1], sizeof less.dims[0] * (size_t)(less.rank - axis));
    memmove(&less.strides[axis], &less.strides[axis + 1],
            sizeof less.strides[0] * (size_t)(less.rank - axis));
    return less;
}

int64_t tensor_elements(const tensor *t)
{
    int64_t count = 1;
    for (int i = 0; i < t->rank; i++)
        count *= t->dims[i];
    return count;
}

void gather_row(float *to, const float *from, int64_t stride, int64_t count)
{
    if (stride == 1)
        vectors()->row_copy(to, from, count);
    else if (stride == 0 && count > 0)
        vectors()->row_fill(to, *from, count);
    else
        for (int64_t i = 0; i < count; i++)
            to[i] = from[i * stride];
}

void scatter_row(float *to, int64_t stride, const float *from, int64_t count)
{
    if (stride == 1)
        vectors()->row_copy(to, from, count);
    else
        for (int64_t i = 0; i < count; i++)
            to[i * stride] = from[i];
}

int64_t units_per_task(int64_t size, int64_t target)
{
    return size < 1 ? target : size >= target ? 1 : target / size;
}
