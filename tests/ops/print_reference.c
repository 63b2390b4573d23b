/* Prints docs/OPS.md: the op table as a page. Everything on it comes from ops/ops.def;
 * tests/house/page_reference.sh compares the page with the output. */
#include "ops/op.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The names of the form and step rules, which the table holds as addresses. */
typedef struct rule_names {
    const char *form, *step;
} rule_names;
#define OP(name, operands, results, flags, fields, infer, vjp, form, step, ...) [OP_##name] = {#form, #step},
static const rule_names rules[OP_COUNT] = {
#include "ops/ops.def"
};
#undef OP

/* Not a flag of the table: the first result may take over the memory of the first operand. */
enum { IN_PLACE = 1 << 30 };

/* ---- cells ---- */

/* A bar would end the cell. */
static void print_text(const char *text)
{
    for (; *text; text++)
        printf(*text == '|' ? "\\|" : "%c", *text);
}

static void print_operands(const op_signature *s)
{
    if (s->min_inputs == s->max_inputs)
        printf("%d", s->min_inputs);
    else
        printf("%d–%d", s->min_inputs, s->max_inputs);
}

static void print_attributes(const op_signature *s)
{
    static const char *const kinds[] = {
        [ATTRIBUTE_INTEGER] = "integer", [ATTRIBUTE_REAL] = "real",   [ATTRIBUTE_DIMS] = "dims",
        [ATTRIBUTE_NAME] = "text",       [ATTRIBUTE_ORDER] = "order", [ATTRIBUTE_TYPE] = "type"};
    for (const attribute_field *f = s->fields; f->kind != ATTRIBUTE_END; f++) {
        printf("%s`%s`", f == s->fields ? "" : ", ", f->name);
        if (f->kind == ATTRIBUTE_TYPE && !isnan(f->initial))
            printf(" = %s", type_name((rondo_type)f->initial));
        else if (f->kind != ATTRIBUTE_FLAG && isnan(f->initial))
            printf(" %s", kinds[f->kind]);
        else if (f->kind != ATTRIBUTE_FLAG)
            printf(f->initial == (double)NO_ID ? " = none" : " = %g", f->initial);
    }
}

static void print_flags(const op_row *row)
{
    static const struct {
        unsigned flag;
        const char *word;
    } words[] = {{OP_ELEMENTWISE, "elementwise"}, {OP_COMMUTATIVE, "commutative"},
                 {IN_PLACE, "in place"},          {OP_VIEW, "view"},
                 {OP_RANDOM, "random"},           {OP_NAMED, "named"},
                 {OP_TRAINING, "training"},       {OP_SELECTS, "selects"}};
    unsigned flags = row->flags | (row->in_place[0] == 1 ? IN_PLACE : 0);
    const char *between = "";
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (flags & words[i].flag) {
            printf("%s%s", between, words[i].word);
            between = ", ";
        }
}

/* form_matmul → matmul */
static const char *short_name(const char *rule)
{
    return strchr(rule, '_') ? strchr(rule, '_') + 1 : rule;
}

/* ---- tables ---- */

static void print_meanings(void)
{
    puts("| op | operands | results | attributes | meaning |\n| --- | --- | --- | --- | --- |");
    for (int op = 0; op < OP_COUNT; op++) {
        const op_row *row = &op_table[op];
        printf("| `%s` | ", row->signature.name);
        print_operands(&row->signature);
        printf(op == OP_fused ? " | 1–%d | " : " | %d | ", row->signature.output_count);
        print_attributes(&row->signature);
        printf(" | ");
        print_text(row->meaning);
        puts(" |");
    }
}

static void print_columns(void)
{
    puts("| op | gradient | form | step | kernels | flags |\n| --- | --- | --- | --- | --- | --- |");
    for (int op = 0; op < OP_COUNT; op++) {
        const op_row *row = &op_table[op];
        printf("| `%s` | %s | %s | %s | ", row->signature.name, row->vjp ? "yes" : "",
               short_name(rules[op].form), short_name(rules[op].step));
        for (int k = 0; row->kernels[k]; k++)
            printf("%s`%s`", k ? ", " : "", row->kernels[k]->name);
        printf(" | ");
        print_flags(row);
        puts(" |");
    }
}

static const char introduction[] =
    "# Ops\n"
    "\n"
    "Printed from `ops/ops.def` by `tests/ops/print_reference.c`; do not edit. [GRAPH.md](GRAPH.md) says\n"
    "how an op is written as text, `rondo_apply` calls any of them from C, and\n"
    "[ARCHITECTURE.md](ARCHITECTURE.md) says how one is added.\n"
    "\n"
    "## What they compute\n"
    "\n"
    "Operands beyond the smaller number may be absent. An attribute shown with a value has that default;\n"
    "one shown with a type must be written; one with neither is a flag. Axes count from 0, negative ones\n"
    "from the end.\n"
    "\n";

static const char columns[] =
    "\n"
    "## What the compiler knows about them\n"
    "\n"
    "**Gradient**: whether the op has a gradient rule; differentiating through an op without one is an\n"
    "error that names the op's line. **Form**: the rule by which a separable product over two time axes\n"
    "passes through (linearize); `ends`: the product ends there, with a reason. **Step**: the rule that\n"
    "makes the op advance P tokens (stream); `pointwise`: row by row, as it is; `refuse`: possible only if\n"
    "no operand depends on time. **Kernels**: the candidates, best first; the first that accepts the\n"
    "shapes is used. **Flags**: *elementwise*, may join a fused chain; *in place*, the first result may\n"
    "take over the memory of the first operand; *view*, strides on the operand's memory where strides can\n"
    "express it; *random*, removed for evaluation; *named*, never merged with an equal node; *training*,\n"
    "made by the compiler for training only; *selects*, a mask.\n"
    "\n";

int main(void)
{
    fputs(introduction, stdout);
    print_meanings();
    fputs(columns, stdout);
    print_columns();
    return fflush(stdout) || ferror(stdout);
}
