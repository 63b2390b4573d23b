/* Nodes that differ only in an attribute stay different, also when they collide in the hash table, as some of
 * thousands do. */
#include "core/graph.h"
#include <criterion/criterion.h>

enum { NODES = 5000 };

static value_id slice(rondo_graph *g, value_id x, int64_t start)
{
    attribute attributes[MAX_ATTRIBUTES] = {{.integer = 0}, {.integer = start}, {.integer = 1}};
    return graph_add(g, graph_find_op(g, "slice"), &x, 1, attributes);
}

Test(unequal_nodes, stay_apart_wherever_they_meet)
{
    rondo *context = rondo_new(1);
    rondo_graph *g = rondo_graph_new(context, NULL);
    value_id x = rondo_input(g, "x", "f32[%d]", NODES).id;
    for (int i = 0; i < NODES; i++)
        cr_assert_eq(slice(g, x, i), x + 1 + i, "slice %d became another", i);
    for (int i = 0; i < NODES; i++)
        cr_assert_eq(slice(g, x, i), x + 1 + i, "slice %d was not found again", i);
    cr_assert(rondo_graph_check(g, NULL));
    rondo_graph_free(g);
    rondo_free(context);
}
