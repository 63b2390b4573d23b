#!/bin/sh
# The library never exits, aborts, prints, reads the environment, handles a signal or changes the locale of
# the process: its objects do not refer to a function that could. tools/ is the command, which may. $1: the
# folder with the objects of librondo.
folder=$1
forbidden='exit|_exit|_Exit|quick_exit|abort|__assert_fail|__assert|raise|kill|signal|sigaction|system|popen'
forbidden="$forbidden|printf|vprintf|puts|putchar|putc|__printf_chk|__vprintf_chk|perror|psignal|syslog|dprintf|vdprintf|stdout|stderr|stdin|_IO_putc"
forbidden="$forbidden|getenv|secure_getenv|setenv|putenv|setlocale|srand|rand|random|drand48|_ZSt4cout|_ZSt4cerr|_ZSt4clog"
objects=$(find "$folder" -name '*.o' ! -name 'tools_*' | sort)
[ "$(echo "$objects" | wc -l)" -gt 50 ] || { echo "found no objects in $folder"; exit 1; }
nm -A -u $objects | sed 's|^.*/\([^/:]*\): *[Uuwv] |\1: |' | grep -E ": ($forbidden)(@.*)?$" && exit 1
# The same search finds such functions in tools/, where they are allowed.
nm -u "$folder"/tools_*.o | grep -qE " ($forbidden)$" || { echo "tools/ prints nothing: this test looks for the wrong names"; exit 1; }
exit 0
