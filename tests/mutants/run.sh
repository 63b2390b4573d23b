#!/bin/sh
# Runs every mutant of mutants.txt with the tests that must notice it, and says in TAP by which it was caught. Without a
# mutant the same tests must pass. $1: the folder with the table; $2: the folder with the programs mutants-FLOOR; then
# perhaps the names of the mutants to run instead of all.
source=$1 programs=$2
shift 2
wanted=" $* "
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
CRITERION_SHORT_FILENAME=1
export CRITERION_SHORT_FILENAME
awk -f "$source/table.awk" -f "$source/list.awk" "$source/mutants.txt" | while IFS= read -r row; do
    case $wanted in
    "  " | *" ${row%%	*} "*) printf '%s\n' "$row" ;;
    esac
done >"$folder/table"

# Runs the tests of floor $2 that match $3 as mutant $1; their failures end up in $folder/failed. The code is that of the tests;
# 125: no test matches; 124: too slow.
run() {
    RONDO_MUTANT=$1 timeout 100 "$programs/mutants-$2" --jobs 2 --filter "$3" --tap="$folder/tap" >"$folder/said" 2>&1
    code=$?
    grep '^not ok' "$folder/tap" | sed 's/^not ok - //; s/::/\//; s/ *([0-9.]*s).*//' | sort -u >"$folder/failed"
    grep -v 'SKIP' "$folder/tap" | grep -q '^\(not \)\?ok ' || code=125
}
result() {
    number=$((number + 1))
    echo "$1 $number - $2"
}

floors=$(cut -f 2 "$folder/table" | sort -u)
echo "1..$(($(wc -l <"$folder/table") + $(echo "$floors" | wc -w)))"
number=0
for floor in $floors; do
    filters=$(awk -F '\t' -v floor="$floor" '$2 == floor { print $3 }' "$folder/table" | sort -u | paste -s -d '|')
    run none "$floor" "@($filters)"
    if [ $code = 0 ]; then
        result ok "none: the tests of $floor pass without a mutant"
    else
        result "not ok" "none: the tests of $floor must pass without a mutant (exit $code): $(paste -s -d ' ' "$folder/failed")"
        sed 's/^/# /' "$folder/said"
    fi
done
while IFS='	' read -r name floor filter file what; do
    run "$name" "$floor" "$filter" </dev/null
    case $code in
    0) result "not ok" "$name: SURVIVED $filter of $floor ($file: $what)" ;;
    124) result "not ok" "$name: did not end ($file: $what)" ;;
    125) result "not ok" "$name: no test of $floor is called $filter" ;;
    *) result ok "$name: caught by $(head -n 1 "$folder/failed") ($file: $what)" ;;
    esac
done <"$folder/table"
