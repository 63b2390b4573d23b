/* ops/kernels/elementwise_program.h. */
#include "ops/kernels/elementwise_program.h"
#include "ops/families/fused.h"
#include "ops/op.h"
#include "ops/reference.h"
#include <string.h>

/* Codes of ops, 0 where there is none; ops of codes; how many operands a code takes. */
#define ELEMENTWISE(name, ...) [OP_##name] = CODE_##name,
#define INNER(...)
static const uint8_t code_of[OP_COUNT] = {
#include "ops/vector/elementwise.def"
};
#undef ELEMENTWISE
#define ELEMENTWISE(name, ...) [CODE_##name] = OP_##name,
static const uint8_t op_of[CODE_COUNT] = {
#include "ops/vector/elementwise.def"
};
#undef ELEMENTWISE
#undef INNER
#define ELEMENTWISE(name, operands, ...) [CODE_##name] = operands,
#define INNER                            ELEMENTWISE
static const uint8_t operands_of[CODE_COUNT] = {
#include "ops/vector/elementwise.def"
};
#undef ELEMENTWISE
#undef INNER

/* ---- text → bytes ---- */

static bool put(elementwise_bytes *b, int byte)
{
    if (b->count >= MAX_BYTES)
        return false;
    b->bytes[b->count++] = (uint8_t)byte;
    return true;
}

static bool put_number(elementwise_bytes *b, double number)
{
    float single = (float)number;
    if (!put(b, BYTE_NUMBER) || b->count + (int)sizeof single > MAX_BYTES)
        return false;
    memcpy(&b->bytes[b->count], &single, sizeof single);
    b->count += (int)sizeof single;
    return true;
}

/* Ops that only matter to passes leave their operand on the stack. */
static bool put_op(elementwise_bytes *b, int op)
{
    return op == OP_stop_gradient || op == OP_watch || (code_of[op] && put(b, BYTE_CODE + code_of[op]));
}

static bool put_token(elementwise_bytes *b, fused_token token)
{
    switch (token.kind) {
    case FUSED_OPERAND:
        return put(b, token.index);
    case FUSED_NUMBER:
        return put_number(b, token.number);
    case FUSED_OP:
        return put_op(b, token.index);
    case FUSED_STORE:
        return put(b, BYTE_STORE + token.index);
    case FUSED_DROP:
        return put(b, BYTE_DROP);
    default:
        return false;
    }
}

bool elementwise_encode(const kernel_call *call, elementwise_bytes *b)
{
    b->count = 0;
    if (!call->program) {
        for (int i = 0; i < call->input_count; i++)
            if (!put(b, i))
                return false;
        return put_op(b, call->op) && put(b, BYTE_STORE);
    }
    const char *at = call->program;
    for (fused_token token = fused_next(&at); token.kind != FUSED_END; token = fused_next(&at))
        if (!put_token(b, token))
            return false;
    return true;
}

/* ---- bytes → steps ---- */

typedef struct compiler {
    const kernel_call *call;
    const elementwise_bytes *bytes;
    int at; /* the next byte */
    elementwise_program *program;
    uint8_t stack[FUSED_DEPTH + 1];
    int depth;
    bool used[MAX_TEMPORARIES];
} compiler;

static bool is_temporary(int slot)
{
    return slot >= SLOT_TEMPORARY;
}

static void release(compiler *c, int slot)
{
    if (is_temporary(slot))
        c->used[slot - SLOT_TEMPORARY] = false;
}

static int acquire(compiler *c)
{
    for (int i = 0; i < MAX_TEMPORARIES; i++)
        if (!c->used[i]) {
            c->used[i] = true;
            if (i >= c->program->temporary_count)
                c->program->temporary_count = i + 1;
            return SLOT_TEMPORARY + i;
        }
    return -1;
}

static bool push(compiler *c, int slot)
{
    if (c->depth > FUSED_DEPTH || slot < 0)
        return false;
    c->stack[c->depth++] = (uint8_t)slot;
    return true;
}

static bool push_number(compiler *c)
{
    elementwise_program *p = c->program;
    float number;
    memcpy(&number, &c->bytes->bytes[c->at], sizeof number);
    c->at += (int)sizeof number;
    int i = 0;
    while (i < p->number_count && memcmp(&p->numbers[i], &number, sizeof number))
        i++;
    if (i == MAX_NUMBERS)
        return false;
    p->numbers[i] = number;
    if (i == p->number_count)
        p->number_count++;
    return push(c, SLOT_NUMBER + i);
}

static bool emit(compiler *c, elementwise_step step)
{
    if (c->program->step_count == MAX_STEPS)
        return false;
    c->program->steps[c->program->step_count++] = step;
    return true;
}

/* A product that only this sum or difference reads is merged into it. */
static bool joins_product(compiler *c, elementwise_step *step)
{
    elementwise_program *p = c->program;
    elementwise_step *last = p->step_count ? &p->steps[p->step_count - 1] : NULL;
    if (!last || last->code != CODE_mul || !is_temporary(last->result) ||
        (step->code != CODE_add && step->code != CODE_sub))
        return false;
    bool first = step->a == last->result, second = step->b == last->result;
    if (first == second)
        return false;
    step->code = step->code == CODE_add ? CODE_multiply_add
                 : first                ? CODE_multiply_subtract
                                        : CODE_subtract_product;
    step->c = first ? step->b : step->a;
    step->a = last->a;
    step->b = last->b;
    p->step_count--;
    return true;
}

static bool apply(compiler *c, int code)
{
    int takes = operands_of[code];
    if (c->depth < takes)
        return false;
    const uint8_t *operands = &c->stack[c->depth - takes];
    elementwise_step step = {(uint8_t)code, operands[0], takes > 1 ? operands[1] : 0,
                             takes > 2 ? operands[2] : 0, 0};
    for (int i = 0; i < takes; i++)
        release(c, operands[i]);
    c->depth -= takes;
    joins_product(c, &step);
    int result = acquire(c); /* may be an operand's: a step reads before it writes */
    if (result < 0)
        return false;
    step.result = (uint8_t)result;
    return emit(c, step) && push(c, result);
}

/* Whether a byte from c->at on reads an operand that shares memory with result k. */
static bool read_later(const compiler *c, int k)
{
    const kernel_call *call = c->call;
    for (int i = c->at; i < c->bytes->count; i++) {
        int byte = c->bytes->bytes[i];
        if (byte == BYTE_NUMBER)
            i += (int)sizeof(float);
        else if (byte < call->input_count && call->inputs[byte].data == call->outputs[k].data)
            return true;
    }
    return false;
}

/* The last step writes to the result directly where that is safe; else the result is copied. */
static bool store(compiler *c, int k)
{
    elementwise_program *p = c->program;
    if (!c->depth || k >= c->call->output_count)
        return false;
    int top = c->stack[c->depth - 1];
    p->late[k] = read_later(c, k);
    elementwise_step *last = p->step_count ? &p->steps[p->step_count - 1] : NULL;
    if (!last || last->result != top || !is_temporary(top))
        return emit(c, (elementwise_step){CODE_copy, (uint8_t)top, 0, 0, (uint8_t)(SLOT_RESULT + k)});
    last->result = (uint8_t)(SLOT_RESULT + k);
    release(c, top);
    c->stack[c->depth - 1] = last->result;
    return true;
}

bool elementwise_compile(const kernel_call *call, const elementwise_bytes *b, elementwise_program *p)
{
    compiler c = {.call = call, .bytes = b, .program = p};
    p->step_count = p->number_count = p->temporary_count = 0;
    memset(p->late, 0, sizeof p->late);
    bool good = true;
    while (good && c.at < b->count) {
        int byte = b->bytes[c.at++];
        if (byte < BYTE_NUMBER)
            good = byte < call->input_count && push(&c, SLOT_OPERAND + byte);
        else if (byte == BYTE_NUMBER)
            good = push_number(&c);
        else if (byte == BYTE_DROP) {
            good = c.depth > 0;
            if (good)
                release(&c, c.stack[--c.depth]);
        } else
            good = byte < BYTE_CODE ? store(&c, byte - BYTE_STORE) : apply(&c, byte - BYTE_CODE);
    }
    return good;
}

/* ---- one element ---- */

void elementwise_number(const elementwise_bytes *b, const double *values, double *results)
{
    double stack[FUSED_DEPTH + 3] = {0};
    int depth = 0;
    for (int at = 0; at < b->count;) {
        int byte = b->bytes[at++];
        if (byte < BYTE_NUMBER)
            stack[depth++] = values[byte];
        else if (byte == BYTE_NUMBER) {
            float number;
            memcpy(&number, &b->bytes[at], sizeof number);
            at += (int)sizeof number;
            stack[depth++] = number;
        } else if (byte == BYTE_DROP)
            depth--;
        else if (byte < BYTE_CODE)
            results[byte - BYTE_STORE] = stack[depth - 1];
        else {
            depth -= operands_of[byte - BYTE_CODE] - 1;
            stack[depth - 1] = reference_elementwise(op_of[byte - BYTE_CODE], &stack[depth - 1]);
        }
    }
}
