/* explain: what linearize did with every attention of a graph, in training and in decoding, why, and what it
 * saves. */
#pragma once
#include "compiler/passes/linearize.h"

/* Appends a page of plain text, at most 100 columns wide. time: the symbol that decoding advances over; NULL:
 * T, or the first attention's own where there is no T. */
bool explain_graph(const rondo_graph *g, const char *time, text *out, rondo_error *error);

/* One attention, or several that are alike. */
typedef struct explanation {
    linearize_record training, decoding;
    const char *last_scope; /* of the last that is alike; NULL: there is one only */
    int last_line;
    int count;
} explanation;
/* A recurrence that is an op, or several that are alike. */
typedef struct recurrence_item {
    node_id node;
    const recurrence *kind;
    int count;
    const char *scope, *last_scope; /* last: of the last that is alike */
} recurrence_item;
typedef struct explainer {
    const rondo_graph *g;
    text *out;
    int time; /* symbol */
    explanation *items;
    int item_count, item_capacity;
    recurrence_item *recurrences;
    int recurrence_count, recurrence_capacity;
} explainer;
void explain_item(explainer *e, const explanation *item, int number); /* one block of the page */
int64_t explain_state_bytes(const explainer *e,
                            const linearize_record *decoding); /* a sequence, at any length; 0: none */
int64_t explain_cache_bytes(const explainer *e,
                            const linearize_record *decoding); /* a token decoded; 0: none */
bool explain_find_recurrences(explainer *e); /* false: memory was refused */
void explain_recurrence(explainer *e, const recurrence_item *item, int number);
/* the symbol it goes along; −1: none */
int explain_recurrence_time(const explainer *e, const recurrence_item *item);
/* as explain_state_bytes */
int64_t explain_recurrence_bytes(const explainer *e, const recurrence_item *item);
void explain_tab(text *t, int column); /* blanks up to it, one at least */
/* "·T·2": `times` before each factor */
void explain_dim(text *t, const rondo_graph *g, dim d, const char *times);
void explain_formula(text *t, const char *label, const char *line);
void explain_number(text *t, int64_t number);                  /* 133,120 */
