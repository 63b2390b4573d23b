/* The handler notes the first signal; a second one ends the process, for those who will not wait. */
#include "tools/signals.h"
#include "tools/report/message.h"
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

static void catch_signal(int number)
{
    if (caught)
        _exit(EXIT_SIGNAL + number);
    caught = number;
}

int signals_caught(void)
{
    return caught;
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
