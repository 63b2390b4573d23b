/* `fused`: a chain of elementwise ops in one node. Made by the fuse pass after differentiation, so it has no
 * gradient. */
#include "ops/families/fused.h"
#include "ops/infer.h"
#include "ops/reference.h"
#include "ops/rules.h"
#include <string.h>

static int fused_takes(int op)
{
    bool fits = op >= 0 && op != OP_cast && (op_table[op].flags & OP_ELEMENTWISE);
    return fits ? op_table[op].signature.max_inputs : 0;
}

/* A number without sign, point or leading zeros of at most three digits; −1: something else. */
static int fused_index(const char *word, size_t length)
{
    int index = 0;
    if (length < 1 || length > 3)
        return -1;
    for (size_t i = 0; i < length; i++) {
        if (word[i] < '0' || word[i] > '9')
            return -1;
        index = index * 10 + (word[i] - '0');
    }
    return index;
}

fused_token fused_next(const char **at)
{
    const char *word = *at;
    size_t length = strcspn(word, " ");
    fused_token token = {.kind = FUSED_WRONG, .index = -1};
    const char *end = word + length;
    *at = *end ? end + 1 : end;
    if (!length)
        token.kind = *word ? FUSED_WRONG : FUSED_END;
    else if (*word == '.' && length == 1)
        token.kind = FUSED_DROP;
    else if (*word == '#') {
        const char *stop;
        if (parse_number(word + 1, &stop, &token.number) && stop == end)
            token.kind = FUSED_NUMBER;
    } else if (*word == '=' && (token.index = fused_index(word + 1, length - 1)) >= 0)
        token.kind = FUSED_STORE;
    else if ((token.index = fused_index(word, length)) >= 0)
        token.kind = FUSED_OPERAND;
    else if (length < 32) {
        char name[32] = {0};
        memcpy(name, word, length);
        token.index = op_find(name);
        token.takes = fused_takes(token.index);
        token.kind = token.takes ? FUSED_OP : FUSED_WRONG;
    }
    return token;
}

/* The effect of a token on the depth of the stack and the number of results; false: it is not valid there. */
static bool fused_fits(fused_token token, int operands, int *depth, int *results)
{
    switch (token.kind) {
    case FUSED_OPERAND:
        return token.index < operands && (*depth)++ < FUSED_DEPTH;
    case FUSED_NUMBER:
        return (*depth)++ < FUSED_DEPTH;
    case FUSED_OP:
        if (*depth < token.takes)
            return false;
        *depth -= token.takes - 1;
        return true;
    case FUSED_STORE:
        return *depth > 0 && token.index == (*results)++ && *results <= MAX_FUSED;
    case FUSED_DROP:
        return (*depth)-- > 0;
    default:
        return false;
    }
}

bool infer_fused(rondo_graph *g, node *n, value *outputs)
{
    int64_t name = n->attributes[fused_program].integer;
    if (name < 0 || name >= g->name_count)
        return infer_fail(g, "fused: its program is not in the graph");
    shape s = {0};
    for (int i = 0; i < n->input_count; i++) {
        const value *x = infer_operand(g, n, i, RONDO_F32);
        if (!x)
            return false;
        if (!shape_broadcast(&s, &x->shape, &s))
            return infer_fail(g, "fused: operand %d, %s, does not fit %s", i, shape_words(g, &x->shape),
                              shape_words(g, &s));
    }
    int depth = 0, results = 0;
    const char *at = g->names[name];
    for (fused_token token = fused_next(&at); token.kind != FUSED_END; token = fused_next(&at))
        if (!fused_fits(token, n->input_count, &depth, &results))
            return infer_fail(g, "fused: \"%s\" goes wrong before \"%s\"", g->names[name], at);
    if (!results)
        return infer_fail(g, "fused: \"%s\" stores nothing", g->names[name]);
    n->output_count = results;
    for (int p = 0; p < results; p++)
        infer_result(&outputs[p], RONDO_F32, &s);
    return true;
}

/* ---- reference ---- */

static void reference_program(const reference_call *call, const char *program, const int64_t *index,
                              int64_t element)
{
    double stack[FUSED_DEPTH] = {0};
    int depth = 0;
    const char *at = program;
    for (fused_token token = fused_next(&at); token.kind != FUSED_END; token = fused_next(&at)) {
        const reference_tensor *x = token.kind == FUSED_OPERAND ? &call->inputs[token.index] : NULL;
        switch (token.kind) {
        case FUSED_OPERAND:
            stack[depth++] = x->data[reference_offset(x, index, call->outputs[0].rank)];
            break;
        case FUSED_NUMBER:
            stack[depth++] = token.number;
            break;
        case FUSED_OP:
            depth -= token.takes - 1;
            stack[depth - 1] = reference_elementwise(token.index, &stack[depth - 1]);
            break;
        case FUSED_STORE:
            call->outputs[token.index].data[element] = stack[depth - 1];
            break;
        default:
            depth--;
        }
    }
}

bool reference_fused(const reference_call *call)
{
    const reference_tensor *y = &call->outputs[0];
    const char *program = call->graph->names[call->attributes[fused_program].integer];
    int64_t index[MAX_RANK] = {0};
    for (int64_t i = 0; i < y->count; i++, reference_next(index, y->dims, y->rank))
        reference_program(call, program, index, i);
    return true;
}

/* ---- samples ---- */

value_id samples_fused(rondo_graph *g, sampler *s, int index)
{
    static const struct {
        const char *program;
        int count;
        struct {
            int rank;
            int64_t dims[4];
        } inputs[4];
    } cases[] = {
        {"0 1 mul #2 add =0", 2, {{1, {7}}, {1, {7}}}},
        {"0 tanh =0 0 exp =1 . .", 1, {{2, {3, 5}}}},
        {"0 1 add 2 mul silu 3 sub =0", 4, {{3, {2, 3, 37}}, {1, {37}}, {3, {2, 1, 1}}, {0, {0}}}},
        {"0 1 less 0 1 neg select =0 #0.5 mul =1 gelu =2", 2, {{2, {5, 1031}}, {2, {5, 1}}}},
        {"0 0 mul 1 1 mul add sqrt =0", 2, {{2, {0, 3}}, {1, {3}}}},
        {"0 =0", 1, {{0, {0}}}},
    };
    if (index >= (int)(sizeof cases / sizeof *cases))
        return NONE;
    value_id inputs[4];
    for (int i = 0; i < cases[index].count; i++)
        inputs[i] = sample_input(g, s, 0.1, 2, cases[index].inputs[i].rank, cases[index].inputs[i].dims);
    attribute attributes[MAX_ATTRIBUTES] = {{.integer = graph_name(g, cases[index].program)}};
    return build_node(g, OP_fused, cases[index].count, inputs, attributes);
}
