/* rondo bench: what the verbs share. Each takes medians of --runs measurements and reports through
 * tools/report/report.h. */
#pragma once
#include "core/team.h"
#include "models/weights.h"
#include "tools/graphs/layer.h"
#include "tools/graphs/leaves.h"
#include "tools/report/report.h"
#include "tools/tasks/task.h"

typedef struct bench {
    command *c;
    const options *o;
    arena arena;
    report report;
    team *team;
    rondo_error *error;
} bench;
typedef bool bench_verb(bench *b); /* false: *b->error */
bench_verb bench_peak, bench_train, bench_attention, bench_decode, bench_memory, bench_compile, bench_scan;

double bench_seconds(void);                          /* of a monotonic clock */
double bench_median(double *seconds, int64_t count); /* sorts them */
bool is_given(const bench *b, option_id id);         /* by the caller or a preset, not the default */

/* The options, with the model of preset long, a decoder alone, unless another one is given. */
bool bench_options(const bench *b, options *with);

/* GF/s of the better library at its best shape and way to cut it, on the whole team: medians of --runs
 * each. */
bool peak_measure(bench *b, double *gflops);
/* Reports "gflops", "share_of_peak" and "peak_gflops" of `flops` done in `seconds`. */
void report_rate(bench *b, double flops, double seconds, double peak);

/* ---- one program ---- */
typedef struct measurement {
    double seconds; /* median of --runs */
    double flops;   /* matmul-like work that its kernels do */
    double planned_bytes;
    bool too_large; /* for the memory of this machine: it was not run */
} measurement;
/* Runs it on random numbers; extents: B, then T. False: *b->error. */
bool bench_program(bench *b, program *p, const extent *extents, int extent_count, measurement *m);
double measure_available_bytes(void); /* that the system can still provide */

/* ---- what is trained and decoded ---- */
typedef struct workload {
    transformer shape;
    transformer_graph graph;
    rondo_weights *weights;
    int64_t batch, source, target; /* sequences, and tokens of each */
    extent extents[3];             /* B, T, S */
    rondo_tensor inputs[TASK_INPUTS]; /* random ids from 4 on, full lengths */
    int input_count;
} workload;
/* What --preset and the options that change it describe, with as many sequences of as many tokens as the
 * row of the task says, unless --batch and --length are given. */
bool workload_begin(bench *b, workload *w);
void workload_end(workload *w);
const char *workload_name(const bench *b, const workload *w);     /* "small", or a description of the model */
int32_t *random_ids(bench *b, int64_t count, int64_t vocabulary); /* NULL: out of memory */

/* Matmul-like work of the forward graph after linearize, in floating-point operations: whole products,
 * softmax with T², the scan at its chunk size, and nothing else. A training step does 3 times that. */
bool forward_flops(rondo_value loss, const extent *extents, int extent_count, bool no_linearize,
                   double *flops, rondo_error *error);
