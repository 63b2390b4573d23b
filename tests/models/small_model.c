/* tests/models/small_model.h. */
#include "tests/models/small_model.h"
#include "compiler/pipeline.h"
#include "models/decode/binding.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

small_model small_model_new(const char *encoder, const char *decoder, const char *cross, int threads)
{
    rondo_error error = {0};
    small_model m = {.context = rondo_new(threads), .translates = encoder != NULL};
    const transformer shape = {.language_model = !encoder,
                               .vocabulary = SMALL_VOCABULARY,
                               .dim = 12,
                               .ffn = 20,
                               .heads = 3,
                               .encoder_layers = 2,
                               .decoder_layers = 2,
                               .encoder_self = encoder,
                               .decoder_self = decoder,
                               .cross = cross};
    cr_assert(transformer_build(m.context, &shape, &m.built, &error), "%s", error.message);
    m.weights = rondo_weights_new(m.built.graph, 3, &error);
    m.program = rondo_program_new(m.built.logits, TRANSFORMER_TIME, &error);
    cr_assert(m.weights && m.program, "%s", error.message);
    return m;
}

void small_model_free(small_model *m)
{
    rondo_program_free(m->program);
    rondo_weights_free(m->weights);
    rondo_graph_free(m->built.graph);
    rondo_free(m->context);
}

training training_of(rondo *context, const transformer *shape, float clip, uint64_t seed)
{
    rondo_error error = {0};
    training t = {.context = context};
    cr_assert(transformer_build(t.context, shape, &t.built, &error), "%s", error.message);
    t.weights = rondo_weights_new(t.built.graph, 5, &error);
    t.trainer = rondo_trainer_new(t.built.loss, &error, t.weights, .clip_norm = clip, .seed = seed);
    cr_assert(t.trainer, "%s", error.message);
    return t;
}

void training_free(training *t)
{
    rondo_trainer_free(t->trainer);
    rondo_weights_free(t->weights);
    rondo_graph_free(t->built.graph);
    rondo_free(t->context);
}

int32_t small_token(int64_t sentence, int64_t place)
{
    uint64_t x = (uint64_t)sentence * 0x9e3779b97f4a7c15u + (uint64_t)place * 0xd1b54a32d192ed03u;
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9u;
    return (int32_t)(3 + (x >> 33) % (SMALL_VOCABULARY - 3));
}

/* The source of sentence b has 1 + b mod SMALL_SOURCE tokens, followed by padding. */
static int source_tensors(rondo_tensor *out, int32_t *source, int32_t *length, int64_t batch, int64_t first)
{
    for (int64_t b = 0; b < batch; b++) {
        length[b] = (int32_t)(1 + (first + b) % SMALL_SOURCE);
        for (int64_t i = 0; i < SMALL_SOURCE; i++)
            source[b * SMALL_SOURCE + i] = i < length[b] ? small_token(first + b + 1000, i) : 0;
    }
    out[0] = (rondo_tensor){"source", RONDO_I32, 2, {batch, SMALL_SOURCE}, source};
    out[1] = (rondo_tensor){"source_length", RONDO_I32, 1, {batch}, length};
    return 2;
}

void small_source(const small_model *m, rondo_session *s, int64_t batch, int64_t first)
{
    rondo_error error = {0};
    rondo_tensor inputs[2];
    int32_t *source = calloc((size_t)(batch * SMALL_SOURCE), sizeof *source),
            *length = calloc((size_t)batch, sizeof *length);
    int count = m->translates ? source_tensors(inputs, source, length, batch, first) : 0;
    cr_assert(rondo_session_source(s, inputs, count, &error), "%s", error.message);
    memset(source, 0x55,
           sizeof *source * (size_t)(batch * SMALL_SOURCE)); /* read during the call, and never again */
    memset(length, 0x55, sizeof *length * (size_t)batch);
    free(source);
    free(length);
}

rondo_session *small_session(const small_model *m, int64_t batch, int64_t first)
{
    rondo_error error = {0};
    rondo_session *s = rondo_session_new(m->program, m->weights, batch, &error);
    cr_assert(s, "%s", error.message);
    small_source(m, s, batch, first);
    return s;
}

float *small_parallel(const small_model *m, const int32_t *tokens, int64_t batch, int64_t length,
                      int64_t first)
{
    rondo_error error = {0};
    binding b;
    instance i;
    program *p = program_new(pipeline_forward(m->built.logits, "logits", NULL, &error), NULL, &error);
    cr_assert(p && instance_begin(&i, p, &error), "%s", error.message);
    for (int k = 0; k < m->weights->item_count; k++)
        instance_bind(&i, graph_find_leaf(p->graph, OP_parameter, m->weights->items[k].name),
                      m->weights->block + m->weights->items[k].offset);
    rondo_tensor inputs[3];
    int32_t *source = calloc((size_t)(batch * SMALL_SOURCE), sizeof *source),
            *lengths = calloc((size_t)batch, sizeof *lengths);
    int count = m->translates ? source_tensors(inputs, source, lengths, batch, first) : 0;
    inputs[count++] = (rondo_tensor){"target_in", RONDO_I32, 2, {batch, length}, (void *)tokens};
    binding_begin(&b);
    for (int k = 0; k < count; k++)
        cr_assert(binding_tensor(&b, &i, &inputs[k], &error), "%s", error.message);
    cr_assert(instance_run(&i, context_team(m->context, &error), b.bound, &error), "%s", error.message);
    tensor logits = instance_tensor(&i, graph_find_output(p->graph, "logits"));
    size_t bytes = sizeof(float) * (size_t)(batch * length * SMALL_VOCABULARY);
    float *out = malloc(bytes);
    memcpy(out, logits.data, bytes);
    instance_end(&i);
    program_free(p);
    free(source);
    free(lengths);
    return out;
}

double small_difference(const float *a, const float *b, int64_t count)
{
    double squares = 0, differences = 0, largest = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = fabs((double)a[i] - b[i]);
        if (!isfinite(a[i]) || !isfinite(b[i]))
            return INFINITY;
        squares += (double)b[i] * b[i];
        differences += d * d;
        largest = fmax(largest, d);
    }
    return largest == 0
               ? 0
               : fmax(sqrt(differences / (double)count), largest / 10) / sqrt(squares / (double)count);
}
