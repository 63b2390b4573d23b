#!/bin/sh
# The dynamic symbols of librondo are the functions that rondo.h declares and no others; those of librondo-run
# are the ones that load and run a model; and librondo-run contains no code for training. $1: the root of the
# source; $2, $3: librondo and librondo-run; $4: a C compiler.
root=$1 whole=$2 run=$3 cc=$4
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
wrong=0

complain() {
    echo "$1"
    shift
    "$@" | sed 's/^/    /'
    wrong=1
}
exported() { nm -D --defined-only "$1" | awk '{ print $3 }' | LC_ALL=C sort; }

# Declarations follow RONDO_API, but macros write some of them: use the preprocessor.
$cc -E -P "$root/rondo.h" | tr '\n' ' ' |
    sed 's/__attribute__((visibility("default")))/\n@/g' |
    sed -n 's/^@[^(]*[ *]\(rondo_[a-z0-9_]*\)(.*/\1/p' | LC_ALL=C sort >"$folder/declared"
[ "$(wc -l <"$folder/declared")" -gt 100 ] || complain "found too few declarations in rondo.h:" cat "$folder/declared"

exported "$whole" >"$folder/whole"
cmp -s "$folder/declared" "$folder/whole" ||
    complain "rondo.h (<) and librondo (>) differ:" diff "$folder/declared" "$folder/whole"

for name in rondo_new_with rondo_free rondo_version; do
    echo $name
done >"$folder/expected"
sed -n '/^\/\* ---- Functions/,/^\/\* ---- The whole command/p' "$root/rondo.h" | grep -o '^RONDO_API [^(]*(' |
    sed 's/($//; s/.*[ *]//' | grep -vE '^rondo_(program|function)_(new|save)$|^rondo_function_of$' >>"$folder/expected"
LC_ALL=C sort -o "$folder/expected" "$folder/expected"
exported "$run" >"$folder/run"
cmp -s "$folder/expected" "$folder/run" ||
    complain "the header's sections on functions and decoding (<) and librondo-run (>) differ:" diff "$folder/expected" "$folder/run"

# The symbols inside an unstripped librondo-run. reference_elementwise is one op on numbers, which kernels use
# as well.
nm "$run" | awk '$2 ~ /[tTwW]/ { print $3 }' >"$folder/inside"
[ "$(wc -l <"$folder/inside")" -gt 100 ] || complain "librondo-run is stripped; nothing can be said about it" true
grep -E '^(vjp|samples|reference|form|step|differentiate|linearize|contract|stream|trainer|weights|optimizer|transformer|mixer|command|explain)_' "$folder/inside" |
    grep -v '^reference_elementwise' >"$folder/training"
[ ! -s "$folder/training" ] || complain "librondo-run holds what only training and compiling need:" cat "$folder/training"
nm "$run" | grep -E ' kernel_(adam|[a-z_]*_grad)' >"$folder/training" && complain "librondo-run holds kernels of training:" cat "$folder/training"
# The same names are in the whole library, so the check above can find something.
nm "$whole" | grep -q ' t vjp_' && nm "$whole" | grep -q ' kernel_adam' || complain "librondo has no vjp rules or no kernel_adam: this test looks for the wrong names" true

for library in "$whole" "$run"; do
    name=$(objdump -p "$library" | awk '$1 == "SONAME" { print $2 }')
    case $name in
    librondo.so.0 | librondo-run.so.0) ;;
    *) complain "$library has the soname $name" true ;;
    esac
done
exit $wrong
