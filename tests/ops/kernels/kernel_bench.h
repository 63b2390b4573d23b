/* Kernels run by hand: tensors with chosen strides, a call that is planned and run serially on poisoned
 * scratch of exactly the size that it asked for. */
#pragma once
#include "ops/op.h"
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t bench_state = 0x243f6a8885a308d3u;
static inline uint64_t bench_random(void)
{
    bench_state ^= bench_state << 13;
    bench_state ^= bench_state >> 7;
    bench_state ^= bench_state << 17;
    return bench_state;
}
static inline int64_t bench_below(int64_t n)
{
    return (int64_t)(bench_random() % (uint64_t)n);
}
static inline double bench_uniform(double low, double high)
{
    return low + (high - low) * (double)(bench_random() >> 11) * 0x1p-53;
}

enum { BENCH_GUARD = 64, BENCH_TENSORS = 64 };
/* The memory of all tensors of a test, which is freed when its process ends. */
static float *bench_memory[BENCH_TENSORS];
__attribute__((destructor)) static void bench_end(void)
{
    for (int i = 0; i < BENCH_TENSORS; i++)
        free(bench_memory[i]);
}
static inline float *bench_new(size_t count)
{
    float *memory = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64);
    int i = 0;
    while (i < BENCH_TENSORS - 1 && bench_memory[i])
        i++;
    bench_memory[i] = memory;
    return memory;
}
/* A tensor with its own memory between guards. gap: elements between rows; order: the storage order of the
 * axes, NULL: row-major. */
static inline tensor bench_tensor(int rank, const int64_t *dims, const int *order, int64_t gap, double low,
                                  double high)
{
    tensor t = {.type = RONDO_F32, .rank = rank};
    int64_t step = 1;
    for (int i = rank - 1; i >= 0; i--) {
        int axis = order ? order[i] : i;
        t.dims[axis] = dims[axis];
        t.strides[axis] = step;
        step = step * (dims[axis] ? dims[axis] : 1) + (i == rank - 1 ? gap : 0);
    }
    int64_t count = step + 1;
    float *memory = bench_new((size_t)(count + 2 * BENCH_GUARD));
    for (int64_t i = 0; i < count + 2 * BENCH_GUARD; i++)
        memory[i] = NAN;
    for (int64_t i = 0; i < count; i++)
        memory[BENCH_GUARD + i] = (float)bench_uniform(low, high);
    t.data = memory + BENCH_GUARD;
    return t;
}
static inline void bench_free(tensor *t)
{
    float *memory = (float *)t->data - BENCH_GUARD;
    for (int i = 0; i < BENCH_TENSORS; i++)
        if (bench_memory[i] == memory)
            bench_memory[i] = NULL;
    free(memory);
}
static inline tensor bench_dense(int rank, const int64_t *dims)
{
    return bench_tensor(rank, dims, NULL, 0, -2, 2);
}

static inline kernel_call bench_call(int op, const attribute *attributes, int input_count, tensor *inputs,
                                     int output_count, tensor *outputs)
{
    return (kernel_call){.op = op,
                         .attributes = attributes,
                         .input_count = input_count,
                         .output_count = output_count,
                         .inputs = inputs,
                         .outputs = outputs};
}

static inline int64_t bench_count(const tensor *t)
{
    int64_t count = 1;
    for (int i = 0; i < t->rank; i++)
        count *= t->dims[i];
    return count;
}
/* The offset in t of element `flat` of a row-major walk over (rank, dims), to which t broadcasts. */
static inline int64_t bench_offset(const tensor *t, int rank, const int64_t *dims, int64_t flat)
{
    int64_t offset = 0;
    for (int i = rank - 1; i >= 0; i--) {
        int own = i - (rank - t->rank);
        int64_t index = flat % dims[i];
        flat /= dims[i];
        if (own >= 0 && t->dims[own] != 1)
            offset += index * t->strides[own];
    }
    return offset;
}
static inline float *bench_at(const tensor *t, int64_t flat)
{
    return (float *)t->data + bench_offset(t, t->rank, t->dims, flat);
}

/* Plans and runs, with tasks in ascending or descending order. False: the plan refused. */
static inline bool bench_run(const kernel *k, kernel_call *call, bool backward)
{
    call->kernel = k;
    if (!k->plan(call))
        return false;
    char *scratch = aligned_alloc(64, (call->scratch_bytes + 127) / 64 * 64);
    call->shared = aligned_alloc(64, (call->shared_bytes + 127) / 64 * 64);
    memset(scratch, 0xff, call->scratch_bytes);
    memset(call->shared, 0xff, call->shared_bytes);
    for (int phase = 0; phase < call->phases; phase++)
        for (int64_t i = 0; i < call->tasks[phase]; i++)
            k->run(call, phase, backward ? call->tasks[phase] - 1 - i : i, scratch);
    free(scratch);
    free(call->shared);
    call->shared = NULL;
    return true;
}

/* rms(a − b) / rms(b) over count numbers; 0 for none. */
static inline double bench_error(const double *got, const double *expected, int64_t count)
{
    double difference = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += (got[i] - expected[i]) * (got[i] - expected[i]);
        size += expected[i] * expected[i];
    }
    return difference == 0 ? 0 : sqrt(difference / (size > 0 ? size : 1e-30));
}
