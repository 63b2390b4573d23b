/* From a caller's named tensors to a program's leaves: finds each by name, reads the symbols' numbers off the shapes, and
 * checks dtypes, shapes and ids before anything runs. */
#pragma once
#include "compiler/program/instance.h"
#include "models/weights.h"

typedef struct binding {
    int64_t bound[MAX_SYMBOLS]; /* −1: not known */
} binding;
void binding_begin(binding *b);
void binding_clear(instance *i); /* forgets the inputs of earlier calls, whose memory may be gone */
void binding_weights(instance *i, const rondo_weights *w); /* parameters read these */
/* False with a sentence that names the tensor: unknown name, wrong dtype, rank or extent, an id outside its table. */
bool binding_tensor(binding *b, instance *i, const rondo_tensor *t, rondo_error *error);
/* The smallest table in which these ids are looked up has that many rows; −1: none does. */
int64_t binding_id_limit(const rondo_graph *g, value_id ids);
/* Every id in [0, limit); anything is if limit is −1. name: of the tensor, for the message. */
bool binding_check_ids(const char *name, const int32_t *ids, int64_t count, int64_t limit, rondo_error *error);
/* What tells how many rows count (`source_length`) is between 0 and as many as there are. After binding_whole. */
bool binding_check_lengths(const binding *b, const rondo_graph *g, const rondo_tensor *tensors, int count,
                           rondo_error *error);
/* Every symbol known? */
bool binding_whole(const binding *b, const rondo_graph *g, rondo_error *error);
