/* What is kept of compiled shapes has a bound, whatever sizes are asked for and by how many threads; what was
 * dropped and is compiled again gives the same bits. */
#include "tests/models/small_model.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SHAPES = 600, BATCHES = 5, THREADS = 4, KEPT_BYTES = 1 << 20 };

static int64_t batch_of(int shape)
{
    return 1 + shape % BATCHES;
}
static int64_t length_of(int shape)
{
    return 1 + shape / BATCHES;
}

/* A hash of the logits that a new session gives for a prompt of this shape. */
static uint64_t run(const small_model *m, int shape)
{
    rondo_error error = {0};
    int64_t batch = batch_of(shape), length = length_of(shape);
    int32_t *tokens = malloc(sizeof *tokens * (size_t)(batch * length));
    for (int64_t i = 0; i < batch * length; i++)
        tokens[i] = small_token(i / length, i % length);
    rondo_session *s = rondo_session_new(m->program, m->weights, batch, &error);
    const float *logits = rondo_session_advance(s, tokens, length, NULL, &error);
    uint64_t hash = 14695981039346656037u;
    cr_assert(logits, "%s", error.message);
    for (size_t i = 0; i < sizeof *logits * (size_t)batch * SMALL_VOCABULARY; i++)
        hash = (hash ^ ((const unsigned char *)logits)[i]) * 1099511628211u;
    rondo_session_free(s);
    free(tokens);
    return hash;
}

/* Every shape once, in an order that is nowhere near sorted. */
static int shuffled(int i)
{
    return i * 277 % SHAPES;
}

static small_model with_bound(size_t bytes)
{
    small_model m = small_model_new(NULL, "linear", NULL, 1);
    m.context->compiled_bytes = bytes;
    return m;
}

/* Of all shapes, from a program that keeps them all. */
static void expect(uint64_t *hashes, size_t *bytes)
{
    small_model m = with_bound(SIZE_MAX);
    for (int i = 0; i < SHAPES; i++)
        hashes[i] = run(&m, i);
    *bytes = m.program->step->specialised_bytes;
    small_model_free(&m);
}

static int kept(const program *p, size_t *bytes)
{
    int count = 0;
    *bytes = 0;
    for (const specialisation *s = p->specialisations; s; s = s->next, count++) {
        *bytes += s->bytes;
        cr_expect_eq(s->users, 0);
        cr_expect_geq(s->bytes, s->arena.bytes);
    }
    return count;
}

Test(compiled_bytes, are_bounded_and_the_bits_stay)
{
    static uint64_t expected[SHAPES];
    size_t all, now;
    expect(expected, &all);
    cr_assert_gt(all, 10 * KEPT_BYTES, "these shapes are too few to test anything: %zu bytes", all);
    small_model m = with_bound(KEPT_BYTES);
    for (int i = 0; i < 2 * SHAPES; i++) {
        int shape = shuffled(i % SHAPES);
        cr_expect_eq(run(&m, shape), expected[shape], "shape %d", shape);
        cr_expect_leq(m.program->step->specialised_bytes, KEPT_BYTES, "after %d shapes", i + 1);
    }
    int count = kept(m.program->step, &now);
    cr_expect_eq(now, m.program->step->specialised_bytes);
    cr_expect_gt(count, 1, "a bound that holds nothing");
    small_model_free(&m);
}

/* The least recently used goes first: a shape that is asked for again and again stays. */
Test(compiled_bytes, what_is_used_stays)
{
    rondo_error error = {0};
    small_model m = with_bound(KEPT_BYTES);
    program *p = m.program->step;
    int64_t bound[MAX_SYMBOLS];
    const specialisation *often = NULL;
    for (int i = 0; i < 60; i++) {
        for (int k = 0; k < MAX_SYMBOLS; k++)
            bound[k] = 2;
        const specialisation *s = program_specialise(p, bound, &error);
        cr_assert(s, "%s", error.message);
        cr_expect(!often || s == often, "it was compiled again");
        often = s;
        program_release(p, s);
        for (int k = 0; k < MAX_SYMBOLS; k++)
            bound[k] = 3 + i;
        program_release(p, program_specialise(p, bound, &error));
    }
    /* And what somebody holds stays, however many follow. */
    const specialisation *held = program_specialise(p, bound, &error);
    double flops = held->flops;
    for (int i = 0; i < 60; i++) {
        bound[0] = 100 + i;
        program_release(p, program_specialise(p, bound, &error));
    }
    cr_expect_eq(held->flops, flops);
    program_release(p, held);
    cr_expect_leq(p->specialised_bytes, KEPT_BYTES);
    small_model_free(&m);
}

typedef struct thread {
    pthread_t id;
    const small_model *m;
    int first, wrong;
    const uint64_t *expected;
} thread;

static void *work(void *argument)
{
    thread *t = argument;
    for (int i = 0; i < SHAPES / 2; i++) {
        int shape = shuffled((t->first + i) % SHAPES);
        t->wrong += run(t->m, shape) != t->expected[shape];
    }
    return NULL;
}

Test(compiled_bytes, are_bounded_for_threads_that_share_a_program)
{
    static uint64_t expected[SHAPES];
    thread threads[THREADS];
    size_t bytes;
    expect(expected, &bytes);
    small_model m = with_bound(KEPT_BYTES / 2);
    for (int i = 0; i < THREADS; i++) { /* overlapping: two threads want a shape at the same time, too */
        threads[i] = (thread){.m = &m, .first = i * SHAPES / 8, .expected = expected};
        cr_assert(!pthread_create(&threads[i].id, NULL, work, &threads[i]));
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i].id, NULL);
        cr_expect_eq(threads[i].wrong, 0, "thread %d: %d results differ", i, threads[i].wrong);
    }
    kept(m.program->step, &bytes);
    cr_expect_leq(bytes, KEPT_BYTES / 2);
    cr_expect_eq(bytes, m.program->step->specialised_bytes);
    small_model_free(&m);
}

Test(compiled_bytes, are_an_option)
{
    rondo *usual = rondo_new(1), *small = rondo_new(1, .compiled_bytes = 4096);
    cr_expect(usual->compiled_bytes == 64 << 20 && small->compiled_bytes == 4096);
    rondo_free(usual);
    rondo_free(small);
}
