/* Preloaded into a program, this does what a desktop program does first: it sets the locale of its user, in
 * which numbers have a comma. (The command never does that; a program that uses the library may.) */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void take_the_locale(void)
{
    if (!setlocale(LC_ALL, "") || *localeconv()->decimal_point != ',') {
        fprintf(stderr, "this locale writes numbers with a point: nothing would be tested\n");
        _Exit(99);
    }
}
