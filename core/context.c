/* The context: made from options that an older or newer caller may have filled in, and freed last. */
#include "core/context.h"
#include "core/options.h"
#include "core/team.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int rondo_version(void)
{
    return RONDO_VERSION;
}

enum { COMPILED_BYTES = 64 << 20 }; /* unless the options say otherwise */

static bool read_options(rondo_options *out, const rondo_options *options)
{
    return !options_read(out, sizeof *out, options) && out->threads >= 0 &&
           (!out->allocator || (out->allocator->allocate && out->allocator->release));
}

rondo *context_new(const rondo_options *options, const op_list *ops)
{
    rondo_options o;
    if (!read_options(&o, options))
        return NULL;
    const rondo_allocator *allocator = o.allocator ? o.allocator : &memory_malloc;
    rondo *context = memory_new(allocator, sizeof *context);
    if (!context)
        return NULL;
    context->allocator = *allocator;
    context->ops = ops;
    arena_begin(&context->arena, &context->allocator);
    context->threads = o.threads ? o.threads : 1;
    context->compiled_bytes = o.compiled_bytes ? o.compiled_bytes : COMPILED_BYTES;
    context->log = o.log;
    context->log_user = o.user;
    if (o.wisdom)
        context->wisdom = arena_copy_text(&context->arena, o.wisdom, strlen(o.wisdom));
    if (context->arena.failed) {
        rondo_free(context);
        return NULL;
    }
    return context;
}

void rondo_free(rondo *context)
{
    if (!context)
        return;
    if (context->team)
        team_free(context->team);
    arena_end(&context->arena);
    rondo_allocator allocator = context->allocator; /* a copy: the context itself is freed */
    memory_free(&allocator, context, sizeof *context);
}

team *context_team(rondo *context, rondo_error *error)
{
    team *now = __atomic_load_n(&context->team, __ATOMIC_ACQUIRE);
    team *mine = now ? NULL : team_new(&context->allocator, context->threads, error);
    if (!mine)
        return now;
    if (__atomic_compare_exchange_n(&context->team, &now, mine, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return mine;
    team_free(mine); /* another thread was first */
    return now;
}

/* Longer lines are truncated: logging must not allocate memory. */
void context_log(const rondo *context, int level, const char *format, ...)
{
    if (!context || !context->log)
        return;
    char line[1024];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(line, sizeof line, format, list);
    va_end(list);
    if (length >= 0)
        context->log(context->log_user, level, line);
}

/* The name is given after --decoder-self on a command line. */
static bool is_mixer_name(const char *name)
{
    if (!name || !*name)
        return false;
    for (const char *c = name; *c; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
        if (!letter && !(*c >= '0' && *c <= '9') && *c != '-' && *c != '_')
            return false;
    }
    return *name != '-';
}

bool rondo_mixer_add(rondo *context, const char *name, rondo_mixer make, void *user, rondo_error *error)
{
    error_begin(error);
    if (!context)
        return false;
    if (!is_mixer_name(name))
        return fail(error, RONDO_ARGUMENT, "mixer name \"%.60s\": use letters, digits, - and _",
                    name ? name : "");
    if (!make)
        return fail(error, RONDO_ARGUMENT, "mixer %.60s: there is no function that makes it", name);
    for (int i = 0; i < context->mixer_count; i++)
        if (!strcmp(context->mixers[i].name, name))
            return fail(error, RONDO_ARGUMENT, "mixer %.60s was added before; give this one another name",
                        name);
    char *copy = arena_copy_text(&context->arena, name, strlen(name));
    if (!copy || !ARENA_PUSH(&context->arena, context->mixers, context->mixer_count, context->mixer_capacity))
        return fail_memory(error, sizeof *context->mixers, "a mixer");
    context->mixers[context->mixer_count++] = (added_mixer){copy, make, user};
    return true;
}
