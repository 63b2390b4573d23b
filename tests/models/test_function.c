/* Functions: any graph runs on named tensors and gives named results, on many threads and from a file; errors
 * say in a sentence what does not fit. */
#include "models/function/function.h"
#include "tests/core/counting_allocator.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static rondo *context;

static void begin(void)
{
    context = rondo_new(1);
}
static void end(void)
{
    rondo_free(context);
}
TestSuite(function, .init = begin, .fini = end);

static rondo_function *parsed_by(rondo *r, const char *source)
{
    rondo_error error = {0};
    rondo_graph *g = rondo_graph_parse(r, source, "test.graph", &error);
    rondo_function *f = rondo_function_of(g, &error);
    cr_assert(f, "%s", error.message);
    rondo_graph_free(g);
    return f;
}
static rondo_function *parsed(const char *source)
{
    return parsed_by(context, source);
}

static const float *numbers(const rondo_results *r, const char *name, int64_t expected)
{
    rondo_tensor view;
    int64_t count = 1;
    cr_assert(rondo_results_get(r, name, &view), "there is no %s", name);
    for (int a = 0; a < view.rank; a++)
        count *= view.dims[a];
    cr_assert_eq(count, expected);
    return view.data;
}

Test(function, of_a_text_graph_runs_with_its_gradient_on_any_extent)
{
    rondo_function *f =
        parsed("x = input(name=\"x\", type=f32[N])\noutput y = sum(mul(x, x), axis=0)\n"
               "output dx = gradient(y, x)\noutput same = x\n"
               "other = input(name=\"other\", type=f32[N])\noutput zero = gradient(y, other)\n");
    float x[] = {1, 2, 3, 4, 5}, other[5] = {0};
    for (int64_t n = 1; n <= 5; n++) {
        rondo_error error = {0};
        const rondo_tensor in[] = {{"x", RONDO_F32, 1, {n}, x}, {"other", RONDO_F32, 1, {n}, other}};
        rondo_results *r = rondo_function_run(f, NULL, in, 2, &error);
        cr_assert(r, "%s", error.message);
        float sum = 0;
        for (int64_t i = 0; i < n; i++) {
            sum += x[i] * x[i];
            cr_expect_eq(numbers(r, "dx", n)[i], 2 * x[i]);
            cr_expect_eq(numbers(r, "same", n)[i], x[i]);
            cr_expect_eq(numbers(r, "zero", n)[i], 0);
        }
        cr_expect_eq(*numbers(r, "y", 1), sum);
        cr_expect_neq((const void *)numbers(r, "same", n), (const void *)x,
                      "the caller may reuse his tensor");
        rondo_tensor none;
        cr_expect_not(rondo_results_get(r, "z", &none));
        rondo_results_free(r);
    }
    rondo_function_free(f);
}

Test(function, lists_what_goes_in_and_comes_out)
{
    const char *type;
    rondo_function *f =
        parsed("x = input(name=\"x\", type=f32[B,64*N])\nids = input(name=\"ids\", type=i32[B])\n"
               "spare = input(name=\"spare\", type=f32[2])\n"
               "output y = mean(x, axis=1)\noutput n = add(ids, ids)\noutput dy = gradient(sum(y, axis=0), "
               "spare)\n");
    cr_expect_str_eq(rondo_function_input(f, 0, &type), "x");
    cr_expect_str_eq(type, "f32[B,64*N]");
    cr_expect_str_eq(rondo_function_input(f, 1, NULL), "ids");
    cr_expect_null(rondo_function_input(f, 2, NULL), "nothing depends on spare");
    cr_expect_str_eq(rondo_function_output(f, 1, &type), "n");
    cr_expect_str_eq(type, "i32[B]");
    cr_expect_null(rondo_function_output(f, 3, NULL));
    cr_expect(strstr(rondo_function_report(f), "attention"));
    rondo_function_free(f);
}

Test(function, names_outputs_as_told_or_as_marked_or_by_number)
{
    rondo_error error = {0};
    rondo_graph *g = rondo_graph_new(context, NULL);
    rondo_value x = rondo_input(g, "x", "f32[3]"), outputs[] = {rondo_exp(x), rondo_neg(x)};
    rondo_output(outputs[0], "e");
    rondo_function *f = rondo_function_new(outputs, NULL, 2, &error);
    cr_assert(f, "%s", error.message);
    cr_expect_str_eq(rondo_function_output(f, 0, NULL), "e");
    cr_expect_str_eq(rondo_function_output(f, 1, NULL), "y1");
    rondo_function_free(f);
    f = rondo_function_new(outputs, (const char *const[]){"a", "b"}, 2, &error);
    cr_expect_str_eq(rondo_function_output(f, 0, NULL), "a");
    rondo_function_free(f);
    cr_expect_null(rondo_function_new(outputs, (const char *const[]){"a", "a"}, 2, &error));
    cr_expect(strstr(error.message, "two outputs are called a"), "%s", error.message);
    rondo_graph_free(g);
}

/* ---- what does not fit ---- */

typedef struct mistake {
    rondo_tensor inputs[3];
    size_t count;
    const char *sentence;
} mistake;

Test(function, says_what_does_not_fit)
{
    static float x[400], h[400];
    static int32_t ids[4] = {0, 6, 2, 7};
    rondo_function *f =
        parsed("ids = input(name=\"ids\", type=i32[B,1])\nhidden = input(name=\"hidden\", type=f32[B,64*N])\n"
               "x = input(name=\"x\", type=f32[N,3])\ntable = constant(number=2, type=f32[7,2])\n"
               "output y = embed(table, ids)\noutput h = sum(hidden, axis=1)\noutput z = exp(x)\n");
    const rondo_tensor good_ids = {"ids", RONDO_I32, 2, {1, 1}, ids}, good_x = {"x", RONDO_F32, 2, {2, 3}, x},
                       good_h = {"hidden", RONDO_F32, 2, {1, 128}, h};
    const mistake mistakes[] = {
        {{good_ids, good_h}, 2, "input x is not given; it is f32[N,3]"},
        {{good_ids, good_x, {"hiden", RONDO_F32, 2, {1, 128}, h}},
         3,
         "there is no input hiden; did you mean hidden?"},
        {{good_ids, good_x, {"hidden", RONDO_I32, 2, {1, 128}, h}},
         3,
         "tensor hidden is i32, the input is f32"},
        {{good_ids, good_x, {"hidden", RONDO_F32, 1, {128}, h}},
         3,
         "tensor hidden has 1 axes, the input has 2"},
        {{good_ids, good_x, {"hidden", RONDO_F32, 2, {1, -1}, h}}, 3, "axis 1 has a negative extent"},
        {{{"hidden", RONDO_F32, 2, {1, 100}, h}, good_ids, good_x},
         3,
         "tensor hidden: axis 1 has 100 entries; [64*N] fits 64, 128, …"},
        {{good_x, good_ids, {"hidden", RONDO_F32, 2, {1, 192}, h}}, 3, "axis 1 has 192 entries"},
        {{good_ids, good_h, {"x", RONDO_F32, 2, {2, 4}, x}}, 3, "axis 1 has 4 entries, it must have [3]"},
        {{good_ids, {"hidden", RONDO_F32, 2, {2, 128}, h}, good_x},
         3,
         "tensor hidden: axis 0 has 2 entries, but B is 1 in tensor ids"},
        {{good_ids, good_ids, good_x}, 3, "input ids is given twice"},
        {{good_ids, good_x, {"hidden", RONDO_F32, 2, {1, 128}, NULL}}, 3, "tensor 3 has no data"},
        {{{"ids", RONDO_I32, 2, {4, 1}, ids}, good_x, {"hidden", RONDO_F32, 2, {4, 128}, h}},
         3,
         "tensor ids: entry 3 is id 7, the table has rows 0 to 6"},
    };
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        rondo_error error = {0};
        cr_expect_null(rondo_function_run(f, NULL, mistakes[i].inputs, mistakes[i].count, &error));
        cr_expect(strstr(error.message, mistakes[i].sentence), "the error is\n  %s\nnot\n  %s", error.message,
                  mistakes[i].sentence);
    }
    const rondo_tensor in[] = {good_h, good_x, good_ids};
    rondo_results *r = rondo_function_run(f, NULL, in, 3, NULL);
    cr_expect(r, "64·N is 128, so N is 2");
    rondo_results_free(r);
    rondo_function_free(f);
}

Test(function, refuses_graphs_it_cannot_run)
{
    rondo_error error = {0};
    rondo_graph *g = rondo_graph_new(context, NULL);
    rondo_input(g, "x", "f32[3]");
    cr_expect_null(rondo_function_of(g, &error));
    cr_expect(strstr(error.message, "a function needs an output"), "%s", error.message);
    cr_expect_null(rondo_function_new(NULL, NULL, 0, &error));
    cr_expect_eq(error.code, RONDO_ARGUMENT);
    rondo_graph_free(g);
    g = rondo_graph_parse(context,
                          "s = state(name=\"s\", type=f32[3])\noutput y = exp(s)\n"
                          "port s carry in=s out=y initial=0\n",
                          "state.graph", &error);
    cr_assert(g, "%s", error.message);
    cr_expect_null(rondo_function_of(g, &error));
    cr_expect(strstr(error.message, "keeps state from run to run"), "%s", error.message);
    rondo_graph_free(g);
}

/* ---- threads ---- */

/* A layer with a scan, a norm and a projection, its loss and the gradient to its input. */
static const char layer[] =
    "x = input(name=\"x\", type=f32[B,T,16])\nw = parameter(name=\"w\", type=f32[16,16])\n"
    "gain = parameter(name=\"gain\", type=f32[16])\nbias = parameter(name=\"bias\", type=f32[16])\n"
    "n, _ = layer_norm(x, gain, bias)\nq = elu(matmul(n, w))\na = causal_mask(matmul(q, n, transpose_b))\n"
    "output y = add(matmul(a, x), x)\nloss = sum(reshape(tanh(y), dims=[16*B*T]), axis=0)\n"
    "output loss = loss\noutput dx = gradient(loss, x)\noutput dw = gradient(loss, w)\n";

enum { BATCH = 3, TIME = 37, SIZE = BATCH * TIME * 16, RUNS = 6, CALLERS = 4 };

typedef struct caller {
    const rondo_function *f;
    const rondo_weights *w;
    float x[SIZE], dx[SIZE];
    bool good;
} caller;

static void fill(float *x)
{
    for (int i = 0; i < SIZE; i++)
        x[i] = (float)((i * 37 % 101) - 50) / 60;
}

static void *call(void *argument)
{
    caller *c = argument;
    c->good = true;
    for (int run = 0; run < RUNS; run++) {
        int64_t batch = run % BATCH + 1;
        const rondo_tensor in = {"x", RONDO_F32, 3, {batch, TIME, 16}, c->x};
        rondo_results *r = rondo_function_run(c->f, c->w, &in, 1, NULL);
        rondo_tensor dx;
        c->good = c->good && rondo_results_get(r, "dx", &dx);
        if (c->good && batch == BATCH)
            memcpy(c->dx, dx.data, sizeof c->dx);
        rondo_results_free(r);
    }
    return NULL;
}

Test(function, many_threads_run_one_and_get_the_same_bits)
{
    static const int teams[] = {1, 2, 3, 7};
    static float expected[SIZE];
    for (int k = 0; k < 4; k++) {
        static caller callers[CALLERS];
        pthread_t threads[CALLERS];
        rondo *r = rondo_new(teams[k]);
        rondo_graph *g = rondo_graph_parse(r, layer, "layer.graph", NULL);
        rondo_weights *w = rondo_weights_new(g, 3, NULL);
        rondo_function *f = rondo_function_of(g, NULL);
        cr_assert(g && w && f);
        for (int i = 0; i < CALLERS; i++) {
            callers[i] = (caller){.f = f, .w = w};
            fill(callers[i].x);
            cr_assert_eq(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
        }
        for (int i = 0; i < CALLERS; i++) {
            pthread_join(threads[i], NULL);
            cr_assert(callers[i].good);
            if (!k && !i)
                memcpy(expected, callers[i].dx, sizeof expected);
            cr_expect_arr_eq(callers[i].dx, expected, sizeof expected, "%d threads, caller %d", teams[k], i);
        }
        rondo_function_free(f);
        rondo_weights_free(w);
        rondo_graph_free(g);
        rondo_free(r);
    }
}

Test(function, results_stay_while_others_run)
{
    static float a[SIZE], b[SIZE], kept[SIZE];
    rondo_error error = {0};
    rondo_graph *g = rondo_graph_parse(context, layer, "layer.graph", NULL);
    rondo_weights *w = rondo_weights_new(g, 3, NULL);
    rondo_function *f = rondo_function_of(g, &error);
    cr_assert(f, "%s", error.message);
    fill(a);
    for (int i = 0; i < SIZE; i++)
        b[i] = -a[i];
    const rondo_tensor first = {"x", RONDO_F32, 3, {BATCH, TIME, 16}, a},
                       second = {"x", RONDO_F32, 3, {BATCH, TIME, 16}, b};
    rondo_results *one = rondo_function_run(f, w, &first, 1, NULL);
    const float *y = numbers(one, "y", SIZE);
    memcpy(kept, y, sizeof kept);
    rondo_results *other = rondo_function_run(f, w, &second, 1, NULL);
    cr_expect_arr_eq(y, kept, sizeof kept);
    cr_expect_neq((const void *)numbers(other, "y", SIZE), (const void *)y);
    rondo_results_free(one);
    rondo_results *again = rondo_function_run(f, w, &first, 1, NULL);
    cr_expect_eq((const void *)numbers(again, "y", SIZE), (const void *)y, "the memory is used again");
    rondo_results_free(again);
    rondo_results_free(other);
    cr_expect_null(rondo_function_run(f, NULL, &first, 1, &error));
    cr_expect(strstr(error.message, "the function has parameters, such as w"), "%s", error.message);
    rondo_function_free(f);
    rondo_weights_free(w);
    rondo_graph_free(g);
}

/* Buffers hold NaN before they are written and after they are read last, with guards behind. */
Test(function, reads_nothing_that_was_not_written)
{
    static float x[SIZE];
    rondo_error error = {0};
    rondo_graph *g = rondo_graph_parse(context, layer, "layer.graph", NULL);
    rondo_weights *w = rondo_weights_new(g, 3, NULL);
    rondo_function *f = rondo_function_of(g, NULL), *poisoned = rondo_function_of(g, NULL);
    cr_assert(f && poisoned);
    poisoned->program->options.poison = true;
    fill(x);
    const rondo_tensor in = {"x", RONDO_F32, 3, {BATCH, TIME, 16}, x};
    rondo_results *one = rondo_function_run(f, w, &in, 1, NULL),
                  *other = rondo_function_run(poisoned, w, &in, 1, &error);
    cr_assert(other, "%s", error.message);
    cr_expect_arr_eq(numbers(other, "y", SIZE), numbers(one, "y", SIZE), sizeof x);
    cr_expect_arr_eq(numbers(other, "dx", SIZE), numbers(one, "dx", SIZE), sizeof x);
    rondo_results_free(one);
    rondo_results_free(other);
    rondo_function_free(f);
    rondo_function_free(poisoned);
    rondo_weights_free(w);
    rondo_graph_free(g);
}

/* ---- files ---- */

static const char *temporary(char path[100], const char *name)
{
    snprintf(path, 100, "/tmp/rondo-test-%d-%s.function", (int)getpid(), name);
    return path;
}

Test(function, loaded_gives_the_same_bits)
{
    static float x[SIZE];
    char path[100];
    rondo_error error = {0};
    rondo_graph *g = rondo_graph_parse(context, layer, "layer.graph", NULL);
    rondo_weights *w = rondo_weights_new(g, 3, NULL);
    rondo_function *f = rondo_function_of(g, NULL);
    cr_assert(rondo_function_save(f, w, temporary(path, "same"), &error), "%s", error.message);
    rondo_function *loaded = rondo_function_load(context, path, &error);
    cr_assert(loaded, "%s", error.message);
    fill(x);
    const rondo_tensor in = {"x", RONDO_F32, 3, {BATCH, TIME, 16}, x};
    rondo_results *one = rondo_function_run(f, w, &in, 1, NULL),
                  *other = rondo_function_run(loaded, NULL, &in, 1, &error);
    cr_assert(other, "%s", error.message);
    cr_expect_arr_eq(numbers(other, "dw", 256), numbers(one, "dw", 256), sizeof(float) * 256);
    cr_expect_arr_eq(numbers(other, "dx", SIZE), numbers(one, "dx", SIZE), sizeof x);
    cr_expect_str_eq(rondo_function_report(loaded), rondo_function_report(f));
    rondo_results_free(one);
    rondo_results_free(other);
    rondo_function_free(loaded);
    rondo_function_free(f);
    rondo_weights_free(w);
    rondo_graph_free(g);
    unlink(path);
}

/* A function that was read does not need its file any more. */
Test(function, read_into_memory_its_file_may_change)
{
    static float x[SIZE];
    char path[100];
    rondo_error error = {0};
    rondo_graph *g = rondo_graph_parse(context, layer, "layer.graph", NULL);
    rondo_weights *w = rondo_weights_new(g, 3, NULL);
    rondo_function *f = rondo_function_of(g, NULL);
    cr_assert(rondo_function_save(f, w, temporary(path, "read"), &error), "%s", error.message);
    rondo_function *loaded =
        rondo_function_load_with(context, path, &error, RONDO_OPTIONS(rondo_load_options, .read = true));
    cr_assert(loaded, "%s", error.message);
    cr_assert(!truncate(path, 0));
    fill(x);
    const rondo_tensor in = {"x", RONDO_F32, 3, {BATCH, TIME, 16}, x};
    rondo_results *one = rondo_function_run(f, w, &in, 1, NULL),
                  *other = rondo_function_run(loaded, NULL, &in, 1, &error);
    cr_assert(other, "%s", error.message);
    cr_expect_arr_eq(numbers(other, "dx", SIZE), numbers(one, "dx", SIZE), sizeof x);
    rondo_results_free(one);
    rondo_results_free(other);
    rondo_function_free(loaded);
    rondo_function_free(f);
    rondo_weights_free(w);
    rondo_graph_free(g);
    unlink(path);
}

static void save_graph(const char *path, const char *kind, const char *graph)
{
    const char *metadata[] = {"rondo.format", "1", "rondo.kind", kind, FUNCTION_GRAPH_KEY, graph};
    rondo_error error = {0};
    cr_assert(safetensors_save(&context->allocator, path, NULL, 0, metadata, 3, &error), "%s", error.message);
}

static void expect_refused(const char *path, rondo_code code, const char *sentence)
{
    rondo_error error = {0};
    cr_expect_null(rondo_function_load(context, path, &error));
    cr_expect_eq(error.code, code, "%s", error.message);
    cr_expect(strstr(error.message, sentence), "the error is\n  %s\nnot\n  %s", error.message, sentence);
}

Test(function, a_file_that_lies_is_refused)
{
    char path[100];
    save_graph(temporary(path, "lie"), "decoder", "");
    expect_refused(path, RONDO_MISMATCH, "holds no function");
    save_graph(path, "function", "output y = nothing\n");
    expect_refused(path, RONDO_FILE, "no value is called nothing");
    save_graph(path, "function", "x = input(name=\"x\", type=f32[3])\n");
    expect_refused(path, RONDO_FILE, "needs an output");
    save_graph(path, "function", "w = parameter(name=\"w\", type=f32[3])\noutput y = exp(w)\n");
    expect_refused(path, RONDO_FILE, "reads parameter w, which the file does not hold");
    save_graph(path, "function", "x = input(name=\"x\", type=f32[1])\noutput y = gradient(x, x)\n");
    expect_refused(path, RONDO_MISMATCH, "cannot run gradient");
    unlink(path);
}

/* The graph with a letter or a digit changed at random and correct checksums: refused in a sentence, or
 * run. */
Test(function, a_damaged_graph_is_refused_in_a_sentence_or_runs)
{
    char path[100];
    float x[12] = {1, 2, 3};
    char graph[] =
        "x = input(name=\"x\", type=f32[B,4])\ny = softmax(x)\n"
        "s = slice(y, axis=1, start=1, length=2)\nids = cast(mul(x, 9), type=i32)\n"
        "table = broadcast(1, dims=[5,3])\noutput y = matmul(x, y, transpose_b)\n"
        "output z = concat(reshape(s, dims=[2*B]), reshape(x, dims=[4*B]), axis=0)\n"
        "output e = embed(table, ids)\noutput c = cumsum(pad(x, axis=1, before=1, after=2), axis=1)\n";
    temporary(path, "damaged");
    uint64_t state = 7;
    int loaded = 0, refused = 0;
    for (int trial = 0; trial < 250; trial++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        size_t at = (size_t)(state >> 33) % (sizeof graph - 1);
        while (trial % 2 && (graph[at] < '0' || graph[at] > '9'))
            at = (at + 1) % (sizeof graph - 1);
        char old = graph[at];
        graph[at] = "0123456789[](),=*xyBN"[(state >> 20) % (trial % 2 ? 10 : 21)];
        rondo_error error = {0};
        const rondo_tensor in = {"x", RONDO_F32, 2, {1, 4}, x};
        save_graph(path, "function", graph);
        rondo_function *changed = rondo_function_load(context, path, &error);
        rondo_results *r = rondo_function_run(changed, NULL, &in, 1, &error);
        cr_expect(r || (error.code && *error.message), "refused without a word");
        loaded += changed != NULL;
        refused += !changed;
        rondo_results_free(r);
        rondo_function_free(changed);
        graph[at] = old;
    }
    cr_expect_gt(loaded, 20);
    cr_expect_gt(refused, 100);
    unlink(path);
}

/* ---- memory ---- */

static bool attempt(counting *c)
{
    rondo_allocator allocator = counting_allocator(c);
    rondo *r = rondo_new_with(&(rondo_options){.size = sizeof(rondo_options), .allocator = &allocator});
    rondo_graph *g = rondo_graph_parse(
        r,
        "x = input(name=\"x\", type=f32[B,3])\noutput y = sum(sum(exp(x), axis=1), axis=0)\n"
        "output d = gradient(y, x)\noutput x = x\n",
        "small.graph", NULL);
    rondo_error error = {0};
    float x[6] = {1, 2, 3};
    const rondo_tensor in = {"x", RONDO_F32, 2, {2, 3}, x};
    rondo_function *f = rondo_function_of(g, &error);
    rondo_results *results = rondo_function_run(f, NULL, &in, 1, &error);
    bool good = results != NULL;
    if (g && !good)
        cr_expect_eq(error.code, RONDO_MEMORY, "%s", error.message);
    rondo_results_free(results);
    rondo_function_free(f);
    rondo_graph_free(g);
    rondo_free(r);
    cr_expect_eq(c->live_bytes, 0);
    return good;
}

Test(function, every_allocation_may_fail_once)
{
    counting c = {0};
    cr_assert(attempt(&c));
    long all = c.requests;
    for (long refuse = 1; refuse <= all; refuse++) {
        c = (counting){.refuse_at = refuse};
        cr_expect(!attempt(&c), "request %ld was refused and nobody noticed", refuse);
    }
}

Test(function, a_value_of_a_parsed_graph_is_found_by_its_name)
{
    rondo_error error = {0};
    rondo_graph *g = rondo_graph_parse(
        context, "x = input(name=\"x\", type=f32[3])\ny = exp(x)\noutput z = neg(y)\n", "names.graph", NULL);
    rondo_value y = rondo_graph_value(g, "y"), dy;
    cr_assert_eq(rondo_rank(y), 1);
    cr_expect_eq(rondo_graph_value(g, "nothing").id, -1);
    cr_assert(rondo_gradient(rondo_sum(rondo_graph_value(g, "z"), 0), &y, 1, &dy));
    rondo_function *f = rondo_function_new(&dy, (const char *const[]){"dy"}, 1, &error);
    cr_assert(f, "%s", error.message);
    float x[3] = {0};
    const rondo_tensor in = {"x", RONDO_F32, 1, {3}, x};
    rondo_results *r = rondo_function_run(f, NULL, &in, 1, &error);
    cr_assert(r, "%s", error.message);
    cr_expect_eq(numbers(r, "dy", 3)[2], -1);
    rondo_results_free(r);
    rondo_function_free(f);
    rondo_graph_free(g);
}
