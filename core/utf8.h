/* UTF-8, character by character. */
#pragma once
#include <stdint.h>

/* The character at *at, which then points after it; −1: not UTF-8, and *at is unchanged. Overlong forms,
 * surrogates and code points above U+10FFFF are not UTF-8 either. */
int32_t utf8_next(const char **at, const char *end);
