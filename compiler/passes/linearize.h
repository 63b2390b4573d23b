/* linearize: a product over (t, s) that stays separable until it is summed over s is not computed. With a
 * causal mask the sum becomes a scan, without one a reassociated product. docs/LINEARIZE.md says what is
 * recognised and what is refused. */
#pragma once
#include "compiler/passes/passes.h"

typedef enum linearize_kind {
    LINEARIZE_SCAN,         /* causal: O(T) by a scan */
    LINEARIZE_REASSOCIATED, /* no causal mask: q (kᵀ v) */
    LINEARIZE_REFUSED       /* stays as written */
} linearize_kind;

typedef enum linearize_decay {
    DECAY_NONE,
    DECAY_CONSTANT, /* a number for each head, the same at every step */
    DECAY_TOKEN,    /* a number for each head and token */
    DECAY_FEATURE   /* a number for each head, token and feature */
} linearize_decay;

/* One attention of the old graph, or one of its readers that was refused. Texts are in the report's arena. */
typedef struct linearize_record {
    linearize_kind kind;
    node_id origin;    /* old node that made the first value over (t, s) */
    node_id node;      /* REFUSED: the old node that ended it; else the one that sums over s */
    const char *scope; /* of `node`; "" at the top */
    const char *file;  /* of `node`; NULL: unknown */
    int line;
    const char *reason; /* REFUSED */
    shape batch;        /* the axes beside t and s */
    dim t, s;           /* the two lengths */
    dim features;       /* of query and key */
    dim width;          /* of the values; factor 0: there are none, only a row sum */
    bool causal, exclusive;
    bool normalised; /* its row sum is used too */
    bool scaled;     /* factors of t or s alone were taken out */
    linearize_decay decay;
    bool contracted; /* it was summed over s somewhere */
} linearize_record;

typedef struct linearize_report {
    arena *arena; /* the caller's */
    linearize_record *records;
    int count, capacity;
} linearize_report;

/* report: NULL, or .arena set and the rest zero. For the rest see compiler/passes/passes.h. */
rondo_graph *linearize(const rondo_graph *g, linearize_report *report, value_id **map, rondo_error *error);
