#!/bin/sh
# Every relative link of the pages leads to a file or folder of the tree, and every page of docs/ is in README's list.
# $1: the root of the source.
cd "${1:-.}" || exit 1
wrong=0 count=0
for page in *.md docs/*.md; do
    for target in $(grep -oE '\]\([^)]*\)' "$page" | sed 's/^](//; s/)$//; s/#.*//' | grep -v '^[a-z]*:' | sort -u); do
        count=$((count + 1))
        [ -e "$(dirname "$page")/$target" ] || { echo "$page: nothing stands at $target"; wrong=1; }
    done
done
for page in docs/*.md; do
    grep -q "^| .*($page)" README.md || { echo "README.md does not list $page"; wrong=1; }
done
[ $count -gt 15 ] || { echo "found only $count links: this test looks for the wrong thing"; wrong=1; }
exit $wrong
