/* Signals that ask the command to stop: they are noted, and every long loop of the command looks for them. */
#pragma once

/* Notes SIGINT, SIGTERM and, unless it is ignored as under nohup, SIGHUP from now on. A second signal ends the process. */
void signals_begin(void);
/* The number of the signal that asked to stop; 0: none did. */
int signals_caught(void);
