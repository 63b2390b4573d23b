/* The transformer in the DSL. Parameter names follow PyTorch: decoder.layers.0.self_attn.q_proj.weight. */
#include "models/transformer.h"
#include "core/graph.h"
#include <math.h>
#include <string.h>

/* 1 where there is a token, 0 where there is padding, which has id 0. */

typedef struct building {
    rondo *context;
    const transformer *shape;
    transformer_mix *mix;
    void *user;
    rondo_graph *graph;
    rondo_error *error;
} building;

static rondo_value no_value(void)
{
    return (rondo_value){NULL, -1};
}

static rondo_value mix_plainly(void *user, const mixer *m, mixer_place place, rondo_value x, rondo_value y,
                               rondo_value length, int64_t heads)
{
    (void)user;
    return mixer_make(m, x, y, length, place == PLACE_DECODER, heads);
}

static rondo_value mix(building *b, const char *name, mixer_place place, rondo_value x, rondo_value y,
                       rondo_value length)
{
    mixer m;
    if (!mixer_find(b->context, name, &m, b->error))
        return no_value();
    rondo_enter(b->graph, "%s", place == PLACE_CROSS ? "cross_attn" : "self_attn");
    rondo_value out = b->mix(b->user, &m, place, x, y, length, b->shape->heads);
    rondo_leave(b->graph);
    return out;
}

/* One residual branch around f(norm(x)), or norm(x + f(x)). */
static rondo_value before(const building *b, rondo_value x, const char *norm)
{
    return b->shape->post_norm ? x : rondo_layer_norm(x, norm);
}

static rondo_value after(const building *b, rondo_value x, rondo_value branch, const char *norm)
{
    if (b->shape->dropout > 0)
        branch = rondo_dropout(branch, b->shape->dropout);
    x = rondo_add(x, branch);
    return b->shape->post_norm ? rondo_layer_norm(x, norm) : x;
}

static rondo_value feed_forward(const building *b, rondo_value x)
{
    rondo_value inner = rondo_relu(rondo_linear(x, b->shape->ffn, .name = "linear1"));
    if (b->shape->dropout > 0)
        inner = rondo_dropout(inner, b->shape->dropout);
    return rondo_linear(inner, b->shape->dim, .name = "linear2");
}

static rondo_value embed(const building *b, rondo_value table, rondo_value ids)
{
    rondo_value x = rondo_mul_scalar(rondo_embed(table, ids), sqrt((double)b->shape->dim));
    x = rondo_add(x, rondo_sinusoid(rondo_positions(ids), b->shape->dim));
    return b->shape->dropout > 0 ? rondo_dropout(x, b->shape->dropout) : x;
}

static rondo_value encoder(building *b, rondo_value x, rondo_value length)
{
    rondo_enter(b->graph, "encoder");
    for (int i = 0; i < b->shape->encoder_layers; i++) {
        rondo_enter(b->graph, "layers.%d", i);
        rondo_value h = before(b, x, "norm1");
        x = after(b, x, mix(b, b->shape->encoder_self, PLACE_ENCODER, h, h, length), "norm1");
        x = after(b, x, feed_forward(b, before(b, x, "norm2")), "norm2");
        rondo_leave(b->graph);
    }
    if (!b->shape->post_norm)
        x = rondo_layer_norm(x, "norm");
    rondo_leave(b->graph);
    return x;
}

static rondo_value decoder(building *b, rondo_value x, rondo_value memory, rondo_value length)
{
    rondo_enter(b->graph, "decoder");
    for (int i = 0; i < b->shape->decoder_layers; i++) {
        rondo_enter(b->graph, "layers.%d", i);
        rondo_value h = before(b, x, "norm1");
        x = after(b, x, mix(b, b->shape->decoder_self, PLACE_DECODER, h, h, no_value()), "norm1");
        if (memory.graph) {
            h = before(b, x, "norm2");
            x = after(b, x, mix(b, b->shape->cross, PLACE_CROSS, h, memory, length), "norm2");
        }
        x = after(b, x, feed_forward(b, before(b, x, "norm3")), "norm3");
        rondo_leave(b->graph);
    }
    if (!b->shape->post_norm)
        x = rondo_layer_norm(x, "norm");
    rondo_leave(b->graph);
    return x;
}

static rondo_value table_of(const building *b, const char *name)
{
    rondo_value table = rondo_parameter(b->graph, name, "f32[%lld,%lld]", (long long)b->shape->vocabulary,
                                        (long long)b->shape->dim);
    return rondo_initialize(table, RONDO_NORMAL, 1 / sqrt((double)b->shape->dim));
}

static void build(building *b, transformer_graph *out)
{
    const transformer *s = b->shape;
    rondo_value table = table_of(b, "embed.weight"), memory = no_value(), length = no_value();
    if (!s->language_model) {
        length = rondo_input(b->graph, "source_length", "i32[B]");
        rondo_value source_table = s->untied ? table_of(b, "encoder.embed.weight") : table;
        memory = encoder(b, embed(b, source_table, rondo_input(b->graph, "source", "i32[B,S]")), length);
    }
    rondo_value h =
        decoder(b, embed(b, table, rondo_input(b->graph, "target_in", "i32[B,T]")), memory, length);
    out->logits = rondo_matmul(h, s->untied ? table_of(b, "output.weight") : table, .transpose_b = true);
    out->loss = rondo_cross_entropy(out->logits, rondo_input(b->graph, "target_out", "i32[B,T]"),
                                    .smoothing = s->smoothing, .ignore_padding = true);
}

static bool check_mixer(const building *b, const char *name, const char *option, mixer_place place)
{
    static const char *const words[] = {"decoder", "encoder (non-causal)", "cross"};
    mixer m;
    rondo_error reason = {0};
    if (!mixer_find(b->context, name, &m, &reason))
        return fail(b->error, reason.code, "%s %s", option, reason.message);
    return mixer_fits(&m, place) ||
           fail(b->error, RONDO_ARGUMENT, "%s %s: this mixer has no form as %s attention%s%s", option, name,
                words[place], m.otherwise ? ": " : "", m.otherwise ? m.otherwise : "");
}

static bool check_shape(const building *b)
{
    const transformer *s = b->shape;
    if (s->vocabulary < 4 || s->dim < 2 || s->ffn < 1 || s->decoder_layers < 1)
        return fail(b->error, RONDO_ARGUMENT,
                    "a model needs a vocabulary of at least 4, a width of at least 2, a feed-forward "
                    "width and a decoder layer");
    if (s->heads < 1 || s->dim % s->heads)
        return fail(b->error, RONDO_ARGUMENT, "%lld heads do not divide a width of %lld", (long long)s->heads,
                    (long long)s->dim);
    if (s->dim % 2)
        return fail(b->error, RONDO_ARGUMENT, "a width of %lld is odd; sinusoidal positions need pairs",
                    (long long)s->dim);
    if (!(s->dropout >= 0 && s->dropout < 1) || !(s->smoothing >= 0 && s->smoothing < 1))
        return fail(b->error, RONDO_ARGUMENT, "dropout and smoothing must lie in [0, 1)");
    return check_mixer(b, s->decoder_self, "--decoder-self", PLACE_DECODER) &&
           (s->language_model || (check_mixer(b, s->encoder_self, "--encoder-self", PLACE_ENCODER) &&
                                  check_mixer(b, s->cross, "--cross", PLACE_CROSS)));
}

bool transformer_build_with(rondo *context, const transformer *shape, transformer_mix *mix, void *user,
                            transformer_graph *out, rondo_error *error)
{
    building b = {.context = context, .shape = shape, .mix = mix, .user = user, .error = error};
    *out = (transformer_graph){0};
    if (!check_shape(&b) || !(b.graph = rondo_graph_new(context, error)))
        return false;
    build(&b, out);
    out->graph = b.graph;
    if (rondo_graph_check(b.graph, error))
        return true;
    rondo_graph_free(b.graph);
    out->graph = NULL;
    return false;
}

bool transformer_build(rondo *context, const transformer *shape, transformer_graph *out, rondo_error *error)
{
    return transformer_build_with(context, shape, mix_plainly, NULL, out, error);
}
