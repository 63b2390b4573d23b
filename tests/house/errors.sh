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

# The same for options structs and their size.
structs=$(awk '/^typedef struct/ { name = $3 } /size_t size RONDO_ZERO/ { print name }' rondo.h)
[ "$(echo "$structs" | wc -l)" -ge 10 ] || { echo "found no options structs in rondo.h"; exit 1; }
for name in $structs; do
    grep -q "X($name," tests/models/test_options_size.c || { echo "$name has no row in tests/models/test_options_size.c"; wrong=1; }
done
exit $wrong
