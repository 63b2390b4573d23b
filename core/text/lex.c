/* Tokens of the text form, and the types that the DSL writes as text too. */
#include "core/text/lex.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void lex_begin(lexer *s, rondo_graph *g, const char *source, const char *name)
{
    *s = (lexer){.g = g, .name = name, .at = source, .line_start = source, .line = 1, .mark = {source, 1, 1}};
    arena_begin(&s->scratch, &g->context->allocator);
}

void lex_end(lexer *s)
{
    arena_end(&s->scratch);
}

bool lex_fail(lexer *s, rondo_code code, const char *format, ...)
{
    char message[400];
    va_list list;
    va_start(list, format);
    vsnprintf(message, sizeof message, format, list);
    va_end(list);
    if (s->name) {
        s->g->file = NULL;
        graph_fail(s->g, code, "%.200s:%d:%d: %s", s->name, s->mark.line, s->mark.column, message);
    } else {
        graph_fail(s->g, code, "%s (at \"%.40s\")", message, s->mark.at);
    }
    return false;
}

/* ---- characters ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word_part(char c)
{
    return is_letter(c) || is_digit(c) || c == '.';
}

char lex_peek(lexer *s)
{
    for (;; s->at++) {
        if (*s->at == '#')
            s->at += strcspn(s->at, "\n");
        if (*s->at == '\n' && s->open > 0) {
            s->line++;
            s->line_start = s->at + 1;
        } else if (*s->at != ' ' && *s->at != '\t' && *s->at != '\r') {
            break;
        }
    }
    int64_t column = s->at - s->line_start + 1;
    s->mark = (lex_mark){s->at, s->line, column < INT32_MAX ? (int)column : INT32_MAX};
    return *s->at;
}

bool lex_take(lexer *s, char c)
{
    if (lex_peek(s) != c || !c)
        return false;
    s->open += (c == '(' || c == '[') - (c == ')' || c == ']');
    s->at++;
    if (c == '\n') {
        s->line++;
        s->line_start = s->at;
    }
    return true;
}

bool lex_expect(lexer *s, char c, const char *after)
{
    if (lex_take(s, c))
        return true;
    return lex_fail(s, RONDO_ARGUMENT, "expected '%c' after %s", c, after);
}

/* ---- words, strings, numbers ---- */

bool lex_at_word(lexer *s)
{
    return is_letter(lex_peek(s));
}

bool lex_word(lexer *s, char word[WORD_BYTES], const char *what)
{
    if (!lex_at_word(s))
        return lex_fail(s, RONDO_ARGUMENT, "expected %s", what);
    size_t length = 0;
    while (is_word_part(s->at[length]))
        length++;
    if (length >= WORD_BYTES)
        return lex_fail(s, RONDO_ARGUMENT, "%s may have at most %d letters", what, WORD_BYTES - 1);
    memcpy(word, s->at, length);
    word[length] = 0;
    s->at += length;
    return true;
}

static int hexadecimal(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One character of a string, escapes undone; *at past it. 0: an escape that does not exist. */
static char string_character(const char **at)
{
    char c = *(*at)++;
    if (c != '\\')
        return c;
    c = *(*at)++;
    if (c == '"' || c == '\\')
        return c;
    if (c != 'x' || hexadecimal(**at) < 0 || hexadecimal((*at)[1]) < 0)
        return 0;
    c = (char)(hexadecimal(**at) * 16 + hexadecimal((*at)[1]));
    *at += 2;
    return c;
}

const char *lex_string(lexer *s)
{
    if (lex_peek(s) != '"') {
        lex_fail(s, RONDO_ARGUMENT, "expected a text in double quotes");
        return NULL;
    }
    size_t room = 0; /* long enough: escapes only become shorter */
    for (const char *c = s->at + 1; *c && *c != '\n' && *c != '"'; c++, room++)
        if (*c == '\\' && c[1])
            c++, room++;
    char *string = arena_new(&s->scratch, room + 1);
    if (!string) {
        lex_fail(s, RONDO_MEMORY, "out of memory for a text of %zu bytes", room);
        return NULL;
    }
    size_t length = 0;
    for (s->at++; *s->at != '"'; length++) {
        if (!*s->at || *s->at == '\n' || !(string[length] = string_character(&s->at))) {
            lex_fail(
                s, RONDO_ARGUMENT,
                "this text has no closing quote on its line, or an escape that is none of \\\" \\\\ \\x1f");
            return NULL;
        }
    }
    s->at++;
    return string;
}

const char *lex_name(lexer *s, const char *what)
{
    char word[WORD_BYTES];
    if (lex_peek(s) == '"')
        return lex_string(s);
    if (!lex_word(s, word, what))
        return NULL;
    const char *copy = arena_copy_text(&s->scratch, word, strlen(word));
    if (!copy)
        lex_fail(s, RONDO_MEMORY, "out of memory for a name");
    return copy;
}

bool lex_integer(lexer *s, int64_t *number)
{
    bool negative = lex_peek(s) == '-';
    const char *c = s->at + negative;
    if (!is_digit(*c))
        return lex_fail(s, RONDO_ARGUMENT, "expected a whole number");
    int64_t read = 0;
    for (; is_digit(*c); c++)
        if (__builtin_mul_overflow(read, 10, &read) ||
            __builtin_add_overflow(read, negative ? '0' - *c : *c - '0', &read))
            return lex_fail(s, RONDO_ARGUMENT, "this whole number does not fit in 64 bits");
    if (is_word_part(*c))
        return lex_fail(s, RONDO_ARGUMENT, "expected a whole number");
    s->at = c;
    *number = read;
    return true;
}

bool lex_number(lexer *s, double *number)
{
    lex_peek(s);
    const char *end;
    if (!parse_number(s->at, &end, number) || is_word_part(*end))
        return lex_fail(s, RONDO_ARGUMENT, "expected a number that a double can hold");
    s->at = end;
    return true;
}

/* ---- dims and types ---- */

bool lex_symbol(lexer *s, int *symbol)
{
    char word[WORD_BYTES];
    if (!lex_word(s, word, "a symbol"))
        return false;
    *symbol = graph_find_symbol(s->g, word);
    if (*symbol < 0 && s->g->symbol_count == MAX_SYMBOLS)
        return lex_fail(s, RONDO_ARGUMENT, "symbol %.40s is one too many: a graph has at most %d", word,
                        MAX_SYMBOLS);
    if (*symbol < 0 && strchr(word, '.'))
        return lex_fail(s, RONDO_ARGUMENT, "a symbol has no dot in it: %.40s", word);
    if (*symbol < 0)
        *symbol = graph_symbol(s->g, word);
    return *symbol >= 0;
}

/* 64, B or B^2. */
static bool lex_factor(lexer *s, dim *product)
{
    dim factor;
    int64_t number = 1;
    if (lex_at_word(s)) {
        int symbol;
        if (!lex_symbol(s, &symbol) || (lex_take(s, '^') && !lex_integer(s, &number)))
            return false;
        if (number < 1 || number > UINT8_MAX)
            return lex_fail(s, RONDO_ARGUMENT, "the power of a symbol goes from 1 to %d", UINT8_MAX);
        factor = dim_symbol(symbol);
        factor.power[symbol] = (uint8_t)number;
    } else {
        if (!lex_integer(s, &number))
            return false;
        if (number < 0)
            return lex_fail(s, RONDO_ARGUMENT, "a dim is not negative");
        factor = dim_number(number);
    }
    return dim_multiply(*product, factor, product) || lex_fail(s, RONDO_ARGUMENT, "this dim is too large");
}

bool lex_dims(lexer *s, shape *dims)
{
    *dims = (shape){0};
    if (!lex_take(s, '['))
        return lex_fail(s, RONDO_ARGUMENT,
                        "expected dims in brackets, like [B,T,64] or [] for a single number");
    if (lex_take(s, ']'))
        return true;
    do {
        if (dims->rank == MAX_RANK)
            return lex_fail(s, RONDO_ARGUMENT, "more than %d dims", MAX_RANK);
        dim product = dim_number(1);
        do
            if (!lex_factor(s, &product))
                return false;
        while (lex_take(s, '*'));
        dims->dims[dims->rank++] = product;
    } while (lex_take(s, ','));
    return lex_expect(s, ']', "the dims");
}

bool lex_type_name(lexer *s, rondo_type *type)
{
    char word[WORD_BYTES];
    if (!lex_word(s, word, "a type: f32, f64 or i32"))
        return false;
    for (rondo_type t = RONDO_F32; t <= RONDO_I32; t++) {
        if (!strcmp(word, type_name(t))) {
            *type = t;
            return true;
        }
    }
    return lex_fail(s, RONDO_ARGUMENT, "there is no type %.40s; there are f32, f64 and i32", word);
}

bool parse_type(rondo_graph *g, const char *source, bool with_type, rondo_type *type, shape *s)
{
    if (!g || !graph_good(g))
        return false;
    if (!source)
        return graph_refuse(g, RONDO_ARGUMENT, "expected a type, like f32[B,T,64]");
    lexer scan;
    lex_begin(&scan, g, source, NULL);
    bool good = (!with_type || lex_type_name(&scan, type)) && lex_dims(&scan, s) &&
                (!lex_peek(&scan) || lex_fail(&scan, RONDO_ARGUMENT, "expected nothing after the dims"));
    lex_end(&scan);
    return good;
}

/* ---- words ---- */

bool is_label(const char *name)
{
    static const char *const taken[] = {"_",       "inf",     "nan",  "output", "port",
                                        "initial", "symbols", "body", "end"};
    size_t length = 0;
    while (is_word_part(name[length]))
        length++;
    if (!is_letter(*name) || name[length] || length >= WORD_BYTES)
        return false;
    for (int i = 0; i < (int)(sizeof taken / sizeof *taken); i++)
        if (!strcmp(name, taken[i]))
            return false;
    return true;
}
