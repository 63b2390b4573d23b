/* A mixer lets tokens look at each other: what stands in a transformer's attention. Each is one file here,
 * in the parallel form of its paper and nothing else, and one row of mixers.def. */
#pragma once
#include "core/context.h"

/* Queries, keys and values of an attention, in heads, as the projections q_proj, k_proj and v_proj make
 * them. */
typedef struct attention {
    rondo_value x;       /* the queries' side, [B, T, d] */
    rondo_value q, k, v; /* [B, H, T, D], [B, H, S, D] twice */
    rondo_value length;  /* how many keys count, i32[B], or no value: all do */
    bool causal;         /* s ≤ t */
} attention;
/* The weights of the values: weights / sum. */
typedef struct weighing {
    rondo_value weights;    /* [B, H, T, S]; masked already */
    rondo_value sum;        /* [B, H, T, 1]; no value: the weights are normalised already */
    rondo_value query, key; /* their features, [B, H, T, F] and [B, H, S, F]; no value: there are none */
} weighing;

typedef struct mixer {
    const char *name;
    rondo_mixer make;
    bool encoder, decoder, cross; /* where it makes sense */
    const char *meaning;
    /* NULL: not of the form in which queries weigh keys */
    weighing (*weigh)(const attention *, const struct mixer *);
    const char *counted;   /* what a number behind the name counts, as in memsizer:16; NULL: it takes none */
    const char *otherwise; /* why it makes no sense elsewhere */
    int64_t count;         /* that number; 0: as in its paper */
    void *user;            /* of rondo_mixer_add */
    bool added;            /* by it */
} mixer;
extern const mixer mixers[]; /* ends with a NULL name */

typedef enum mixer_place { PLACE_DECODER, PLACE_ENCODER, PLACE_CROSS, PLACE_COUNT } mixer_place;
bool mixer_fits(const mixer *m, mixer_place place);
/* By name, which a number may follow; mixers that the caller added (rondo_mixer_add) come first. False:
 * the error says what is wrong with the name. */
bool mixer_find(const rondo *context, const char *name, mixer *out, rondo_error *error);
/* [B, T, d]. A mixer of the table gets its row as its user. */
rondo_value mixer_make(const mixer *m, rondo_value x, rondo_value y, rondo_value length, bool causal,
                       int64_t heads);
static inline int64_t mixer_count(const mixer *m, int64_t otherwise)
{
    return m->count ? m->count : otherwise;
}

/* ---- parts of mixers ---- */

attention attention_of(rondo_value x, rondo_value y, rondo_value length, bool causal, int64_t heads);
/* The weighted values with heads merged, through out_proj: [B, T, d]. */
rondo_value attention_result(const attention *a, const weighing *w);
/* A whole mixer, from its function that computes the weights. */
rondo_value attention_make(void *user, rondo_value x, rondo_value y, rondo_value length, bool causal,
                           int64_t heads);
/* Weights from products of features, written over T × S; sum: as it is, the mixer makes it safe to divide
 * by. */
weighing attention_features(const attention *a, rondo_value query, rondo_value key);
/* scores: [..., T, S] with fill where no key may be seen: those of padding and, when causal, later ones. */
rondo_value attention_visible(rondo_value scores, rondo_value length, bool causal, double fill);
/* A matrix for each head: x [B, H, T, D] → [B, H, T, width], by a parameter of this name. */
rondo_value attention_per_head(rondo_value x, int64_t width, const char *name, rondo_initial kind,
                               double scale);
/* x / |x| over the last axis, ε = 1e-6 below the root. */
rondo_value unit_length(rondo_value x);
/* silu of a convolution of width 4, NAME_conv, of a projection NAME_proj, in heads:
 * [B, T, d] → [B, H, T, D]. */
rondo_value short_projection(rondo_value x, const char *name, int64_t heads);
/* Random sines and cosines (rfa.c). */
rondo_value random_features(rondo_value x, int64_t features);

/* log σ(x). */
rondo_value log_sigmoid(rondo_value x);
/* e^(Σ of log_decay over s < r ≤ t), and 0 where s > t: [B, H, T, 1] → [B, H, T, T]. */
rondo_value decay_between(rondo_value log_decay);
/* mixed [B, H, T, D], normed in each head, times silu of a gate made of x, through out_proj: [B, T, d]. */
rondo_value gated_result(rondo_value x, rondo_value mixed);

#define DECLARE_MIXER(name)                                                                        \
    rondo_value mixer_##name(void *user, rondo_value x, rondo_value y, rondo_value length, bool causal, \
                             int64_t heads)
#define DECLARE_WEIGHING(name) weighing weigh_##name(const attention *a, const mixer *m)

#define MIXER(id, ...) DECLARE_MIXER(id);
#define ATTENTION(id, ...) DECLARE_WEIGHING(id);
#include "models/mixers/mixers.def"
#undef MIXER
#undef ATTENTION
