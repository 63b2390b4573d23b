/* Expressions of the text form, and the labels of its values; statements are in core/text/parse.c. */
#pragma once
#include "core/text/lex.h"

typedef struct parser {
    lexer s;
    rondo_graph *labels; /* used as a table of names, for the labels of values */
    value_id *values;    /* of each label; NONE: not made yet */
    int *lines;          /* where it was made */
    int label_count, label_capacity, line_capacity;
    int depth;  /* of bodies; 0: the graph itself */
    bool ended; /* the `end` of the body was read */
} parser;

/* The right side of a "=": a call with all its results, or one existing value. */
typedef struct expression {
    value_id first;
    int count;
    bool call;
} expression;

/* Labels: %12, or a word. */
int label_index(parser *p, const char *name); /* −1: no memory */
bool read_label(parser *p, char label[WORD_BYTES], const char *what);
bool find_label(parser *p, const char *name, value_id *v);
bool set_label(parser *p, const char *name, value_id v);
bool name_value(parser *p, const char *label,
                value_id v); /* the same, and printed graphs use the label too */

/* Before and after a call of the builder, so that its messages give the place in the text, with the column.
 */
void builder_at(parser *p, lex_mark at);
bool add_column(parser *p, lex_mark at); /* false */

/* An expression with what may follow it: ": f32[B,T]" and '@ "scope" model.c:42'. */
bool read_expression(parser *p, expression *e);
