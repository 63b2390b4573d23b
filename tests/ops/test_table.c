/* Every row of the op table against its own columns; new rows need no test of their own. */
#include "harness.h"
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <criterion/alloc.h>

/* One test of each kind for each row. The memory is Criterion's, because each test is a process of its
 * own. */
#define FOR_EVERY_OP(suite, test)                                                                            \
    ParameterizedTestParameters(suite, test)                                                                 \
    {                                                                                                        \
        int *every_op = cr_malloc(sizeof(int) * OP_COUNT);                                                   \
        for (int op = 0; op < OP_COUNT; op++)                                                                \
            every_op[op] = op;                                                                               \
        return cr_make_param_array(int, every_op, OP_COUNT);                                                 \
    }                                                                                                        \
    ParameterizedTest(int *parameter, suite, test)

static const char *op_name(int op)
{
    return op_table[op].signature.name;
}

/* Leaves, which are bound, and ops that a pass replaces before a graph runs. */
static bool has_nothing_to_run(int op)
{
    return op_table[op].flags & (OP_LEAF | OP_EXPANDED);
}

/* Opens sample `index`, or reports why it cannot; false past the last. */
static bool next_sample(int op, int index, op_sample *s)
{
    enum sample_state state = op_table[op].samples ? sample_open(s, (op_id)op, index) : SAMPLE_PAST;
    cr_assert(state != SAMPLE_BROKEN, "%s: %s", op_name(op), harness_message());
    return state == SAMPLE_OPEN;
}

FOR_EVERY_OP(op, has_what_its_tests_need)
{
    int op = *parameter; /* a program runs loops itself: tests/compiler/test_loop.c */
    if (has_nothing_to_run(op))
        return;
    cr_expect(op_table[op].signature.infer, "%s has no infer rule", op_name(op));
    cr_expect(op_table[op].reference, "%s has no reference", op_name(op));
    cr_expect(op_table[op].samples, "%s has no samples", op_name(op));
    cr_expect(op_table[op].kernels[0] || op == OP_loop, "%s has no kernel", op_name(op));
    cr_expect(op_table[op].form && op_table[op].step, "%s lacks a form or step rule", op_name(op));
    op_sample s;
    int count = 0;
    while (next_sample(op, count, &s)) {
        sample_close(&s);
        count++;
    }
    cr_expect_geq(count, 3, "%s has only %d samples", op_name(op), count);
}

FOR_EVERY_OP(op, samples_pass_the_verifier_and_the_text_form)
{
    op_sample s;
    for (int index = 0; next_sample(*parameter, index, &s); index++) {
        rondo_error error = {0};
        text t = {.arena = &s.numbers};
        cr_expect(graph_add_output(s.graph, "y", s.result));
        cr_expect(graph_verify(s.graph, &error), "%s, sample %d: %s", op_name(*parameter), index,
                  error.message);
        graph_print(s.graph, &t);
        const char *words = text_done(&t);
        cr_assert(words);
        rondo_graph *again = graph_parse(s.context, words, "sample", &error);
        cr_expect(again && graph_same(s.graph, again), "%s, sample %d does not come back from\n%s\n%s",
                  op_name(*parameter), index, words, error.message);
        graph_free(again);
        sample_close(&s);
    }
}

static void check_candidates(int op, int index, tensor_layout layout)
{
    op_sample s;
    interpretation values;
    int taken = 0;
    cr_assert(next_sample(op, index, &s));
    if (layout == LAYOUT_REPEATED)
        sample_repeat(&s);
    const char *wrong = sample_interpret(&s, &values);
    cr_assert(!wrong, "%s, sample %d: %s", op_name(op), index, wrong);
    for (const kernel *const *k = op_table[op].kernels; *k; k++) {
        bool ran;
        wrong = check_kernel(&s, *k, &values, layout, &ran);
        cr_expect(!wrong, "%s, sample %d, %s: %s", op_name(op), index, layout_names[layout], wrong);
        taken += ran;
    }
    cr_expect(taken || layout_is_optional(layout), "%s, sample %d, %s: no kernel takes it", op_name(op),
              index, layout_names[layout]);
    interpret_end(&values);
    sample_close(&s);
}

FOR_EVERY_OP(op, kernels_agree_with_the_reference)
{
    op_sample s;
    for (int index = 0; op_table[*parameter].kernels[0] && next_sample(*parameter, index, &s); index++) {
        sample_close(&s);
        for (int layout = 0; layout < LAYOUT_COUNT; layout++)
            check_candidates(*parameter, index, (tensor_layout)layout);
    }
}

FOR_EVERY_OP(op, gradient_agrees_with_differences)
{
    op_sample s;
    if (!op_table[*parameter].vjp)
        return;
    for (int index = 0; next_sample(*parameter, index, &s); index++) {
        sample_close(&s);
        const char *wrong = check_gradient((op_id)*parameter, index);
        cr_expect(!wrong, "%s, sample %d: %s", op_name(*parameter), index, wrong);
    }
}
