/* Wisdom: the key of a call, reading the file, and that the kernels it names run. */
#include "compiler/program/program.h"
#include "compiler/program/wisdom.h"
#include "ops/build.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static rondo_error problem;
static char path[64];

static rondo *context_with(const char *content)
{
    snprintf(path, sizeof path, "/tmp/rondo-wisdom-%d", (int)getpid());
    FILE *file = fopen(path, "w");
    fputs(content, file);
    fclose(file);
    problem = (rondo_error){0};
    return rondo_new(1, .wisdom = path);
}

static program *softmax_program(rondo *context)
{
    rondo_graph *g = rondo_graph_new(context, &problem);
    rondo_output(rondo_softmax(rondo_input(g, "x", "f32[B,7]")), "y");
    return program_new(g, NULL, &problem);
}

static const char *kernel_that_runs(program *p)
{
    const int64_t bound[MAX_SYMBOLS] = {5};
    const specialisation *s = program_specialise(p, bound, &problem);
    return s && s->call_count == 1 ? s->calls[0].kernel->name : "none";
}

Test(wisdom, key_says_extents_flags_and_absent_operands)
{
    char key[WISDOM_KEY_BYTES], data;
    attribute attributes[MAX_ATTRIBUTES] = {{.integer = 0}, {.integer = 1}, {.integer = 2}};
    tensor inputs[4] = {{.data = &data, .rank = 2, .dims = {20, 30}},
                        {.data = &data, .rank = 2, .dims = {8, 30}},
                        {.data = NULL},
                        {.data = &data, .rank = 1, .dims = {8}}};
    kernel_call call = {.op = OP_matmul, .attributes = attributes, .input_count = 4, .inputs = inputs};
    cr_assert(wisdom_key(&call, key));
    cr_expect_str_eq(key, "20x30,8x30,_,8;0,1,2");
}

Test(wisdom, first_candidate_without_it)
{
    rondo *context = rondo_new(1);
    program *p = softmax_program(context);
    cr_assert(p, "%s", problem.message);
    cr_expect_str_eq(kernel_that_runs(p), op_table[OP_softmax].kernels[0]->name);
    program_free(p);
    rondo_free(context);
}

Test(wisdom, chosen_kernel_runs_at_its_shape_only)
{
    char content[128];
    const char *other = op_table[OP_softmax].kernels[1]->name;
    snprintf(content, sizeof content, WISDOM_HEADER "\n\n# said by hand\nsoftmax 5x7 %s\r\n", other);
    rondo *context = context_with(content);
    program *p = softmax_program(context);
    cr_assert(p, "%s", problem.message);
    cr_expect_str_eq(kernel_that_runs(p), other);
    const specialisation *s = program_specialise(p, (const int64_t[MAX_SYMBOLS]){6}, &problem);
    cr_expect_str_eq(s->calls[0].kernel->name, op_table[OP_softmax].kernels[0]->name);
    program_free(p);
    rondo_free(context);
    unlink(path);
}

static void refused(const char *content, rondo_code code, const char *saying)
{
    rondo *context = context_with(content);
    cr_expect(!softmax_program(context));
    cr_expect(problem.code == code && strstr(problem.message, saying), "'%s' does not say '%s'",
              problem.message, saying);
    rondo_free(context);
    unlink(path);
}

Test(wisdom, damaged_files_are_refused_with_their_line)
{
    refused("", RONDO_FILE, "first line");
    refused("# rondo wisdom 2\n", RONDO_FILE, "first line");
    refused(WISDOM_HEADER "\nsoftmin 5x7 softmax\n", RONDO_FILE, "line 2: there is no op softmin");
    refused(WISDOM_HEADER "\n\nsoftmax 5x7 fastest\n", RONDO_FILE,
            "line 3: this version has no such kernel: fastest");
    refused(WISDOM_HEADER "\nsoftmax 5x7\n", RONDO_FILE, "line 2: not of the form");
}

/* The wisdom in a checkpoint may come from another version; a file of the machine may not. */
Test(wisdom, choices_that_are_gone_can_be_left_out)
{
    arena a;
    int missing = 0;
    char content[200];
    arena_begin(&a, NULL);
    problem = (rondo_error){0};
    snprintf(content, sizeof content,
             WISDOM_HEADER "\nsoftmin 5x7 softmax\nsoftmax 5x7 fastest\nsoftmax 5x7 %s\n",
             op_table[OP_softmax].kernels[0]->name);
    const struct wisdom *w = wisdom_read(&a, content, "here", &missing, &problem);
    cr_assert(w, "%s", problem.message);
    cr_expect_eq(missing, 2);
    cr_expect(w->count == 1 && w->choices[0].kernel == op_table[OP_softmax].kernels[0]);
    snprintf(content, sizeof content, WISDOM_HEADER "\nsoftmax\n");
    cr_expect_null(wisdom_read(&a, content, "here", &missing, &problem));
    cr_expect(strstr(problem.message, "here line 2: "), "%s", problem.message);
    arena_end(&a);
}

Test(wisdom, missing_file_is_an_error)
{
    rondo *context = rondo_new(1, .wisdom = "/tmp/there/is/no/wisdom");
    problem = (rondo_error){0};
    cr_expect(!softmax_program(context));
    cr_expect(problem.code == RONDO_IO, "%s", problem.message);
    rondo_free(context);
}

/* options.kernel_choice pins the k-th candidate; where there are fewer, the last that applies. */
Test(wisdom, candidates_can_be_pinned)
{
    rondo *context = rondo_new(1);
    for (int k = 0; k < 4; k++) {
        const program_options pinned = {.kernel_choice = k};
        program *plain = softmax_program(context);
        program *p = program_new(graph_clean(plain->graph, NULL, &problem), &pinned, &problem);
        cr_expect_str_eq(kernel_that_runs(p), op_table[OP_softmax].kernels[k < 1 ? 0 : 1]->name,
                         "candidate %d", k);
        program_free(p);
        program_free(plain);
    }
    rondo_free(context);
}
