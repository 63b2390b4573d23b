/* A mixer lets tokens look at each other: what stands in a transformer's attention. Each is one file here, in the parallel
 * form of its paper and nothing else, and one row of mixers.def. */
#pragma once
#include "core/context.h"

typedef struct mixer {
    const char *name;
    rondo_mixer make;
    bool encoder, decoder, cross; /* where it makes sense */
    const char *meaning;
} mixer;
extern const mixer mixers[]; /* ends with a NULL name */

/* By name, a caller's own (rondo_mixer_add) first. *user goes to make. NULL: no such mixer. */
const mixer *mixer_find(const rondo *context, const char *name, mixer *own, void **user);
/* "softmax, linear, average": for messages. */
const char *mixer_names(const rondo *context, arena *a);

#define DECLARE_MIXER(name)                                                                                                   \
    rondo_value mixer_##name(void *user, rondo_value x, rondo_value y, rondo_value length, bool causal, int64_t heads)

#define MIXER(name, encoder, decoder, cross, meaning) DECLARE_MIXER(name);
#include "models/mixers/mixers.def"
#undef MIXER
