/* The model of a task: a transformer with the attentions of its row, and all else from the options. */
#include "tools/tasks/task.h"

transformer task_transformer(const options *o, int64_t vocabulary)
{
    return (transformer){.language_model = !task_of(o)->places[PLACE_ENCODER],
                         .vocabulary = vocabulary,
                         .dim = o->dim,
                         .ffn = o->ffn,
                         .heads = o->heads,
                         .encoder_layers = (int)o->encoder_layers,
                         .decoder_layers = (int)o->decoder_layers,
                         .post_norm = o->post_norm,
                         .untied = o->no_tied_embeddings,
                         .encoder_self = o->encoder_self,
                         .decoder_self = o->decoder_self,
                         .cross = o->cross,
                         .dropout = (float)o->dropout,
                         .smoothing = (float)o->smoothing};
}

bool task_build_transformer(rondo *context, const options *o, int64_t vocabulary, transformer_graph *out,
                            rondo_error *error)
{
    const transformer shape = task_transformer(o, vocabulary);
    return transformer_build(context, &shape, out, error);
}
