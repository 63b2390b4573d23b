/* The same validation lines translated before, during and after training, so that one sees a run learn. */
#pragma once
#include "tools/run/data.h"

/* A decoder of logits for translate_lines, with the run's subwords. */
rondo_program *run_samples_decoder(rondo_value logits, const run_data *d, rondo_error *error);
void run_samples_free(rondo_program *decoder); /* NULL is fine */
/* Prints o->samples lines, spread over the validation text: source, wanted, and what the model makes of it
 * behind `when`. */
bool run_samples_show(const rondo_program *decoder, const rondo_weights *weights, const run_data *d,
                      const options *o, const char *when, rondo_error *error);
