/* rondo_main: finds the command, parses its options, runs it, returns its exit code. */
#include "ops/kernels/products/blas.h"
#include "tools/commands/command.h"
#include "tools/options/command_line.h"
#include <locale.h>
#include <signal.h>
#include <string.h>

int command_failed(const command *c, exit_code otherwise)
{
    return message_error(c->name, &c->error, otherwise);
}

static command_main *const mains[COMMAND_COUNT] = {
    [COMMAND_TRAIN] = command_train,
    [COMMAND_TRANSLATE] = command_translate,
    [COMMAND_GENERATE] = command_generate,
    [COMMAND_EXPORT] = command_export,
    [COMMAND_EVALUATE] = command_evaluate,
    [COMMAND_EXPLAIN] = command_explain,
    [COMMAND_INSPECT] = command_inspect,
    [COMMAND_CHECK] = command_check,
    [COMMAND_BENCH] = command_bench,
    [COMMAND_TUNE] = command_tune,
    [COMMAND_CORPUS] = command_corpus,
    [COMMAND_CONVERT] = command_convert,
    [COMMAND_HELP] = command_help,
    [COMMAND_MANUAL] = command_manual,
    [COMMAND_COMPLETION] = command_completion,
    [COMMAND_VERSION] = command_version,
};

static int run_command(rondo *context, command_id id, int count, const char *const *words)
{
    arena a;
    options o;
    command c = {.context = context, .options = &o, .name = command_rows[id].name};
    arena_begin(&a, &context->allocator);
    int code;
    bool good = options_begin(&o, &a, id, &c.error);
    o.context = context;
    if (!good || !options_parse(&o, count, words, &c.error))
        code = command_failed(&c, EXIT_USE);
    else if (o.help) {
        options_print_help(stdout, id, context);
        code = message_finish_output(c.name);
    } else if (o.wisdom &&
               !(context->wisdom = arena_copy_text(&context->arena, o.wisdom, strlen(o.wisdom)))) {
        fail_memory(&c.error, strlen(o.wisdom), "options");
        code = command_failed(&c, EXIT_MACHINE);
    } else
        code = mains[id](&c);
    arena_end(&a);
    return code;
}

/* Other names of commands. */
static const struct {
    const char *word, *name;
} aliases[] = {
    {"--help", "help"}, {"-h", "help"}, {"--version", "version"}, {"-V", "version"}, {"man", "manual"}};

static int run_words(rondo *context, int argc, char **argv)
{
    const char *near = NULL, *word = argv[1];
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        word = strcmp(word, aliases[i].word) ? word : aliases[i].name;
    int id = command_find(word, &near);
    return id < 0 ? message_no_command(word, near)
                  : run_command(context, (command_id)id, argc - 2, (const char *const *)argv + 2);
}

/* Without any word: how to use it, and code 2. */
static int run_nothing(rondo *context)
{
    int code = run_command(context, COMMAND_HELP, 0, NULL);
    return code == EXIT_DONE ? EXIT_USE : code;
}

int rondo_main(rondo *context, int argc, char **argv)
{
    blas_stop_threads(); /* the command owns its process: BLAS needs no threads of its own beside the team */
    signal(SIGPIPE, SIG_IGN); /* a broken pipe makes printf fail, and is reported */
    signal(SIGXFSZ, SIG_IGN); /* and so does a file that grows beyond `ulimit -f` */
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!context || !plain)
        return message_fail(NULL, EXIT_MACHINE, "out of memory at start-up");
    locale_t before =
        uselocale(plain); /* a host may have set the locale of its user: numbers have a decimal point here */
    int code = argc > 1 ? run_words(context, argc, argv) : run_nothing(context);
    uselocale(before);
    freelocale(plain);
    return code;
}
