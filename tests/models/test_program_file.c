/* A compiled model in a file: loaded, it gives the same bits; truncated or with changed bytes it is refused
 * in a sentence or gives the same results, and never crashes; inconsistent graphs in it are detected. */
#include "tests/models/small_model.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
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

static rondo_program *load_stages(rondo *r, const char *load, const char *source, const char *step,
                                  rondo_error *error)
{
    char path[100];
    float table[12] = {0};
    const rondo_tensor tensor = {"table", RONDO_F32, 2, {3, 4}, table};
    const char *metadata[] = {"rondo.format",     "1",  "rondo.kind", "decoder", "rondo.time", "T",
                              "rondo.graph.step", step, NULL,         NULL,      NULL,         NULL};
    int pairs = 4;
    if (load) {
        metadata[2 * pairs] = "rondo.graph.load";
        metadata[2 * pairs++ + 1] = load;
    }
    if (source) {
        metadata[2 * pairs] = "rondo.graph.source";
        metadata[2 * pairs++ + 1] = source;
    }
    temporary(path, sizeof path, "lie");
    cr_assert(safetensors_save(&r->allocator, path, &tensor, 1, metadata, pairs, error), "%s",
              error->message);
    rondo_program *p = rondo_program_load(r, path, error);
    unlink(path);
    return p;
}

/* Runs it for two sequences. */
static void run_stages(const rondo_program *p, float logits[8])
{
    rondo_error error = {0};
    int32_t ids[8] = {0, 1, 2}, length[2] = {1, 2};
    const rondo_tensor inputs[] = {{"source", RONDO_I32, 2, {2, 4}, ids},
                                   {"length", RONDO_I32, 1, {2}, length}};
    rondo_session *s = rondo_session_new(p, NULL, 2, &error);
    const float *made = rondo_session_source(s, inputs, 2, &error) &&
                                rondo_session_advance(s, (int32_t[]){1, 2, 1, 2}, 2, NULL, &error)
                            ? rondo_session_advance(s, (int32_t[]){1, 2}, 1, NULL, &error)
                            : NULL;
    cr_expect(made, "%s", error.message);
    if (made)
        memcpy(logits, made, 8 * sizeof *logits);
    rondo_session_free(s);
}

/* words: of the sentence that refuses it; NULL: it runs. */
static void lie_in_stages(rondo *r, const char *load, const char *source, const char *step, const char *words)
{
    float logits[8];
    rondo_error error = {0};
    rondo_program *p = load_stages(r, load, source, step, &error);
    cr_expect_eq(p == NULL, words != NULL, "%s: of\n%s\n%s\n%s", error.message, load, source, step);
    if (words)
        cr_expect(error.code == RONDO_FILE && strstr(error.message, words), "\"%s\" is not in \"%s\", of\n%s",
                  words, error.message, step);
    if (p)
        run_stages(p, logits);
    rondo_program_free(p);
}

static void lie(rondo *r, const char *step, const char *words)
{
    lie_in_stages(r, NULL, NULL, step, words);
}

#define STEP "symbols B P C\n" STEP_LINES
#define STEP_LINES                                                                                           \
    "count = input(name=\"count\", type=i32[B])\ntokens = input(name=\"tokens\", "                           \
    "type=i32[B,P])\n"                                                                                       \
    "table = parameter(name=\"table\", type=f32[3,4])\nposition = state(name=\"position\", type=i32[B])\n"   \
    "a = cast(position, type=f32)\nb = cast(count, type=f32)\nc = add(a, b)\nd = cast(c, type=i32)\n"        \
    "x = embed(table, tokens)\nlast = last_row(x, count, axis=1)\n"
#define POSITION "port position carry in=position out=d batch_axis=0 initial=0\n"

#define LOGITS "output logits = last\n" POSITION

Test(program_file, graphs_that_lie_are_found_out)
{
    rondo *r = rondo_new(1);
    lie(r, STEP "output logits = last\n" POSITION, NULL); /* an honest one */
    lie(r, STEP "output logits = x\n" POSITION, "the logits must be");
    lie(r, STEP "y = sum(last, axis=2, keep)\nz = reshape(y, dims=[1,B,1])\noutput logits = z\n" POSITION,
        "the logits must be");
    lie(r, STEP "output other = last\n" POSITION, "the logits must be");
    lie(r, STEP "y = cast(last, type=i32)\noutput logits = y\n" POSITION, "the logits must be");
    lie(r, STEP "y = reshape(last, dims=[B,1,4,1])\noutput logits = y\n" POSITION, "the logits must be");
    lie(r,
        STEP "y = reshape(last, dims=[B,1,4,1])\nz = sum(y, axis=2)\nw = broadcast(z, dims=[B,1,B])\n"
             "output logits = w\n" POSITION,
        "the logits must be");
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
        NULL); /* a name has no meaning of its own */
    lie(r,
        STEP
        "loaded = state(name=\"load.0\", type=f32[4])\ny = add(last, loaded)\noutput logits = y\n" POSITION
        "port load.0 fixed in=loaded initial=0\n",
        "port load.0 is fixed, and no earlier stage makes it");
    lie(r,
        STEP "stray = input(name=\"stray\", type=f32[4])\ny = add(last, stray)\noutput logits = y\n" POSITION,
        "one input along time");
    lie(r, STEP "stray = input(name=\"stray\", type=i32[B,P])\n" LOGITS, "one input along time");
    lie(r,
        STEP "stray = state(name=\"stray\", type=f32[4])\ny = add(last, stray)\noutput logits = y\n" POSITION,
        "state stray has no port");
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
    /* the count is i32[B], and B is not P */
    lie(r,
        "symbols B P\ncount = input(name=\"count\", type=f32[B])\ntokens = input(name=\"tokens\", "
        "type=i32[B,P])\n"
        "table = parameter(name=\"table\", type=f32[3,4])\nx = embed(table, tokens)\n"
        "y = sum(x, axis=1, keep)\noutput logits = y\n",
        "depend on tokens");
    lie(r,
        "symbols P\ncount = input(name=\"count\", type=i32[P])\ntokens = input(name=\"tokens\", "
        "type=i32[P,P])\n"
        "table = parameter(name=\"table\", type=f32[3,4])\nx = embed(table, tokens)\n"
        "y = sum(x, axis=1, keep)\noutput logits = y\n",
        "depend on tokens");
    lie(r, STEP "big = parameter(name=\"table\", type=f32[3000,4])\noutput logits = last\n" POSITION,
        "parameter table: the graph reads f32[3000,4], the file holds F32 [3,4]");
    lie(r,
        STEP
        "big = parameter(name=\"other\", type=f32[3,4])\ny = add(last, big)\noutput logits = y\n" POSITION,
        "parameter other");
    rondo_free(r);
}

/* ---- the contract between the stages, broken at one place at a time ---- */

#define WIDE "wide = state(name=\"wide\", type=f32[B,7])\ntwice = add(wide, wide)\n"

Test(program_file, ports_that_lie_are_found_out)
{
    rondo *r = rondo_new(1);
    lie(r, STEP WIDE LOGITS "port wide carry in=wide out=twice batch_axis=0 initial=0\n", NULL);
    lie(r, STEP WIDE LOGITS "port wide carry in=wide out=wide batch_axis=0 initial=2\n", NULL);
    lie(r, STEP WIDE LOGITS "port other carry in=wide out=twice batch_axis=0 initial=0\n",
        "port other keeps a state of another name");
    lie(r, STEP WIDE LOGITS "port wide carry in=twice out=twice batch_axis=0 initial=0\n",
        "its `in` is not a state node");
    lie(r,
        STEP WIDE "more = state(name=\"wide\", type=f32[B,8])\n" LOGITS
                  "port wide carry in=wide out=twice batch_axis=0 initial=0\n",
        "state wide has no port");
    lie(r,
        STEP WIDE "more = state(name=\"more\", type=f32[B,7])\n" LOGITS
                  "port wide carry in=wide out=twice batch_axis=0 initial=0\n"
                  "port more carry in=more out=twice batch_axis=0 initial=0\n",
        "port more shares its `out` with another port");
    lie(r,
        STEP WIDE "more = state(name=\"more\", type=f32[B,7])\n" LOGITS
                  "port wide carry in=wide out=more batch_axis=0 initial=0\n"
                  "port more carry in=more out=twice batch_axis=0 initial=0\n",
        "port wide has an `out` that no op computes");
    lie(r, STEP WIDE LOGITS "port wide carry in=wide out=twice batch_axis=1 initial=0\n",
        "port wide does not have the batch, and it alone, on its batch_axis");
    lie(r, STEP WIDE LOGITS "port wide append in=wide out=twice batch_axis=0 append_axis=1 initial=0\n",
        "port wide does not have C, and it alone, on its append_axis");
    lie(r, STEP "output logits = last\nport position carry in=position out=d batch_axis=0 initial=1\n",
        "so it must begin with 0");
    lie(r, STEP "more = input(name=\"count\", type=i32[B])\n" LOGITS, "two inputs have the name count");
    lie(r, STEP "free = constant(number=1, type=f32[S,3])\nnever = exp(free)\n" LOGITS,
        "no input gives the symbol S a value");
    lie(r,
        "symbols B P\n" STEP_LINES WIDE LOGITS
        "port wide append in=wide out=twice batch_axis=0 append_axis=1 initial=0\n",
        "port wide grows, but has no axis C");
    rondo_free(r);
}

#define LOAD "table = parameter(name=\"table\", type=f32[3,4])\ne = exp(table)\noutput load.0 = e\n"
#define SOURCE                                                                                               \
    "symbols S B\nids = input(name=\"source\", type=i32[B,S])\ntable = state(name=\"load.0\", "              \
    "type=f32[3,4])\ny = embed(table, ids)\noutput source.0 = y\nport load.0 fixed in=table initial=0\n"
#define TAKES(type)                                                                                          \
    STEP "taken = state(name=\"source.0\", type=" type                                                       \
         ")\nloaded = state(name=\"load.0\", type=f32[3,4])\n" LOGITS                                        \
         "port load.0 fixed in=loaded initial=0\n"
#define TAKEN "port source.0 fixed in=taken batch_axis=0 initial=0\n"

Test(program_file, stages_that_do_not_fit_are_found_out)
{
    rondo *r = rondo_new(1);
    lie_in_stages(r, LOAD, SOURCE, TAKES("f32[B,S,4]") TAKEN, NULL);
    /* what is handed on: type, rank, a number, a symbol, the order of symbols */
    static const char *const wrong[] = {TAKES("i32[B,S,4]") TAKEN, TAKES("f32[B,S]") TAKEN,
                                        TAKES("f32[B,S,5]") TAKEN, TAKES("f32[B,2*S,4]") TAKEN,
                                        TAKES("f32[B,C,4]") TAKEN, TAKES("f32[B,1,4]") TAKEN};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        lie_in_stages(r, LOAD, SOURCE, wrong[i], "port source.0");
    lie_in_stages(r, LOAD, SOURCE,
                  TAKES("f32[S,B,4]") "port source.0 fixed in=taken batch_axis=1 initial=0\n",
                  "port source.0 is f32[S,B,4], but the source graph makes it f32[B,S,4]");
    lie_in_stages(
        r, "table = parameter(name=\"table\", type=f32[3,4])\ne = sum(table, axis=1)\noutput load.0 = e\n",
        SOURCE, TAKES("f32[B,S,4]") TAKEN,
        "the source graph: port load.0 is f32[3,4], but the load graph makes it f32[3]");
    /* too few and too many */
    lie_in_stages(r, NULL, SOURCE, TAKES("f32[B,S,4]") TAKEN, "no earlier stage makes it");
    lie_in_stages(r, LOAD, NULL, TAKES("f32[B,3,4]") TAKEN, "no earlier stage makes it");
    lie_in_stages(r, LOAD "output load.1 = e\n", SOURCE, TAKES("f32[B,S,4]") TAKEN,
                  "no later stage takes its output load.1");
    lie_in_stages(r, LOAD, SOURCE, STEP LOGITS, "no later stage takes its output source.0");
    lie_in_stages(r, LOAD "output source.0 = e\n", SOURCE, TAKES("f32[B,S,4]") TAKEN,
                  "is made by both load and source");
    /* symbols that nothing binds in time */
    lie_in_stages(r, LOAD, SOURCE "free = constant(number=1, type=f32[Q,3])\nnever = exp(free)\n",
                  TAKES("f32[B,S,4]") TAKEN,
                  "the source graph: a tensor is f32[Q,3], and no input gives the symbol Q a value");
    lie_in_stages(r, LOAD, SOURCE "more = input(name=\"more\", type=f32[2*Q,3])\n", TAKES("f32[B,S,4]") TAKEN,
                  "no input gives the symbol Q a value");
    lie_in_stages(r, LOAD, SOURCE "more = input(name=\"more\", type=f32[P,3])\n", TAKES("f32[B,S,4]") TAKEN,
                  "no input gives the symbol P a value");
    lie_in_stages(r, LOAD, SOURCE "more = input(name=\"more\", type=f32[C,3])\n", TAKES("f32[B,S,4]") TAKEN,
                  "no input gives the symbol C a value");
    lie_in_stages(r, LOAD "free = constant(number=1, type=f32[S,3])\nnever = exp(free)\n", SOURCE,
                  TAKES("f32[B,S,4]") TAKEN, "the load graph: a tensor is f32[S,3]");
    /* stages that do what is another's */
    lie_in_stages(r, LOAD "more = input(name=\"more\", type=f32[3])\n", SOURCE, TAKES("f32[B,S,4]") TAKEN,
                  "may read parameters only");
    lie_in_stages(r, LOAD,
                  SOURCE "kept = state(name=\"kept\", type=f32[3])\nmore = exp(kept)\n"
                         "port kept carry in=kept out=more initial=0\n",
                  TAKES("f32[B,S,4]") TAKEN, "port kept must be fixed");
    lie_in_stages(r, LOAD, TAKES("f32[B,S,4]") TAKEN, SOURCE, "the logits");
    rondo_free(r);
}

/* The source hands on its inputs as they are, and one value under two names. Table rows are e⁰ = 1, so the
 * logits are: the length, 4 source rows, and the same again twice. */
Test(program_file, what_is_passed_on_is_copied)
{
    rondo *r = rondo_new(1);
    rondo_error error = {0};
    float logits[8] = {0};
    rondo_program *p = load_stages(
        r, LOAD,
        SOURCE "length = input(name=\"length\", type=i32[B])\noutput passed = length\n"
               "output again = y\noutput load.copy = table\n",
        STEP
        "taken = state(name=\"source.0\", type=f32[B,S,4])\nloaded = state(name=\"load.0\", type=f32[3,4])\n"
        "length = state(name=\"passed\", type=i32[B])\nagain = state(name=\"again\", type=f32[B,S,4])\n"
        "copy = state(name=\"load.copy\", type=f32[3,4])\n"
        "l = cast(length, type=f32)\nm = reshape(l, dims=[B,1,1])\n"
        "n = sum(taken, axis=1, keep)\no = sum(again, axis=1, keep)\nq = add(o, o)\n"
        "u = add(last, m)\nv = add(u, n)\nw = add(v, q)\noutput logits = w\n" POSITION TAKEN
        "port load.0 fixed in=loaded initial=0\nport passed fixed in=length batch_axis=0 initial=0\n"
        "port again fixed in=again batch_axis=0 initial=0\nport load.copy fixed in=copy initial=0\n",
        &error);
    cr_assert(p, "%s", error.message);
    run_stages(p, logits);
    for (int i = 0; i < 8; i++)
        cr_expect_eq(logits[i], (float)(1 + i / 4 + 4 + 8), "logit %d is %g", i, logits[i]);
    rondo_program_free(p);
    rondo_free(r);
}

/* ---- weights of other dtypes, files that change ---- */

/* Writes a safetensors file: "pad" of one byte, then the table in this dtype, so at an odd address. */
static void write_dtype(const char *path, const char *step, const char *dtype, const char *dims,
                        const void *numbers, size_t bytes)
{
    char *header = malloc(4 * strlen(step) + 1000), *at = header, length[8] = {0};
    at += sprintf(at,
                  "{\"__metadata__\":{\"rondo.format\":\"1\",\"rondo.kind\":\"decoder\",\"rondo.time\":\"T\","
                  "\"rondo.graph.step\":\"");
    for (const char *c = step; *c; c++)
        at += *c == '\n' ? sprintf(at, "\\n") : *c == '"' ? sprintf(at, "\\\"") : sprintf(at, "%c", *c);
    at += sprintf(at,
                  "\"},\"pad\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                  "\"table\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[1,%zu]}}",
                  dtype, dims, bytes + 1);
    size_t header_bytes = (size_t)(at - header), all = 8 + header_bytes + 1 + bytes;
    char *content = calloc(all, 1);
    uint64_t number = header_bytes;
    memcpy(length, &number, sizeof number);
    memcpy(content, length, 8);
    memcpy(content + 8, header, header_bytes);
    memcpy(content + 8 + header_bytes + 1, numbers, bytes);
    write_whole(path, content, all);
    free(content);
    free(header);
}

static void logits_of(const char *path, float *out)
{
    rondo_error error = {0};
    rondo *r = rondo_new(1);
    rondo_program *p = rondo_program_load(r, path, &error);
    rondo_session *s = rondo_session_new(p, NULL, 1, &error);
    const float *logits = rondo_session_advance(s, (int32_t[]){2}, 1, NULL, &error);
    cr_assert(logits, "%s", error.message);
    memcpy(out, logits, 4 * sizeof *out);
    rondo_session_free(s);
    rondo_program_free(p);
    rondo_free(r);
}

/* The same file as weights of a model that is at hand. */
static void expect_weights(const char *path, const char *step, const float numbers[12])
{
    rondo_error error = {0};
    rondo_tensor table;
    rondo *r = rondo_new(1);
    rondo_graph *g = rondo_graph_parse(r, step, "step.graph", &error);
    rondo_weights *w = rondo_weights_load(g, path, &error);
    cr_assert(rondo_weights_get(w, "table", &table), "%s", error.message);
    cr_expect_arr_eq(table.data, numbers, 12 * sizeof *numbers);
    rondo_weights_free(w);
    rondo_graph_free(g);
    rondo_free(r);
}

Test(program_file, weights_of_other_dtypes_are_converted)
{
    static const char step[] = STEP LOGITS;
    char path[100];
    double doubles[12];
    float floats[12], out[4];
    uint16_t halves[12], brain[12];
    for (int i = 0; i < 12; i++) {
        floats[i] = (float)(i - 5); /* small whole numbers are exact in all four */
        doubles[i] = floats[i];
        uint32_t bits;
        memcpy(&bits, &floats[i], sizeof bits);
        brain[i] = (uint16_t)(bits >> 16);
        int exponent = (int)(bits >> 23 & 255) - 112;
        halves[i] =
            (uint16_t)((bits >> 31) << 15 | (floats[i] != 0 ? exponent << 10 | (int)(bits >> 13 & 1023) : 0));
    }
    const struct {
        const char *dtype;
        const void *numbers;
        size_t bytes;
    } stored[] = {{"F32", floats, sizeof floats},
                  {"F64", doubles, sizeof doubles},
                  {"F16", halves, sizeof halves},
                  {"BF16", brain, sizeof brain}};
    temporary(path, sizeof path, "dtype");
    for (int k = 0; k < 4; k++) {
        write_dtype(path, step, stored[k].dtype, "[3,4]", stored[k].numbers, stored[k].bytes);
        logits_of(path, out);
        cr_expect_arr_eq(out, floats + 8, sizeof out, "%s", stored[k].dtype);
        expect_weights(path, step, floats);
    }
    rondo *r = rondo_new(1);
    rondo_error error = {0};
    write_dtype(path, step, "I32", "[3,4]", floats, sizeof floats);
    cr_expect_null(rondo_program_load(r, path, &error));
    cr_expect(strstr(error.message, "the graph reads f32[3,4], the file holds I32 [3,4]"), "%s",
              error.message);
    write_dtype(path, step, "F16", "[4,3]", halves, sizeof halves);
    cr_expect_null(rondo_program_load(r, path, &error));
    cr_expect(strstr(error.message, "the graph reads f32[3,4], the file holds F16 [4,3]"), "%s",
              error.message);
    rondo_graph *g = rondo_graph_parse(r, step, "step.graph", &error);
    cr_expect_null(rondo_weights_load(g, path, &error));
    cr_expect(strstr(error.message, "tensor table is F16 [4,3], the model has F32 [3,4]"), "%s",
              error.message);
    rondo_graph_free(g);
    rondo_free(r);
    unlink(path);
}

/* A program that was read does not need its file any more, not even its length. */
Test(program_file, read_into_memory_it_may_change)
{
    char path[100];
    float expected[4 * V], out[4 * V];
    rondo_error error = {0};
    small_model m = save_model("linear", "linear", "linear", temporary(path, sizeof path, "read"), expected);
    rondo *other = rondo_new(1);
    small_model loaded = {.context = other,
                          .translates = true,
                          .program = rondo_program_load_with(
                              other, path, &error, RONDO_OPTIONS(rondo_load_options, .read = true))};
    cr_assert(loaded.program, "%s", error.message);
    size_t bytes;
    char *content = read_whole(path, &bytes);
    content[bytes - 1] ^= 1; /* in the data of a tensor */
    cr_assert(!truncate(path, 0));
    rondo_session *s = small_session(&loaded, 2, 0);
    two_steps(s, out);
    cr_expect_arr_eq(out, expected, sizeof out);
    rondo_session_free(s);
    rondo_program_free(loaded.program);
    cr_expect_null(rondo_program_load_with(other, path, &error, NULL));
    write_whole(path, content, bytes);
    cr_expect_null(
        rondo_program_load_with(other, path, &error, RONDO_OPTIONS(rondo_load_options, .read = true)));
    cr_expect_eq(error.code, RONDO_FILE, "%s", error.message);
    free(content);
    cr_expect_null(rondo_program_load_with(other, path, &error, &(rondo_load_options){0}));
    cr_expect(error.code == RONDO_ARGUMENT && strstr(error.message, "size"), "%s", error.message);
    rondo_free(other);
    small_model_free(&m);
    unlink(path);
}

/* ---- size ---- */

/* Processor time to load and run a step graph with `nodes` values alive at once, or with that many ports. */
static double wide_seconds(rondo *r, int nodes, int ports)
{
    size_t room = 1000 + 60 * (size_t)nodes + 200 * (size_t)ports;
    char *step = malloc(room), *at = stpcpy(step, STEP);
    for (int i = 0; i < nodes; i++)
        at += sprintf(at, "w%d = mul(last, %d)\n", i, i + 2);
    for (int i = 1; i < nodes; i++)
        at += sprintf(at, "s%d = add(%c%d, w%d)\n", i, i > 1 ? 's' : 'w', i - 1, i);
    for (int i = 0; i < ports; i++)
        at += sprintf(at, "p%d = state(name=\"p%d\", type=f32[2])\nq%d = exp(p%d)\n", i, i, i, i);
    at +=
        sprintf(at, nodes ? "output logits = s%d\n" POSITION : "output logits = last\n" POSITION, nodes - 1);
    for (int i = 0; i < ports; i++)
        at += sprintf(at, "port p%d carry in=p%d out=q%d initial=0\n", i, i, (i + 1) % ports);
    clock_t before = clock();
    lie(r, step, NULL);
    free(step);
    return (double)(clock() - before) / CLOCKS_PER_SEC;
}

/* Four times as much takes about four times as long, and not sixteen times. */
Test(program_file, a_wide_graph_takes_time_in_proportion)
{
    rondo *r = rondo_new(1);
    cr_expect_lt(wide_seconds(r, 16000, 0), 9 * wide_seconds(r, 4000, 0));
    cr_expect_lt(wide_seconds(r, 0, 8000), 9 * wide_seconds(r, 0, 2000));
    rondo_free(r);
}
