/* Reads whole files and compares them with their checksums. */
#include "tools/check/files.h"
#include "tools/report/report.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool check_one(command *c, arena *a, const char *path, int *damaged)
{
    rondo_error reason;
    bool good = rondo_file_check(c->context, path, &reason);
    *damaged += !good;
    if (!good)
        message(c->name, "%s", reason.message);
    if (!c->options->json)
        return printf("%-6s  %s\n", good ? "ok" : "FAILED", path) >= 0;
    report r = {.arena = a, .json = true};
    report_begin(&r, "%s", path);
    report_text(&r, "result", good ? "ok" : "FAILED");
    return report_end(&r, &c->error);
}

static bool check_run(command *c, arena *a, const char *folder, int *damaged, int *found)
{
    for (const char *const *name = run_weight_files; *name; name++) {
        const char *path = path_in(a, folder, *name);
        if (!path)
            return fail_memory(&c->error, strlen(folder), "the name of a file");
        if (access(path, F_OK))
            continue;
        ++*found;
        if (!check_one(c, a, path, damaged))
            return false;
    }
    return *found > 0 || fail(&c->error, RONDO_MISMATCH, "%s has no file of weights to check", folder);
}

int check_files(command *c, const char *path)
{
    arena a;
    int damaged = 0, found = 0;
    arena_begin(&a, &c->context->allocator);
    bool good = is_folder(path) ? check_run(c, &a, path, &damaged, &found) : check_one(c, &a, path, &damaged);
    arena_end(&a);
    if (!good && c->error.code != RONDO_OK)
        return command_failed(c, EXIT_MODEL);
    int code = message_finish_output(c->name);
    return code == EXIT_DONE && damaged ? EXIT_MODEL : code;
}
