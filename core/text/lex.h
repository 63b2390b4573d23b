/* Reading text that may be hostile: words, numbers, strings, dims and types, with the place of every mistake.
 */
#pragma once
#include "core/graph.h"

enum { WORD_BYTES = 128 }; /* of a word, its NUL included */

typedef struct lex_mark {
    const char *at;
    int line, column;
} lex_mark;

typedef struct lexer {
    rondo_graph *g; /* holds the first mistake; types declare their symbols there */
    arena scratch;
    const char *name; /* of the text, for messages; NULL: a fragment from the DSL */
    const char *at, *line_start;
    int line;
    int open;       /* brackets; inside them a newline is a blank */
    lex_mark mark; /* where the last token began, which messages are about */
} lexer;

void lex_begin(lexer *s, rondo_graph *g, const char *source, const char *name);
void lex_end(lexer *s);
/* "NAME:LINE:COLUMN: message" into the graph; false. */
bool lex_fail(lexer *s, rondo_code code, const char *format, ...) RONDO_FORMAT(3, 4);

char lex_peek(lexer *s);         /* the next character that is no blank; '\n' ends a statement */
bool lex_take(lexer *s, char c); /* consumes c if it is next */
bool lex_expect(lexer *s, char c, const char *after);             /* fails if it is not */
bool lex_at_word(lexer *s);                                       /* does a word come next? */
bool lex_word(lexer *s, char word[WORD_BYTES], const char *what); /* letters, digits, _ and . */
const char *lex_string(lexer *s);                                 /* "…"; in scratch; NULL: failed */
const char *lex_name(lexer *s, const char *what);                 /* a word or a string */
bool lex_integer(lexer *s, int64_t *number);
bool lex_number(lexer *s, double *number);
bool lex_type_name(lexer *s, rondo_type *type); /* f32 */
bool lex_dims(lexer *s, shape *dims);           /* [B,2*T,64] */
bool lex_symbol(lexer *s, int *symbol);         /* declares it */

/* The attributes of one op while they are read: core/text/attributes.c. */
typedef struct attribute_set {
    const op_signature *op;
    attribute values[MAX_ATTRIBUTES];
    bool written[MAX_ATTRIBUTES];
    int count, dims, type; /* fields; which of them are of the kinds DIMS and TYPE, −1: none */
} attribute_set;
void attributes_begin(attribute_set *set, const op_signature *op);
int attributes_find(const attribute_set *set, const char *name); /* the field; −1: none */
bool attributes_read(lexer *s, attribute_set *set,
                     const char *name);                    /* after the word: "=value", or nothing */
bool attributes_end(lexer *s, const attribute_set *set); /* fails if a required one is missing */

bool is_label(const char *name); /* whether a value can have this name in the text */
