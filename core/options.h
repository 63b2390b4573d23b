/* Options structs that callers fill. Each begins with its `size` in the caller's header, which may be
 * older or newer than this library. */
#pragma once
#include "rondo.h"

/* Copies *given into *own, an options struct of `known` bytes: fields that the caller's header lacks, or
 * all if given is NULL, are 0 and so have their defaults. NULL, or why the options cannot be used: the
 * size is not set, or a field is that this library lacks and would have to ignore. */
const char *options_read(void *own, size_t known, const void *given);
