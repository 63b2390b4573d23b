#!/bin/sh
# Joins archives to one object in which only what the shared library exports is global, and makes a static library of it: a
# program may have a function `fail` of its own. $1: the library; $2: how to link ("cc ..."); further: the archives.
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
