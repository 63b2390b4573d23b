#!/bin/sh
# Each public function that takes a rondo_error opens with error_begin(error), so that the previous content of
# the struct is never read, and has a row in the test of errors. $1: the root of the source.
cd "$1" || exit 1
names=$(tr '\n' ' ' <rondo.h | tr ';' '\n' | grep 'RONDO_API.*rondo_error \*' | grep -o 'rondo_[a-z_]*(' | tr -d '(' | sort -u)
[ "$(echo "$names" | wc -l)" -gt 20 ] || { echo "found no functions in rondo.h: this test looks for the wrong thing"; exit 1; }
good=$(find core ops autograd compiler models tools -name '*.c' -o -name '*.cc' | xargs awk '
    /^[a-z].*[ *]rondo_[a-z_]*\(/ { match($0, /rondo_[a-z_]*\(/); name = substr($0, RSTART, RLENGTH - 1) }
    name && /^{/ { getline; if (/^    error_begin\(error\);$/) print name; name = "" }
    /;/ { name = "" }')
wrong=0
for name in $names; do
    echo "$good" | grep -qx "$name" || { echo "$name does not open with error_begin(error)"; wrong=1; }
    grep -q "X(${name%_with}," tests/models/test_errors.c || { echo "$name has no row in tests/models/test_errors.c"; wrong=1; }
done

# Each function that takes an options struct, which is one that has a size, has a row in the test of sizes.
structs=$(awk '/^typedef struct/ { name = $3 } /size_t size RONDO_ZERO/ { print name }' rondo.h)
unsized=$(awk '/^typedef struct .*_options \{/ { print $3 }' rondo.h | grep -vxF "$structs")
[ -z "$unsized" ] || { echo "no size in" $unsized; wrong=1; }
names=$(tr '\n' ' ' <rondo.h | tr ';' '\n' | grep -F "$(echo "$structs" | sed 's/.*/const & */')" |
    grep -o 'RONDO_API.*' | grep -oE 'rondo_[a-z0-9_]+\(' | sed -E 's/^rondo_(.*)\($/\1/; s/_(at|with)$//')
[ "$(echo "$names" | wc -l)" -ge 15 ] || { echo "found too few functions with options in rondo.h"; exit 1; }
for name in $names; do
    grep -q "X($name," tests/models/test_options_size.c || { echo "rondo_$name has no row in tests/models/test_options_size.c"; wrong=1; }
done
for name in $structs; do
    grep -q "X([a-z_]*, $name," tests/models/test_options_size.c || { echo "$name has no row in tests/models/test_options_size.c"; wrong=1; }
done
exit $wrong
