/* The table of mixers, and the caller's own beside it. */
#include "models/mixers/mixer.h"
#include <string.h>

const mixer mixers[] = {
#define MIXER(name, encoder, decoder, cross, meaning) {#name, mixer_##name, encoder, decoder, cross, meaning},
#include "models/mixers/mixers.def"
#undef MIXER
    {0}};

const mixer *mixer_find(const rondo *context, const char *name, mixer *own, void **user)
{
    *user = NULL;
    for (int i = 0; i < context->mixer_count; i++)
        if (!strcmp(context->mixers[i].name, name)) {
            *own = (mixer){context->mixers[i].name, context->mixers[i].make, true, true, true,
                           "added by this program"};
            *user = context->mixers[i].user;
            return own;
        }
    for (const mixer *m = mixers; m->name; m++)
        if (!strcmp(m->name, name))
            return m;
    return NULL;
}

const char *mixer_names(const rondo *context, arena *a)
{
    text t = {.arena = a};
    for (int i = 0; i < context->mixer_count; i++)
        text_add(&t, "%s%s", t.length ? ", " : "", context->mixers[i].name);
    for (const mixer *m = mixers; m->name; m++)
        text_add(&t, "%s%s", t.length ? ", " : "", m->name);
    return t.data ? t.data : "";
}
