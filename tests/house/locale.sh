#!/bin/sh
# A German locale changes nothing: reports have the same bytes, and the tests of numbers and text forms pass,
# in programs that have set the locale (german.c). $1: the root of the source; $2: the built german.so; $3:
# the command; further: test programs. Skipped (77) where there is no German locale.
root=$1 german=$2 command=$3
shift 3
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT

if [ "$(LC_ALL=de_DE.UTF-8 locale decimal_point 2>/dev/null)" != , ]; then
    localedef -i de_DE -f UTF-8 "$folder/de_DE.UTF-8" 2>/dev/null || { echo "no German locale, and localedef cannot make one"; exit 77; }
    LOCPATH=$folder
    export LOCPATH
fi
wrong=0
in_german() { LC_ALL=de_DE.UTF-8 LD_PRELOAD=$german "$@"; }

for graph in "$root"/docs/examples/*.graph; do
    for words in explain inspect; do
        LC_ALL=C "$command" $words "$graph" >"$folder/plain" 2>&1
        code=$?
        in_german "$command" $words "$graph" >"$folder/german" 2>&1
        [ $? = $code ] && cmp "$folder/plain" "$folder/german" || { echo "rondo $words ${graph##*/} differs"; diff "$folder/plain" "$folder/german" | head -n 5; wrong=1; }
        [ -s "$folder/plain" ] || { echo "rondo $words ${graph##*/} says nothing"; wrong=1; }
    done
done
printf 'one two three four five\n' >"$folder/text"
printf 'one two three four six\n' >"$folder/other"
LC_ALL=C "$command" evaluate --hypothesis "$folder/text" --reference "$folder/other" >"$folder/plain" 2>&1
in_german "$command" evaluate --hypothesis "$folder/text" --reference "$folder/other" >"$folder/german" 2>&1
cmp "$folder/plain" "$folder/german" && grep -q '[0-9]\.[0-9]' "$folder/plain" || { cat "$folder/plain" "$folder/german"; wrong=1; }
for program; do
    in_german "$program" --jobs 2 >"$folder/log" 2>&1 || { echo "${program##*/} fails in German:"; grep -v '^\[....\] \?$' "$folder/log" | tail -n 20; wrong=1; }
done
exit $wrong
