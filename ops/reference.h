/* What reference rules share: walking dense tensors by multi-index, in the simplest way. */
#pragma once
#include "ops/op.h"

/* The next index in row-major order; false after the last. Start from zeros, and only if no extent is 0. */
static inline bool reference_next(int64_t *index, const int64_t *dims, int rank)
{
    for (int i = rank - 1; i >= 0; i--) {
        if (++index[i] < dims[i])
            return true;
        index[i] = 0;
    }
    return false;
}

/* The offset of `index`, of a tensor of `rank` axes, in t, which broadcasts to that tensor. */
static inline int64_t reference_offset(const reference_tensor *t, const int64_t *index, int rank)
{
    int64_t offset = 0;
    for (int i = 0; i < t->rank; i++)
        offset = offset * t->dims[i] + (t->dims[i] == 1 ? 0 : index[rank - t->rank + i]);
    return offset;
}

/* The data of operand i; NULL if it is absent. */
static inline const double *reference_data(const reference_call *call, int i)
{
    return i < call->input_count ? call->inputs[i].data : NULL;
}

/* A tensor seen as [outer, extent, inner] around one axis. */
typedef struct reference_axis {
    int64_t outer, extent, inner;
} reference_axis;
static inline reference_axis reference_around(const reference_tensor *t, int64_t axis)
{
    int at = (int)(axis < 0 ? axis + t->rank : axis);
    reference_axis a = {1, t->dims[at], 1};
    for (int i = 0; i < at; i++)
        a.outer *= t->dims[i];
    for (int i = at + 1; i < t->rank; i++)
        a.inner *= t->dims[i];
    return a;
}

/* An elementwise op on numbers; the operands are in order, as many as the op takes. */
double reference_elementwise(int op, const double *operands);
