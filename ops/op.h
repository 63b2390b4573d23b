/* The types of the op table's columns. ops/ops.def has one row an op; this file makes the enum and the
 * attribute indices from it, ops/rules.h the declarations, ops/op.c the table. A row that lacks a column does
 * not compile.
 *
 * In the file of an op family the order is always infer, vjp, reference, samples. Form rules are in
 * ops/form/, step rules in ops/step/, kernels in ops/kernels/. */
#pragma once
#include "core/graph.h"
#include "ops/kernels/kernel.h"

/* ---- vjp: the gradient, as graph ---- */
/* Adds nodes to g. n is a copy of a node of g. out_gradients[port] is NONE where zero. Sets in_gradients[i]
 * where needs[i]; NONE means zero (ids, lengths, seeds never need one). False: graph_fail was called. */
typedef bool vjp_rule(rondo_graph *g, const node *n, const value_id *out_gradients, const bool *needs,
                      value_id *in_gradients);

/* ---- form: how a separable product over (t, s) passes through ---- */
/* v[…, t, s] = mask(t, s) · row[t] · column[s] · Σ_f query[t, f] · key[s, f] · e^(c[t, f] − c[s, f])
 *
 * Factors are values of the new graph in the layout [batch…, T, F], where batch… are the value's axes without
 * t and s, in order; an extent may be the literal 1. Of c only the growth from step to step is kept: the
 * exponential is the product of e^log_decay over the steps s+1 … t. */
typedef enum form_kind {
    FORM_NONE,       /* does not carry the time axis twice */
    FORM_PAIR,       /* separable, as above */
    FORM_DIFFERENCE, /* c[t] − c[s], −∞ where masked; its exponential is a pair: log_decay alone counts */
    FORM_ENDED,      /* carried two time axes, no longer separable: reason, at */
    FORM_NORMALISER, /* Σ_s of a pair, or its mean: the denominator of the scan, or a product with Σ_s key */
    FORM_CONTRACTED  /* Σ_s pair · operand: the numerator of the scan or of the reassociated product */
} form_kind;
typedef struct pair_form {
    form_kind kind;
    const char *reason; /* ENDED: why, for the report; static or in the old graph's arena */
    node_id at;         /* ENDED: the old node that ended it */
    node_id origin;     /* the old node where the pair began */
    int t_axis, s_axis; /* of the value; a causal pair keeps s ≤ t */
    int rank;           /* of the value */
    value_id query, key;      /* [batch…, T, F], [batch…, S, F] */
    value_id row, column;     /* [batch…, T, 1], [batch…, S, 1]; NONE: 1 */
    value_id log_decay;       /* [batch…, T or 1, 1 or F] per step; NONE: none */
    bool causal, exclusive;   /* exclusive: s < t */
    /* CONTRACTED: a value [batch…, S, Dv] of the new graph. The result is [batch…, T, Dv]; transposed:
     * [batch…, Dv, T]. NORMALISER: the result is [batch…, T, 1]; keep: the s axis stays, with extent 1. */
    value_id operand;
    bool transposed, keep;
    bool mean; /* NORMALISER: the mean over s, not the sum; never causal */
} pair_form;
typedef struct form_context {
    const rondo_graph *from;
    rondo_graph *to;
    const value_id *map;        /* old → new, for values that are not pairs */
    const pair_form *forms;     /* by old value id */
} form_context;
/* Decides what each output of old node n is; outputs are FORM_NONE at first. Called for every node, most of
 * which read no pair and begin none. May add nodes to c->to. False: graph_fail was called on c->to. */
typedef bool form_rule(form_context *c, const node *n, pair_form *outputs);

/* ---- step: from the parallel graph to one that advances P tokens ---- */
typedef enum time_kind {
    TIME_STILL, /* does not depend on the time symbol */
    TIME_NOW,   /* has the time axis once, at `axis`: row t depends on tokens ≤ t only */
    TIME_PAIR   /* has it twice: `axis` is t (P rows), `key_axis` is s (the cache's capacity) */
} time_kind;
typedef struct time_fact {
    time_kind kind;
    int axis, key_axis;
    bool causal; /* PAIR: entries with s > t are masked with fill */
    double fill;
} time_fact;
typedef struct step_context {
    const rondo_graph *from;
    rondo_graph *to;
    value_id *map;           /* old → new; the rule sets it for n's outputs */
    const time_fact *facts;  /* by old value id */
    int time, step, capacity; /* symbols: T in `from`; P and the cache capacity in `to` */
    value_id position;       /* i32[B] in `to`: tokens before this advance */
    value_id count;          /* i32[B] in `to`: how many of the P new tokens of each sequence count */
    value_id filled;         /* i32[B] in `to`: position + count */
    int batch;               /* symbol B */
    int port_count;          /* for fresh names: step_port_name */
} step_context;
/* Builds node n's step form in c->to and sets c->map and facts[] of its outputs. False: graph_fail was called
 * on c->to with RONDO_NOT_CAUSAL and a reason that names the node. */
typedef bool step_rule(step_context *c, const node *n, time_fact *facts);
/* Helpers for rules; more in ops/step/step.h. */
/* cache with the new rows written: extent `capacity` at axis */
value_id step_append(step_context *c, value_id rows, int axis);
/* state in; set out with step_carry_out */
value_id step_carry(step_context *c, const shape *s, rondo_type type, int batch_axis, double initial,
                    int *port);
void step_carry_out(step_context *c, int port, value_id out);
bool step_fail(step_context *c, const node *n, const char *format, ...) RONDO_FORMAT(3, 4);
bool step_same(step_context *c, const node *n); /* copies n with mapped inputs and T → P in DIMS attributes */
shape step_shape(const step_context *c, const shape *s); /* T → P */

/* ---- reference and samples ---- */
/* Dense row-major doubles; ids and lengths too (exact). data NULL: absent. Outputs come allocated and zeroed.
 */
typedef struct reference_tensor {
    double *data;
    int rank;
    int64_t dims[MAX_RANK];
    int64_t count;
} reference_tensor;
typedef struct reference_call {
    const rondo_graph *graph; /* for DIMS and NAME attributes */
    const attribute *attributes;
    int input_count, output_count;
    const reference_tensor *inputs;
    reference_tensor *outputs;
    arena *scratch;
    const int64_t *bound; /* a number for each symbol of the graph; NULL: unknown to the caller */
} reference_call;
typedef bool reference_rule(const reference_call *call); /* false: scratch refused */

/* Random graphs of one op. `index` counts 0, 1, 2, …; the rule makes inputs with sample_input and sample_ids,
 * applies the op and returns its first output, or NONE after the last sample. Dims are awkward on purpose: 1,
 * primes, empty. */
typedef struct sampler {
    uint64_t state;
    int input_count;
    struct { double low, high; bool integer; } inputs[MAX_INPUTS]; /* by order of creation: "x0", "x1", … */
} sampler;
int64_t sample_between(sampler *s, int64_t low, int64_t high);
/* f32 */
value_id sample_input(rondo_graph *g, sampler *s, double low, double high, int rank, const int64_t *dims);
/* i32 in [0, limit] */
value_id sample_ids(rondo_graph *g, sampler *s, int64_t limit, int rank, const int64_t *dims);
typedef value_id sample_rule(rondo_graph *g, sampler *s, int index);

/* ---- columns that few ops have ---- */
/* Operand `ids` counts along `axis` of operand `table`. ids 0: the op looks nothing up. */
typedef struct id_lookup {
    signed char ids, table, axis;
} id_lookup;
/* Operand `operand` says how many of the rows along `axis` of operand `rows` count, for each sentence.
 * operand 0: none does. axis −1: the last; AXIS_ATTRIBUTE: the one that the node's first attribute names. */
typedef struct row_length {
    signed char operand, rows, axis;
} row_length;
enum { AXIS_ATTRIBUTE = 100 };
/* An op that carries a state from row to row: what `stream` needs to know about it, and what `explain` says.
 * Result 0 has its rows on the axis of operand 0. */
typedef struct recurrence {
    int time_axis;          /* of every operand that carries time */
    /* operands that must carry time, and those that may, a bit each; the others must not */
    unsigned timed, either;
    /* the operand that says how many rows of each sequence count; the state comes after it */
    int length;
    const char *untimed;    /* why there is no step form if an operand carries time elsewhere */
    /* For `explain`, if the op is a recurrence as it is written; name NULL: linearize makes it, and reports
     * it. */
    const char *name, *plural; /* "delta rule", "delta rules" */
    bool attention;            /* counts as one */
    int decay;                 /* the operand that fades the state; −1: none */
    /* of a token: flops times the elements of the state, with so many rows more on axis 1 */
    int flops, rows_more;
    const char *formulas[5];   /* of a step, NULL after the last */
    const char *fading[5];     /* the same with a decay */
    int state_formula;         /* which of them makes the new state */
    void (*sizes)(text *t, const shape *state); /* "16 rows of 64 channels" */
} recurrence;

/* ---- flags ---- */
enum {
    OP_LEAF = 1,          /* no inputs; not evaluated: bound (input, parameter, state) */
    OP_ELEMENTWISE = 2,   /* may join a fused chain */
    OP_COMMUTATIVE = 4,
    OP_VIEW = 8,          /* the result is a strided view of input 0 when strides allow */
    OP_RANDOM = 16,       /* dropped by `mode` in evaluation */
    OP_NAMED = 32,        /* not hash-consed */
    OP_TRAINING = 64,     /* not in librondo-run */
    OP_SELECTS = 128,     /* a mask */
    OP_EXPANDED = 256,    /* a pass puts other nodes in its place before a graph runs */
    OP_CONSTANT = 512     /* its result counts as a constant in every gradient */
};

/* ---- the table ---- */
#define NO_ID ((int64_t)1 << 32) /* the attribute that names no id: no i32 has this value */
#define OP(name, ...) OP_##name,
typedef enum op_id {
#include "ops/ops.def"
    OP_COUNT
} op_id;
#undef OP
/* attribute indices: matmul_transpose_a, sum_axis, … */
#define FIELD(op, kind, name, initial) op##_##name,
#define OP(name, operands, results, flags, fields, ...) enum { fields name##_attribute_count };
#include "ops/ops.def"
#undef OP
#undef FIELD

typedef struct op_row {
    op_signature signature;
    vjp_rule *vjp; /* NULL, in ops.def vjp_none: no gradient */
    form_rule *form;
    step_rule *step;
    unsigned flags;
    const kernel *const *kernels; /* candidates, the best first, NULL at the end; a leaf has none */
    reference_rule *reference;    /* a leaf has none */
    sample_rule *samples;
    const char *meaning; /* one line for the reference page */
    /* For the ops that need them. */
    signed char in_place[MAX_OUTPUTS]; /* of each result: 1 + the operand, 0: none (node_in_place) */
    id_lookup lookup;
    signed char ignored; /* 1 + the attribute that names an id which the lookup leaves out; 0: none does */
    row_length length;
    signed char counted; /* the result that counts what result 0, a sum, is the sum of; 0: there is none */
    const recurrence *recurrence; /* NULL: none */
    /* of the recurrence: before the first row, after the last */
    struct { signed char operand, result; } state;
} op_row;
extern const op_row op_table[OP_COUNT];
extern const op_list all_ops; /* the signatures of the table, for contexts */
static inline int op_find(const char *name) { return op_list_find(&all_ops, name); } /* −1: no such op */

/* The operand whose memory this result may take when nobody reads that later; −1: none. */
int node_in_place(const node *n, int result);

/* The verifier: checks every invariant of core/graph.h, and that infer gives each node the type that it has.
 */
bool graph_verify(const rondo_graph *g, rondo_error *error);
