/* Turning lines into token ids, skipping and counting what does not fit. */
#include "tools/data/corpus.h"
#include "tools/report/message.h"
#include "tools/signals.h"
#include <stdio.h>

/* Makes room for `more` tokens after the used ones. */
static bool make_room(corpus *c, corpus_side *side, int64_t more, rondo_error *error)
{
    size_t needed = (size_t)(side->used + more) * sizeof *side->tokens;
    if (needed <= side->token_bytes)
        return true;
    size_t larger = side->token_bytes ? side->token_bytes : 1 << 16;
    while (larger < needed)
        larger *= 2;
    int32_t *tokens = memory_new(c->allocator, larger);
    if (!tokens)
        return fail_memory(error, larger, "the corpus");
    if (side->tokens)
        memcpy(tokens, side->tokens, (size_t)side->used * sizeof *tokens);
    memory_free(c->allocator, side->tokens, side->token_bytes);
    side->tokens = tokens;
    side->token_bytes = larger;
    return true;
}

/* Encodes a line after the used tokens, without counting its tokens as used yet. */
static bool encode(corpus *c, corpus_side *side, const lines *input, int64_t line, const tokenizer *t,
                   int64_t *count, rondo_error *error)
{
    int64_t length = lines_length(input, line), capacity = length + 1;
    for (;;) {
        if (!make_room(c, side, capacity, error) ||
            !tokenizer_encode(t, lines_get(input, line), (size_t)length, side->tokens + side->used, capacity,
                              count, error))
            return false;
        if (*count <= capacity)
            return true;
        capacity = *count;
    }
}

static bool begin(corpus *c, const rondo_allocator *allocator, const lines *source, const lines *target,
                  int64_t most, rondo_error *error)
{
    *c = (corpus){.allocator = allocator, .has_source = source != NULL, .lines = target->count};
    if (most >= INT32_MAX)
        return fail(error, RONDO_FILE, "%s has too many lines; at most 2^31 are possible", target->path);
    c->id_bytes = (size_t)most * sizeof *c->id;
    c->id = memory_new(allocator, c->id_bytes);
    for (int s = !source; s < 2; s++) {
        c->side[s].start_bytes = (size_t)(most + 1) * sizeof(int64_t);
        c->side[s].start = memory_new(allocator, c->side[s].start_bytes);
        if (!c->id || !c->side[s].start)
            return fail_memory(error, c->side[s].start_bytes, "the corpus");
    }
    return true;
}

/* Makes the tokens after the used ones of both sides sequence number c->count. */
static void keep(corpus *c, const int64_t count[2], int64_t id)
{
    for (int s = !c->has_source; s < 2; s++) {
        c->side[s].used += count[s];
        c->side[s].start[c->count + 1] = c->side[s].used;
    }
    c->id[c->count++] = (int32_t)id;
}

static bool add_line(corpus *c, const lines *const input[2], int64_t line, const tokenizer *t,
                     corpus_limits limits, rondo_error *error)
{
    int64_t words[2] = {1, 1}, count[2] = {0};
    for (int s = !c->has_source; s < 2; s++)
        words[s] = words_count(lines_get(input[s], line));
    if (words[0] == 0 || words[1] == 0) {
        c->empty++;
        return true;
    }
    if (limits.max_words && (words[0] > limits.max_words || words[1] > limits.max_words)) {
        c->long_in_words++;
        return true;
    }
    for (int s = !c->has_source; s < 2; s++)
        if (!encode(c, &c->side[s], input[s], line, t, &count[s], error))
            return false;
    if (limits.max_tokens && (count[0] >= limits.max_tokens || count[1] >= limits.max_tokens))
        c->long_in_tokens++;
    else if ((c->has_source && count[0] == 0) || count[1] == 0)
        c->empty++; /* it has only characters that the tokenizer drops */
    else {
        c->words += words[1];
        keep(c, count, line);
    }
    return true;
}

bool corpus_make(corpus *c, const rondo_allocator *allocator, const lines *source, const lines *target,
                 const tokenizer *t, corpus_limits limits, rondo_error *error)
{
    const lines *const input[2] = {source, target};
    *c = (corpus){.allocator = allocator};
    if (source && !lines_match(source, target, error))
        return false;
    bool good = begin(c, allocator, source, target, target->count, error);
    c->ends = true;
    for (int64_t line = 0; good && line < target->count; line++)
        good = signals_check(error) && add_line(c, input, line, t, limits, error);
    if (good && c->count == 0) {
        char why[160];
        corpus_describe(c, limits, why, sizeof why);
        good = fail(error, RONDO_FILE, "%s leaves nothing to learn from: %s", target->path, why);
    }
    if (!good)
        corpus_free(c);
    return good;
}

bool corpus_make_blocks(corpus *c, const rondo_allocator *allocator, const lines *input, const tokenizer *t,
                        int64_t block, rondo_error *error)
{
    corpus_side *side = &c->side[1];
    bool good = begin(c, allocator, NULL, input, 0, error);
    for (int64_t line = 0; good && line < input->count; line++) {
        int64_t count;
        good = signals_check(error) && encode(c, side, input, line, t, &count, error) &&
               (side->used += count, make_room(c, side, 1, error));
        if (good)
            side->tokens[side->used++] = TOKEN_END;
        c->words += words_count(lines_get(input, line));
    }
    int64_t used = side->used, blocks = (used + block - 1) / block;
    if (good && used == input->count)
        good = fail(error, RONDO_FILE, "%s has no text", input->path);
    if (good) { /* now that the number of blocks is known, allocate the tables again and keep the tokens */
        memory_free(allocator, c->id, c->id_bytes);
        memory_free(allocator, side->start, side->start_bytes);
        corpus made = *c;
        good = begin(c, allocator, NULL, input, blocks, error);
        c->words = made.words;
        side->tokens = made.side[1].tokens;
        side->token_bytes = made.side[1].token_bytes;
    }
    for (int64_t b = 0; good && b < blocks; b++)
        keep(c, (const int64_t[]){0, b + 1 < blocks ? block : used - b * block}, b);
    if (!good)
        corpus_free(c);
    return good;
}

void corpus_free(corpus *c)
{
    for (int s = 0; s < 2; s++) {
        memory_free(c->allocator, c->side[s].tokens, c->side[s].token_bytes);
        memory_free(c->allocator, c->side[s].start, c->side[s].start_bytes);
    }
    memory_free(c->allocator, c->id, c->id_bytes);
    *c = (corpus){.allocator = c->allocator};
}

void corpus_describe(const corpus *c, corpus_limits limits, char *out, size_t size)
{
    count_text number;
    size_t used = (size_t)snprintf(out, size, "%s lines", count_format(number, c->lines));
    int skipped = 0;
    const struct {
        int64_t count, limit;
        const char *what;
    } parts[] = {{c->empty, 0, " empty"},
                 {c->long_in_words, limits.max_words, " of more than %s words"},
                 {c->long_in_tokens, limits.max_tokens, " of more than %s tokens"}};
    for (int i = 0; i < 3 && used < size; i++) {
        if (parts[i].count == 0)
            continue;
        count_text limit;
        count_format(limit, parts[i].limit);
        used += (size_t)snprintf(out + used, size - used, "%s%s", skipped++ ? " and " : ", ",
                                 count_format(number, parts[i].count));
        const char *hole = strstr(parts[i].what, "%s");
        if (used < size)
            used += hole ? (size_t)snprintf(out + used, size - used, "%.*s%s%s", (int)(hole - parts[i].what),
                                            parts[i].what, limit, hole + 2)
                         : (size_t)snprintf(out + used, size - used, "%s", parts[i].what);
    }
    if (skipped && used < size)
        snprintf(out + used, size - used, " skipped");
}
