/* Runs a program on numbers that follow from the names of its leaves, and the same graph in the double
 * interpreter. */
#pragma once
#include "compiler/program/instance.h"

enum { RUN_OUTPUTS = 16 };
typedef struct program_outputs {
    int count; /* outputs, then ports */
    struct {
        char name[64];
        float *data;
        int64_t elements;
    } items[RUN_OUTPUTS];
} program_outputs;

/* Runs a copy of g `times` times, carrying its ports. False: error says. */
bool run_program(const rondo_graph *g, const program_options *options, const int64_t *bound, int times,
                 int threads, program_outputs *out, rondo_error *error);
bool run_interpreter(const rondo_graph *g, const int64_t *bound, int times, program_outputs *out,
                     rondo_error *error);
void outputs_free(program_outputs *o);
bool outputs_same(const program_outputs *a, const program_outputs *b, const char **where); /* bit for bit */
/* The largest of rms(a − b) / r and max|a − b| / r / 10 with r = rms(b), 0.1 at least; infinite when anything
 * is not finite in one alone. */
double outputs_difference(const program_outputs *a, const program_outputs *b, const char **where);
