/* Measures what docs/PRIMITIVES.md says of this machine: oneDNN's primitives and our kernels, run in turns in
 * one process on one thread; medians of CPU time. Prints Markdown. measure_primitives [runs] */
#include "core/graph.h"
#include "ops/build.h"
#include "ops/rules.h"
#include "ops/vector/table.h"
#include "tests/ops/kernels/kernel_bench.h"
#include <time.h>

enum { MOST_RUNS = 1001 };
static int runs = 61;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* the machine may be shared */
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A planned call with its memory; NULL scratch: the plan refused. */
typedef struct planned {
    kernel_call call;
    char *scratch;
} planned;

static planned plan(const kernel *k, const kernel_call *call)
{
    planned p = {.call = *call};
    p.call.kernel = k;
    if (k->plan(&p.call)) {
        p.scratch = aligned_alloc(64, (p.call.scratch_bytes + 127) / 64 * 64);
        p.call.shared = aligned_alloc(64, (p.call.shared_bytes + 127) / 64 * 64);
    }
    return p;
}

static double run_once(planned *p)
{
    double start = now();
    for (int phase = 0; phase < p->call.phases; phase++)
        for (int64_t i = 0; i < p->call.tasks[phase]; i++)
            p->call.kernel->run(&p->call, phase, i, p->scratch);
    return now() - start;
}

/* Our kernel and oneDNN's candidate of the op's row in turns; one line of the table. */
static void row(const char *what, const kernel_call *call)
{
    const kernel *const *k = op_table[call->op].kernels;
    const kernel *own = NULL, *candidate = NULL;
    for (; *k; k++)
        if (strstr((*k)->name, "_onednn"))
            candidate = *k;
        else if (!strstr((*k)->name, "narrow"))
            own = *k;
    planned both[2] = {plan(own, call), plan(candidate, call)};
    double seconds[2][MOST_RUNS] = {{0}};
    for (int r = -3; r < runs; r++)
        for (int k = 0; k < 2; k++)
            if (both[k].scratch)
                seconds[k][r < 0 ? 0 : r] = run_once(&both[k]);
    for (int k = 0; k < 2; k++)
        qsort(seconds[k], (size_t)runs, sizeof(double), compare);
    double ours = seconds[0][runs / 2] * 1e6, theirs = seconds[1][runs / 2] * 1e6;
    printf("| `%s` | %s | %.1f | ", op_table[call->op].signature.name, what, ours);
    if (both[1].scratch)
        printf("%.1f | %.2f |\n", theirs, ours / theirs);
    else
        puts("refused | |");
    fflush(stdout);
    for (int k = 0; k < 2; k++) {
        free(both[k].scratch);
        free(both[k].call.shared);
    }
}

/* ---- shapes ---- */

static attribute attributes[MAX_ATTRIBUTES];
static void clear_attributes(void)
{
    memset(attributes, 0, sizeof attributes);
}

typedef struct extents {
    int rank;
    int64_t dims[4];
} extents;
static const extents usual[] = {{2, {2048, 256}}, {2, {2048, 1024}}, {4, {64, 4, 32, 32}},
                                {2, {64, 256}},   {2, {4096, 64}},   {2, {4096, 128}}};
enum { USUAL = 4, WITH_NARROW = sizeof usual / sizeof *usual };

static const char *text_of(const extents *e)
{
    static char text[4][64];
    static int next;
    char *t = text[next = (next + 1) % 4];
    int used = 0;
    for (int i = 0; i < e->rank; i++)
        used += snprintf(t + used, sizeof text[0] - (size_t)used, i ? " × %d" : "%d", (int)e->dims[i]);
    return t;
}

static void measure(const char *what, int op, int inputs, tensor *x, int outputs, tensor *y)
{
    kernel_call call = bench_call(op, attributes, inputs, x, outputs, y);
    row(what, &call);
    for (int i = 0; i < inputs; i++)
        if (x[i].data)
            bench_free(&x[i]);
    for (int i = 0; i < outputs; i++)
        bench_free(&y[i]);
}

static bool has_candidate(int op)
{
    const kernel *const *k = op_table[op].kernels;
    return k && k[0] && k[1];
}

static void unary(void)
{
    for (int op = OP_neg; op <= OP_erf; op++)
        for (int s = 0; has_candidate(op) && s < USUAL; s++) {
            tensor x = bench_dense(usual[s].rank, usual[s].dims),
                   y = bench_dense(usual[s].rank, usual[s].dims);
            measure(text_of(&usual[s]), op, 1, &x, 1, &y);
        }
}

static void binary(void)
{
    static const extents second[][2] = {{{2, {2048, 256}}, {2, {2048, 256}}},
                                        {{2, {2048, 1024}}, {2, {2048, 1024}}},
                                        {{2, {2048, 1024}}, {1, {1024}}},
                                        {{2, {2048, 256}}, {2, {2048, 1}}},
                                        {{4, {64, 4, 32, 32}}, {0, {0}}}};
    for (int op = OP_add; op <= OP_maximum; op++)
        for (size_t s = 0; has_candidate(op) && s < sizeof second / sizeof *second; s++) {
            const extents *a = &second[s][0], *b = &second[s][1];
            tensor x[] = {bench_dense(a->rank, a->dims), bench_dense(b->rank, b->dims)},
                   y = bench_dense(a->rank, a->dims);
            char what[160];
            snprintf(what, sizeof what, "%s, %s", text_of(a), b->rank ? text_of(b) : "one number");
            measure(what, op, 2, x, 1, &y);
        }
}

static void reductions(void)
{
    for (int op = OP_sum; op <= OP_max; op++)
        for (int s = 0; has_candidate(op) && s < 2 * USUAL; s++) {
            const extents *e = &usual[s / 2];
            extents kept = {e->rank - 1, {0}};
            int axis = s % 2 ? 0 : e->rank - 1;
            for (int i = 0, own = 0; i < e->rank; i++)
                if (i != axis)
                    kept.dims[own++] = e->dims[i];
            tensor x = bench_dense(e->rank, e->dims), y = bench_dense(kept.rank, kept.dims);
            char what[96];
            snprintf(what, sizeof what, "%s, axis %d", text_of(e), axis);
            clear_attributes();
            attributes[sum_axis].integer = axis;
            measure(what, op, 1, &x, 1, &y);
        }
}

static void transposes(void)
{
    static const struct {
        extents from;
        int order[4];
        const char *what;
    } cases[] = {{{2, {2048, 256}}, {1, 0}, "2048 × 256, turned"},
                 {{2, {256, 8000}}, {1, 0}, "256 × 8000, turned"},
                 {{4, {64, 32, 4, 64}}, {0, 2, 1, 3}, "64 × 32 × 4 × 64, heads to the front"},
                 {{4, {64, 4, 32, 64}}, {0, 1, 3, 2}, "64 × 4 × 32 × 64, each turned"}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const extents *e = &cases[c].from;
        int64_t dims[4];
        for (int i = 0; i < e->rank; i++)
            dims[i] = e->dims[cases[c].order[i]];
        tensor x = bench_dense(e->rank, e->dims), y = bench_dense(e->rank, dims);
        clear_attributes();
        attributes[transpose_order].integer = order_pack(cases[c].order, e->rank);
        measure(cases[c].what, OP_transpose, 1, &x, 1, &y);
    }
}

static void rows(void)
{
    clear_attributes();
    for (int s = 0; s < WITH_NARROW; s++) {
        tensor x = bench_dense(usual[s].rank, usual[s].dims), y = bench_dense(usual[s].rank, usual[s].dims);
        measure(text_of(&usual[s]), OP_softmax, 1, &x, 1, &y);
    }
    attributes[layer_norm_epsilon].real = 1e-5;
    for (int s = 0; s < WITH_NARROW; s++) {
        const extents *e = &usual[s];
        extents two = *e, last = {1, {e->dims[e->rank - 1]}};
        two.dims[two.rank - 1] = 2;
        tensor x[] = {bench_dense(e->rank, e->dims), bench_dense(1, last.dims), bench_dense(1, last.dims)};
        tensor y[] = {bench_dense(e->rank, e->dims), bench_dense(two.rank, two.dims)};
        measure(text_of(e), OP_layer_norm, 3, x, 2, y);
    }
}

static void products(void)
{
    static const struct {
        int64_t entries, m, n, k;
        bool transpose_a, transpose_b, c, bias;
        int activation;
    } cases[] = {{1, 2048, 256, 256, .bias = true},
                 {1, 2048, 256, 256, .transpose_b = true, .bias = true},
                 {1, 2048, 1024, 256, .transpose_b = true, .bias = true, .activation = 1},
                 {1, 2048, 1024, 256, .transpose_b = true, .bias = true, .activation = 2},
                 {1, 2048, 1024, 256, .transpose_b = true, .bias = true, .activation = 3},
                 {1, 2048, 256, 1024, .transpose_b = true, .c = true, .bias = true},
                 {1, 1024, 256, 2048, .transpose_a = true},
                 {1, 256, 256, 2048, .transpose_a = true},
                 {256, 32, 32, 64, .transpose_b = true},
                 {256, 32, 64, 32},
                 {32, 128, 128, 64, .transpose_b = true},
                 {1, 1, 256, 256, .bias = true},
                 {1, 8, 256, 256, .bias = true},
                 {1, 8, 8000, 256, .transpose_b = true},
                 {1, 240, 8000, 256, .transpose_b = true}};
    static const char *const activations[] = {"", " relu", " gelu", " silu"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t e = cases[i].entries, m = cases[i].m, n = cases[i].n, k = cases[i].k;
        bool ta = cases[i].transpose_a, tb = cases[i].transpose_b;
        int first = e > 1 ? 0 : 1; /* of the extents: no batch axis for one entry */
        int64_t a[] = {e, ta ? k : m, ta ? m : k}, b[] = {e, tb ? n : k, tb ? k : n}, c[] = {e, m, n};
        tensor x[4] = {bench_dense(3 - first, a + first), bench_dense(3 - first, b + first)},
               y = bench_dense(3 - first, c + first);
        if (cases[i].c)
            x[2] = bench_dense(3 - first, c + first);
        if (cases[i].bias)
            x[3] = bench_dense(1, &n);
        clear_attributes();
        attributes[matmul_transpose_a].integer = ta;
        attributes[matmul_transpose_b].integer = tb;
        attributes[matmul_activation].integer = cases[i].activation;
        char what[128];
        snprintf(what, sizeof what, "%d × %d × %d %c%c%s%s%s", (int)m, (int)n, (int)k, ta ? 'T' : 'N',
                 tb ? 'T' : 'N', cases[i].c ? " + c" : "", cases[i].bias ? " + bias" : "",
                 activations[cases[i].activation]);
        if (e > 1)
            snprintf(what, sizeof what, "%d of %d × %d × %d %c%c", (int)e, (int)m, (int)n, (int)k,
                     ta ? 'T' : 'N', tb ? 'T' : 'N');
        measure(what, OP_matmul, 4, x, 1, &y);
    }
}

/* The overhead of a primitive: making it, and finding and running it. */
static void costs(void)
{
    enum { NEW = 40, AGAIN = 2000 };
    kernel_call call = {.attributes = attributes, .input_count = 1, .output_count = 1};
    clear_attributes();
    double made[2] = {0};
    for (int64_t n = 1001; n < 1001 + NEW; n++) {
        tensor x[] = {bench_dense(2, (int64_t[]){64, n}), bench_dense(2, (int64_t[]){n, 64})},
               y = bench_dense(2, x[0].dims), z = bench_dense(2, (int64_t[]){64, 64});
        call.inputs = x;
        for (int product = 0; product < 2; product++) {
            call.op = product ? OP_matmul : OP_tanh;
            call.input_count = 1 + product;
            call.outputs = product ? &z : &y;
            double start = now();
            (product ? &kernel_matmul_onednn : &kernel_elementwise_onednn)->plan(&call);
            made[product] += now() - start;
        }
        tensor *all[] = {&x[0], &x[1], &y, &z};
        for (int i = 0; i < 4; i++)
            bench_free(all[i]);
    }
    tensor x = bench_dense(1, (int64_t[]){16}), y = bench_dense(1, (int64_t[]){16});
    call = (kernel_call){.op = OP_abs,
                         .attributes = attributes,
                         .input_count = 1,
                         .output_count = 1,
                         .inputs = &x,
                         .outputs = &y};
    planned p = plan(&kernel_elementwise_onednn, &call);
    double start = now();
    for (int i = 0; p.scratch && i < AGAIN; i++)
        p.call.kernel->run(&p.call, 0, 0, p.scratch);
    printf("\nMade: %.0f µs (tanh), %.0f µs (matmul). Found and run on 16 numbers: %.2f µs.\n",
           made[0] / NEW * 1e6, made[1] / NEW * 1e6, (now() - start) / AGAIN * 1e6);
}

int main(int argc, char **argv)
{
    runs = argc > 1 ? atoi(argv[1]) : runs;
    runs = runs < 1 ? 1 : runs > MOST_RUNS ? MOST_RUNS : runs;
    puts("| op | shape | ours, µs | oneDNN, µs | ours / oneDNN |\n|---|---|---|---|---|");
    unary();
    binary();
    reductions();
    transposes();
    rows();
    products();
    costs();
    return 0;
}
