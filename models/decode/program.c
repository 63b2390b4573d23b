/* A compiled model, made or loaded: its stages are checked against each other before they become programs. */
#include "models/decode/decoder.h"
#include <string.h>

const char *const stage_keys[] = {"rondo.graph.load", "rondo.graph.source", "rondo.graph.step"};

rondo_program *program_begin(rondo *context, rondo_error *error)
{
    rondo_program *p = memory_new(&context->allocator, sizeof *p);
    if (!p) {
        fail_memory(error, sizeof *p, "a program");
        return NULL;
    }
    p->context = context;
    arena_begin(&p->arena, &context->allocator);
    return p;
}

void rondo_program_free(rondo_program *p)
{
    if (!p)
        return;
    const rondo_allocator allocator = p->context->allocator;
    program_free(p->load);
    program_free(p->source);
    program_free(p->step);
    tokenizer_free(p->tokenizer);
    safetensors_close(&p->file);
    arena_end(&p->arena);
    memory_free(&allocator, p, sizeof *p);
}

const char *program_text(rondo_program *p, const char *source)
{
    return source ? arena_copy_text(&p->arena, source, strlen(source)) : NULL;
}

static bool make_runnable(program **out, rondo_graph **g, rondo_error *error)
{
    rondo_graph *taken = *g;
    *g = NULL;
    return !taken || (*out = program_new(taken, NULL, error));
}

bool program_stages(rondo_program *p, staged *stages, rondo_error *error)
{
    bool good =
        staged_verify(stages, &p->arena, &p->roles, error) && make_runnable(&p->load, &stages->load, error) &&
        make_runnable(&p->source, &stages->source, error) && make_runnable(&p->step, &stages->step, error);
    staged_free(stages);
    return good;
}

const char *rondo_program_report(const rondo_program *p)
{
    return p ? p->report : NULL;
}
