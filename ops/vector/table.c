/* Picks the vector functions for this processor, once. */
#include "ops/vector/table.h"
#include <stdatomic.h>
#include <stddef.h>

#define VECTOR(type, name, arguments) type name##_base arguments;
#include "ops/vector/table.def"
#undef VECTOR
static const vector_table table_base = {
#define VECTOR(type, name, arguments) .name = name##_base,
#include "ops/vector/table.def"
#undef VECTOR
    .lanes = 4};

#if defined __x86_64__
#define VECTOR(type, name, arguments)                                                                        \
    type name##_avx2 arguments;                                                                              \
    type name##_avx512 arguments;
#include "ops/vector/table.def"
#undef VECTOR
static const vector_table table_avx2 = {
#define VECTOR(type, name, arguments) .name = name##_avx2,
#include "ops/vector/table.def"
#undef VECTOR
    .lanes = 8};
static const vector_table table_avx512 = {
#define VECTOR(type, name, arguments) .name = name##_avx512,
#include "ops/vector/table.def"
#undef VECTOR
    .lanes = 16};
#endif

const vector_table *vectors_of(int set)
{
    if (set == 0)
        return &table_base;
#if defined __x86_64__
    __builtin_cpu_init();
    if (set == 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &table_avx2;
    if (set == 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("fma"))
        return &table_avx512;
#endif
    return NULL;
}

const vector_table *vectors(void)
{
    static _Atomic(const vector_table *) chosen; /* a race is harmless: every thread chooses the same */
    const vector_table *table = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (!table) {
        for (int set = 2; !table; set--)
            table = vectors_of(set);
        atomic_store_explicit(&chosen, table, memory_order_relaxed);
    }
    return table;
}
