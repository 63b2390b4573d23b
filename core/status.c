/* Filling in a rondo_error. It lives in the caller's frame, so saying "out of memory" needs no memory. */
#include "core/status.h"
#include <stdarg.h>
#include <stdio.h>

bool fail(rondo_error *error, rondo_code code, const char *format, ...)
{
    if (!error || error->code != RONDO_OK)
        return false;
    error->code = code;
    va_list list;
    va_start(list, format);
    if (vsnprintf(error->message, sizeof error->message, format, list) < 0)
        error->message[0] = 0;
    va_end(list);
    return false;
}

bool fail_memory(rondo_error *error, size_t bytes, const char *what)
{
    return fail(error, RONDO_MEMORY, "out of memory: %zu bytes for %s", bytes, what);
}
