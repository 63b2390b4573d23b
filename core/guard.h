/* Guards: in a build with -Dguards=true, and in every build with a sanitizer, each buffer has some bytes
 * behind it that must be there after a run, and memory is filled with NaN before its first use and after
 * its last. Whoever writes past the end or reads what is not there is found and named. Other builds pay
 * nothing. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#ifndef RONDO_GUARDS
#define RONDO_GUARDS 0
#endif

enum { GUARD_BYTES = 64, GUARD_BYTE = 0xa5 };

static inline void guard_set(char *at, size_t bytes)
{
    memset(at, GUARD_BYTE, bytes);
}

static inline bool guard_holds(const char *at, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)at[i] != GUARD_BYTE)
            return false;
    return true;
}
