/* How a failure travels: a rondo_error on the caller's stack, filled once with one human sentence. */
#pragma once
#include "rondo.h"

/* Fills *error unless it already holds an error (the first one wins), and returns false. error may be NULL. */
bool fail(rondo_error *error, rondo_code code, const char *format, ...) RONDO_FORMAT(3, 4);
/* "out of memory: N bytes for WHAT", and false. */
bool fail_memory(rondo_error *error, size_t bytes, const char *what);
