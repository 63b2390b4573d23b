/* choices.h: choices are collected with their rank, sorted, and the best of each op and key is printed. */
#include "compiler/program/choices.h"
#include "compiler/program/wisdom.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* 0: chosen by wisdom; k + 1: the k-th candidate. Calls with the same key may differ in strides, and a
 * candidate may refuse one of them; the earliest candidate that was chosen is the one to try first again. */
typedef struct ranked {
    choice choice;
    int rank;
} ranked;

typedef struct collection {
    arena *arena;
    ranked *items;
    int count, capacity;
} collection;

static int compare(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    int order = choice_compare(&x->choice, &y->choice);
    return order ? order : x->rank - y->rank;
}

static bool collect(collection *c, choice found, int rank)
{
    if (!ARENA_PUSH(c->arena, c->items, c->count, c->capacity))
        return false;
    c->items[c->count++] = (ranked){found, rank};
    return true;
}

static int candidate_of(const kernel_call *call)
{
    int k = 0;
    while (op_table[call->op].kernels[k] != call->kernel)
        k++;
    return k;
}

static bool collect_calls(collection *c, const specialisation *s)
{
    for (int i = 0; i < s->call_count; i++) {
        char key[WISDOM_KEY_BYTES];
        const kernel_call *call = &s->calls[i];
        if (!op_table[call->op].kernels[0] || !op_table[call->op].kernels[1] ||
            !wisdom_key(call, key)) /* no choice, or none that wisdom makes */
            continue;
        const char *kept = arena_copy_text(c->arena, key, strlen(key));
        if (!kept || !collect(c, (choice){call->op, kept, call->kernel}, 1 + candidate_of(call)))
            return false;
    }
    return true;
}

static bool collect_program(collection *c, program *p)
{
    bool good = true;
    for (int i = 0; good && p->wisdom && i < p->wisdom->count; i++)
        good = collect(c, p->wisdom->choices[i], 0);
    pthread_mutex_lock(p->lock);
    for (const specialisation *s = p->specialisations; good && s; s = s->next)
        if (s->wisdom == p->wisdom)
            good = collect_calls(c, s);
    pthread_mutex_unlock(p->lock);
    for (node_id id = 0; good && id < p->graph->node_count; id++)
        good = !p->bodies[id] || collect_program(c, p->bodies[id]);
    return good;
}

void choices_print(text *t, program *const *programs, int count)
{
    arena scratch;
    arena_begin(&scratch, t->arena->allocator);
    collection c = {.arena = &scratch};
    bool good = true;
    text_add(t, WISDOM_HEADER "\n");
    for (int p = 0; good && p < count; p++)
        good = !programs[p] || collect_program(&c, programs[p]);
    if (good && c.count)
        qsort(c.items, (size_t)c.count, sizeof *c.items, compare);
    for (int i = 0; good && i < c.count; i++) {
        const choice *now = &c.items[i].choice;
        if (!i || choice_compare(&c.items[i - 1].choice, now))
            text_add(t, "%s %s %s\n", op_table[now->op].signature.name, now->key, now->kernel->name);
    }
    if (!good || scratch.failed)
        text_fail(t);
    arena_end(&scratch);
}
