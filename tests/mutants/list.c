/* Prints the table of mutants for run.sh, a line each: name, floor, filter, file, what is wrong, with tabs
 * between. */
#include <stdio.h>

int main(void)
{
#define MUTANT_ROW(name, file, what, floor, filter)                                                          \
    printf("%s\t%s\t%s\t%s\t%s\n", #name, floor, filter, file, what);
#include "core/mutants.def"
#undef MUTANT_ROW
    return 0;
}
