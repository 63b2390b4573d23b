/* rondo translate: standard input to standard output, a line for a line, in order, some hundred lines at a
 * time. A line that is no text is named, an empty one stands for it, and the command fails at its end: what is
 * aligned with the input stays aligned, and one bad byte in a million lines costs one line. */
#include "tools/commands/command.h"
#include "tools/data/lines.h"
#include <stdlib.h>
#include <string.h>

enum { LINES_A_BLOCK = 256 };

typedef struct block {
    char *lines[LINES_A_BLOCK];
    size_t count;
    int64_t first; /* number of its first line, from 1 */
    int64_t wrong; /* lines so far that were no text, of this block and those before it */
} block;

static void block_clear(block *b)
{
    for (size_t i = 0; i < b->count; i++)
        free(b->lines[i]);
    b->first += (int64_t)b->count;
    b->count = 0;
}

/* Not UTF-8, or a NUL: a message with line and column. */
static bool check_line(command *c, const char *line, size_t length, int64_t number)
{
    const char *at = line, *end = line + length;
    count_text count;
    for (int64_t column = 1; at < end; column++) {
        const char *here = at;
        int32_t character = utf8_next(&at, end);
        if (character < 0)
            return fail(
                &c->error, RONDO_FILE,
                "standard input line %s: not UTF-8 (byte 0x%02X at column %lld); convert it, for example: "
                "iconv -f latin1 -t utf-8",
                count_format(count, number), (unsigned char)*here, (long long)column);
        if (!character)
            return fail(&c->error, RONDO_FILE, "standard input line %s holds a NUL byte; it is no text",
                        count_format(count, number));
    }
    return true;
}

/* Complains about a line that is no text, and empties it. */
static void take_line(command *c, block *b, char *line, size_t length)
{
    b->lines[b->count++] = line;
    if (check_line(c, line, length, b->first + (int64_t)b->count - 1))
        return;
    message(c->name, "%s", c->error.message);
    c->error = (rondo_error){0};
    b->wrong++;
    *line = 0;
}

/* Reads up to a block of lines. False: c->error. */
static bool read_block(command *c, block *b)
{
    size_t room = 0;
    while (b->count < LINES_A_BLOCK) {
        char *line = NULL;
        ssize_t length = getline(&line, &room, stdin);
        if (length < 0) {
            free(line);
            return !ferror(stdin) || fail(&c->error, RONDO_IO, "standard input cannot be read");
        }
        room = 0;
        if (length && line[length - 1] == '\n')
            line[--length] = 0;
        if (length && line[length - 1] == '\r')
            line[--length] = 0;
        take_line(c, b, line, (size_t)length);
    }
    return true;
}

/* Nothing is cut in silence. */
static bool warn_long(command *c, const model *m, const char *line, int64_t number)
{
    int32_t none;
    int64_t count = 0;
    size_t length = strlen(line);
    count_text at, tokens, most;
    if (length <= TRANSLATE_MOST_TOKENS) /* a token has at least a byte */
        return true;
    if (!tokenizer_encode(m->tokenizer, line, length, &none, 0, &count, &c->error))
        return false;
    if (count > TRANSLATE_MOST_TOKENS)
        message(c->name, "standard input line %s has %s tokens; only the first %s are translated",
                count_format(at, number), count_format(tokens, count),
                count_format(most, TRANSLATE_MOST_TOKENS));
    return true;
}

/* A translation is one line, whatever the subwords hold. */
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

static int translate_all(command *c, const model *m)
{
    block b = {.first = 1};
    int code = EXIT_DONE;
    while (code == EXIT_DONE) {
        bool read = read_block(c, &b);
        if (signals_caught())
            code = EXIT_SIGNAL + signals_caught();
        else if (!read)
            code = command_failed(c, EXIT_DATA);
        else if (!b.count)
            break;
        else if (!translate_block(c, m, &b))
            code = command_failed(c, EXIT_MODEL);
        else if (fflush(stdout))
            code = message_finish_output(c->name);
        block_clear(&b);
    }
    block_clear(&b);
    count_text wrong;
    if (code == EXIT_DONE && b.wrong)
        code = message_fail(c->name, EXIT_DATA,
                            "%s of the input's lines %s no text; an empty line stands for each",
                            count_format(wrong, b.wrong), b.wrong == 1 ? "is" : "are");
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
                                "%s is a language model, which goes on from a prompt; use rondo generate %s",
                                path, path);
        else
            code = translate_all(c, &m);
        model_close(&m);
    }
    arena_end(&a);
    return code;
}
