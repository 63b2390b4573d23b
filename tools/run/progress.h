/* The line of progress of training. On a terminal it is rewritten in place twice a second; elsewhere, and
 * after progress_use_lines, a line is printed every `every` updates. */
#pragma once
#include "tools/run/measures.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct progress {
    FILE *out;
    bool in_place; /* carriage returns instead of lines */
    int64_t every; /* updates between plain lines */
    double peak;   /* flops per second of matmul on this machine; 0: unknown, no share is printed */
    double began, shown_at;
    int width; /* of the line on the terminal */
    struct progress_sums {
        double loss, nll, gradient_norm, seconds, flops;
        int64_t updates, targets, source_tokens, target_tokens;
        measures measures;
    } since, all; /* since the last line; since the start */
} progress;

/* What one update did. loss and nll are nats per target token. */
typedef struct progress_update {
    const rondo_step *step; /* of the trainer; for its measures */
    int64_t number, epoch;  /* updates so far; epochs started */
    double loss, nll, gradient_norm, rate, seconds;
    double flops; /* of matmul-like work, as in the share of peak */
    int64_t targets, source_tokens, target_tokens;
    /* share of the whole training, 0 … 1, by the limit that comes first; negative: there is no limit */
    double done;
} progress_update;

/* Prints plain lines on a terminal too, from now on. */
void progress_use_lines(void);
void progress_begin(progress *p, FILE *out, int64_t every, double peak);
/* Adds an update, and prints averages since the last line when it is time. */
void progress_add(progress *p, const progress_update *u);
/* Ends the line on the terminal, so that something else can be printed. */
void progress_clear(progress *p);
/* "3:07" or "2:03:07". */
typedef char duration_text[32];
const char *duration_format(duration_text out, double seconds);
