/* Declares every rule, kernel, reference and sampler that a row of ops.def names, so that a family needs no
 * header of its own. Rows that share a rule declare it again, which C allows; vjp_none is declared and
 * defined nowhere. */
#pragma once
#include "ops/op.h"

typedef bool infer_rule(rondo_graph *g, node *n, value *outputs);

#define KERNELS(...)                        extern const kernel __VA_ARGS__;
#define RECURRENCE(operand, result, object) extern const recurrence object;
#define IN_PLACE(result, operand)
#define LOOKUP(ids, table, axis)
#define IGNORED(attribute)
#define LENGTH(operand, rows, axis)
#define COUNTED(result)
#define OP(name, operands, results, flags, fields, infer, vjp, form, step, columns, meaning) \
    infer_rule infer;                                                                        \
    vjp_rule vjp;                                                                            \
    form_rule form;                                                                          \
    step_rule step;                                                                          \
    columns                                                                                  \
    reference_rule reference_##name;                                                         \
    sample_rule samples_##name;
#include "ops/ops.def"
#undef OP
#undef KERNELS
#undef RECURRENCE
#undef IN_PLACE
#undef LOOKUP
#undef IGNORED
#undef LENGTH
#undef COUNTED
