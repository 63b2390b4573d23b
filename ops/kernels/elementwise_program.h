/* From an elementwise op, or the text of `fused`, to the steps of the tile interpreter: text → bytes at plan
 * time (which mostly fit into the call's choice[]), bytes → steps once a task, when the addresses are
 * known. */
#pragma once
#include "ops/kernels/kernel.h"
#include "ops/vector/types.h"

enum {
    /* slots */
    SLOT_OPERAND = 0,
    SLOT_RESULT = MAX_FUSED,
    SLOT_NUMBER = SLOT_RESULT + MAX_FUSED,
    MAX_NUMBERS = 32,
    SLOT_TEMPORARY = SLOT_NUMBER + MAX_NUMBERS,
    MAX_TEMPORARIES = 18,
    SLOT_COUNT = SLOT_TEMPORARY + MAX_TEMPORARIES,
    /* bytes */
    BYTE_NUMBER = 16, /* 4 bytes follow: the float */
    BYTE_DROP = 17,
    BYTE_STORE = 32,  /* + result */
    BYTE_CODE = 64,   /* + elementwise_code */
    MAX_BYTES = 1024,
    MAX_STEPS = 320
};

typedef struct elementwise_bytes {
    int count;
    uint8_t bytes[MAX_BYTES];
} elementwise_bytes;
/* False: longer or deeper than the limits above. */
bool elementwise_encode(const kernel_call *call, elementwise_bytes *b);

typedef struct elementwise_program {
    int step_count, number_count, temporary_count;
    elementwise_step steps[MAX_STEPS];
    float numbers[MAX_NUMBERS];
    /* A result that must wait until all steps of the tile are done: an operand in the same memory is read
     * later. */
    bool late[MAX_FUSED];
} elementwise_program;
bool elementwise_compile(const kernel_call *call, const elementwise_bytes *b, elementwise_program *p);

/* One element by the same program in double, for integers. values: one for each operand; results: one for
 * each output. */
void elementwise_number(const elementwise_bytes *b, const double *values, double *results);
