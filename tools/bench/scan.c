/* bench scan: the causal scan alone, for each kind of decay, forward and with all gradients, compared with
 * the same formula as written (quadratic), and with the matmul peak for the work that the kernels do.
 * Without --length: a range of lengths, and the length from which on the scan is faster. */
#include "autograd/differentiate.h"
#include "compiler/passes/linearize.h"
#include "tools/bench/bench.h"
#include <stdio.h>
#include <string.h>

enum { SHORTEST = 32, LONGEST = 4096, LONGEST_QUADRATIC = 2048, SOURCE_BYTES = 2048 };

/* The formula of each kind: it makes y of q, k and v. H, D: heads and their width. */
typedef struct scan_kind {
    const char *name;
    const char *formula;
    bool channels; /* the numbers of a row are heads of size 1 */
    bool alone;    /* there is no quadratic form to compare with */
} scan_kind;
static const scan_kind kinds[] = {
    {"none", "y = matmul(causal_mask(matmul(q, k, transpose_b)), v)\n", false, false},
    {"constant",
     "t = cumsum(constant(number=1, type=f32[B,1,T,1]), axis=2)\n"
     "gamma = neg(sigmoid(input(name=\"g\", type=f32[H,1,1])))\n"
     "d = exp(causal_mask(mul(sub(t, transpose(t, order=[0,1,3,2])), gamma), fill=-inf))\n"
     "y = matmul(mul(matmul(q, k, transpose_b), d), v)\n",
     false, false},
    {"token",
     "c = cumsum(neg(sigmoid(input(name=\"g\", type=f32[B,H,T,1]))), axis=2)\n"
     "d = exp(causal_mask(sub(c, transpose(c, order=[0,1,3,2])), fill=-inf))\n"
     "y = matmul(mul(matmul(q, k, transpose_b), d), v)\n",
     false, false},
    {"feature",
     "c = cumsum(mul(neg(sigmoid(input(name=\"g\", type=f32[B,H,T,D]))), 0.0625), axis=2)\n"
     "y = matmul(causal_mask(matmul(mul(q, exp(c)), mul(k, exp(neg(c))), transpose_b)), v)\n",
     false, false},
    {"channel",
     "c = cumsum(neg(sigmoid(input(name=\"g\", type=f32[B,T,H]))), axis=1)\n"
     "ct = transpose(reshape(c, dims=[B,T,H,1]), order=[0,2,1,3])\n"
     "cs = transpose(reshape(c, dims=[B,T,H,1]), order=[0,2,3,1])\n"
     "u = transpose(reshape(input(name=\"u\", type=f32[B,T,H]), dims=[B,T,H,1]), order=[0,2,1,3])\n"
     "y = matmul(exp(causal_mask(sub(ct, cs), fill=-inf)), u)\n",
     true, false},
    {"delta",
     "scale = rsqrt(add(sum(mul(k, k), axis=-1, keep), 1e-6))\n"
     "y, after = delta(q, mul(k, scale), v, sigmoid(input(name=\"beta\", type=f32[B,H,T,1])))\n",
     false, true},
};

typedef struct scan_bench {
    bench *b;
    const scan_kind *kind;
    int64_t batch, heads, width;
    double peak;
} scan_bench;

/* ---- the graph ---- */

/* Replaces H and D in a formula by numbers, where they are extents: after '[' or ','. */
static void put_numbers(const char *formula, int64_t heads, int64_t width, char *out, size_t room)
{
    size_t used = 0;
    for (const char *c = formula; *c && used + 24 < room; c++) {
        bool extent = c > formula && (c[-1] == '[' || c[-1] == ',') && (c[1] == ',' || c[1] == ']');
        if (extent && (*c == 'H' || *c == 'D'))
            used += (size_t)snprintf(out + used, room - used, "%lld", (long long)(*c == 'H' ? heads : width));
        else
            out[used++] = *c;
    }
    out[used] = 0;
}

static rondo_graph *write_graph(const scan_bench *x)
{
    static const char operands[] =
        "q = input(name=\"q\", type=f32[B,H,T,D])\nk = input(name=\"k\", type=f32[B,H,T,D])\n"
        "v = input(name=\"v\", type=f32[B,H,T,D])\n";
    char formula[SOURCE_BYTES], source[SOURCE_BYTES];
    int64_t heads = x->kind->channels ? x->heads * x->width : x->heads,
            width = x->kind->channels ? 1 : x->width;
    snprintf(formula, sizeof formula, "symbols B T\n%s%s", x->kind->channels ? "" : operands,
             x->kind->formula);
    put_numbers(formula, heads, width, source, sizeof source);
    size_t used = strlen(source);
    if (x->kind->channels) /* back to the layout of the model */
        snprintf(source + used, sizeof source - used,
                 "z = reshape(transpose(y, order=[0,2,1,3]), dims=[B,T,%lld])\n"
                 "w = input(name=\"w\", type=f32[B,T,%lld])\n",
                 (long long)heads, (long long)heads);
    else
        snprintf(source + used, sizeof source - used,
                 "z = y\nw = input(name=\"w\", type=f32[B,%lld,T,%lld])\n", (long long)heads,
                 (long long)width);
    used = strlen(source);
    snprintf(source + used, sizeof source - used,
             "output y = z\noutput loss = sum(reshape(mul(z, w), dims=[%lld*B*T]), axis=0)\n",
             (long long)(heads * width));
    return graph_parse(x->b->c->context, source, x->kind->name, x->b->error);
}

/* The graph of y alone, or of the gradients of the loss with respect to everything but w. Takes ownership
 * of g. */
static rondo_graph *finish_graph(scan_bench *x, rondo_graph *g, bool backward)
{
    rondo_error *error = x->b->error;
    value_id wrt[MAX_INPUTS], gradients[MAX_INPUTS];
    int count = 0;
    if (!g)
        return NULL;
    const char *name = "y";
    value_id y = graph_find_output(g, name), loss = graph_find_output(g, "loss");
    for (node_id id = 0; backward && id < g->node_count; id++)
        if (g->nodes[id].op == OP_input && strcmp(leaf_name(g, id), "w"))
            wrt[count++] = g->nodes[id].first_output;
    rondo_graph *whole = backward ? differentiate_values(g, loss, wrt, count, gradients, error)
                                  : extract(g, &y, &name, 1, false, NULL, error);
    for (int i = 0; whole && i < count; i++) {
        char gradient[16];
        snprintf(gradient, sizeof gradient, "d%d", i);
        if (gradients[i] != NONE && !graph_add_output(whole, gradient, gradients[i])) {
            graph_free(whole);
            whole = NULL;
        }
    }
    rondo_graph *simple = simplify(whole, NULL, error), *fused = fuse(simple, NULL, error);
    graph_free(simple);
    graph_free(whole);
    return fused;
}

static program *compile(scan_bench *x, bool rewritten, bool backward)
{
    rondo_graph *g = write_graph(x);
    if (g && rewritten) {
        rondo_graph *linear = linearize(g, NULL, NULL, x->b->error);
        graph_free(g);
        g = linear;
    }
    rondo_graph *whole = finish_graph(x, g, backward);
    graph_free(g);
    return program_new(whole, NULL, x->b->error);
}

/* ---- measuring ---- */

static bool measure(scan_bench *x, int64_t length, bool rewritten, bool backward, measurement *m)
{
    const extent extents[] = {{"B", x->batch}, {"T", length}};
    program *p = compile(x, rewritten, backward);
    bool good = p && bench_program(x->b, p, extents, 2, m);
    program_free(p);
    return good;
}

static bool report_form(scan_bench *x, int64_t length, bool rewritten, double *both)
{
    bench *b = x->b;
    measurement forward, whole;
    if (!measure(x, length, rewritten, false, &forward) || !measure(x, length, rewritten, true, &whole))
        return false;
    report *r = &b->report;
    report_begin(r, "scan %s, %s, T %lld", x->kind->name, rewritten ? "rewritten" : "quadratic",
                 (long long)length);
    report_number(r, "length", (double)length, UNIT_COUNT);
    if (forward.too_large || whole.too_large) {
        report_text(r, "skipped", "needs more memory than there is");
        return report_end(r, b->error);
    }
    double tokens = (double)(x->batch * length);
    report_number(r, "forward_tokens_per_second", tokens / forward.seconds, UNIT_COUNT);
    report_number(r, "tokens_per_second", tokens / whole.seconds, UNIT_COUNT);
    report_number(r, "median_seconds", whole.seconds, UNIT_SECONDS);
    report_number(r, "runs", (double)b->o->runs, UNIT_COUNT);
    report_rate(b, whole.flops, whole.seconds, x->peak);
    *both = whole.seconds;
    return report_end(r, b->error);
}

/* Both forms at one length; *faster: the scan is. */
static bool one_length(scan_bench *x, int64_t length, bool *faster)
{
    double scan = 0, quadratic = 0;
    if (!report_form(x, length, true, &scan))
        return false;
    if (x->kind->alone || (length > LONGEST_QUADRATIC && !is_given(x->b, OPTION_length)))
        return true;
    if (!report_form(x, length, false, &quadratic))
        return false;
    if (quadratic > 0) /* it was not too large to run */
        *faster = scan < quadratic;
    return true;
}

static bool one_kind(scan_bench *x)
{
    bool faster = false;
    if (is_given(x->b, OPTION_length))
        return one_length(x, x->b->o->length, &faster);
    int64_t crossover = 0;
    for (int64_t length = SHORTEST; length <= LONGEST; length *= 2) {
        bool now = crossover != 0;
        if (!one_length(x, length, &now))
            return false;
        crossover = !now ? 0 : crossover ? crossover : length;
    }
    if (x->kind->alone)
        return true;
    report *r = &x->b->report;
    report_begin(r, "scan %s, crossover", x->kind->name);
    if (crossover)
        report_number(r, "faster_from_length", (double)crossover, UNIT_COUNT);
    else
        report_text(r, "faster_from_length", "none of these");
    int64_t width = x->kind->channels ? 1 : x->width;
    report_number(r, "smaller_state_from_length", (double)(width * width / (2 * width) + 1), UNIT_COUNT);
    return report_end(r, x->b->error);
}

bool bench_scan(bench *b)
{
    options with;
    if (!bench_options(b, &with))
        return false;
    const options *o = b->o = &with;
    if (o->dim % o->heads)
        return fail(b->error, RONDO_ARGUMENT, "%lld heads do not divide a width of %lld", (long long)o->heads,
                    (long long)o->dim);
    scan_bench x = {.b = b,
                    .heads = o->heads,
                    .width = o->dim / o->heads,
                    .batch = is_given(b, OPTION_batch) ? o->batch : 4};
    b->report.compact = true;
    signals_begin();
    bool good = peak_measure(b, &x.peak);
    for (size_t i = 0; good && i < sizeof kinds / sizeof *kinds; i++) {
        x.kind = &kinds[i];
        if (!strcmp(o->kind, "all") || !strcmp(o->kind, kinds[i].name))
            good = one_kind(&x);
    }
    return good;
}
