/* The public context: its graphs are made of the ops of ops.def. */
#include "ops/op.h"

rondo *rondo_new_with(const rondo_options *options)
{
    return context_new(options, &all_ops);
}
