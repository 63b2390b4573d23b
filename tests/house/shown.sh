#!/bin/sh
# What the pages show is right. Every block of a page, fenced or indented, has a mark before it, an HTML
# comment:
#
#   <!-- output of: COMMAND -->        all that COMMAND prints; a line … stands for lines that are left out
#   <!-- in the output of: COMMAND --> an excerpt of it
#   <!-- excerpt: FILE -->             lines of a source file, with any indentation
#   <!-- file: NAME -->                a file, which later marks can use by this name
#   <!-- commands -->                  what a reader types: commands and options of `rondo` and suites of tests exist
#   <!-- measured: HOW -->             measured numbers, with the command that measures them
#   <!-- checked by: TEST -->          another test checks it; TEST mentions the page
#   <!-- notation -->                  a formula, a grammar, a drawing, names: nothing that runs
#
# Commands run in a folder that contains `docs`, with the `rondo` that was built. $1: the root of the source;
# $2: the command; --update: writes the blocks that are wrong instead of failing.
LC_ALL=C.UTF-8
export LC_ALL
root=$(cd "$1" && pwd) rondo=$(realpath "$2") update=$3
house=$root/tests/house
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/run" "$folder/bin"
ln -s "$root/docs" "$folder/run/docs"
ln -s "$rondo" "$folder/bin/rondo"
PATH=$folder/bin:$PATH
cd "$root" || exit 1
wrong=0 count=0
pages='*.md docs/*.md'
awk -v folder="$folder" -f "$house/shown_blocks.awk" $pages >"$folder/blocks"

complain() {
    echo "$page:$first: $*"
    wrong=1
}

# Compares block $n with what it shows, $folder/actual.
compare() {
    awk -v whole="$1" -f "$house/shown_again.awk" "$folder/$n" "$folder/actual" >"$folder/again"
    [ -s "$folder/again" ] || complain "nothing of this block is in what it says it shows:$what"
    cmp -s "$folder/$n" "$folder/again" && return
    [ -n "$update" ] && [ -s "$folder/again" ] && cp "$folder/again" "$folder/$n.new" && return
    complain "this block is not what it says it shows:$what"
    diff -u --label "$page" --label now "$folder/$n" "$folder/again"
}

# The commands that a file names, with their options, and the suites of tests.
commands() {
    sed -e ':join' -e '/\\$/{N;s/\\\n//;b join' -e '}' "$1" | awk '{
        sub(/   .*/, "")
        for (i = 1; i <= NF && $i !~ /(^|\/)rondo$/; i++)
            if ($i == "--filter")
                print "suite", $(i + 1)
        gsub(/[,;]/, "")
        command = $(i + 1)
        if (command ~ /^-/)
            next
        while (++i <= NF)
            if ($i == command || $i ~ /^--/)
                print command, $i
    }' | tr -d "'" | while read -r command option; do
        if [ "$command" = suite ]; then
            grep -rqE "^Test\(${option%%/*}," tests || echo "there are no tests ${option%%/*}"
        elif ! rondo "$command" --help >"$folder/help" 2>&1; then
            echo "there is no command $command"
        elif [ "$command" != "$option" ]; then
            grep -Eq -e "(^|[ ,])$option\b" "$folder/help" || echo "rondo $command has no option $option"
        fi
    done >"$folder/complaints"
    [ -s "$folder/complaints" ] && complain "$(cat "$folder/complaints")"
}

while read -r n page first last indentation kind; do
    count=$((count + 1))
    what=$(cat "$folder/$n.what")
    case $kind in
    'output of' | 'in the output of')
        (cd "$folder/run" && sh -c "$what" >"$folder/actual" 2>&1 </dev/null)
        case $kind in in*) compare 0 ;; *) compare 1 ;; esac
        ;;
    excerpt)
        cat ./${what# } >"$folder/actual" 2>&1 || complain "there is no file$what"
        compare 0
        ;;
    file) cp "$folder/$n" "$folder/run/${what# }" ;;
    commands) commands "$folder/$n" ;;
    'checked by') grep -q "${page#docs/}" ./${what# } || complain "$what is no test of this page" ;;
    measured)
        [ -n "$what" ] || complain "measured with which command?"
        commands "$folder/$n.what"
        ;;
    notation) ;;
    *) complain "this block has no mark that says what it shows (see tests/house/shown.sh)" ;;
    esac
done <"$folder/blocks"

# From the last block to the first, so that line numbers stay valid.
[ -z "$update" ] || sort -rn "$folder/blocks" | while read -r n page first last indentation kind; do
    [ -e "$folder/$n.new" ] || continue
    {
        head -n $((first - 1)) "$page"
        awk -v by="$indentation" '{ print ($0 == "" ? "" : sprintf("%" by "s%s", "", $0)) }' "$folder/$n.new"
        tail -n +$((last + 1)) "$page"
    } >"$folder/page"
    cat "$folder/page" >"$page"
    echo "$page:$first: updated"
done
[ $count -gt 20 ] || { echo "found only $count blocks: this test looks for the wrong thing"; wrong=1; }
exit $wrong
