/* Filling in a rondo_error. It lives in a caller's frame, so that reporting "out of memory" needs no memory.
 */
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

rondo_error *error_scope_begin(error_scope *scope, rondo_error *caller)
{
    scope->caller = caller;
    scope->own.code = RONDO_OK; /* which makes the message one that nobody reads */
    return &scope->own;
}

void error_scope_end(error_scope *scope)
{
    if (scope->caller && scope->own.code != RONDO_OK)
        *scope->caller = scope->own;
}
