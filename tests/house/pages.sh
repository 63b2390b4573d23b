#!/bin/sh
# What the pages mention exists: the target of every link, every path and file of the tree, every name of the
# sources in backticks (rondo.h counts as a page here). README lists every page and ARCHITECTURE every folder,
# lines have at most 110 columns outside of tables, and every file in tests/ is used by a test. $1: the root
# of the source.
LC_ALL=C.UTF-8
export LC_ALL
cd "${1:-.}" || exit 1
wrong=0 count=0
complain() {
    echo "$*"
    wrong=1
}
list=$(mktemp -d) || exit 1
trap 'rm -rf "$list"' EXIT
folders='core ops autograd compiler models tools tests docs'
find $folders -type f | grep -v '\.md$' | sort >"$list/files"
xargs grep -how '[A-Za-z_][A-Za-z0-9]*_[A-Za-z0-9_]*' <"$list/files" | sort -u >"$list/names"
{ cat "$list/names"; grep -ow '[A-Za-z_][A-Za-z0-9]*_[A-Za-z0-9_]*' rondo.h; } | sort -u >"$list/public names"

# The words of $page that match $1, without web addresses; names in capitals are placeholders.
words() {
    sed 's/https*:[^) ]*//g' "$page" | grep -oE "$1" | sed 's/^[ `(]//; s/`$//' | grep -v '[A-Z][A-Z]*\.' | sort -u
}

for page in *.md docs/*.md rondo.h; do
    names="$list/public names"
    [ "$page" != rondo.h ] || names="$list/names"
    for target in $(grep -oE '\]\([^)]*\)' "$page" | sed 's/^](//; s/)$//; s/#.*//' | grep -v '^[a-z]*:' | sort -u); do
        count=$((count + 1))
        [ -e "$(dirname "$page")/$target" ] || complain "$page: nothing stands at $target"
    done
    for path in $(words "(^|[ \`(])($(echo $folders | tr ' ' '|'))/[A-Za-z0-9_./-]*[A-Za-z0-9_/]"); do
        count=$((count + 1))
        [ -e "$path" ] || complain "$page: there is no $path"
    done
    for file in $(words '`[a-z][a-z0-9_-]*\.(c|h|cc|def|sh|awk)`'); do
        count=$((count + 1))
        grep -q "/$file\$" "$list/files" || [ -e "$file" ] || complain "$page: there is no file $file"
    done
    for name in $(words '`[A-Za-z][A-Za-z0-9]*_[A-Za-z0-9_]*`'); do
        count=$((count + 1))
        case $name in *_) grep -q "^$name" "$names" ;; *) grep -qx "$name" "$names" ;; esac || complain "$page: nothing is called $name"
    done
    grep -nE '^.{111,}$' "$page" | grep -vE '^[0-9]*:(\||    |<!--)' >"$list/wide"
    awk '/^[0-9]+\. / && previous !~ /^ *([0-9]+\. |$)/ && previous !~ /^ / { print FNR } { previous = $0 }' "$page" >"$list/numbered"
    [ ! -s "$list/numbered" ] || complain "$page: a line begins with a number and becomes a list: $(tr '\n' ' ' <"$list/numbered")"
    [ ! -s "$list/wide" ] || complain "$page: lines of more than 110 columns: $(sed 's/:.*//' "$list/wide" | tr '\n' ' ')"
done
for page in CONVENTIONS.md CONTRIBUTING.md docs/*.md; do
    [ ! -e "$page" ] || grep -q "^| .*($page)" README.md || complain "README.md does not list $page"
done
for folder in $(find $folders -type d); do
    [ "$folder" != "${folder#tests/}" ] && [ -d "${folder#tests/}" ] && continue # mirrors the folder that it tests
    grep -q "^ *$folder/ " docs/ARCHITECTURE.md || complain "docs/ARCHITECTURE.md does not say what is in $folder/"
done
for test in $(find tests -type f ! -name meson.build ! -name '*.h' ! -name 'measure_*'); do
    grep -qr --include=meson.build --include='*.sh' -e "\b${test##*/}" -e "${test##*/house/}" tests || complain "no test uses $test"
done
[ $count -gt 100 ] || complain "found only $count names: this test looks for the wrong thing"
exit $wrong
