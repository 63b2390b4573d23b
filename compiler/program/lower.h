/* lower: where the values of a graph live under given sizes, and the kernel calls that compute them. */
#pragma once
#include "compiler/program/program.h"

bool lower_placements(specialisation *s, const program *p, rondo_error *error); /* dims, placements */
bool lower_calls(specialisation *s, const program *p, const node_id *order, int count, rondo_error *error);
int operand_room(const node *n); /* entries of kernel_call.inputs: as many as the op may have */
