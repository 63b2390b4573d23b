/* A compiled model in a file: loaded, it gives the same bits; truncated or with changed bytes it is refused
 * in a sentence or gives the same results, and never crashes; inconsistent graphs in it are detected. */
#include "tests/models/small_model.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { V = SMALL_VOCABULARY };

static const char *temporary(char *path, size_t bytes, const char *name)
{
    snprintf(path, bytes, "/tmp/rondo-test-%d-%s.rondo", (int)getpid(), name);
    return path;
}

static void two_steps(rondo_session *s, float *out)
{
    rondo_error error = {0};
    const float *logits = rondo_session_advance(s, (int32_t[]){4, 5, 6, 7, 8, 9}, 3, NULL, &error);
    cr_assert(logits, "%s", error.message);
    memcpy(out, logits, sizeof(float) * 2 * V);
    logits = rondo_session_advance(s, (int32_t[]){10, 11}, 1, NULL, &error);
    cr_assert(logits, "%s", error.message);
    memcpy(out + 2 * V, logits, sizeof(float) * 2 * V);
}

static small_model save_model(const char *encoder, const char *decoder, const char *cross, const char *path,
                              float *out)
{
    rondo_error error = {0};
    small_model m = small_model_new(encoder, decoder, cross, 1);
    cr_assert(rondo_program_save(m.program, m.weights, NULL, 0, path, &error), "%s", error.message);
    rondo_session *s = small_session(&m, 2, 0);
    two_steps(s, out);
    rondo_session_free(s);
    return m;
}

Test(program_file, gives_the_same_bits)
{
    static const char *const kinds[][3] = {{NULL, "linear", NULL},
                                           {NULL, "average", NULL},
                                           {"softmax", "softmax", "softmax"},
                                           {"linear", "linear", "linear"}};
    char path[100];
    temporary(path, sizeof path, "same");
    for (int k = 0; k < 4; k++) {
        rondo_error error = {0};
        float expected[4 * V], out[4 * V];
        small_model m = save_model(kinds[k][0], kinds[k][1], kinds[k][2], path, expected);
        rondo *other = rondo_new(1);
        small_model loaded = {
            .context = other, .translates = m.translates, .program = rondo_program_load(other, path, &error)};
        cr_assert(loaded.program, "%s", error.message);
        rondo_session *s = small_session(&loaded, 2, 0);
        two_steps(s, out);
        cr_expect_arr_eq(out, expected, sizeof out, "model %d", k);
        cr_expect_str_eq(rondo_program_report(loaded.program), rondo_program_report(m.program));
        rondo_session_free(s);
        rondo_program_free(loaded.program);
        rondo_free(other);
        small_model_free(&m);
    }
    unlink(path);
}

static char *read_whole(const char *path, size_t *bytes)
{
    FILE *f = fopen(path, "rb");
    cr_assert(f);
    fseek(f, 0, SEEK_END);
    *bytes = (size_t)ftell(f);
    rewind(f);
    char *data = malloc(*bytes);
    cr_assert_eq(fread(data, 1, *bytes, f), *bytes);
    fclose(f);
    return data;
}

static void write_whole(const char *path, const char *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(data, 1, bytes, f) == bytes && !fclose(f));
}

/* Loads and, if that succeeds, decodes. False: refused, with a sentence. */
static bool survives(rondo *r, const char *path)
{
    rondo_error error = {0};
    rondo_program *p = rondo_program_load(r, path, &error);
    rondo_session *s = rondo_session_new(p, NULL, 2, &error);
    int32_t source[12] = {4, 5, 6, 0, 0, 0, 7}, length[2] = {3, 1};
    const rondo_tensor inputs[] = {{"source", RONDO_I32, 2, {2, 6}, source},
                                   {"source_length", RONDO_I32, 1, {2}, length}};
    bool good = s && rondo_session_source(s, inputs, 2, &error) &&
                rondo_session_advance(s, (int32_t[]){4, 5, 6, 7}, 2, NULL, &error) &&
                rondo_session_reorder(s, (int64_t[]){1, 0}, 2, &error) &&
                rondo_session_advance(s, (int32_t[]){4, 5}, 1, NULL, &error);
    cr_expect(good || (error.code && *error.message), "refused without a word");
    rondo_session_free(s);
    rondo_program_free(p);
    return good;
}

/* A graph of one layer keeps the file small. */
static void save_small(const char *path)
{
    rondo_error error = {0};
    rondo *r = rondo_new(1);
    transformer_graph built;
    const transformer shape = {.vocabulary = 9,
                               .dim = 4,
                               .ffn = 4,
                               .heads = 2,
                               .encoder_layers = 1,
                               .decoder_layers = 1,
                               .encoder_self = "linear",
                               .decoder_self = "softmax",
                               .cross = "softmax"};
    cr_assert(transformer_build(r, &shape, &built, &error), "%s", error.message);
    rondo_weights *w = rondo_weights_new(built.graph, 1, &error);
    rondo_program *p = rondo_program_new(built.logits, "T", &error);
    cr_assert(rondo_program_save(p, w, NULL, 0, path, &error), "%s", error.message);
    rondo_program_free(p);
    rondo_weights_free(w);
    rondo_graph_free(built.graph);
    rondo_free(r);
}

Test(program_file, cut_short_anywhere_is_refused)
{
    char path[100];
    size_t bytes;
    save_small(temporary(path, sizeof path, "cut"));
    char *data = read_whole(path, &bytes);
    rondo *r = rondo_new(1);
    cr_expect(survives(r, path), "the whole file is good");
    for (size_t length = 0; length < bytes; length += 97) {
        write_whole(path, data, length);
        cr_expect_not(survives(r, path), "%zu of %zu bytes were enough", length, bytes);
    }
    rondo_free(r);
    free(data);
    unlink(path);
}

Test(program_file, with_bytes_changed_never_crashes)
{
    char path[100];
    size_t bytes;
    save_small(temporary(path, sizeof path, "flipped"));
    char *data = read_whole(path, &bytes);
    rondo *r = rondo_new(1);
    uint64_t header;
    memcpy(&header, data, sizeof header);
    uint64_t state = 1;
    for (int round = 0; round < 1200; round++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        size_t at = round < 64 ? (size_t)round : (size_t)((state >> 33) % (round % 8 ? header + 8 : bytes));
        char was = data[at];
        data[at] = round % 3 == 0   ? (char)(was ^ (1 << (state >> 60 & 7)))
                   : round % 3 == 1 ? (char)('0' + (state >> 50 & 7))
                                    : (char)(state >> 40);
        write_whole(path, data, bytes);
        survives(r, path);
        data[at] = was;
    }
    rondo_free(r);
    free(data);
    unlink(path);
}

/* ---- graphs that are well formed and lie ---- */

static void lie(rondo *r, const char *step, const char *words)
{
    char path[100];
    rondo_error error = {0};
    float table[12] = {0};
    const rondo_tensor tensor = {"table", RONDO_F32, 2, {3, 4}, table};
    const char *metadata[] = {"rondo.format", "1", "rondo.kind",       "decoder",
                              "rondo.time",   "T", "rondo.graph.step", step};
    temporary(path, sizeof path, "lie");
    cr_assert(safetensors_save(&r->allocator, path, &tensor, 1, metadata, 4, &error), "%s", error.message);
    rondo_program *p = rondo_program_load(r, path, &error);
    if (p && !error.code) { /* a program that loads must run, or be refused then */
        rondo_session *s = rondo_session_new(p, NULL, 2, &error);
        if (rondo_session_advance(s, (int32_t[]){1, 2, 1, 2}, 2, NULL, &error))
            rondo_session_advance(s, (int32_t[]){1, 2}, 1, NULL, &error);
        rondo_session_free(s);
    }
    if (words)
        cr_expect(strstr(error.message, words), "\"%s\" is not in \"%s\", of\n%s", words, error.message,
                  step);
    else
        cr_expect(p && !error.code, "%s", error.message);
    rondo_program_free(p);
    unlink(path);
}

#define STEP                                                                                                 \
    "symbols B P C\ncount = input(name=\"count\", type=i32[B])\ntokens = input(name=\"tokens\", "            \
    "type=i32[B,P])\n"                                                                                       \
    "table = parameter(name=\"table\", type=f32[3,4])\nposition = state(name=\"position\", type=i32[B])\n"   \
    "a = cast(position, type=f32)\nb = cast(count, type=f32)\nc = add(a, b)\nd = cast(c, type=i32)\n"        \
    "x = embed(table, tokens)\nlast = last_row(x, count, axis=1)\n"
#define POSITION "port position carry in=position out=d batch_axis=0 initial=0\n"

Test(program_file, graphs_that_lie_are_found_out)
{
    rondo *r = rondo_new(1);
    lie(r, STEP "output logits = last\n" POSITION, NULL); /* an honest one */
    lie(r, STEP "output logits = x\n" POSITION, "the logits must be");
    lie(r, STEP "y = sum(last, axis=2, keep)\nz = reshape(y, dims=[1,B,1])\noutput logits = z\n" POSITION,
        "the logits must be");
    lie(r, STEP "output other = last\n" POSITION, "the logits must be");
    lie(r, STEP "output logits = last\nport position carry in=position out=d batch_axis=3 initial=0\n",
        "position");
    lie(r, STEP "output logits = last\nport position carry in=position out=c batch_axis=0 initial=0\n",
        "position");
    lie(r,
        STEP
        "output logits = last\nport position append in=position out=d batch_axis=0 append_axis=0 initial=0\n",
        "position");
    lie(r,
        STEP "wide = state(name=\"wide\", type=f32[B,7])\noutput logits = last\n" POSITION
             "port wide carry in=wide out=last batch_axis=0 initial=0\n",
        "wide");
    lie(r,
        STEP
        "wide = state(name=\"wide\", type=f32[7,B])\ntwice = add(wide, wide)\noutput logits = last\n" POSITION
        "port wide carry in=wide out=twice batch_axis=0 initial=0\n",
        "wide");
    lie(r,
        STEP "wide = state(name=\"wide\", type=f32[B,P,7])\ntwice = add(wide, wide)\noutput logits = "
             "last\n" POSITION "port wide carry in=wide out=twice batch_axis=0 initial=0\n",
        "wide");
    lie(r,
        STEP
        "wide = state(name=\"wide\", type=f32[B,C])\ntwice = add(wide, wide)\noutput logits = last\n" POSITION
        "port wide carry in=wide out=twice batch_axis=0 initial=0\n",
        "wide");
    lie(r,
        STEP
        "wide = state(name=\"wide\", type=f32[B,7])\ntwice = add(wide, wide)\noutput logits = last\n" POSITION
        "port wide carry in=wide out=twice initial=0\n",
        "wide");
    lie(r,
        STEP "wide = state(name=\"load.7\", type=f32[B,7])\ntwice = add(wide, wide)\noutput logits = "
             "last\n" POSITION "port load.7 carry in=wide out=twice batch_axis=0 initial=0\n",
        "load.7");
    lie(r,
        STEP
        "loaded = state(name=\"load.0\", type=f32[4])\ny = add(last, loaded)\noutput logits = y\n" POSITION
        "port load.0 fixed in=loaded initial=0\n",
        "given no data");
    lie(r,
        STEP "stray = input(name=\"stray\", type=f32[4])\ny = add(last, stray)\noutput logits = y\n" POSITION,
        "one input along time");
    lie(r,
        STEP "stray = state(name=\"stray\", type=f32[4])\ny = add(last, stray)\noutput logits = y\n" POSITION,
        "given no data");
    lie(r,
        "symbols B P\ncount = input(name=\"count\", type=i32[3])\ntokens = input(name=\"tokens\", "
        "type=i32[B,P])\n"
        "table = parameter(name=\"table\", type=f32[3,4])\nx = embed(table, tokens)\noutput logits = x\n",
        "depend on tokens");
    lie(r,
        "symbols B P\ncount = input(name=\"count\", type=i32[B])\ntokens = input(name=\"tokens\", "
        "type=i32[P,B])\n"
        "table = parameter(name=\"table\", type=f32[3,4])\nx = embed(table, tokens)\noutput logits = x\n",
        "one input along time");
    lie(r, STEP "big = parameter(name=\"table\", type=f32[3000,4])\noutput logits = last\n" POSITION,
        "another shape");
    lie(r,
        STEP
        "big = parameter(name=\"other\", type=f32[3,4])\ny = add(last, big)\noutput logits = y\n" POSITION,
        "");
    rondo_free(r);
}
