/* How a failure travels: a rondo_error that is filled once, with one sentence that a person can act on. */
#pragma once
#include "rondo.h"

/* Fills *error unless it already holds an error (the first one wins), and returns false. error may be NULL.
 */
bool fail(rondo_error *error, rondo_code code, const char *format, ...) RONDO_FORMAT(3, 4);
/* "out of memory: N bytes for WHAT", and false. */
bool fail_memory(rondo_error *error, size_t bytes, const char *what);

/* The first line of each public function that takes a rondo_error. To its caller that struct is written,
 * never read: until the function returns, `error` is a struct of the call's own, in which the first failure
 * wins; a failure is copied to the caller's struct on return, a success leaves it alone. */
#define error_begin(error)                                                \
    __attribute__((cleanup(error_scope_end))) error_scope error_of_call;  \
    error = error_scope_begin(&error_of_call, error)

typedef struct error_scope {
    rondo_error *caller; /* NULL: not wanted */
    rondo_error own;
} error_scope;
rondo_error *error_scope_begin(error_scope *scope, rondo_error *caller);
void error_scope_end(error_scope *scope);
