/* rondo translate: translates standard input to standard output, line for line, in order, a few hundred
 * lines at a time. A line that is not text is reported and replaced by an empty one, and the command fails
 * at the end: the output stays aligned with the input, and one bad byte in a million lines costs one line. */
#include "tools/commands/command.h"
#include "tools/data/lines.h"
#include <string.h>

enum { LINES_A_BLOCK = 256 };

typedef struct block {
    arena arena; /* owns the lines */
    char *lines[LINES_A_BLOCK];
    size_t count;
    int64_t first; /* number of the first line, from 1 */
    int64_t wrong; /* lines that were not text, in this block and those before it */
    bool last;     /* the last block of the input */
} block;

static void block_begin(block *b, command *c)
{
    arena_begin(&b->arena, &c->context->allocator);
    b->first += (int64_t)b->count;
    b->count = 0;
}

/* Reports a line that is not text, and empties it. */
static void complain(command *c, block *b, char *line)
{
    message(c->name, "%s", c->error.message);
    c->error = (rondo_error){0};
    b->wrong++;
    *line = 0;
}

/* Reads at most LINES_A_BLOCK lines. False: c->error; the block has the lines that were read before. */
static bool read_block(command *c, block *b, line_reader *r)
{
    char *line;
    size_t length;
    while (b->count < LINES_A_BLOCK) {
        line_found found = line_reader_next(r, &line, &length, &c->error);
        b->last = found == LINE_END;
        if (found == LINE_END || found == LINE_FAILED)
            return b->last;
        if (found == LINE_WRONG)
            complain(c, b, line);
        char *copy = arena_copy_text(&b->arena, line, strlen(line));
        if (!copy)
            return fail_memory(&c->error, length, "a line");
        b->lines[b->count++] = copy;
    }
    return true;
}

/* Says which line will be cut. */
static bool warn_long(command *c, const model *m, const char *line, int64_t number)
{
    int32_t none;
    int64_t count = 0;
    size_t length = strlen(line);
    count_text at, tokens, most;
    if (length <= TRANSLATE_MOST_TOKENS) /* a token has at least one byte */
        return true;
    if (!tokenizer_encode(m->tokenizer, line, length, &none, 0, &count, &c->error))
        return false;
    if (count > TRANSLATE_MOST_TOKENS)
        message(c->name, "standard input line %s has %s tokens; only the first %s are translated",
                count_format(at, number), count_format(tokens, count),
                count_format(most, TRANSLATE_MOST_TOKENS));
    return true;
}

/* A translation is one line, even if a subword contains a line end. */
static void print(const char *line)
{
    for (const char *at = line; *at; at++)
        putchar(*at == '\n' ? ' ' : *at);
    putchar('\n');
}

static bool translate_block(command *c, const model *m, const block *b)
{
    const options *o = c->options;
    const rondo_search search = {.size = sizeof search,
                                 .max_length = o->max_length,
                                 .temperature = (float)o->temperature,
                                 .top_k = (int)o->top_k,
                                 .top_p = (float)o->top_p};
    for (size_t i = 0; i < b->count; i++)
        if (!warn_long(c, m, b->lines[i], b->first + (int64_t)i))
            return false;
    rondo_lines *out = translate_lines(m->program, m->weights, (const char *const *)b->lines, b->count,
                                       &c->error, &search, o->batch);
    for (size_t i = 0; out && i < b->count; i++)
        print(rondo_lines_get(out, i, NULL));
    bool good = out != NULL;
    rondo_lines_free(out);
    return good;
}

/* Reads a block, and translates what was read even if reading failed. */
static int do_block(command *c, const model *m, block *b, line_reader *r)
{
    rondo_error reading;
    bool read = read_block(c, b, r);
    if (signals_caught())
        return EXIT_SIGNAL + signals_caught();
    reading = c->error;
    c->error = (rondo_error){0};
    if (b->count && !translate_block(c, m, b))
        return command_failed(c, EXIT_MODEL);
    if (fflush(stdout))
        return message_finish_output(c->name);
    return read ? EXIT_DONE : message_error(c->name, &reading, EXIT_DATA);
}

static int translate_all(command *c, const model *m)
{
    line_reader r;
    block b = {.first = 1};
    int code = EXIT_DONE;
    if (!line_reader_open(&r, &c->context->allocator, "-", &c->error))
        return command_failed(c, EXIT_DATA);
    while (code == EXIT_DONE && !b.last) {
        block_begin(&b, c);
        code = do_block(c, m, &b, &r);
        arena_end(&b.arena);
    }
    line_reader_close(&r);
    count_text wrong;
    if (code == EXIT_DONE && b.wrong)
        code = message_fail(c->name, EXIT_DATA, "%s of the input's lines %s not text and %s left empty",
                            count_format(wrong, b.wrong), b.wrong == 1 ? "is" : "are",
                            b.wrong == 1 ? "was" : "were");
    return code;
}

int command_translate(command *c)
{
    arena a;
    model m;
    int code;
    const char *path = c->options->operands.items[0];
    arena_begin(&a, &c->context->allocator);
    signals_begin();
    if (!model_open(&m, c, &a, path))
        code = command_failed(c, EXIT_MODEL);
    else {
        if (!m.tokenizer)
            code = message_fail(c->name, EXIT_MODEL, "%s has no tokenizer: export it from a run", path);
        else if (!m.program->source)
            code = message_fail(c->name, EXIT_MODEL,
                                "%s is a language model, which continues a prompt; use rondo generate %s",
                                path, path);
        else
            code = translate_all(c, &m);
        model_close(&m);
    }
    arena_end(&a);
    return code;
}
