/* Which mutant this process is: RONDO_MUTANT, read once before main; without it none. */
#include "core/mutant.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
    "none",
#define MUTANT_ROW(name, file, what, floor, filter) #name,
#include "core/mutants.def"
#undef MUTANT_ROW
};
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
    fprintf(stderr, "RONDO_MUTANT: there is no mutant %s in core/mutants.def\n", name);
    exit(2);
}

int mutant_now(void)
{
    return chosen;
}
