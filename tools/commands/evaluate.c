/* rondo evaluate: BLEU and chrF of a translation, and for comparison of copying the source and of a
 * translation memory. */
#include "core/context.h"
#include "tools/metrics/bleu.h"
#include "tools/commands/command.h"
#include "tools/report/expect.h"
#include "tools/metrics/translation_memory.h"
#include <stdio.h>

enum { REFERENCES = 16, SYSTEMS = 3 };

typedef struct system_score {
    const char *name, *words; /* name: for --expect and --json; words: for people */
    bleu bleu;
    chrf chrf;
} system_score;

typedef struct evaluation {
    const rondo_allocator *allocator;
    const options *options;
    lines reference[REFERENCES], hypothesis, source, memory[2];
    system_score systems[SYSTEMS];
    int count;
    rondo_error *error;
} evaluation;

static bool add_line(evaluation *e, system_score *s, const char *hypothesis, int64_t i)
{
    const char *references[REFERENCES];
    int count = e->options->reference.count;
    for (int r = 0; r < count; r++)
        references[r] = lines_get(&e->reference[r], i);
    return bleu_add(&s->bleu, hypothesis, references, count, e->error) &&
           chrf_add(&s->chrf, hypothesis, references, count, e->error);
}

static bool score_lines(evaluation *e, const char *name, const char *words, const lines *hypothesis)
{
    system_score *s = &e->systems[e->count++];
    *s = (system_score){.name = name, .words = words};
    for (int64_t i = 0; i < hypothesis->count; i++)
        if (!add_line(e, s, lines_get(hypothesis, i), i))
            return false;
    return true;
}

static bool score_memory(evaluation *e)
{
    system_score *s = &e->systems[e->count++];
    *s = (system_score){.name = "memory", .words = "the most similar training pair"};
    translation_memory *m = translation_memory_new(e->allocator, &e->memory[0], e->error);
    bool good = m != NULL;
    for (int64_t i = 0, found; good && i < e->source.count; i++)
        good = translation_memory_find(m, lines_get(&e->source, i), &found, NULL, e->error) &&
               add_line(e, s, lines_get(&e->memory[1], found), i);
    translation_memory_free(m);
    return good;
}

static bool read_files(evaluation *e)
{
    const options *o = e->options;
    for (int r = 0; r < o->reference.count; r++)
        if (!lines_read(&e->reference[r], e->allocator, o->reference.items[r], e->error) ||
            !lines_match(&e->reference[0], &e->reference[r], e->error))
            return false;
    if (e->reference[0].count == 0)
        return fail(e->error, RONDO_FILE, "the file %s is empty", e->reference[0].path);
    if (!lines_read(&e->hypothesis, e->allocator, o->hypothesis, e->error) ||
        !lines_match(&e->hypothesis, &e->reference[0], e->error))
        return false;
    if (o->source && (!lines_read(&e->source, e->allocator, o->source, e->error) ||
                      !lines_match(&e->source, &e->reference[0], e->error)))
        return false;
    for (int s = 0; s < o->memory.count; s++)
        if (!lines_read(&e->memory[s], e->allocator, o->memory.items[s], e->error))
            return false;
    if (o->memory.count && e->memory[0].count == 0)
        return fail(e->error, RONDO_FILE, "the file %s is empty", e->memory[0].path);
    return o->memory.count == 0 || lines_match(&e->memory[0], &e->memory[1], e->error);
}

static bool evaluate(evaluation *e)
{
    return read_files(e) && score_lines(e, "bleu", "the hypothesis", &e->hypothesis) &&
           (!e->options->source || score_lines(e, "copy", "copying the source", &e->source)) &&
           (!e->options->memory.count || score_memory(e));
}

static void print(const evaluation *e)
{
    char line[256], signature[2][128];
    bleu_signature(&e->systems[0].bleu, signature[0]);
    chrf_signature(&e->systems[0].chrf, signature[1]);
    for (int i = 0; i < e->count; i++) {
        const system_score *s = &e->systems[i];
        bleu_format(&s->bleu, line);
        if (e->options->json)
            printf("{\"name\": \"%s\", \"bleu\": %.10g, \"chrf\": %.10g, \"lines\": %lld, "
                   "\"bleu_signature\": \"%s\", "
                   "\"chrf_signature\": \"%s\"}\n",
                   s->name, bleu_score(&s->bleu).score, chrf_score(&s->chrf),
                   (long long)e->reference[0].count, signature[0], signature[1]);
        else
            printf("%-31s %s, chrF2 = %.2f\n", s->words, line, chrf_score(&s->chrf));
    }
    if (!e->options->json)
        printf("%lld lines, BLEU %s, chrF %s\n", (long long)e->reference[0].count, signature[0],
               signature[1]);
}

static int check(const evaluation *e)
{
    measured numbers[SYSTEMS + 1] = {{"chrf", chrf_score(&e->systems[0].chrf)}};
    for (int i = 0; i < e->count; i++)
        numbers[i + 1] = (measured){e->systems[i].name, bleu_score(&e->systems[i].bleu).score};
    return expect_check("evaluate", &e->options->expect, numbers, e->count + 1);
}

int command_evaluate(command *c)
{
    const options *o = c->options;
    evaluation e = {.allocator = &c->context->allocator, .options = o, .error = &c->error};
    if (o->reference.count == 0 || o->reference.count > REFERENCES)
        return message_fail(c->name, EXIT_USE, "needs --reference FILE, at most %d of them", REFERENCES);
    if (o->memory.count && (o->memory.count != 2 || !o->source))
        return message_fail(c->name, EXIT_USE, "--memory takes two files, SOURCE TARGET, and needs --source");
    int code;
    if (evaluate(&e)) {
        print(&e);
        code = message_finish_output(c->name);
        code = code == EXIT_DONE ? check(&e) : code;
    } else
        code = command_failed(c, EXIT_DATA);
    for (int r = 0; r < REFERENCES; r++)
        lines_free(&e.reference[r]);
    lines_free(&e.hypothesis);
    lines_free(&e.source);
    lines_free(&e.memory[0]);
    lines_free(&e.memory[1]);
    return code;
}
