/* Reading text that may be hostile: words, numbers, strings, dims and types, with the place of every mistake. */
#pragma once
#include "core/graph.h"

enum { WORD_BYTES = 128 }; /* of a word, its NUL included */

typedef struct scan_mark {
    const char *at;
    int line, column;
} scan_mark;

typedef struct scanner {
    rondo_graph *g; /* holds the first mistake; types declare their symbols there */
    arena scratch;
    const char *name; /* of the text, for messages; NULL: a fragment out of the DSL */
    const char *at, *line_start;
    int line;
    int open;       /* brackets; inside them the end of a line is a blank */
    scan_mark mark; /* where the last token began, which messages are about */
} scanner;

void scan_begin(scanner *s, rondo_graph *g, const char *source, const char *name);
void scan_end(scanner *s);
/* "NAME:LINE:COLUMN: message" into the graph; false. */
bool scan_fail(scanner *s, rondo_code code, const char *format, ...) RONDO_FORMAT(3, 4);

char scan_peek(scanner *s);         /* the next character that is no blank; '\n' ends a statement */
bool scan_take(scanner *s, char c); /* goes past c if that is next */
bool scan_expect(scanner *s, char c, const char *after);             /* fails if it is not */
bool scan_at_word(scanner *s);                                       /* does a word come next? */
bool scan_word(scanner *s, char word[WORD_BYTES], const char *what); /* letters, digits, _ and . */
const char *scan_string(scanner *s);                                 /* "…"; in scratch; NULL: failed */
const char *scan_name(scanner *s, const char *what);                 /* a word or a string */
bool scan_integer(scanner *s, int64_t *number);
bool scan_number(scanner *s, double *number);
bool scan_type_name(scanner *s, rondo_type *type); /* f32 */
bool scan_dims(scanner *s, shape *dims);           /* [B,2*T,64] */
bool scan_symbol(scanner *s, int *symbol);         /* declares it */

/* The attributes of one op while they are read: core/text_attributes.c. */
typedef struct attribute_set {
    const op_signature *op;
    attribute values[MAX_ATTRIBUTES];
    bool written[MAX_ATTRIBUTES];
    int count, dims, type; /* fields; which of them are of the kinds DIMS and TYPE, −1: none */
} attribute_set;
void attributes_begin(attribute_set *set, const op_signature *op);
int attributes_find(const attribute_set *set, const char *name); /* the field; −1: none */
bool attributes_read(scanner *s, attribute_set *set,
                     const char *name);                    /* after the word: "=value", or nothing */
bool attributes_end(scanner *s, const attribute_set *set); /* fails if one is missing that must be written */

bool is_label(const char *name); /* can a value stand under this name in the text? */
/* How many letters must be put in, taken out or changed to make a of b; words only. */
int word_distance(const char *a, const char *b);
