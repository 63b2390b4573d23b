#!/bin/sh
# Links archives into one object in which only the symbols that the shared library exports are global, and makes a static library of it,
# so that a program may have a function `fail` of its own. $1: the library; $2: how to link ("cc ..."); the rest: the archives.
library=$1 link=$2
shift 2
object=$library.o
rm -f "$library"
$link -r -nostdlib -o "$object" -Wl,--whole-archive "$@" -Wl,--no-whole-archive &&
    objcopy --localize-hidden "$object" &&
    ar rcs "$library" "$object"
code=$?
rm -f "$object"
exit $code
