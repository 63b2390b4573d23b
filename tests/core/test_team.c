/* A team of any size does every task once and restores the floating-point mode of the caller. */
#include "core/team.h"
#include "tests/core/counting_allocator.h"
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#if defined __x86_64__
#include <xmmintrin.h>
#endif

static team *make(int threads)
{
    rondo_error error = {0};
    team *t = team_new(&memory_malloc, threads, &error);
    cr_assert(t, "%s", error.message);
    cr_assert_eq(team_size(t), threads);
    return t;
}

enum { MOST = 5000 };
typedef struct tally {
    atomic_int count[MOST];
    atomic_int wrong_worker, not_flushing;
    int size;
} tally;
static void count_task(void *argument, int64_t task, int worker)
{
    tally *c = argument;
    atomic_fetch_add(&c->count[task], 1);
    if (worker < 0 || worker >= c->size)
        atomic_fetch_add(&c->wrong_worker, 1);
#if defined __x86_64__
    if ((_mm_getcsr() & 0x8040) != 0x8040)
        atomic_fetch_add(&c->not_flushing, 1);
#endif
}

static void run_and_check(team *t, int64_t tasks)
{
    tally *c = calloc(1, sizeof *c);
    c->size = team_size(t);
    team_run(t, tasks, count_task, c);
    for (int64_t i = 0; i < MOST; i++)
        cr_assert_eq(atomic_load(&c->count[i]), i < tasks, "task %d of %d", (int)i, (int)tasks);
    cr_expect_eq(atomic_load(&c->wrong_worker), 0);
    cr_expect_eq(atomic_load(&c->not_flushing), 0);
    free(c);
}

Test(team, every_task_is_done_once)
{
    static const int sizes[] = {1, 2, 3, 7};
    for (int s = 0; s < 4; s++) {
        team *t = make(sizes[s]);
        for (int64_t tasks = 0; tasks < 20; tasks++)
            run_and_check(t, tasks);
        run_and_check(t, MOST);
        team_free(t);
    }
}

typedef struct sum {
    atomic_llong total;
    long long before;
} sum;
static void add_number(void *argument, int64_t task, int worker)
{
    (void)worker;
    atomic_fetch_add(&((sum *)argument)->total, task + 1);
}

Test(team, many_short_runs_follow_each_other)
{
    team *t = make(4);
    team_begin(t);
    for (int run = 0; run < 20000; run++) {
        int tasks = run % 9;
        sum s = {0};
        team_run(t, tasks, add_number, &s);
        cr_assert_eq(atomic_load(&s.total), tasks * (tasks + 1) / 2);
    }
    team_end(t);
    team_free(t);
}

Test(team, workers_that_went_to_sleep_come_back)
{
    team *t = make(3);
    for (int run = 0; run < 20; run++) {
        nanosleep(&(struct timespec){0, 1000000}, NULL);
        sum s = {0};
        team_run(t, 100, add_number, &s);
        cr_assert_eq(atomic_load(&s.total), 5050);
    }
    team_free(t);
}

static void *run_from_elsewhere(void *argument)
{
    for (int run = 0; run < 300; run++) {
        sum s = {0};
        team_begin(argument);
        team_run(argument, 50, add_number, &s);
        team_run(argument, 50, add_number, &s);
        team_end(argument);
        if (atomic_load(&s.total) != 2550)
            return argument;
    }
    return NULL;
}

Test(team, callers_take_turns)
{
    team *t = make(3);
    pthread_t others[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&others[i], NULL, run_from_elsewhere, t);
    for (int i = 0; i < 3; i++) {
        void *wrong;
        pthread_join(others[i], &wrong);
        cr_expect_null(wrong);
    }
    team_free(t);
}

enum { CALLERS = 4 };
typedef struct line {
    team *team;
    atomic_int came;
    int order[CALLERS];
} line;
typedef struct caller {
    line *line;
    int number;
} caller;
static void *wait_in_line(void *argument)
{
    const caller *c = argument;
    team_begin(c->line->team);
    c->line->order[atomic_fetch_add(&c->line->came, 1)] = c->number;
    team_end(c->line->team);
    return NULL;
}

/* The caller that ends its turn and begins again at once is last too, although the others have to wake up. */
Test(team, callers_come_in_the_order_in_which_they_began_to_wait)
{
    line l = {.team = make(2)};
    for (int round = 0; round < 50; round++) {
        pthread_t thread[CALLERS];
        caller c[CALLERS];
        atomic_store(&l.came, 0);
        team_begin(l.team);
        for (int i = 0; i < CALLERS; i++) {
            c[i] = (caller){&l, i};
            pthread_create(&thread[i], NULL, wait_in_line, &c[i]);
            while (team_waiting(l.team) <= i)
                sched_yield();
        }
        team_end(l.team);
        team_begin(l.team);
        cr_assert_eq(atomic_load(&l.came), CALLERS);
        team_end(l.team);
        for (int i = 0; i < CALLERS; i++) {
            pthread_join(thread[i], NULL);
            cr_assert_eq(l.order[i], i);
        }
    }
    cr_expect_eq(team_waiting(l.team), 0);
    team_free(l.team);
}

#if defined __x86_64__
Test(team, the_callers_floating_point_mode_comes_back)
{
    team *t = make(2);
    unsigned mode = (_mm_getcsr() & ~0x8040u) | 0x2000; /* denormals kept, rounding down */
    _mm_setcsr(mode);
    sum s = {0};
    team_run(t, 10, add_number, &s);
    cr_expect_eq(_mm_getcsr() & ~0x3fu, mode & ~0x3fu);
    team_begin(t);
    cr_expect_eq(_mm_getcsr() & 0x8040, 0x8040);
    team_run(t, 10, add_number, &s);
    cr_expect_eq(_mm_getcsr() & 0x8040, 0x8040);
    team_end(t);
    cr_expect_eq(_mm_getcsr() & ~0x3fu, mode & ~0x3fu);
    team_free(t);
}
#endif

Test(team, a_senseless_size_is_refused)
{
    rondo_error error = {0};
    cr_expect_null(team_new(&memory_malloc, 0, &error));
    cr_expect_eq(error.code, RONDO_ARGUMENT);
    team_free(NULL);
}

Test(team, each_allocation_may_fail)
{
    counting c = {.refuse_at = 1};
    const rondo_allocator scarce = counting_allocator(&c);
    team *t = NULL;
    for (; !t; c.refuse_at++, c.requests = 0) {
        rondo_error error = {0};
        t = team_new(&scarce, 2, &error);
        cr_expect(t || (error.code == RONDO_MEMORY && c.live_bytes == 0));
    }
    cr_expect_gt(c.refuse_at, 2, "nothing was refused");
    team_free(t);
    cr_expect_eq(c.live_bytes, 0);
}

/* A kernel may use the stack pointer for something else (oneDNN's do): no signal may be pushed onto its
 * stack. */
static volatile sig_atomic_t handled;
static void handle(int number)
{
    (void)number;
    handled++;
}
typedef struct signalled {
    pthread_t caller;
    atomic_int meanwhile; /* handled while tasks ran */
} signalled;
static void signal_task(void *argument, int64_t task, int worker)
{
    (void)task;
    (void)worker;
    signalled *s = argument;
    pthread_kill(s->caller, SIGUSR1);
    atomic_fetch_add(&s->meanwhile, handled);
}

Test(team, signals_wait_until_the_tasks_are_done)
{
    const struct sigaction action = {.sa_handler = handle};
    sigaction(SIGUSR1, &action, NULL);
    for (int threads = 1; threads <= 3; threads++) {
        team *t = make(threads);
        signalled here = {.caller = pthread_self()};
        handled = 0;
        team_begin(t);
        team_run(t, 50, signal_task, &here);
        team_run(t, 50, signal_task, &here);
        cr_expect_eq(handled, 0);
        team_end(t);
        cr_expect_eq(handled, 1, "what waits, waits once");
        handled = 0;
        team_run(t, 50, signal_task, &here);
        cr_expect_eq(handled, 1);
        cr_expect_eq(here.meanwhile, 0, "%d threads", threads);
        team_free(t);
    }
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    cr_expect(!sigismember(&blocked, SIGUSR1) && !sigismember(&blocked, SIGINT));
}
