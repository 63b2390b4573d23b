/* Comparing measurements with expectations. */
#include "tools/report/expect.h"
#include <string.h>

static bool find(const measured *numbers, int count, const char *name, size_t length, double *value)
{
    for (int i = 0; i < count; i++)
        if (strlen(numbers[i].name) == length && memcmp(numbers[i].name, name, length) == 0) {
            *value = numbers[i].value;
            return true;
        }
    return false;
}

/* A number, or the name of another measurement. */
static bool read_bound(const measured *numbers, int count, const char *words, double *bound)
{
    const char *end;
    if (find(numbers, count, words, strlen(words), bound))
        return true;
    return parse_number(words, &end, bound) && *end == 0;
}

static int check_one(const char *command, const char *wish, const measured *numbers, int count)
{
    size_t name = strcspn(wish, "<>= ");
    const char *sign = wish + name + strspn(wish + name, " ");
    size_t length = strspn(sign, "<>=");
    const char *bound_text = sign + length + strspn(sign + length, " ");
    double value, bound;
    if (length == 0 || length > 2 || sign[0] == '=' || (length == 2 && sign[1] != '='))
        return message_fail(command, EXIT_USE, "--expect '%s' is not of the form NAME>=X (or <=, >, <)",
                            wish);
    if (!find(numbers, count, wish, name, &value)) {
        char names[256] = "";
        for (int i = 0; i < count; i++)
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "",
                     numbers[i].name);
        return message_fail(command, EXIT_USE, "--expect '%s': there is no such number; there are: %s", wish,
                            names);
    }
    if (!read_bound(numbers, count, bound_text, &bound))
        return message_fail(command, EXIT_USE, "--expect '%s': '%s' is neither a number nor the name of one",
                            wish, bound_text);
    bool met = (length == 2 && value == bound) || (sign[0] == '>' ? value > bound : value < bound);
    return met ? EXIT_DONE : message_fail(command, EXIT_EXPECTED, "expected %s, but it is %.6g", wish, value);
}

int expect_check(const char *command, const option_list *wishes, const measured *numbers, int count)
{
    int code = EXIT_DONE;
    for (int i = 0; i < wishes->count; i++) {
        int now = check_one(command, wishes->items[i], numbers, count);
        code = now == EXIT_USE || code == EXIT_DONE ? now : code;
        if (code == EXIT_USE)
            return code;
    }
    return code;
}
