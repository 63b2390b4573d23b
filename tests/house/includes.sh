#!/bin/sh
# Includes go down a floor or stay on their own: tools → models → compiler → autograd → ops → core. rondo.h
# may be included anywhere. $1: the root of the source.
cd "${1:-.}" || exit 1
floors='core ops autograd compiler models tools'
find $floors -name '*.c' -o -name '*.cc' -o -name '*.h' -o -name '*.def' | sort | xargs awk -v floors="$floors" '
    BEGIN { for (i = split(floors, names, " "); i > 0; i--) height[names[i]] = i }
    function wrong(why) { printf "%s:%d: %s\n    %s\n", FILENAME, FNR, why, $0; count++ }
    FNR == 1 { files++; own = FILENAME; sub(/\/.*/, "", own) }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        target = $0
        sub(/^[^"]*"/, "", target); sub(/".*/, "", target)
        floor = target; sub(/\/.*/, "", floor)
        if (target == "rondo.h") next
        if (target !~ /\// || !(floor in height)) wrong("includes are written from the root: \"FLOOR/FILE\"")
        else if (height[floor] > height[own]) wrong("goes up from " own " to " floor)
    }
    /^[ \t]*#[ \t]*include[ \t]*<rondo/ { wrong("inside the house the header is \"rondo.h\"") }
    END { printf "%d files, %d wrong includes\n", files, count; exit count > 0 || files < 100 }'
