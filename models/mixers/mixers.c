/* The table of mixers, and those that the caller has added. */
#include "core/text/text.h"
#include "models/mixers/mixer.h"
#include <string.h>

const mixer mixers[] = {
#define ATTENTION(file, name, encoder, decoder, cross, counted, otherwise, meaning)                          \
    {name,         attention_make, encoder,   decoder, cross, meaning,                                       \
     weigh_##file, counted,        otherwise, 0,       NULL,  false},
#define MIXER(file, name, encoder, decoder, cross, counted, otherwise, meaning)                              \
    {name, mixer_##file, encoder, decoder, cross, meaning, NULL, counted, otherwise, 0, NULL, false},
#include "models/mixers/mixers.def"
#undef ATTENTION
#undef MIXER
    {0}};

enum { MOST_COUNTED = 65536 };

static const char *names(const rondo *context, arena *a)
{
    text t = {.arena = a};
    for (int i = 0; i < context->mixer_count; i++)
        text_add(&t, "%s%s", t.length ? ", " : "", context->mixers[i].name);
    for (const mixer *m = mixers; m->name; m++)
        text_add(&t, "%s%s", t.length ? ", " : "", m->name);
    const char *all = text_done(&t);
    return all ? all : "those of `rondo help`";
}

static bool unknown(const rondo *context, const char *name, rondo_error *error)
{
    arena a;
    arena_begin(&a, &context->allocator);
    fail(error, RONDO_ARGUMENT, "%.60s: there is no such mixer; there are %s", name, names(context, &a));
    arena_end(&a);
    return false;
}

/* The digits behind the colon. */
static bool read_count(const char *name, const char *digits, mixer *out, rondo_error *error)
{
    if (!out->counted)
        return fail(error, RONDO_ARGUMENT, "%.60s: %s takes no number", name, out->name);
    for (const char *c = digits; *c && out->count <= MOST_COUNTED; c++)
        out->count = *c >= '0' && *c <= '9' ? 10 * out->count + (*c - '0') : MOST_COUNTED + 1;
    return (out->count >= 1 && out->count <= MOST_COUNTED) ||
           fail(error, RONDO_ARGUMENT, "%.60s: the %s of %s are a number from 1 to %d", name, out->counted,
                out->name, MOST_COUNTED);
}

bool mixer_find(const rondo *context, const char *name, mixer *out, rondo_error *error)
{
    for (int i = 0; i < context->mixer_count; i++) {
        const added_mixer *m = &context->mixers[i];
        if (strcmp(m->name, name))
            continue;
        *out = (mixer){m->name,         m->make,      true, true, true, "added by this program",
                       .user = m->user, .added = true};
        return true;
    }
    const char *colon = strchr(name, ':');
    size_t length = colon ? (size_t)(colon - name) : strlen(name);
    for (const mixer *m = mixers; m->name; m++)
        if (strlen(m->name) == length && !memcmp(m->name, name, length)) {
            *out = *m;
            return !colon || read_count(name, colon + 1, out, error);
        }
    return unknown(context, name, error);
}

bool mixer_fits(const mixer *m, mixer_place place)
{
    return place == PLACE_DECODER ? m->decoder : place == PLACE_ENCODER ? m->encoder : m->cross;
}

rondo_value mixer_make(const mixer *m, rondo_value x, rondo_value y, rondo_value length, bool causal,
                       int64_t heads)
{
    return m->make(m->added ? m->user : (void *)m, x, y, length, causal, heads);
}
