/* The contract between the stages of a decoder, and their roles: the inputs, outputs and symbols that a
 * session uses, looked up once. */
#pragma once
#include "compiler/passes/stream_names.h"

/* Who fills a port: the session (initial values, then each run's `out`), or an earlier stage, once. */
typedef enum port_giver { GIVEN_BY_SESSION, GIVEN_BY_LOAD, GIVEN_BY_SOURCE } port_giver;
typedef struct port_role {
    port_giver giver;
    value_id made; /* the output in the giver's graph; NONE for the session's */
    /* from the source: it is an input, or feeds another port too, and is copied after the run */
    bool copied;
} port_role;

typedef struct roles {
    value_id count, tokens, logits; /* of the step graph: i32[B], i32[B,P], f32[B,1,V] */
    int batch, advance, capacity;   /* its symbols B, P and C; capacity −1: it has no C */
    int64_t vocabulary;             /* V */
    int64_t token_limit;            /* tokens are ids below this; −1: any */
    const char *token_name;         /* of their input, for messages */
    port_role *step_ports, *source_ports; /* by port of the two graphs */
    /* by symbol of the source graph: its index in the step graph, or −1 */
    int step_symbol[MAX_SYMBOLS];
} roles;

/* Checks the contract, which is written down at the top of staged.c, and fills in the roles, which live in
 * `a`. The graphs have passed graph_verify. False: the error names the graph and what is wrong in it. */
bool staged_verify(const staged *stages, arena *a, roles *out, rondo_error *error);
