/* Checks a serialized SentencePiece model field by field. It is a protocol buffer: a tag (number and wire
 * type), then a varint, four or eight bytes, or a length and so many bytes. Each message has a table of the
 * fields that matter; others are skipped. */
#include "models/tokenizer/verify.h"
#include "core/memory.h"
#include "core/utf8.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_PIECES = 1 << 20,
    MOST_PIECE_BYTES =
        1000, /* the library recurses once per byte when it builds its trie, and has room for 1024 matches */
    MOST_NESTED_SYMBOLS =
        63 /* user-defined pieces, each a prefix of the next: the library has room for 64 matches */
};
typedef enum piece_type {
    PIECE_NORMAL = 1,
    PIECE_UNKNOWN,
    PIECE_CONTROL,
    PIECE_USER_DEFINED,
    PIECE_UNUSED,
    PIECE_BYTE
} piece_type;
typedef enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 } wire_type;

typedef struct span {
    const unsigned char *data;
    size_t bytes;
} span;

typedef struct field {
    uint32_t number;
    wire_type wire;
    uint64_t varint;
    span content; /* except for a varint */
} field;

typedef struct piece {
    span text;
    piece_type type;
} piece;

typedef struct verifier {
    rondo_error *error;
    char where[24];
    piece *pieces;
    size_t count, capacity;
    bool has_trainer, has_normalizer;
} verifier;

typedef bool (*field_check)(verifier *v, const field *f);
typedef struct field_rule {
    uint32_t number;
    wire_type wire;
    field_check check;
} field_rule;

static bool refuse(const verifier *v, const char *what)
{
    return fail(v->error, RONDO_FILE,
                "the tokenizer is not a usable SentencePiece model, or is damaged: %s %s", v->where, what);
}

/* ---- reading ---- */

static bool read_varint(span *in, uint64_t *number)
{
    *number = 0;
    for (int shift = 0; shift < 64 && in->bytes > 0; shift += 7) {
        unsigned char byte = *in->data;
        *in = (span){in->data + 1, in->bytes - 1};
        *number |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool read_field(span *in, field *f)
{
    uint64_t tag, length;
    if (!read_varint(in, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
        return false;
    *f = (field){.number = (uint32_t)(tag >> 3), .wire = (wire_type)(tag & 7)};
    switch (f->wire) {
    case WIRE_VARINT:
        return read_varint(in, &f->varint);
    case WIRE_BYTES:
        if (!read_varint(in, &length))
            return false;
        break;
    case WIRE_32:
    case WIRE_64:
        length = f->wire == WIRE_32 ? 4 : 8;
        break;
    default:
        return false; /* groups, which the format does not use */
    }
    if (length > in->bytes)
        return false;
    f->content = (span){in->data, (size_t)length};
    *in = (span){in->data + length, in->bytes - (size_t)length};
    return true;
}

static bool walk(verifier *v, span message, const field_rule *rules, size_t count)
{
    field f;
    while (message.bytes > 0) {
        if (!read_field(&message, &f))
            return refuse(v, "is truncated or is not a protocol buffer");
        for (size_t i = 0; i < count; i++) {
            if (rules[i].number != f.number)
                continue;
            if (rules[i].wire != f.wire)
                return refuse(v, "has a field of the wrong type");
            if (!rules[i].check(v, &f))
                return false;
        }
    }
    return true;
}
#define WALK(v, message, rules) walk(v, message, rules, sizeof(rules) / sizeof *(rules))

/* ---- kinds of fields ---- */

static bool is_text(span s)
{
    const char *at = (const char *)s.data, *end = at + s.bytes;
    while (at < end)
        if (utf8_next(&at, end) <= 0)
            return false;
    return s.bytes <= MOST_PIECE_BYTES;
}

static bool check_text(verifier *v, const field *f)
{
    return is_text(f->content) ||
           refuse(v, "has a text that is not UTF-8, contains NUL, or is longer than 1000 bytes");
}

static bool check_flag(verifier *v, const field *f)
{
    return f->varint <= 1 || refuse(v, "has a flag that is neither 0 nor 1");
}

static bool check_id(verifier *v, const field *f)
{
    int64_t id = (int64_t)f->varint;
    return (id >= -1 && id < (int64_t)v->count) || refuse(v, "has an id that is not that of a piece");
}

static bool check_model_type(verifier *v, const field *f)
{
    return (f->varint >= 1 && f->varint <= 4) || refuse(v, "has an unknown model type");
}

static bool check_charsmap(verifier *v, const field *f)
{
    const char *wrong = charsmap_verify(f->content.data, f->content.bytes, v->error);
    return !wrong || refuse(v, wrong);
}

/* ---- pieces ---- */

static bool check_piece_text(verifier *v, const field *f)
{
    v->pieces[v->count].text = f->content;
    return check_text(v, f);
}

static bool check_score(verifier *v, const field *f)
{
    float score;
    memcpy(&score, f->content.data, sizeof score);
    return isfinite(score) || refuse(v, "has a score that is not finite");
}

static bool check_piece_type(verifier *v, const field *f)
{
    v->pieces[v->count].type = (piece_type)f->varint;
    return (f->varint >= PIECE_NORMAL && f->varint <= PIECE_BYTE) || refuse(v, "has an unknown type");
}

static bool check_piece(verifier *v, const field *f)
{
    static const field_rule rules[] = {
        {1, WIRE_BYTES, check_piece_text}, {2, WIRE_32, check_score}, {3, WIRE_VARINT, check_piece_type}};
    snprintf(v->where, sizeof v->where, "piece %zu", v->count);
    v->pieces[v->count] = (piece){.type = PIECE_NORMAL};
    if (!WALK(v, f->content, rules))
        return false;
    if (v->pieces[v->count].text.bytes == 0)
        return refuse(v, "is empty");
    v->count++;
    return true;
}

static int by_text(const void *a, const void *b)
{
    const span x = ((const piece *)a)->text, y = ((const piece *)b)->text;
    int order = memcmp(x.data, y.data, x.bytes < y.bytes ? x.bytes : y.bytes);
    return order ? order : (x.bytes > y.bytes) - (x.bytes < y.bytes);
}

static bool begins_with(span text, span beginning)
{
    return beginning.bytes <= text.bytes && !memcmp(text.data, beginning.data, beginning.bytes);
}

/* In sorted order, a prefix comes before the texts that it begins, and between them are only texts that it
 * begins too. */
static bool check_all_pieces(verifier *v)
{
    span nested[MOST_NESTED_SYMBOLS + 1];
    int depth = 0, unknown = 0;
    snprintf(v->where, sizeof v->where, "it");
    if (!v->has_trainer || !v->has_normalizer) /* both come last in the file: it was truncated */
        return refuse(v, "has no trainer spec or no normalizer spec");
    for (size_t i = 0; i < v->count; i++)
        unknown += v->pieces[i].type == PIECE_UNKNOWN;
    if (unknown != 1)
        return refuse(v, "does not have exactly one piece of type unknown");
    qsort(v->pieces, v->count, sizeof *v->pieces, by_text);
    for (size_t i = 0; i < v->count; i++) {
        span text = v->pieces[i].text;
        if (i && !by_text(&v->pieces[i - 1], &v->pieces[i]))
            return refuse(v, "has two pieces with the same text");
        if (v->pieces[i].type != PIECE_USER_DEFINED)
            continue;
        while (depth > 0 && !begins_with(text, nested[depth - 1]))
            depth--;
        if (depth == MOST_NESTED_SYMBOLS)
            return refuse(v, "has more than 63 user-defined pieces that are prefixes of each other");
        nested[depth++] = text;
    }
    return true;
}

/* ---- the parts of a model ---- */

static bool check_trainer(verifier *v, const field *f)
{
    static const field_rule rules[] = {
        {3, WIRE_VARINT, check_model_type}, {24, WIRE_VARINT, check_flag}, /* treat whitespace as suffix */
        {35, WIRE_VARINT, check_flag},                                     /* byte fallback */
        {40, WIRE_VARINT, check_id}, /* ids of unknown, begin, end, padding */
        {41, WIRE_VARINT, check_id},        {42, WIRE_VARINT, check_id},   {43, WIRE_VARINT, check_id},
        {44, WIRE_BYTES, check_text}, /* surface of unknown */
        {45, WIRE_BYTES, check_text}, /* texts of those four pieces */
        {46, WIRE_BYTES, check_text},       {47, WIRE_BYTES, check_text},  {48, WIRE_BYTES, check_text}};
    snprintf(v->where, sizeof v->where, "its trainer spec");
    v->has_trainer = true;
    return WALK(v, f->content, rules);
}

static bool check_normalizer(verifier *v, const field *f)
{
    static const field_rule rules[] = {{2, WIRE_BYTES, check_charsmap},
                                       {3, WIRE_VARINT, check_flag},  /* add dummy prefix */
                                       {4, WIRE_VARINT, check_flag},  /* remove extra whitespaces */
                                       {5, WIRE_VARINT, check_flag}}; /* escape whitespaces */
    snprintf(v->where, sizeof v->where, "its normalizer");
    v->has_normalizer = v->has_normalizer || f->number == 3;
    return WALK(v, f->content, rules);
}

static bool check_self_test(verifier *v, const field *f)
{
    snprintf(v->where, sizeof v->where, "it");
    return f->content.bytes == 0 || refuse(v, "has self-test samples, which Rondo does not support");
}

static bool count_piece(verifier *v, const field *f)
{
    (void)f;
    return v->capacity++ < MOST_PIECES || refuse(v, "has more than 1,048,576 pieces");
}

static bool skip(verifier *v, const field *f)
{
    (void)v, (void)f;
    return true;
}

bool tokenizer_verify(const void *model, size_t bytes, rondo_error *error)
{
    static const field_rule counting[] = {{1, WIRE_BYTES, count_piece},
                                          {2, WIRE_BYTES, skip},
                                          {3, WIRE_BYTES, skip},
                                          {4, WIRE_BYTES, skip},
                                          {5, WIRE_BYTES, skip}};
    static const field_rule pieces[] = {{1, WIRE_BYTES, check_piece}};
    static const field_rule others[] = {{2, WIRE_BYTES, check_trainer},
                                        {3, WIRE_BYTES, check_normalizer},
                                        {4, WIRE_BYTES, check_self_test},
                                        {5, WIRE_BYTES, check_normalizer}}; /* the denormalizer */
    verifier v = {.error = error, .where = "it"};
    const span all = {model, bytes};
    if (bytes == 0 || bytes > INT32_MAX)
        return refuse(&v, "has an impossible size");
    if (!WALK(&v, all, counting))
        return false;
    v.pieces = memory_new(&memory_malloc, sizeof *v.pieces * (v.capacity + 1));
    if (!v.pieces)
        return fail_memory(error, sizeof *v.pieces * v.capacity, "checking a tokenizer");
    bool good = WALK(&v, all, pieces) && WALK(&v, all, others) && check_all_pieces(&v);
    memory_free(&memory_malloc, v.pieces, sizeof *v.pieces * (v.capacity + 1));
    return good;
}
