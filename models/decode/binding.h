/* Binds a caller's named tensors to the leaves of a program: finds each by name, takes the values of the
 * symbols from the shapes, and checks dtypes, shapes and ids before anything runs. */
#pragma once
#include "compiler/program/instance.h"
#include "models/weights.h"

typedef struct binding {
    int64_t bound[MAX_SYMBOLS]; /* −1: not known */
} binding;
void binding_begin(binding *b);
void binding_clear(instance *i); /* forgets the inputs of earlier calls, whose memory may have been freed */
void binding_weights(instance *i, const rondo_weights *w); /* parameters read these */
/* False: the error names the tensor whose dtype, rank or extent is wrong or that has an id outside its
 * table. A name that the graph does not have is ignored. */
bool binding_tensor(binding *b, instance *i, const rondo_tensor *t, rondo_error *error);
/* The rows of the smallest table in which these ids are looked up; −1: they are not looked up. */
int64_t binding_id_limit(const rondo_graph *g, value_id ids);
/* Whether every id but `ignored` is in [0, limit); limit −1: any id is allowed; NO_ID: none is ignored.
 * name: of the tensor, for the message. */
bool binding_check_ids(const char *name, const int32_t *ids, int64_t count, int64_t limit, int64_t ignored,
                       rondo_error *error);
/* The same for an i32 tensor that is bound to this leaf. An id is ignored if all who look it up ignore it. */
bool binding_check_leaf(const rondo_graph *g, value_id leaf, const rondo_tensor *t, rondo_error *error);
/* Whether the inputs that say how many rows count (`source_length`) are between 0 and the number of rows.
 * After binding_whole. */
bool binding_check_lengths(const binding *b, const rondo_graph *g, const rondo_tensor *tensors, int count,
                           rondo_error *error);
/* Whether every symbol has a value. */
bool binding_whole(const binding *b, const rondo_graph *g, rondo_error *error);
