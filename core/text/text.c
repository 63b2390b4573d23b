/* Growing texts, and numbers that the locale of the host does not change. */
#include "core/text/text.h"
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_fail(text *t)
{
    t->failed = t->arena->failed = true;
}

static bool text_room(text *t, size_t more)
{
    size_t needed;
    if (__builtin_add_overflow(t->length, more, &needed) || needed > PTRDIFF_MAX / 4)
        return false;
    if (needed < t->capacity)
        return true;
    size_t capacity = needed * 2 > 128 ? needed * 2 : 128;
    char *content = arena_new(t->arena, capacity);
    if (!content)
        return false;
    if (t->length)
        memcpy(content, t->content, t->length);
    t->content = content;
    t->capacity = capacity;
    return true;
}

void text_add(text *t, const char *format, ...)
{
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    int length = t->failed ? -1 : vsnprintf(NULL, 0, format, list);
    if (length >= 0 && text_room(t, (size_t)length + 1)) {
        vsnprintf(t->content + t->length, (size_t)length + 1, format, again);
        t->length += (size_t)length;
    } else {
        text_fail(t);
    }
    va_end(again);
    va_end(list);
}

void text_cut(text *t, size_t length)
{
    if (length >= t->length)
        return;
    t->length = length;
    t->content[length] = 0;
}

const char *text_done(const text *t)
{
    return t->failed ? NULL : t->content ? t->content : "";
}

/* ---- numbers; the host may have set any locale, in any thread ---- */

void text_number(text *t, double number)
{
    if (!isfinite(number)) {
        text_add(t, isnan(number) ? "nan" : number < 0 ? "-inf" : "inf");
        return;
    }
    locale_t plain =
        newlocale(LC_ALL_MASK, "C", (locale_t)0); /* a static object in glibc and musl: costs nothing */
    if (!plain) {
        text_fail(t);
        return;
    }
    locale_t before = uselocale(plain);
    char shortest[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(shortest, sizeof shortest, "%.*g", digits, number);
        if (strtod(shortest, NULL) == number)
            break;
    }
    uselocale(before);
    freelocale(plain);
    text_add(t, "%s", shortest);
}

/* strtod also takes leading blanks, hexadecimal, "infinity" and "nan(…)"; here a number is what text_number
 * writes. */
bool parse_number(const char *from, const char **end, double *number)
{
    const char *digits = from + (*from == '-' || *from == '+');
    double sign = *from == '-' ? -1.0 : 1.0;
    if (!strncmp(digits, "inf", 3) || !strncmp(digits, "nan", 3)) {
        *number = *digits == 'i' ? sign * INFINITY : (double)NAN;
        *end = digits + 3;
        return true;
    }
    bool begins =
        (*digits >= '0' && *digits <= '9') || (*digits == '.' && digits[1] >= '0' && digits[1] <= '9');
    if (!begins)
        return false;
    if (*digits == '0' && (digits[1] == 'x' || digits[1] == 'X')) {
        *number = sign * 0.0;
        *end = digits + 1;
        return true;
    }
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!plain)
        return false;
    char *stop = NULL;
    double read = strtod_l(from, &stop, plain);
    freelocale(plain);
    if (isinf(read))
        return false;
    *number = read;
    *end = stop;
    return true;
}
