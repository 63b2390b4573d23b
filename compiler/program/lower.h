/* lower: where the values of a graph live under given sizes, and the kernel calls that compute them. */
#pragma once
#include "compiler/program/program.h"

bool lower_placements(specialisation *s, const program *p, rondo_error *error); /* dims, placements */
bool lower_calls(specialisation *s, const program *p, const node_id *order, int count, rondo_error *error);
/* Whether everything that the calls read and write lies inside its memory; if not, that is a bug in Rondo. */
bool lower_check(const specialisation *s, const program *p, rondo_error *error);
int64_t value_bytes(const specialisation *s, const rondo_graph *g, value_id v); /* of the storage of a root */
/* Fills the call of loop node id: its slots, its body at these sizes, its shared memory. */
bool lower_loop(specialisation *s, const program *p, node_id id, kernel_call *call, rondo_error *error);
int operand_room(const node *n); /* entries of kernel_call.inputs: as many as the op may have */
