/* Messages and exit codes of the command. */
#include "tools/report/message.h"
#include "tools/signals.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One write per message, so that the lines of two processes do not mix. */
static void print(const char *command, const char *format, va_list arguments)
{
    char line[4096];
    int used =
        command ? snprintf(line, sizeof line, "rondo %s: ", command) : snprintf(line, sizeof line, "rondo: ");
    int more = vsnprintf(line + used, sizeof line - used - 1, format, arguments);
    if (more < 0)
        return;
    size_t length = (size_t)(used + more);
    if (length > sizeof line - 2)
        length = sizeof line - 2;
    line[length] = '\n';
    fwrite(line, 1, length + 1, stderr);
    fflush(stderr);
}

void message(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print(command, format, arguments);
    va_end(arguments);
}

int message_fail(const char *command, exit_code code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print(command, format, arguments);
    va_end(arguments);
    return code;
}

int message_error(const char *command, const rondo_error *error, exit_code otherwise)
{
    message(command, "%s", error->message[0] ? error->message : "failed without a reason");
    switch (error->code) {
    case RONDO_MEMORY:
    case RONDO_IO:
        return EXIT_MACHINE;
    case RONDO_ARGUMENT:
        return EXIT_USE;
    case RONDO_DIVERGED:
        return EXIT_DIVERGED;
    case RONDO_CANCELLED:
        return EXIT_SIGNAL + (signals_caught() ? signals_caught() : SIGINT);
    default:
        return otherwise;
    }
}

int message_no_command(const char *name, const char *near)
{
    return message_fail(NULL, EXIT_USE,
                        near ? "there is no command %s; did you mean %s?"
                             : "there is no command %s; `rondo help` lists them%s",
                        name, near ? near : "");
}

int message_finish_output(const char *command)
{
    errno = 0;
    bool failed = ferror(stdout) != 0;
    if (fflush(stdout) == 0 && !failed)
        return EXIT_DONE;
    struct pollfd pipe = {.fd = fileno(stdout),
                          .events = POLLOUT}; /* the errno of an earlier write is lost */
    if (errno == EPIPE || (poll(&pipe, 1, 0) == 1 && pipe.revents & POLLERR))
        return message_fail(command, EXIT_MACHINE,
                            "standard output was closed by its reader before everything was written");
    return message_fail(command, EXIT_MACHINE,
                        "cannot write to standard output: %s; what was printed is incomplete",
                        errno ? strerror(errno) : "an earlier write failed");
}

const char *count_format(count_text out, int64_t count)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)count);
    int sign = digits[0] == '-', at = 0;
    for (int i = 0; i < length; i++) {
        if (i > sign && (length - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = 0;
    return out;
}
