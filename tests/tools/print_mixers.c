/* Prints docs/MIXERS.md: the table of mixers with the cost of each. All numbers come from the graphs that
 * the compiler makes of them; tests/house/page_reference.sh compares the page with what this prints. */
#include "compiler/pipeline.h"
#include "rondo.h"
#include "tools/graphs/layer.h"
#include "tools/graphs/leaves.h"
#include <stdio.h>
#include <string.h>

enum { WIDTH = 256, HEADS = 4, LENGTH = 1024 };

typedef struct costs {
    int64_t parameters;
    int64_t state_bytes, cache_bytes; /* of a sequence; of each of its tokens */
    double step, training;            /* flops of a token: decoding at position LENGTH; forward, of LENGTH */
    const char *problem;              /* NULL: none */
} costs;

static int64_t elements(const shape *s, const int64_t *bound)
{
    int64_t count = 1;
    for (int a = 0; a < s->rank; a++)
        count *= dim_value(s->dims[a], bound);
    return count;
}

static int64_t count_parameters(const rondo_graph *g)
{
    const int64_t ones[MAX_SYMBOLS] = {1, 1, 1, 1, 1, 1, 1, 1};
    int64_t count = 0;
    for (node_id id = 0; id < g->node_count; id++)
        if (g->nodes[id].op == OP_parameter && !g->nodes[id].attributes[parameter_frozen].integer)
            count += elements(graph_shape_of(g, g->nodes[id].first_output), ones);
    return count;
}

static bool flops_of(rondo_graph *g, const extent *extents, int count, double *flops, rondo_error *error)
{
    int64_t bound[MAX_SYMBOLS];
    program *p = program_new(g, NULL, error);
    const specialisation *s = NULL;
    if (p) {
        extents_bind(p->graph, extents, count, bound);
        s = program_specialise(p, bound, error);
    }
    *flops = s ? s->flops : 0;
    program_free(p);
    return s != NULL;
}

/* A carried state has one size, a cache grows. The position is neither. */
static void count_state(const rondo_graph *g, costs *out)
{
    const extent one[] = {{"B", 1}, {STEP_SYMBOL, 1}, {CAPACITY_SYMBOL, 1}};
    int64_t bound[MAX_SYMBOLS];
    extents_bind(g, one, 3, bound);
    for (int i = 0; i < g->port_count; i++) {
        const value *v = &g->values[g->ports[i].in];
        int64_t bytes = 4 * elements(&v->shape, bound);
        if (g->ports[i].kind == PORT_APPEND)
            out->cache_bytes += bytes;
        else if (g->ports[i].kind == PORT_CARRY && v->type == RONDO_F32)
            out->state_bytes += bytes;
    }
}

static bool measure_decoder(rondo *context, const mixer *m, costs *out, rondo_error *error)
{
    const extent step[] = {{"B", 1}, {STEP_SYMBOL, 1}, {CAPACITY_SYMBOL, LENGTH}},
                 whole[] = {{"B", 1}, {"T", LENGTH}};
    staged stages = {0};
    layer l;
    *out = (costs){0};
    if (!layer_build(context, m, PLACE_DECODER, WIDTH, HEADS, false, &l, error))
        return false;
    out->parameters = count_parameters(l.graph);
    bool good = pipeline_decode(l.y, "T", NULL, &stages, error);
    if (good)
        count_state(stages.step, out);
    good = good && flops_of(stages.step, step, 3, &out->step, error);
    stages.step = NULL; /* the program took it */
    staged_free(&stages);
    good = good && flops_of(pipeline_forward(l.y, "y", NULL, error), whole, 2, &out->training, error);
    out->training /= LENGTH;
    rondo_graph_free(l.graph);
    return good;
}

static void print_number(double number)
{
    char digits[32];
    snprintf(digits, sizeof digits, "%.0f", number);
    int length = (int)strlen(digits);
    for (int i = 0; i < length; i++)
        printf("%s%c", i && (length - i) % 3 == 0 ? "," : "", digits[i]);
}

static void print_row(const mixer *m, const costs *c)
{
    const bool fits[] = {m->encoder, m->decoder, m->cross};
    const char *const places[] = {"encoder", "decoder", "cross"};
    printf("| `%s` | ", m->name);
    for (int i = 0, said = 0; i < 3; i++)
        if (fits[i])
            printf("%s%s", said++ ? ", " : "", places[i]);
    printf(" | ");
    if (!m->decoder) {
        printf("– | – | – | – |");
    } else {
        print_number((double)c->parameters);
        printf(" | ");
        print_number((double)c->state_bytes);
        if (c->cache_bytes) {
            printf(" + ");
            print_number((double)c->cache_bytes);
            printf(" · t");
        }
        printf(" | ");
        print_number(c->step);
        printf(" | ");
        print_number(c->training);
        printf(" |");
    }
    printf(" %s |\n", m->meaning);
}

static const char introduction[] =
    "# Mixers\n"
    "\n"
    "The mechanisms that can take the place of attention, by `--decoder-self NAME`, `--encoder-self NAME`\n"
    "and `--cross NAME`. Each is one file in `models/mixers/` and written in the parallel form of its\n"
    "paper; the compiler derives the training form, the decoder and the numbers below.\n"
    "[WRITING_MIXERS.md](WRITING_MIXERS.md) shows how to add one. Some take a number after the name, such\n"
    "as `memsizer:16`.\n"
    "\n"
    "The numbers are those of one layer as decoder self-attention, of width %d with %d heads: trained\n"
    "parameters; bytes of state per sequence while decoding (t: tokens so far); flops of matrix products\n"
    "and recurrences per token, decoding at position %d and in the forward pass of training at length %d.\n"
    "The gradients cost twice as much again.\n"
    "\n";

int main(void)
{
    rondo *context = rondo_new(1);
    rondo_error error = {0};
    printf(introduction, WIDTH, HEADS, LENGTH, LENGTH);
    puts("| mixer | used as | parameters | state, bytes | flops per token, decoding | training | what it is "
         "|");
    printf("| --- | --- | --- | --- | --- | --- | --- |\n");
    for (const mixer *m = mixers; m->name; m++) {
        costs c = {0};
        mixer found;
        if (!mixer_find(context, m->name, &found, &error) ||
            (m->decoder && !measure_decoder(context, &found, &c, &error))) {
            fprintf(stderr, "%s: %s\n", m->name, error.message);
            return 1;
        }
        print_row(m, &c);
    }
    printf("\nWhy some are restricted to the decoder:\n\n");
    for (const mixer *m = mixers; m->name; m++)
        if (m->otherwise)
            printf("- `%s`: %s\n", m->name, m->otherwise);
    rondo_free(context);
    return 0;
}
