/* The table of mixers: names, places and the reasons of refusals; MemSizer and T2R number by number against
 * the formulas of their papers; frozen parameters do not change; distillation brings feature maps closer to
 * softmax. */
#include "models/train/distill.h"
#include "ops/interpret.h"
#include "tests/core/counting_allocator.h"
#include "tests/models/small_model.h"
#include "tools/graphs/leaves.h"
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names and places ---- */

static transformer small_shape(const char *encoder, const char *decoder, const char *cross)
{
    return (transformer){.language_model = !encoder,
                         .vocabulary = SMALL_VOCABULARY,
                         .dim = 12,
                         .ffn = 20,
                         .heads = 3,
                         .encoder_layers = 1,
                         .decoder_layers = 1,
                         .encoder_self = encoder,
                         .decoder_self = decoder,
                         .cross = cross};
}

/* The error of building; NULL: it was built. */
static const char *refusal(const char *encoder, const char *decoder, const char *cross)
{
    static rondo_error error;
    transformer_graph built;
    rondo *context = rondo_new(1);
    const transformer shape = small_shape(encoder, decoder, cross);
    error = (rondo_error){0};
    bool good = transformer_build(context, &shape, &built, &error);
    rondo_graph_free(built.graph);
    rondo_free(context);
    return good ? NULL : error.message;
}

Test(mixers, stand_where_the_table_says_and_nowhere_else)
{
    for (const mixer *m = mixers; m->name; m++)
        for (int place = 0; place < PLACE_COUNT; place++) {
            const char *said = refusal(place == PLACE_ENCODER ? m->name : "softmax",
                                       place == PLACE_DECODER ? m->name : "softmax",
                                       place == PLACE_CROSS ? m->name : "softmax");
            cr_expect_eq(!said, mixer_fits(m, (mixer_place)place), "%s: %s", m->name,
                         said ? said : "was built");
            cr_expect(!said || strstr(said, m->otherwise), "%s: %s", m->name, said);
        }
}

Test(mixers, a_name_may_have_a_number_and_a_wrong_one_is_refused_in_words)
{
    static const struct {
        const char *name, *says;
    } wrong[] = {{"memsize", "memsize: there is no such mixer; there are softmax, linear"},
                 {"memsizer:", "the slots of memsizer are a number from 1 to 65536"},
                 {"memsizer:0", "the slots of memsizer are a number from 1 to 65536"},
                 {"memsizer:-4", "the slots of memsizer are"},
                 {"memsizer:4x", "the slots of memsizer are"},
                 {"t2r:65537", "the features of t2r are"},
                 {"t2r:99999999999999999999", "the features of t2r are"},
                 {"softmax:4", "softmax takes no number"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *said = refusal(NULL, wrong[i].name, NULL);
        cr_expect(said && strstr(said, wrong[i].says), "%s: %s", wrong[i].name, said ? said : "was taken");
    }
    cr_expect_null(refusal(NULL, "memsizer:16", NULL));
    cr_expect_null(refusal("t2r:7", "t2r:1", "hedgehog:3"));
}

/* ---- numbers ---- */

enum { BATCH = 2, TIME = 7, SOURCE = 5, WIDTH = 6, HEADS = 2, HEAD = WIDTH / HEADS, COUNT = 3 };
static const int source_lengths[BATCH] = {5, 2};

typedef struct single {
    rondo *context;
    rondo_graph *g;
    arena arena;
    leaves leaves;
    int64_t bound[MAX_SYMBOLS];
    double *y; /* [B, T, d] */
} single;

/* One layer in double precision; cross: y is a source with lengths. */
static single single_run(const char *name, bool cross)
{
    mixer m;
    int count;
    rondo_error error = {0};
    interpretation values;
    single s = {.context = rondo_new(1)};
    s.g = rondo_graph_new(s.context, &error);
    cr_assert(mixer_find(s.context, name, &m, &error), "%s", error.message);
    rondo_value x = rondo_input(s.g, "x", "f32[B,T,%d]", WIDTH), y = x, length = {NULL, -1};
    if (cross) {
        y = rondo_input(s.g, "memory", "f32[B,S,%d]", WIDTH);
        length = rondo_input(s.g, "length", "i32[B]");
    }
    rondo_output(mixer_make(&m, x, y, length, !cross, HEADS), "y");
    cr_assert(rondo_graph_check(s.g, &error), "%s", error.message);
    arena_begin(&s.arena, NULL);
    s.leaves = (leaves){.arena = &s.arena, .seed = 3};
    for (int i = 0; i < s.g->symbol_count; i++)
        s.bound[i] = *s.g->symbols[i] == 'B' ? BATCH : *s.g->symbols[i] == 'T' ? TIME : SOURCE;
    cr_assert(leaves_for(&s.leaves, s.g, s.bound, &error), "%s", error.message);
    leaf *l = leaves_find(&s.leaves, "length");
    for (int b = 0; l && b < BATCH; b++)
        l->exact[b] = source_lengths[b];
    interpret_binding *all = leaves_exact(&s.leaves, s.g, &s.arena, 0, &count);
    cr_assert(interpret(s.g, s.bound, all, count, &values, &error), "%s", error.message);
    s.y = malloc(sizeof *s.y * BATCH * TIME * WIDTH);
    memcpy(s.y, values.values[graph_find_output(s.g, "y")].data, sizeof *s.y * BATCH * TIME * WIDTH);
    interpret_end(&values);
    return s;
}

static void single_free(single *s)
{
    free(s->y);
    arena_end(&s->arena);
    rondo_graph_free(s->g);
    rondo_free(s->context);
}

static const double *number(const single *s, const char *name)
{
    const leaf *l = leaves_find(&s->leaves, name);
    cr_assert(l, "%s", name);
    return l->exact;
}

/* out[i] = Σ_j weight[i][j] x[j] + bias[i]. */
static void project(const single *s, const char *name, const double *x, int outs, double *out)
{
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    const double *weight = number(s, full);
    snprintf(full, sizeof full, "%s.bias", name);
    const double *bias = number(s, full);
    for (int i = 0; i < outs; i++) {
        out[i] = bias[i];
        for (int j = 0; j < WIDTH; j++)
            out[i] += weight[i * WIDTH + j] * x[j];
    }
}

static void normalise(const single *s, const char *name, double *x, int count)
{
    char full[64];
    double mean = 0, square = 0;
    for (int i = 0; i < count; i++)
        mean += x[i] / count;
    for (int i = 0; i < count; i++)
        square += (x[i] - mean) * (x[i] - mean) / count;
    snprintf(full, sizeof full, "%s.weight", name);
    const double *gain = number(s, full);
    snprintf(full, sizeof full, "%s.bias", name);
    const double *bias = number(s, full);
    for (int i = 0; i < count; i++)
        x[i] = (x[i] - mean) / sqrt(square + 1e-5) * gain[i] + bias[i];
}

static void softmax(double *x, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += exp(x[i]);
    for (int i = 0; i < count; i++)
        x[i] = exp(x[i]) / sum;
}

/* How many keys token t of sentence b sees. */
static int seen(bool cross, int b, int t)
{
    return cross ? source_lengths[b] : t + 1;
}

/* As a recurrence: S ← S + p uᵀ for each visible token; o = n^(−1/2) aᵀ S, where a is the mean over heads of
 * softmax(Φ_h x). */
static void memsizer_row(const single *s, bool cross, int b, int t, double *out)
{
    const double *x = number(s, "x") + (b * TIME + t) * WIDTH, *y = number(s, cross ? "memory" : "x");
    double logits[HEADS * COUNT], a[COUNT] = {0}, state[COUNT][WIDTH] = {{0}};
    int n = seen(cross, b, t), length = cross ? SOURCE : TIME;
    project(s, "q_proj", x, HEADS * COUNT, logits);
    for (int h = 0; h < HEADS; h++) {
        softmax(logits + h * COUNT, COUNT);
        for (int i = 0; i < COUNT; i++)
            a[i] += logits[h * COUNT + i] / HEADS;
    }
    for (int source = 0; source < n; source++) {
        double p[COUNT], u[WIDTH];
        project(s, "k_proj", y + (b * length + source) * WIDTH, COUNT, p);
        normalise(s, "k_norm", p, COUNT);
        project(s, "v_proj", y + (b * length + source) * WIDTH, WIDTH, u);
        normalise(s, "v_norm", u, WIDTH);
        for (int i = 0; i < COUNT; i++)
            for (int j = 0; j < WIDTH; j++)
                state[i][j] += p[i] * u[j];
    }
    for (int j = 0; j < WIDTH; j++) {
        out[j] = 0;
        for (int i = 0; i < COUNT; i++)
            out[j] += a[i] * state[i][j] / sqrt(n);
    }
}

static void relu_features(const single *s, int h, const double *x, double scale, double *out)
{
    const double *weight = number(s, "feature_map.weight") + h * COUNT * HEAD,
                 *bias = number(s, "feature_map.bias") + h * COUNT;
    for (int i = 0; i < COUNT; i++) {
        out[i] = bias[i];
        for (int j = 0; j < HEAD; j++)
            out[i] += weight[i * HEAD + j] * x[h * HEAD + j] * scale;
        out[i] = out[i] > 0 ? out[i] : 0;
    }
}

/* S ← S + φ(k) vᵀ, z ← z + φ(k); o = φ(q / √d_h)ᵀ S / max(φ(q / √d_h) · z, 1e-2) for each head, and the
 * output projection. */
static void t2r_row(const single *s, bool cross, int b, int t, double *out)
{
    const double *x = number(s, "x") + (b * TIME + t) * WIDTH, *y = number(s, cross ? "memory" : "x");
    double q[WIDTH], mixed[WIDTH];
    int n = seen(cross, b, t), length = cross ? SOURCE : TIME;
    project(s, "q_proj", x, WIDTH, q);
    for (int h = 0; h < HEADS; h++) {
        double query[COUNT], z[COUNT] = {0}, state[COUNT][HEAD] = {{0}}, divisor = 0;
        relu_features(s, h, q, 1 / sqrt(HEAD), query);
        for (int source = 0; source < n; source++) {
            double k[WIDTH], v[WIDTH], key[COUNT];
            project(s, "k_proj", y + (b * length + source) * WIDTH, WIDTH, k);
            project(s, "v_proj", y + (b * length + source) * WIDTH, WIDTH, v);
            relu_features(s, h, k, 1, key);
            for (int i = 0; i < COUNT; i++) {
                z[i] += key[i];
                for (int j = 0; j < HEAD; j++)
                    state[i][j] += key[i] * v[h * HEAD + j];
            }
        }
        for (int i = 0; i < COUNT; i++)
            divisor += query[i] * z[i];
        for (int j = 0; j < HEAD; j++) {
            mixed[h * HEAD + j] = 0;
            for (int i = 0; i < COUNT; i++)
                mixed[h * HEAD + j] += query[i] * state[i][j] / fmax(divisor, 1e-2);
        }
    }
    project(s, "out_proj", mixed, WIDTH, out);
}

typedef void row_function(const single *s, bool cross, int b, int t, double *out);

static void compare(const char *name, row_function *row)
{
    for (int cross = 0; cross < 2; cross++) {
        single s = single_run(name, cross);
        for (int b = 0; b < BATCH; b++)
            for (int t = 0; t < TIME; t++) {
                double expected[WIDTH];
                row(&s, cross, b, t, expected);
                for (int j = 0; j < WIDTH; j++)
                    cr_assert_float_eq(s.y[(b * TIME + t) * WIDTH + j], expected[j], 1e-11,
                                       "%s, cross %d, sentence %d, t %d, channel %d: %.15g, not %.15g", name,
                                       cross, b, t, j, s.y[(b * TIME + t) * WIDTH + j], expected[j]);
            }
        single_free(&s);
    }
}

Test(mixers, memsizer_is_its_papers_recurrence)
{
    compare("memsizer:3", memsizer_row);
}

Test(mixers, t2r_is_its_papers_recurrence)
{
    compare("t2r:3", t2r_row);
}

/* ---- training: every row in every place; what is frozen ---- */

enum { ROWS = 4, LENGTH = 8, TENSORS = 5 };
typedef struct sentences {
    int32_t source[ROWS * LENGTH], length[ROWS], in[ROWS * LENGTH], out[ROWS * LENGTH], number[ROWS];
    rondo_tensor tensors[TENSORS];
} sentences;

static void sentences_fill(sentences *b)
{
    memset(b, 0, sizeof *b);
    for (int r = 0; r < ROWS; r++) {
        int words = LENGTH - r;
        b->length[r] = words;
        b->number[r] = r;
        for (int i = 0; i < words; i++) {
            b->source[r * LENGTH + i] = small_token(r + 100, i);
            b->in[r * LENGTH + i] = i ? small_token(r, i) : TOKEN_BEGIN;
            b->out[r * LENGTH + i] = i + 1 < words ? small_token(r, i + 1) : TOKEN_END;
        }
    }
    const rondo_tensor tensors[TENSORS] = {{"source", RONDO_I32, 2, {ROWS, LENGTH}, b->source},
                                           {"source_length", RONDO_I32, 1, {ROWS}, b->length},
                                           {"target_in", RONDO_I32, 2, {ROWS, LENGTH}, b->in},
                                           {"target_out", RONDO_I32, 2, {ROWS, LENGTH}, b->out},
                                           {"sentences", RONDO_I32, 1, {ROWS}, b->number}};
    memcpy(b->tensors, tensors, sizeof tensors);
}

/* The losses of the first and the last of `updates`. */
static void train(rondo_value loss, rondo_weights *w, int updates, float decay, double *first, double *last)
{
    sentences b;
    rondo_step step;
    rondo_error error = {0};
    rondo_trainer *t = rondo_trainer_new(loss, &error, w, .weight_decay = decay);
    cr_assert(t, "%s", error.message);
    sentences_fill(&b);
    for (int i = 0; i < updates; i++) {
        cr_assert(rondo_trainer_step(t, b.tensors, TENSORS, 1e-2f, &step, &error), "%s", error.message);
        *(i ? last : first) = step.loss;
    }
    rondo_trainer_free(t);
}

Test(mixers, learn_in_every_place_where_they_stand)
{
    rondo *context = rondo_new(2);
    for (const mixer *m = mixers; m->name; m++) {
        rondo_error error = {0};
        transformer_graph built;
        double first = 0, last = INFINITY;
        transformer shape =
            small_shape(m->encoder ? m->name : "softmax", m->name, m->cross ? m->name : "softmax");
        cr_assert(transformer_build(context, &shape, &built, &error), "%s: %s", m->name, error.message);
        rondo_weights *w = rondo_weights_new(built.graph, 1, &error);
        cr_assert(w, "%s", error.message);
        train(built.loss, w, 12, 0, &first, &last);
        cr_expect_lt(last, 0.8 * first, "%s: the loss goes from %g to %g", m->name, first, last);
        rondo_weights_free(w);
        rondo_graph_free(built.graph);
    }
    rondo_free(context);
}

Test(mixers, what_is_frozen_keeps_its_bits_under_weight_decay_and_is_saved)
{
    const char *path = "/tmp/rondo-frozen.safetensors";
    double first, last;
    rondo_error error = {0};
    transformer_graph built;
    rondo_tensor drawn, read;
    rondo *context = rondo_new(1);
    transformer shape = small_shape(NULL, "performer:9", NULL);
    cr_assert(transformer_build(context, &shape, &built, &error));
    rondo_weights *w = rondo_weights_new(built.graph, 1, &error),
                  *again = rondo_weights_new(built.graph, 1, &error);
    const char *name = "decoder.layers.0.self_attn.feature_map.random";
    train(built.loss, w, 3, 0.1f, &first, &last);
    cr_assert(rondo_weights_get(w, name, &drawn) && rondo_weights_get(again, name, &read));
    const size_t bytes = sizeof(float) * 3 * 9 * 4; /* heads, features, width of a head */
    cr_expect_eq(memcmp(drawn.data, read.data, bytes), 0);
    cr_assert(rondo_weights_save(w, path, &error), "%s", error.message);
    rondo_weights *loaded = rondo_weights_load(built.graph, path, &error);
    cr_assert(loaded && rondo_weights_get(loaded, name, &read), "%s", error.message);
    cr_expect_eq(memcmp(drawn.data, read.data, bytes), 0);
    rondo_weights_free(loaded);
    rondo_weights_free(again);
    rondo_weights_free(w);
    rondo_graph_free(built.graph);
    rondo_free(context);
    remove(path);
}

Test(mixers, weights_in_which_something_else_is_frozen_are_refused)
{
    rondo_error error = {0};
    transformer_graph built;
    rondo *context = rondo_new(1);
    transformer shape = small_shape(NULL, "linear", NULL);
    cr_assert(transformer_build(context, &shape, &built, &error));
    rondo_weights *w = rondo_weights_new(built.graph, 1, &error);
    rondo_freeze((rondo_value){built.graph, graph_find_leaf(built.graph, OP_parameter, "embed.weight")});
    cr_expect_null(rondo_trainer_new(built.loss, &error, w));
    cr_expect_eq(error.code, RONDO_MISMATCH);
    cr_expect(strstr(error.message, "embed.weight is frozen in only one of weights and graph"), "%s",
              error.message);
    rondo_weights_free(w);
    rondo_graph_free(built.graph);
    rondo_free(context);
}

/* Rows are orthogonal in groups of the width and have the lengths of normal vectors, which differ. */
Test(mixers, random_features_are_orthogonal_in_blocks)
{
    enum { FEATURES = 10, HEAD_WIDTH = 4 };
    rondo_error error = {0};
    rondo_tensor w;
    rondo *context = rondo_new(1);
    rondo_graph *g = rondo_graph_new(context, &error);
    rondo_initialize(rondo_parameter(g, "w", "f32[3,%d,%d]", FEATURES, HEAD_WIDTH), RONDO_ORTHOGONAL, 2);
    rondo_weights *weights = rondo_weights_new(g, 9, &error);
    cr_assert(weights && rondo_weights_get(weights, "w", &w), "%s", error.message);
    const float *data = w.data;
    double mean = 0;
    for (int row = 0; row < 3 * FEATURES; row++) {
        int of_matrix = row % FEATURES, block = row - of_matrix % HEAD_WIDTH;
        for (int other = block; other <= row; other++) {
            double product = 0;
            for (int i = 0; i < HEAD_WIDTH; i++)
                product += (double)data[row * HEAD_WIDTH + i] * data[other * HEAD_WIDTH + i];
            if (other < row)
                cr_expect_float_eq(product, 0, 1e-5, "rows %d and %d: %g", row, other, product);
            else
                mean += product / (3 * FEATURES);
        }
    }
    cr_expect(mean > 2 * 2 * HEAD_WIDTH * 0.6 && mean < 2 * 2 * HEAD_WIDTH * 1.6, "mean square length %g",
              mean);
    rondo_weights_free(weights);
    rondo_graph_free(g);
    rondo_free(context);
}

/* ---- lessons ---- */

Test(mixers, a_lesson_brings_feature_maps_nearer_to_softmax_and_changes_nothing_else)
{
    static const bool taught[PLACE_COUNT] = {[PLACE_DECODER] = true, [PLACE_CROSS] = true};
    double first = 0, last = 0;
    lesson l;
    rondo_error error = {0};
    rondo *context = rondo_new(1);
    transformer shape = small_shape("softmax", "hedgehog", "t2r:8");
    cr_assert(lesson_build(context, &shape, taught, &l, &error), "%s", error.message);
    cr_expect_eq(l.parameters, 3, "W of hedgehog, W and b of t2r");
    rondo_weights *w = rondo_weights_new(l.graph, 1, &error), *before = rondo_weights_new(l.graph, 1, &error);
    cr_assert(w && before, "%s", error.message);
    train(l.loss, w, 60, 0, &first, &last);
    cr_expect_lt(last, first - 0.02, "from %g to %g", first, last);
    for (int i = 0; i < w->item_count; i++) {
        const weight *item = &w->items[i];
        bool same = !memcmp(w->block + item->offset, before->block + item->offset,
                            sizeof(float) * (size_t)item->count);
        cr_expect_eq(!same, strstr(item->name, ".feature_map.") != NULL, "%s", item->name);
    }
    rondo_weights_free(before);
    rondo_weights_free(w);
    rondo_graph_free(l.graph);
    rondo_free(context);
}

Test(mixers, a_lesson_for_what_has_no_queries_is_refused)
{
    static const bool taught[PLACE_COUNT] = {[PLACE_DECODER] = true};
    lesson l;
    rondo_error error = {0};
    rondo *context = rondo_new(1);
    transformer shape = small_shape(NULL, "average", NULL);
    cr_expect_not(lesson_build(context, &shape, taught, &l, &error));
    cr_expect_null(l.graph);
    cr_expect(strstr(error.message, "average does not weigh keys by queries"), "%s", error.message);
    error = (rondo_error){0};
    cr_expect_not(lesson_build(context, &shape, (const bool[PLACE_COUNT]){false}, &l, &error));
    cr_expect(strstr(error.message, "none of the attentions of this model was selected"), "%s",
              error.message);
    rondo_free(context);
}

/* ---- memory ---- */

static bool build_anything(rondo *context, const mixer *m, rondo_graph **g, rondo_error *error)
{
    static const bool taught[PLACE_COUNT] = {[PLACE_DECODER] = true};
    transformer shape = small_shape(NULL, m->name, NULL);
    transformer_graph built = {0};
    lesson l = {0};
    bool good = m->weigh ? lesson_build(context, &shape, taught, &l, error)
                         : transformer_build(context, &shape, &built, error);
    *g = m->weigh ? l.graph : built.graph;
    return good;
}

Test(mixers, a_refused_allocation_is_an_error_and_loses_nothing)
{
    for (const mixer *m = mixers; m->name; m++)
        for (long at = 1, refused = 1; refused; at++) {
            rondo_error error = {0};
            rondo_graph *g = NULL;
            counting c = {.refuse_at = at};
            const rondo_allocator allocator = counting_allocator(&c);
            rondo *context = rondo_new(1, .allocator = &allocator);
            bool good = context && build_anything(context, m, &g, &error);
            refused = c.requests >= at;
            /* Memory that only a message needs may be missing. */
            cr_expect(good || refused, "%s: %s", m->name, error.message);
            cr_expect(good || !context || (error.code == RONDO_MEMORY && *error.message),
                      "%s, request %ld: code %d: %s", m->name, at, (int)error.code, error.message);
            rondo_graph_free(g);
            rondo_free(context);
            cr_assert_eq(c.live_bytes, 0, "%s, request %ld: %ld bytes are left", m->name, at, c.live_bytes);
        }
}
