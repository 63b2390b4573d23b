/* Mutants: the code with one thing wrong, to see whether the tests notice. MUTANT(name, broken, right) is
 * `right` and nothing else in every build but that of tests/mutants, which compiles with RONDO_MUTANTS and
 * takes `broken` when the environment names this mutant. Names, what is wrong and who notices:
 * core/mutants.def. */
#pragma once

#ifdef RONDO_MUTANTS
enum {
    MUTANT_none,
#define MUTANT_ROW(name, file, what, floor, filter) MUTANT_##name,
#include "core/mutants.def"
#undef MUTANT_ROW
};
int mutant_now(void); /* tests/mutants/mutant.c */
#define MUTANT(name, broken, right) (mutant_now() == MUTANT_##name ? (broken) : (right))
#else
#define MUTANT(name, broken, right) (right)
#endif
