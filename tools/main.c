/* rondo_main: finds the command, reads its options, gives its exit code. */
#include "tools/commands/command.h"
#include "ops/kernels/products/blas.h"
#include <locale.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

static void catch_signal(int number)
{
    if (caught) /* a second Ctrl-C does not wait for the first one's tidy end */
        _exit(EXIT_SIGNAL + number);
    caught = number;
}

int signals_caught(void)
{
    return caught;
}

void signals_begin(void)
{
    struct sigaction action = {.sa_handler = catch_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sigaction hung_up;
    if (!sigaction(SIGHUP, NULL, &hung_up) && hung_up.sa_handler != SIG_IGN) /* nohup keeps its word */
        sigaction(SIGHUP, &action, NULL);
}

int command_failed(const command *c, exit_code otherwise)
{
    return message_error(c->name, &c->error, otherwise);
}

static command_main *const mains[COMMAND_COUNT] = {
    [COMMAND_TRAIN] = command_train,       [COMMAND_TRANSLATE] = command_translate,
    [COMMAND_GENERATE] = command_generate, [COMMAND_EXPORT] = command_export,
    [COMMAND_EVALUATE] = command_evaluate, [COMMAND_EXPLAIN] = command_explain,
    [COMMAND_INSPECT] = command_inspect,   [COMMAND_CHECK] = command_check,
    [COMMAND_BENCH] = command_bench,       [COMMAND_TUNE] = command_tune,
    [COMMAND_CORPUS] = command_corpus,     [COMMAND_CONVERT] = command_convert,
};

static int run_command(rondo *context, command_id id, int count, const char *const *words)
{
    arena a;
    options o;
    command c = {.context = context, .options = &o, .name = command_rows[id].name};
    arena_begin(&a, &context->allocator);
    int code;
    if (!options_begin(&o, &a, id, &c.error) || !options_parse(&o, count, words, &c.error))
        code = command_failed(&c, EXIT_USE);
    else if (o.help) {
        options_print_help(stdout, id);
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

static bool is_word(const char *word, const char *a, const char *b, const char *c)
{
    return !strcmp(word, a) || !strcmp(word, b) || !strcmp(word, c);
}

static int run_words(rondo *context, int argc, char **argv)
{
    const char *near = NULL, *word = argc > 1 ? argv[1] : "help";
    if (is_word(word, "help", "--help", "-h")) {
        int id = argc > 2 ? command_find(argv[2], &near) : -1;
        if (id >= 0)
            options_print_help(stdout, (command_id)id);
        else
            options_print_commands(stdout);
        return argc > 1 ? message_finish_output(NULL) : EXIT_USE;
    }
    if (is_word(word, "--version", "-V", "version")) {
        printf("rondo %d.%d.%d\n", rondo_version() / 10000, rondo_version() / 100 % 100,
               rondo_version() % 100);
        return message_finish_output(NULL);
    }
    if (is_word(word, "completion", "manual", "man")) {
        if (*word == 'c')
            options_print_completion(stdout);
        else
            options_print_manual(stdout);
        return message_finish_output(NULL);
    }
    int id = command_find(word, &near);
    if (id < 0)
        return message_fail(NULL, EXIT_USE,
                            near ? "there is no command %s; did you mean %s?"
                                 : "there is no command %s; `rondo help` lists them%s",
                            word, near ? near : "");
    return run_command(context, (command_id)id, argc - 2, (const char *const *)argv + 2);
}

int rondo_main(rondo *context, int argc, char **argv)
{
    blas_stop_threads();      /* the command owns its process: no idle threads beside the team's */
    signal(SIGPIPE, SIG_IGN); /* a broken pipe is an error of printf, with a message */
    signal(SIGXFSZ, SIG_IGN); /* and so is a file that grows beyond `ulimit -f` */
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!context || !plain)
        return message_fail(NULL, EXIT_MACHINE, "out of memory at the start");
    locale_t before = uselocale(plain); /* a host may have taken its user's: numbers have a point here */
    int code = run_words(context, argc, argv);
    uselocale(before);
    freelocale(plain);
    return code;
}
