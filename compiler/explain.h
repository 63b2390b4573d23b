/* explain: what linearize did with every attention of a graph, in training and in decoding, why, and what it
 * saves. */
#pragma once
#include "compiler/linearize.h"

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
typedef struct explainer {
    const rondo_graph *g;
    text *out;
    int time; /* symbol */
    explanation *items;
    int item_count, item_capacity;
} explainer;
void explain_item(explainer *e, const explanation *item, int number); /* one block of the page */
int64_t explain_state_bytes(const explainer *e,
                            const linearize_record *decoding); /* a sequence, at any length; 0: none */
int64_t explain_cache_bytes(const explainer *e,
                            const linearize_record *decoding); /* a token decoded; 0: none */
void explain_number(text *t, int64_t number);                  /* 133,120 */
