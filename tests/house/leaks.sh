#!/bin/sh
# The command leaks nothing, whatever it did: LeakSanitizer checks at the end of each process (but not in the
# workers of Criterion). $1: the command, built with the address sanitizer; $2: a folder with .graph files.
command=$(realpath "$1") graphs=$2
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
ASAN_OPTIONS=detect_leaks=1:exitcode=86 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:exitcode=86 RONDO_THREADS=2
export ASAN_OPTIONS UBSAN_OPTIONS RONDO_THREADS
wrong=0

# clean CODE WORDS...: `rondo WORDS` ends with this code and without a report.
clean() {
    wanted=$1
    shift
    "$command" "$@" <source >said 2>complaints
    code=$?
    [ $code = "$wanted" ] || { echo "rondo $*: ends with $code, not $wanted"; head -n 40 complaints; wrong=1; }
}

awk 'BEGIN { srand(7); for (i = 0; i < 60; i++) { line = ""; for (n = 4 + int(rand() * 12); n > 0; n--)
    line = line sprintf("%c%c%c ", 97 + rand() * 6, 97 + rand() * 6, 97 + rand() * 6); print line } }' >source
sed 's/a/x/g' source >target
small='--vocabulary 60 --dim 32 --ffn 64 --heads 2 --decoder-layers 1 --batch-tokens 300 --max-length 40'
clean 0 train --train source target --valid source target --output-folder run --updates 2 --valid-every 1 --encoder-layers 1 $small
clean 0 train --output-folder run --updates 4
clean 0 train --type language --train source --output-folder language --updates 2 $small
clean 0 export run model.rondo
clean 0 translate model.rondo
clean 0 translate run
clean 0 generate language
clean 0 explain model.rondo
clean 0 inspect --after linearize run
clean 0 evaluate --hypothesis source --reference target
for graph in "$graphs"/*.graph; do
    clean 0 explain "$graph"
done
# Commands that fail half-way.
clean 2 train --no-such-option
clean 4 translate nowhere
head -c 1000 model.rondo >cut.rondo
clean 4 translate cut.rondo
sed 5d target >shorter
clean 3 train --train source shorter --output-folder other $small
exit $wrong
