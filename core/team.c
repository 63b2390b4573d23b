/* A team of threads. One 64-bit word, the ticket, holds the number of the run and the next task: a worker
 * that takes task i of run r by compare-and-swap knows that run r is not over, so the job that it
 * has read belongs to run r. A worker without work spins for a while, then sleeps on a condition variable. */
#include "core/team.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#if defined __x86_64__ || defined __i386__
#include <xmmintrin.h>
#endif

enum {
    SPIN_NANOSECONDS = 20000,   /* a worker waits for more work, outside of begin and end */
    AWAKE_NANOSECONDS = 300000, /* between begin and end; after SPIN_NANOSECONDS it yields to other threads */
    PAUSES = 32,                /* between two readings of the clock */
    MOST_TASKS = 1 << 30        /* of one run, for the ticket */
};
#define CLOSED UINT64_C(0xffffffff) /* the task number of a run that is over: larger than any */

typedef struct worker {
    team *team;
    pthread_t thread;
    int number;
} worker;

/* A caller that waits for its turn; on its stack. */
typedef struct turn {
    pthread_cond_t begins;
    bool begun;
    struct turn *next;
} turn;

struct team {
    const rondo_allocator *allocator;
    int size, started;
    worker *workers; /* size − 1; the caller is number 0 */

    pthread_mutex_t queue;       /* of the next two lines */
    bool taken;                  /* between a caller's begin and the end that nobody waits for */
    turn *first, *last;          /* those that wait, in the order in which they came */
    _Atomic(const char *) owner; /* whose turn it is: an address that is unique to that thread */
    unsigned mode;               /* the owner's floating-point mode */
    sigset_t signals;            /* those the owner blocks by itself */

    pthread_mutex_t lock; /* of the two conditions */
    pthread_cond_t more, over;
    atomic_int sleepers;
    atomic_bool caller_sleeps, awake, stop;

    _Alignas(64) atomic_uint_fast64_t ticket; /* run number · 2^32 + next task */
    _Atomic(team_work *) work;
    _Atomic(void *) argument;
    atomic_uint_fast64_t tasks;
    _Alignas(64) atomic_uint_fast64_t done;
};

/* ---- floating-point mode ---- */

static unsigned flush_denormals(void)
{
#if defined __x86_64__ || defined __i386__
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040); /* FTZ, DAZ */
    return mode;
#else
    return 0;
#endif
}
static void restore_mode(unsigned mode)
{
#if defined __x86_64__ || defined __i386__
    _mm_setcsr((mode & ~0x3fu) | (_mm_getcsr() & 0x3f)); /* exceptions raised meanwhile stay visible */
#else
    (void)mode;
#endif
}

/* ---- working ---- */

static void pause_a_little(void)
{
#if defined __x86_64__ || defined __i386__
    for (int i = 0; i < PAUSES; i++)
        _mm_pause();
#else
    sched_yield();
#endif
}

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Takes tasks of the current run until there are none. */
static void take_tasks(team *t, int number)
{
    for (;;) {
        uint_fast64_t ticket = atomic_load_explicit(&t->ticket, memory_order_acquire);
        team_work *work = atomic_load_explicit(&t->work, memory_order_relaxed);
        void *argument = atomic_load_explicit(&t->argument, memory_order_relaxed);
        uint_fast64_t tasks = atomic_load_explicit(&t->tasks, memory_order_relaxed), task = ticket & CLOSED;
        if (task >= tasks) {
            if (atomic_load(&t->ticket) == ticket)
                return;
            continue;
        }
        if (!atomic_compare_exchange_weak(&t->ticket, &ticket, ticket + 1))
            continue;
        work(argument, (int64_t)task, number);
        if (atomic_fetch_add(&t->done, 1) + 1 == tasks && atomic_load(&t->caller_sleeps)) {
            pthread_mutex_lock(&t->lock);
            pthread_cond_signal(&t->over);
            pthread_mutex_unlock(&t->lock);
        }
    }
}

/* Until the run is another than `seen`, or the team stops. */
static void wait_for_more(team *t, uint_fast64_t seen)
{
    int64_t start = nanoseconds();
    for (;;) {
        if (atomic_load(&t->ticket) >> 32 != seen || atomic_load(&t->stop))
            return;
        int64_t waited = nanoseconds() - start;
        if (waited > (atomic_load(&t->awake) ? AWAKE_NANOSECONDS : SPIN_NANOSECONDS))
            break;
        if (waited > SPIN_NANOSECONDS)
            sched_yield();
        else
            pause_a_little();
    }
    pthread_mutex_lock(&t->lock);
    atomic_fetch_add(&t->sleepers, 1);
    while (atomic_load(&t->ticket) >> 32 == seen && !atomic_load(&t->stop))
        pthread_cond_wait(&t->more, &t->lock);
    atomic_fetch_sub(&t->sleepers, 1);
    pthread_mutex_unlock(&t->lock);
}

static void *worker_main(void *argument)
{
    worker *w = argument;
    team *t = w->team;
    flush_denormals();
    uint_fast64_t seen = 0;
    for (;;) {
        wait_for_more(t, seen);
        if (atomic_load(&t->stop))
            return NULL;
        seen = atomic_load(&t->ticket) >> 32;
        take_tasks(t, w->number);
    }
}

static void wait_for_the_last(team *t, uint_fast64_t tasks)
{
    for (int64_t start = nanoseconds(); nanoseconds() - start < SPIN_NANOSECONDS; pause_a_little())
        if (atomic_load(&t->done) == tasks)
            return;
    pthread_mutex_lock(&t->lock);
    atomic_store(&t->caller_sleeps, true);
    while (atomic_load(&t->done) != tasks)
        pthread_cond_wait(&t->over, &t->lock);
    atomic_store(&t->caller_sleeps, false);
    pthread_mutex_unlock(&t->lock);
}

/* At most MOST_TASKS. */
static void run_some(team *t, int64_t tasks, team_work *work, void *argument)
{
    uint_fast64_t run = (atomic_load(&t->ticket) >> 32) + 1;
    /* A worker that comes late to the last run finds no tasks in it. */
    atomic_store(&t->ticket, (run - 1) << 32 | CLOSED);
    atomic_store(&t->done, 0);
    atomic_store(&t->work, work);
    atomic_store(&t->argument, argument);
    atomic_store(&t->tasks, (uint_fast64_t)tasks);
    atomic_store(&t->ticket, run << 32);
    if (atomic_load(&t->sleepers)) {
        pthread_mutex_lock(&t->lock);
        pthread_cond_broadcast(&t->more);
        pthread_mutex_unlock(&t->lock);
    }
    take_tasks(t, 0);
    wait_for_the_last(t, (uint_fast64_t)tasks);
}

/* ---- begin, run, end ---- */

static const char *myself(void)
{
    static _Thread_local char here;
    return &here;
}

/* oneDNN's generated matmuls use the stack pointer for a buffer on the heap: a signal handled meanwhile would
 * put its frame over whatever lies below that buffer. So signals wait on the caller's thread as well, except
 * those that a fault of its own raises. */
static void hold_signals(sigset_t *before)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};
    sigset_t held;
    sigfillset(&held);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&held, faults[i]);
    pthread_sigmask(SIG_BLOCK, &held, before);
}

/* Ending a turn hands it to the caller that has waited longest. With a mutex, a thread that begins again at
 * once would come before those that wait, for they have to wake up first. */
static void take_turn(team *t)
{
    pthread_mutex_lock(&t->queue);
    if (t->taken) {
        turn mine = {.begins = PTHREAD_COND_INITIALIZER};
        *(t->last ? &t->last->next : &t->first) = &mine;
        t->last = &mine;
        while (!mine.begun)
            pthread_cond_wait(&mine.begins, &t->queue);
        pthread_cond_destroy(&mine.begins);
    }
    t->taken = true;
    pthread_mutex_unlock(&t->queue);
}

static void end_turn(team *t)
{
    pthread_mutex_lock(&t->queue);
    turn *next = t->first;
    t->taken = next;
    if (next) {
        t->first = next->next;
        t->last = t->first ? t->last : NULL;
        next->begun = true;
        pthread_cond_signal(&next->begins);
    }
    pthread_mutex_unlock(&t->queue);
}

int team_waiting(team *t)
{
    int count = 0;
    pthread_mutex_lock(&t->queue);
    for (const turn *i = t->first; i; i = i->next)
        count++;
    pthread_mutex_unlock(&t->queue);
    return count;
}

void team_begin(team *t)
{
    sigset_t signals;
    hold_signals(&signals); /* first: a handler that calls the library would wait behind its own thread */
    take_turn(t);
    t->signals = signals;
    atomic_store(&t->owner, myself());
    t->mode = flush_denormals();
    atomic_store(&t->awake, true);
}

void team_end(team *t)
{
    atomic_store(&t->awake, false);
    restore_mode(t->mode);
    sigset_t signals = t->signals;
    atomic_store(&t->owner, NULL);
    end_turn(t);
    pthread_sigmask(SIG_SETMASK, &signals, NULL); /* delivers pending ones; handlers may call the library */
}

typedef struct shifted_work {
    team_work *work;
    void *argument;
    int64_t first;
} shifted_work;
static void work_shifted(void *argument, int64_t task, int number)
{
    const shifted_work *s = argument;
    s->work(s->argument, s->first + task, number);
}

void team_run(team *t, int64_t tasks, team_work *work, void *argument)
{
    bool begun = atomic_load(&t->owner) == myself();
    if (!begun)
        team_begin(t);
    if (t->size == 1 || tasks <= 1) {
        for (int64_t i = 0; i < tasks; i++)
            work(argument, i, 0);
    } else {
        for (shifted_work s = {work, argument, 0}; s.first < tasks; s.first += MOST_TASKS) {
            int64_t count = tasks - s.first < MOST_TASKS ? tasks - s.first : MOST_TASKS;
            run_some(t, count, s.first ? work_shifted : work, s.first ? &s : argument);
        }
    }
    if (!begun)
        team_end(t);
}

/* ---- making and ending ---- */

static bool start_workers(team *t)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for the threads of the host program */
    for (t->started = 0; t->started < t->size - 1; t->started++) {
        worker *w = &t->workers[t->started];
        *w = (worker){.team = t, .number = t->started + 1};
        if (pthread_create(&w->thread, NULL, worker_main, w))
            break;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return t->started == t->size - 1;
}

team *team_new(const rondo_allocator *allocator, int threads, rondo_error *error)
{
    if (threads < 1 || threads > 4096) {
        fail(error, RONDO_ARGUMENT, "a team has 1 to 4096 threads, not %d", threads);
        return NULL;
    }
    size_t bytes = sizeof(worker) * (size_t)threads;
    team *t = memory_new(allocator, sizeof *t);
    worker *workers = t ? memory_new(allocator, bytes) : NULL;
    if (!workers) {
        memory_free(allocator, t, sizeof *t);
        fail_memory(error, sizeof *t + bytes, "a team of threads");
        return NULL;
    }
    t->allocator = allocator;
    t->size = threads;
    t->workers = workers;
    pthread_mutex_init(&t->queue, NULL);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->more, NULL);
    pthread_cond_init(&t->over, NULL);
    if (!start_workers(t)) {
        fail(error, RONDO_IO, "the system gives %d threads, not %d: ask for fewer", t->started + 1, threads);
        team_free(t);
        return NULL;
    }
    return t;
}

void team_free(team *t)
{
    if (!t)
        return;
    atomic_store(&t->stop, true);
    pthread_mutex_lock(&t->lock);
    pthread_cond_broadcast(&t->more);
    pthread_mutex_unlock(&t->lock);
    for (int i = 0; i < t->started; i++)
        pthread_join(t->workers[i].thread, NULL);
    pthread_cond_destroy(&t->over);
    pthread_cond_destroy(&t->more);
    pthread_mutex_destroy(&t->lock);
    pthread_mutex_destroy(&t->queue);
    const rondo_allocator *allocator = t->allocator;
    memory_free(allocator, t->workers, sizeof(worker) * (size_t)t->size);
    memory_free(allocator, t, sizeof *t);
}

int team_size(const team *t)
{
    return t->size;
}
