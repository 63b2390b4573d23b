/* rondo export: writes a run as one file that has everything decoding needs. */
#include "core/file.h"
#include "tools/commands/command.h"
#include <sys/stat.h>

int command_export(command *c)
{
    arena a;
    model m;
    size_t bytes;
    struct stat s;
    count_text parameters;
    const char *run = c->options->operands.items[0], *path = c->options->operands.items[1];
    arena_begin(&a, &c->context->allocator);
    int code;
    if (!check_run_folder(c, run))
        code = command_failed(c, EXIT_MODEL);
    else if (!file_check_target(&c->context->allocator, path, &c->error))
        code = command_failed(c, EXIT_MACHINE);
    else if (!model_open(&m, c, &a, run))
        code = command_failed(c, EXIT_MODEL);
    else {
        signals_begin(); /* the file is whole or not there, and no part of it is left */
        const void *subwords = tokenizer_model(m.tokenizer, &bytes);
        bool good = rondo_program_save(m.program, m.weights, subwords, bytes, path, &c->error);
        code = good ? EXIT_DONE : command_failed(c, EXIT_MACHINE);
        if (good && !stat(path, &s))
            message(c->name, "%s: %s parameters, decoder and tokenizer, %.1f MB", path,
                    count_format(parameters, rondo_weights_count(m.weights)), (double)s.st_size / 1e6);
        model_close(&m);
    }
    arena_end(&a);
    return code;
}
