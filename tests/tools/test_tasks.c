/* The table of tasks: each row is a value of --type, and its reader, batches and model fit each other. */
#include "tools/tasks/task.h"
#include "tools/data/batches.h"
#include <criterion/criterion.h>
#include <string.h>

Test(tasks, their_names_are_the_values_of_type)
{
    char names[256] = "";
    const char *near;
    for (const task *t = tasks; t->name; t++) {
        options o = {.type = t->name};
        cr_expect(task_of(&o) == t, "%s", t->name);
        cr_expect(command_find(t->command, &near) >= 0, "%s: there is no command %s", t->name, t->command);
        cr_expect(t->meaning[0] && t->files >= 1);
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", names[0] ? "|" : "", t->name);
    }
    cr_expect_str_eq(option_rows[OPTION_type].shape, names);
    cr_expect_str_eq(option_rows[OPTION_type].initial, tasks->name);
}

/* The input of the graph with this name; NULL: none. */
static const value *input_of(const rondo_graph *g, const char *name)
{
    for (node_id id = 0; id < g->node_count; id++)
        if (g->nodes[id].op == OP_input &&
            !strcmp(g->names[g->nodes[id].attributes[input_name].integer], name))
            return &g->values[g->nodes[id].first_output];
    return NULL;
}

/* All but the seed of dropout, which the trainer sets. */
static int count_inputs(const rondo_graph *g)
{
    int count = 0;
    for (node_id id = 0; id < g->node_count; id++)
        count += g->nodes[id].op == OP_input;
    return count - (input_of(g, "dropout.seed") != NULL);
}

Test(tasks, a_batch_has_what_the_model_reads)
{
    rondo *context = rondo_new(1);
    for (const task *t = tasks; t->name; t++) {
        arena a;
        options o;
        rondo_error error = {0};
        transformer_graph model;
        int32_t ids[6] = {4, 4, 4, 4, 4, 4};
        const batch b = {2, 3, 3, ids, ids, ids, ids, ids, ids, 6, 6};
        rondo_tensor inputs[TASK_INPUTS];
        arena_begin(&a, NULL);
        cr_assert(options_begin(&o, &a, COMMAND_TRAIN, &error) &&
                  options_set(&o, "type", t->name, FROM_PRESET, &error));
        cr_assert(t->build(context, &o, 20, &model, &error), "%s: %s", t->name, error.message);
        int count = t->inputs(&b, inputs);
        cr_expect(count <= TASK_INPUTS && count == count_inputs(model.graph), "%s: %d inputs", t->name,
                  count);
        for (int i = 0; i < count; i++) {
            const value *v = input_of(model.graph, inputs[i].name);
            cr_expect(v && v->type == inputs[i].type && v->shape.rank == inputs[i].rank, "%s: %s", t->name,
                      inputs[i].name);
        }
        rondo_graph_free(model.graph);
        arena_end(&a);
    }
    rondo_free(context);
}
