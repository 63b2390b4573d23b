/* How linearize keeps its records while it walks. Every function is false only when memory was refused. */
#pragma once
#include "compiler/passes/linearize.h"

/* Σ over s of p at old node n, whose result has these batch axes. width: 0 for a row sum. */
bool report_site(linearize_report *report, const form_context *c, const node *n, const pair_form *p,
                 const shape *batch, dim width);
/* After the form rule of n: a pair that ended at n, or one that had ended before and has another reason now
 * or is summed over s there. */
bool report_ended(linearize_report *report, const form_context *c, const node *n, const pair_form *outputs);
/* Whether a value of this shape still has both time axes of p. */
bool report_carries(const form_context *c, const pair_form *p, const shape *s);
/* A pair that an output or a port reads. */
bool report_output(linearize_report *report, const form_context *c, value_id v);
/* Merges row sums into their attentions, drops what is not an attention, and copies texts. */
bool report_finish(linearize_report *report, const rondo_graph *from);
