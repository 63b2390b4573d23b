/* Later tokens change nothing, bit for bit: other tokens in the parallel form, garbage in the padding of the
 * derived form; and the gradient with respect to later tokens is exactly zero. */
#include "compiler/pipeline.h"
#include "autograd/differentiate.h"
#include "models/decode/binding.h"
#include "tests/models/small_model.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, LENGTH = 11, V = SMALL_VOCABULARY, DIM = 12 };
static const char *const kinds[][3] = {{NULL, "softmax", NULL},
                                       {NULL, "linear", NULL},
                                       {NULL, "average", NULL},
                                       {"softmax", "linear", "softmax"},
                                       {"linear", "softmax", "linear"}};
enum { KINDS = 5 };

static int32_t *some_tokens(int64_t first)
{
    int32_t *tokens = calloc(BATCH * LENGTH, sizeof *tokens);
    for (int64_t b = 0; b < BATCH; b++)
        for (int64_t t = 0; t < LENGTH; t++)
            tokens[b * LENGTH + t] = small_token(first + b, t);
    return tokens;
}

Test(causality, later_tokens_change_no_bit)
{
    for (int k = 0; k < KINDS; k++) {
        small_model m = small_model_new(kinds[k][0], kinds[k][1], kinds[k][2], 1);
        int32_t *tokens = some_tokens(0), *others = some_tokens(0);
        for (int i = 0; i < BATCH * LENGTH; i++) /* each different */
            others[i] = 3 + (tokens[i] - 3 + 1 + i % 7) % (V - 3);
        float *expected = small_parallel(&m, tokens, BATCH, LENGTH, 0);
        for (int t = 1; t < LENGTH; t++) {
            int32_t mixed[BATCH * LENGTH];
            for (int i = 0; i < BATCH * LENGTH; i++)
                mixed[i] = i % LENGTH < t ? tokens[i] : others[i];
            float *logits = small_parallel(&m, mixed, BATCH, LENGTH, 0);
            for (int b = 0; b < BATCH; b++) {
                cr_expect_arr_eq(logits + b * LENGTH * V, expected + b * LENGTH * V,
                                 sizeof(float) * (size_t)(t * V),
                                 "model %d: tokens from %d on change what is before", k, t);
                cr_expect(
                    memcmp(logits + (b * LENGTH + t) * V, expected + (b * LENGTH + t) * V, sizeof(float) * V),
                    "model %d: the test changes nothing", k);
            }
            free(logits);
        }
        free(expected);
        free(tokens);
        free(others);
        small_model_free(&m);
    }
}

/* A mixer on numbers instead of tokens, so that later ones can be 1e30. */
typedef struct hidden_model {
    rondo *context;
    rondo_graph *g;
    rondo_value x, y;
    rondo_weights *weights;
} hidden_model;

static hidden_model hidden_new(const char *name)
{
    rondo_error error = {0};
    hidden_model h = {.context = rondo_new(1)};
    mixer m;
    h.g = rondo_graph_new(h.context, &error);
    h.x = rondo_input(h.g, "x", "f32[B,T,%d]", DIM);
    cr_assert(mixer_find(h.context, name, &m, &error), "%s", error.message);
    h.y = mixer_make(&m, h.x, h.x, (rondo_value){NULL, -1}, true, 3);
    h.weights = rondo_weights_new(h.g, 7, &error);
    cr_assert(h.weights, "%s", error.message);
    return h;
}

static void hidden_free(hidden_model *h)
{
    rondo_weights_free(h->weights);
    rondo_graph_free(h->g);
    rondo_free(h->context);
}

/* Runs a graph that reads "x" (and perhaps "weight_of_t") and copies its output `name`. */
static float *run_hidden(const hidden_model *h, rondo_graph *g, const float *x, const float *weight,
                         const char *name)
{
    rondo_error error = {0};
    instance i;
    program *p = program_new(g, NULL, &error);
    cr_assert(p && instance_begin(&i, p, &error), "%s", error.message);
    int64_t bound[MAX_SYMBOLS] = {0};
    for (int s = 0; s < p->graph->symbol_count; s++)
        bound[s] = !strcmp(p->graph->symbols[s], "B") ? BATCH : LENGTH;
    for (int k = 0; k < h->weights->item_count; k++)
        instance_bind(&i, graph_find_leaf(p->graph, OP_parameter, h->weights->items[k].name),
                      h->weights->block + h->weights->items[k].offset);
    instance_bind(&i, graph_find_leaf(p->graph, OP_input, "x"), (void *)x);
    instance_bind(&i, graph_find_leaf(p->graph, OP_input, "weight_of_t"), (void *)weight);
    cr_assert(instance_run(&i, context_team(h->context, &error), bound, &error), "%s", error.message);
    float *out = malloc(sizeof(float) * BATCH * LENGTH * DIM);
    memcpy(out, instance_tensor(&i, graph_find_output(p->graph, name)).data,
           sizeof(float) * BATCH * LENGTH * DIM);
    instance_end(&i);
    program_free(p);
    return out;
}

static void some_numbers(float *x)
{
    for (int i = 0; i < BATCH * LENGTH * DIM; i++)
        x[i] = (float)(small_token(i, 5) - 13) / 7;
}

Test(causality, later_numbers_as_large_as_1e30_change_no_bit)
{
    static const char *const names[] = {"softmax", "linear", "average"};
    float x[BATCH * LENGTH * DIM], late[BATCH * LENGTH * DIM];
    for (int k = 0; k < 3; k++) {
        rondo_error error = {0};
        hidden_model h = hidden_new(names[k]);
        some_numbers(x);
        float *expected = run_hidden(&h, pipeline_forward(h.y, "y", NULL, &error), x, NULL, "y");
        for (int t = 1; t < LENGTH; t++) {
            for (int i = 0; i < BATCH * LENGTH * DIM; i++)
                late[i] = i / DIM % LENGTH < t ? x[i] : i % 2 ? 1e30f : -1e30f;
            float *y = run_hidden(&h, pipeline_forward(h.y, "y", NULL, &error), late, NULL, "y");
            for (int b = 0; b < BATCH; b++)
                cr_expect_arr_eq(y + b * LENGTH * DIM, expected + b * LENGTH * DIM,
                                 sizeof(float) * (size_t)(t * DIM),
                                 "%s: 1e30 from %d on changes what is before", names[k], t);
            free(y);
        }
        free(expected);
        hidden_free(&h);
    }
}

/* d y[t] / d x[s] is exactly 0 for s > t. */
Test(causality, the_gradient_by_later_tokens_is_zero)
{
    static const char *const names[] = {"softmax", "linear", "average"};
    float x[BATCH * LENGTH * DIM], weight[LENGTH];
    some_numbers(x);
    for (int k = 0; k < 3; k++)
        for (int t = 0; t < LENGTH; t++) {
            rondo_error error = {0};
            hidden_model h = hidden_new(names[k]);
            rondo_value only = rondo_mul(h.y, rondo_input(h.g, "weight_of_t", "f32[1,T,1]"));
            rondo_value loss =
                rondo_reshape(rondo_sum(rondo_sum(rondo_sum(rondo_mul(only, h.y), -1), -1), -1), "[]");
            static const char *const name = "loss";
            pipeline_options options = {.after = "contract"};
            rondo_graph *g = extract(h.g, &loss.id, &name, 1, false, NULL, &error);
            rondo_graph *forward =
                pipeline_forward((rondo_value){g, graph_find_output(g, "loss")}, "loss", &options, &error);
            value_id in = graph_find_leaf(forward, OP_input, "x"), gradient;
            rondo_graph *both =
                differentiate_values(forward, graph_find_output(forward, "loss"), &in, 1, &gradient, &error);
            cr_assert(both && graph_add_output(both, "gradient", gradient), "%s", error.message);
            for (int s = 0; s < LENGTH; s++)
                weight[s] = s == t;
            float *dx = run_hidden(&h, both, x, weight, "gradient");
            double before = 0;
            for (int i = 0; i < BATCH * LENGTH * DIM; i++) {
                if (i / DIM % LENGTH > t)
                    cr_expect_eq(dx[i], 0, "%s: y[%d] depends on x[%d]", names[k], t, i / DIM % LENGTH);
                before += fabsf(dx[i]);
            }
            cr_expect_gt(before, 0);
            free(dx);
            graph_free(forward);
            graph_free(g);
            hidden_free(&h);
        }
}

/* In the derived form padding may hold any ids. */
Test(causality, padding_of_an_advance_changes_no_bit)
{
    for (int k = 0; k < KINDS; k++) {
        small_model m = small_model_new(kinds[k][0], kinds[k][1], kinds[k][2], 1);
        float first[BATCH * V];
        for (int round = 0; round < 3; round++) {
            rondo_error error = {0};
            rondo_session *s = small_session(&m, BATCH, 0);
            int32_t tokens[BATCH * 6];
            const float *logits = NULL;
            for (int t = 0; t < 3; t++) {
                for (int b = 0; b < BATCH; b++)
                    for (int i = 0; i < 6; i++)
                        tokens[b * 6 + i] = i < 2 + b ? small_token(b, 6 * t + i) : (round * (i + 5)) % V;
                logits = rondo_session_advance(s, tokens, 6, (int32_t[]){2, 3}, &error);
                cr_assert(logits, "%s", error.message);
            }
            if (!round)
                memcpy(first, logits, sizeof first);
            cr_expect_arr_eq(logits, first, sizeof first, "model %d: padding changes what counts", k);
            rondo_session_free(s);
        }
        small_model_free(&m);
    }
}
