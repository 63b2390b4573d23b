/* A compiled model, and a session: one caller's state. Everything that persists from call to call is in
 * ports; reset, growth, reorder and clone are loops over ports. */
#pragma once
#include "compiler/program/instance.h"
#include "core/safetensors.h"
#include "models/decode/staged.h"
#include "models/tokenizer/tokenizer.h"
#include "models/weights.h"
#include <stdatomic.h>

struct rondo_program {
    rondo *context;
    arena arena;
    program *load, *source, *step; /* load, source: NULL when there is nothing to do */
    roles roles;                   /* what sessions need to know of the stages */
    const char *time;              /* its symbol in the model */
    const char *report;
    safetensors file; /* of a loaded program; map.data NULL otherwise */
    tokenizer *tokenizer;
    const void *tokenizer_model;
    size_t tokenizer_bytes;
};

/* Used by both making and loading. */
extern const char *const stage_keys[]; /* metadata keys of the load, source and step graph */
rondo_program *program_begin(rondo *context, rondo_error *error);
/* a copy that lives as long as p; NULL for NULL */
const char *program_text(rondo_program *p, const char *source);
/* Checks the contract between the stages and makes them runnable. Takes the graphs, also on failure. */
bool program_stages(rondo_program *p, staged *stages, rondo_error *error);

/* The buffers of one port; NULL if the memory of the load stage holds it. */
typedef struct port_memory {
    /* other: for moving the content, and for a port that cannot be updated in place */
    char *data, *other;
    size_t room, other_room; /* bytes; never less than the content */
} port_memory;

struct rondo_session {
    const rondo_program *program;
    const rondo_weights *weights; /* NULL: those in the program's file */
    rondo *context;
    team *team; /* the context's, or one of its own when the context has none */
    instance load, source, step; /* load: what it made stays in its memory */
    port_memory *ports; /* by port of the step graph */
    int64_t bound[MAX_SYMBOLS]; /* of the step graph's symbols; −1: not known yet */
    int64_t batch, capacity;
    int32_t *count;  /* [batch] new tokens of the call now running */
    /* [2, rows] tokens of each sequence so far, and room to reorder them. The `position` of a file is not
     * trusted. */
    int64_t *length;
    int64_t rows;    /* room in count and length; at least batch */
    const float *logits; /* [batch, V] of the last call; NULL: none yet */
    atomic_bool cancelled; /* set by any thread or a signal handler, cleared by rondo_session_source */
    bool ready;            /* the source has run, or there is none */
    /* rows that went through the step graph; tests see here that nothing is recomputed */
    uint64_t tokens_run;
};
enum { TRANSLATE_MOST_TOKENS = 512 }; /* of a source line; the rest is cut off */
/* rondo_translate with the weights of a compiled program, at_once lines in a batch. */
rondo_lines *translate_lines(const rondo_program *p, const rondo_weights *w, const char *const *lines,
                             size_t count, rondo_error *error, const rondo_search *options, int64_t at_once);
rondo_session *session_new(const rondo_program *p, const rondo_weights *w, int64_t batch, rondo_error *error);
/* Fails with RONDO_DIVERGED because the logits of this token of the sequence (both counted from 0) are not
 * finite; names a weight that is not finite if there is one. */
bool fail_not_finite(const rondo_session *s, int64_t sequence, int64_t token, rondo_error *error);
