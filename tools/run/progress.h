/* One line that says how training goes. On a terminal it is rewritten in place twice a second; elsewhere, and
 * after progress_use_lines, plain lines come every `every` updates. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct progress {
    FILE *out;
    bool in_place; /* carriage returns instead of lines */
    int64_t every; /* updates between plain lines */
    double peak;   /* flops a second of the machine's matmul; 0: unknown, the share is not printed */
    double began, shown_at;
    int width; /* of the line that stands on the terminal */
    struct progress_sums {
        double loss, nll, gradient_norm, seconds, flops;
        int64_t updates, targets, source_tokens, target_tokens;
    } since, all; /* the last line; the beginning */
} progress;

/* What one update did. loss and nll are per target token, in nats. */
typedef struct progress_update {
    int64_t number, epoch; /* updates so far; epochs begun */
    double loss, nll, gradient_norm, rate, seconds;
    double flops; /* of the matmul-like work, as the share of peak counts it */
    int64_t targets, source_tokens, target_tokens;
    double done; /* share of the whole training, 0 … 1, by whichever limit comes first; negative: there is
                    none */
} progress_update;

/* From now on plain lines, on a terminal too. */
void progress_use_lines(void);
void progress_begin(progress *p, FILE *out, int64_t every, double peak);
/* Counts the update, and prints when it is time: averages since the last line. */
void progress_add(progress *p, const progress_update *u);
/* Ends a line that stands on the terminal, so that something else can be printed. */
void progress_clear(progress *p);
/* "3:07" or "2:03:07". */
typedef char duration_text[32];
const char *duration_format(duration_text out, double seconds);
