#!/bin/sh
# rondo.h, a file that uses each of its macros, and the examples compile without warnings as C11, C17 and
# C++20 with -Wall -Wextra -pedantic. $1: the root of the source; $2, $3: a C and a C++ compiler, which may be
# absent (77).
cd "$1" || exit 1
cc=$2 cxx=$3
command -v "$cc" >/dev/null && command -v "$cxx" >/dev/null || { echo "no $cc or no $cxx here"; exit 77; }
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
wrong=0

# silent COMPILER ARGUMENTS...
silent() {
    "$@" -Wall -Wextra -pedantic -fsyntax-only >"$folder/said" 2>&1 && [ ! -s "$folder/said" ] && return
    echo "not silent: $* -Wall -Wextra -pedantic"
    head -n 20 "$folder/said"
    wrong=1
}

for macro in $(sed -nE 's/^#define (rondo_[a-z0-9_]+).*/\1/p' rondo.h); do
    grep -q "\b$macro\b" tests/house/macros.c || { echo "tests/house/macros.c does not use $macro"; wrong=1; }
done

# The header twice and alone, as the first line of a file: it includes what it needs and has a guard.
printf '#include <rondo.h>\n#include <rondo.h>\n' >"$folder/alone.c"
for standard in c11 c17; do
    silent "$cc" -std=$standard -I. -x c "$folder/alone.c"
    silent "$cc" -std=$standard -I. -x c tests/house/macros.c
    for example in docs/examples/*.c; do
        silent "$cc" -std=$standard -I. -x c "$example"
    done
done
for standard in c++20; do
    silent "$cxx" -std=$standard -I. -x c++ "$folder/alone.c"
    silent "$cxx" -std=$standard -I. -x c++ tests/house/macros.c
done
# With -Wstrict-prototypes: an empty () is a prototype in C++ only.
silent "$cc" -std=c11 -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wshadow -I. -x c "$folder/alone.c"
exit $wrong
