/* Which mutant this process is: RONDO_MUTANT, read once before main; without it none. */
#include "mutants.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {MUTANT_NAMES};
static int chosen;

__attribute__((constructor)) static void choose(void)
{
    const char *name = getenv("RONDO_MUTANT");
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) {
            chosen = (int)i;
            return;
        }
    if (!name)
        return;
    fprintf(stderr, "RONDO_MUTANT: there is no mutant %s in tests/mutants/mutants.txt\n", name);
    exit(2);
}

int mutant_now(void)
{
    return chosen;
}
