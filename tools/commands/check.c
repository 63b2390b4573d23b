/* rondo check: the contract of one mixer or of all, as a table; or the checksums of a run or of a file. */
#include "tools/check/contract.h"
#include "tools/check/files.h"
#include "tools/commands/command.h"
#include "tools/report/report.h"
#include <string.h>

enum { WHAT_WIDTH = 62 };

static void print_row(const char *name, const contract_row *row)
{
    char what[128];
    snprintf(what, sizeof what, "%s: %s", row->place, row->what);
    printf("%-8s %-*s %9.2g %9.2g  %s%s%s\n", name, WHAT_WIDTH, what, row->value, row->bound,
           row->good ? "ok" : "FAILED", row->remark ? "  " : "", row->remark ? row->remark : "");
}

static bool report_row(command *c, arena *a, const char *name, const contract_row *row)
{
    report r = {.arena = a, .json = true};
    report_begin(&r, "%s %s: %s", name, row->place, row->what);
    report_text(&r, "mixer", name);
    report_number(&r, "measured", row->value, UNIT_NUMBER);
    report_number(&r, "bound", row->bound, UNIT_NUMBER);
    report_text(&r, "result", row->good ? "ok" : "FAILED");
    if (row->remark)
        report_text(&r, "remark", row->remark);
    return report_end(&r, &c->error);
}

/* The number of rows that fail; −1: c->error says why not all could be measured. */
static int check_mixer(command *c, const mixer *m)
{
    arena a;
    arena_begin(&a, &c->context->allocator);
    contract k = {.context = c->context,
                  .mixer = m,
                  .seed = (uint64_t)c->options->seed,
                  .arena = &a,
                  .error = &c->error};
    bool good = contract_check(&k);
    int failed = 0;
    for (int i = 0; i < k.count; i++) { /* rows that were measured before an error are shown too */
        failed += !k.rows[i].good;
        if (!c->options->json)
            print_row(m->name, &k.rows[i]);
        else
            good = report_row(c, &a, m->name, &k.rows[i]) && good;
    }
    fflush(stdout);
    arena_end(&a);
    return good ? failed : -1;
}

static int finish(const command *c, int failed, int mixers_checked)
{
    int code = message_finish_output(c->name);
    if (code != EXIT_DONE)
        return code;
    return failed ? message_fail(c->name, EXIT_EXPECTED, "%d lines of the contract FAILED", failed)
                  : (message(c->name, mixers_checked == 1 ? "the contract holds" : "all contracts hold"),
                     EXIT_DONE);
}

/* The mixers that the program added, then those of Rondo. */
static int check_all(command *c)
{
    mixer added;
    int failed = 0, count = 0;
    for (int i = 0; i < c->context->mixer_count; i++, count++) {
        int now = mixer_find(c->context, c->context->mixers[i].name, &added, &c->error)
                      ? check_mixer(c, &added)
                      : -1;
        if (now < 0)
            return command_failed(c, EXIT_EXPECTED);
        failed += now;
    }
    for (const mixer *m = mixers; m->name; m++, count++) {
        int now = check_mixer(c, m);
        if (now < 0)
            return command_failed(c, EXIT_EXPECTED);
        failed += now;
    }
    return finish(c, failed, count);
}

int command_check(command *c)
{
    mixer m;
    const char *name = c->options->mixer;
    if (c->options->operands.count)
        return check_files(c, c->options->operands.items[0]);
    if (name && !mixer_find(c->context, name, &m, &c->error))
        return command_failed(c, EXIT_USE);
    if (!c->options->json)
        printf("%-8s %-*s %9s %9s\n", "mixer", WHAT_WIDTH, "what", "measured", "bound");
    if (!name)
        return check_all(c);
    int failed = check_mixer(c, &m);
    return failed < 0 ? command_failed(c, EXIT_EXPECTED) : finish(c, failed, 1);
}
