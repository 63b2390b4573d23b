/* A team of threads that works through numbered tasks. What a task computes depends on its number only, never
 * on who runs it or on how many there are, so results have the same bits for every team size. */
#pragma once
#include "core/memory.h"

typedef struct team team;
team *team_new(const rondo_allocator *allocator, int threads,
               rondo_error *error); /* threads >= 1, the caller included */
void team_free(team *t);
int team_size(const team *t);
/* Runs work(argument, task, worker) for every task in [0, tasks), in any order; returns when all are done.
 * worker is in [0, team_size). Workers spin about 20 µs for more, then sleep. FTZ/DAZ is set while tasks run
 * and restored after; signals to the calling thread wait until then. */
typedef void team_work(void *argument, int64_t task, int worker);
void team_run(team *t, int64_t tasks, team_work *work, void *argument);
/* Between team_begin and team_end workers stay awake from one run to the next and FTZ/DAZ stays set on the
 * caller as well; for the many kernels of one run of a program. Nesting is not allowed. One caller at a time:
 * others wait in team_begin and take turns in the order in which they came. */
void team_begin(team *t);
void team_end(team *t);
int team_waiting(team *t); /* how many callers wait in team_begin */
