/* What a kernel is: a plan that looks at shapes, and a run that does numbered tasks on strided tensors.
 *
 *   plan(call)   reads attributes, dims and strides, never data. It fills phases, tasks[], scratch, shared
 *                and flops, and may keep numbers of its own in choice[]. False: not applicable.
 *   run(call, phase, task, worker scratch)
 *                does one task of one phase. All tasks of a phase end before the next phase begins. Tasks
 *                depend on shapes alone and every sum has a fixed order, so the bits are the same for any
 *                number of threads. */
#pragma once
#include "core/graph.h"

typedef struct tensor {
    void *data; /* NULL: an optional operand that is absent, or a result that nobody reads */
    rondo_type type;
    int rank;
    int64_t dims[MAX_RANK], strides[MAX_RANK]; /* strides in elements; 0 where broadcast */
} tensor;

enum { MAX_PHASES = 4 };
typedef struct kernel_call {
    const struct kernel *kernel;
    int op;              /* op_id: several ops may share a kernel */
    const char *program; /* of `fused`: postfix text; NULL otherwise */
    const attribute *attributes;
    int input_count, output_count;
    tensor *inputs, *outputs;
    int phases;
    int64_t tasks[MAX_PHASES];
    size_t scratch_bytes; /* a worker's own during a task; 64-byte aligned */
    size_t shared_bytes;  /* one block for the whole call, kept from phase to phase; 64-byte aligned */
    void *shared;
    double flops; /* of matmul-like work only, as docs/PERFORMANCE.md counts it */
    int64_t choice[8];
} kernel_call;

typedef struct kernel {
    const char *name;
    bool (*plan)(kernel_call *call);
    void (*run)(const kernel_call *call, int phase, int64_t task, void *scratch);
} kernel;
