/* rondo bench: what the verbs share. Each measures with medians of --runs, and reports through
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

double bench_seconds(void);                          /* of a clock that never goes back */
double bench_median(double *seconds, int64_t count); /* sorts them */
bool is_given(const bench *b, option_id id);         /* by the caller or a preset, not by default */

/* The options, with the shape of preset long where nothing says another: a decoder alone. */
bool bench_options(const bench *b, options *with);

/* GF/s of the better library at its best shape and cut, on the whole team: medians of --runs each. */
bool peak_measure(bench *b, double *gflops);
/* "gflops", "share_of_peak" and "peak_gflops" of `flops` done in `seconds`. */
void report_rate(bench *b, double flops, double seconds, double peak);

/* ---- one program ---- */
typedef struct measurement {
    double seconds; /* median of --runs */
    double flops;   /* matmul-like work that its kernels really do */
    double planned_bytes;
    bool too_large; /* for this machine: it was not run */
} measurement;
/* On random numbers; extents: B, then T. False: *b->error. */
bool bench_program(bench *b, program *p, const extent *extents, int extent_count, measurement *m);
double measure_available_bytes(void); /* that the system can still give */

/* ---- what is trained and decoded ---- */
typedef struct workload {
    transformer shape;
    transformer_graph graph;
    rondo_weights *weights;
    int64_t batch, source, target; /* sentences, and tokens of each */
    extent extents[3];             /* B, T, S */
    rondo_tensor inputs[TASK_INPUTS]; /* random ids from 4 on, full lengths */
    int input_count;
} workload;
/* What --preset and the options that change it describe; as many sequences of as many tokens as the task's row says,
 * unless --batch and --length say otherwise. */
bool workload_begin(bench *b, workload *w);
void workload_end(workload *w);
const char *workload_name(const bench *b, const workload *w);     /* "small", or what the options make */
int32_t *random_ids(bench *b, int64_t count, int64_t vocabulary); /* NULL: refused */

/* Matmul-like work of the forward graph after linearize, in floating-point operations: products whole,
 * softmax's T² too, the scan at its chunk size; nothing else counts. A training step has 3 times that. */
bool forward_flops(rondo_value loss, const extent *extents, int extent_count, bool no_linearize,
                   double *flops, rondo_error *error);
