#!/bin/sh
# What a floor declares or calls is defined there or below: includes.sh sees where headers stand, this test sees where their
# functions and objects are. $1: the root of the source; $2: the folder with librondo's objects, FLOOR_FOLDER_FILE.c.o.
cd "$1" || exit 1
folder=$2
floors='core ops autograd compiler models tools'
objects=$(find "$folder" -name '*.o' | sort)
[ "$(echo "$objects" | wc -l)" -gt 50 ] || { echo "found no objects in $folder"; exit 1; }

# "FLOOR FILE KIND SYMBOL" of each external symbol; U is an undefined one.
nm -A -g $objects | sed 's|^.*/\([^/:]*\)\.o: *|\1 |' | awk '{ floor = $1; sub(/_.*/, "", floor); print floor, $1, $(NF - 1), $NF }' |
    awk -v floors="$floors" '
    BEGIN {
        for (i = split(floors, names, " "); i > 0; i--) height[names[i]] = i
        for (file = 1; file < ARGC; file++) if (ARGV[file] != "-") header[ARGV[file]] = 1
    }
    FILENAME == "-" || FILENAME == "" {
        if ($3 == "U") calls[$1 " " $2 " " $4] = 1
        else if (!($4 in lowest) || height[$1] < height[lowest[$4]]) { lowest[$4] = $1; defined_in[$4] = $2 }
        symbols++
        next
    }
    # Headers come after the symbols: without comments, a name before a parenthesis or a semicolon.
    FNR == 1 { own = FILENAME; sub(/\/.*/, "", own); comment = 0; headers++ }
    {
        line = $0
        if (comment) { if (!sub(/^.*\*\//, "", line)) next; comment = 0 }
        gsub(/\/\*[^*]*\*\//, "", line)
        if (sub(/\/\*.*$/, "", line)) comment = 1
        while (match(line, /[A-Za-z_][A-Za-z0-9_]* *[(;\[]/)) {
            name = substr(line, RSTART, RLENGTH)
            before = RSTART > 1 ? substr(line, RSTART - 1, 1) : " "
            line = substr(line, RSTART + RLENGTH)
            call = name ~ /\($/
            sub(/ *[(;\[]$/, "", name)
            if (before !~ /[.>]/ && name in lowest && height[lowest[name]] > height[own] && (call || $0 ~ /^extern /)) {
                printf "%s:%d: %s is defined in %s\n", FILENAME, FNR, name, defined_in[name]
                wrong++
            }
        }
    }
    END {
        for (call in calls) {
            split(call, part, " ")
            if (part[3] in lowest && height[lowest[part[3]]] > height[part[1]]) {
                printf "%s calls %s, which is defined in %s\n", part[2], part[3], defined_in[part[3]]
                wrong++
            }
        }
        printf "%d symbols, %d headers, %d wrong\n", symbols, headers, wrong
        exit wrong > 0 || symbols < 3000 || headers < 50
    }' - $(find $floors -name '*.h' | sort)
