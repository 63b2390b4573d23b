/* ready_queue: a binary heap of the nodes that can run. */
#include "compiler/program/schedule_parts.h"

bool ready_begin(ready_queue *q, arena *scratch, int most)
{
    *q = (ready_queue){ARENA_NEW(scratch, ready_node, most + 1), 0};
    return q->nodes;
}

static bool is_before(const ready_queue *q, int a, int b)
{
    const ready_node *x = &q->nodes[a], *y = &q->nodes[b];
    return x->key != y->key ? x->key < y->key : x->id < y->id;
}

static void exchange(ready_queue *q, int a, int b)
{
    ready_node was = q->nodes[a];
    q->nodes[a] = q->nodes[b];
    q->nodes[b] = was;
}

void ready_add(ready_queue *q, int64_t key, node_id id)
{
    int at = q->count++;
    q->nodes[at] = (ready_node){key, id};
    for (; at > 0 && is_before(q, at, (at - 1) / 2); at = (at - 1) / 2)
        exchange(q, at, (at - 1) / 2);
}

node_id ready_take(ready_queue *q, int64_t *key)
{
    ready_node first = q->nodes[0];
    q->nodes[0] = q->nodes[--q->count];
    for (int at = 0, next; (next = 2 * at + 1) < q->count; at = next) {
        if (next + 1 < q->count && is_before(q, next + 1, next))
            next++;
        if (is_before(q, at, next))
            break;
        exchange(q, at, next);
    }
    if (key)
        *key = first.key;
    return first.id;
}
