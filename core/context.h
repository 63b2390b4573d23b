/* The context that every object belongs to: allocator, log, size of the team, wisdom, and the mixers that a
 * caller added. */
#pragma once
#include "core/arena.h"
#include "core/signature.h"

typedef struct added_mixer {
    const char *name;
    rondo_mixer make;
    void *user;
} added_mixer;

struct rondo {
    rondo_allocator allocator;
    const op_list *ops; /* those that its graphs may have */
    arena arena; /* names, wisdom, added mixers */
    int threads; /* at least 1 */
    size_t compiled_bytes; /* a program's specialisations, but for those in use */
    void (*log)(void *user, int level, const char *line);
    void *log_user;
    const char *wisdom;          /* path of a file of measured kernel choices; NULL: none */
    const struct wisdom *known;  /* its contents (compiler/program/wisdom.h); NULL: not read yet */
    struct team *team; /* core/team.h; started by the first program that runs */
    added_mixer *mixers;
    int mixer_count, mixer_capacity;
};
/* What rondo_new_with does, for these ops, which outlive the context. */
rondo *context_new(const rondo_options *options, const op_list *ops);
/* The team of threads. The first call starts it; any thread may call. NULL: failed. */
struct team *context_team(rondo *context, rondo_error *error);
void context_log(const rondo *context, int level, const char *format, ...) RONDO_FORMAT(3, 4);
