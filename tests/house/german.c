/* Preloaded into a program, this does what a desktop program does first: it takes the locale of its user, numbers with a
 * comma included. (The command never asks for it; a program that the library lives in does.) */
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
