/* The handler notes the first signal; a second one ends the process at once. */
#include "tools/signals.h"
#include "tools/report/message.h"
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t caught, at_once;
static const char *last_words, *last_file, *last_folder; /* set before at_once, cleared after it */

/* Everything it calls is async-signal-safe. */
static void leave(int number)
{
    (void)!write(STDERR_FILENO, last_words, strlen(last_words));
    if (last_file)
        unlink(last_file);
    if (last_folder)
        rmdir(last_folder);
    _exit(EXIT_SIGNAL + number);
}

static void catch_signal(int number)
{
    if (at_once)
        leave(number);
    if (caught)
        _exit(EXIT_SIGNAL + number);
    caught = number;
}

int signals_caught(void)
{
    return caught;
}

bool signals_check(rondo_error *error)
{
    return !caught || fail(error, RONDO_CANCELLED, "stopped");
}

void signals_begin(void)
{
    struct sigaction action = {.sa_handler = catch_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sigaction hung_up;
    if (!sigaction(SIGHUP, NULL, &hung_up) && hung_up.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &action, NULL);
}

void signals_end_at_once(const char *words, const char *file, const char *folder)
{
    last_words = words;
    last_file = file;
    last_folder = folder;
    atomic_signal_fence(memory_order_seq_cst);
    at_once = 1;
    if (caught) /* it came just before */
        leave(caught);
}

void signals_be_noted(void)
{
    at_once = 0;
}
