#!/bin/sh
# The rules, kernels and samplers of the ops are declared by ops/rules.h from the columns of ops/ops.def, and nowhere else: a new
# row is enough, and no list is kept by hand. $1: the root of the source; $2: a C compiler.
cd "$1" || exit 1
cc=$2
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
wrong=0

# What the table names.
cat >"$folder/names.c" <<'END'
#define KERNELS(...) __VA_ARGS__
#define RECURRENCE(operand, result, object) object
#define IN_PLACE(result, operand)
#define LOOKUP(ids, table, axis)
#define LENGTH(operand, rows, axis)
#define OP(name, operands, results, flags, fields, infer, vjp, form, step, columns, meaning) \
    infer vjp form step columns reference_##name samples_##name
#include "ops/ops.def"
END
$cc -E -P -I. "$folder/names.c" | grep -oE '\b(infer|vjp|form|step|kernel|recurrence|reference|samples)_[a-z0-9_]+' | sort -u >"$folder/names"
count=$(wc -l <"$folder/names")
[ "$count" -gt 300 ] || { echo "found only $count names in ops.def: this test looks for the wrong thing"; exit 1; }

# No header has one of them outside its comments, ops/rules.h included; no other file declares one at file scope.
find core ops autograd compiler models tools tests -name '*.h' -o -name '*.c' -o -name '*.cc' | sort |
    xargs awk -v names="$folder/names" '
    BEGIN { while ((getline line <names) > 0) known[line] = 1 }
    FNR == 1 { header = FILENAME ~ /\.h$/; comment = 0; statement = "" }
    {
        line = $0
        if (comment) { if (!sub(/^.*\*\//, "", line)) next; comment = 0 }
        gsub(/\/\*[^*]*\*\//, "", line)
        if (sub(/\/\*.*$/, "", line)) comment = 1
        gsub(/"[^"]*"/, "", line)
        if (!header && line ~ /^[a-z]/) statement = ""
        if (!header && line ~ /^[ \t]*#/) next
        statement = header ? line : statement " " line
        if (!header && statement ~ /[{=]/) { statement = "{"; next }
        if (!header && statement !~ /;/) next
        for (count = split(statement, words, /[^A-Za-z0-9_]+/); count > 0; count--)
            if (words[count] in known) { printf "%s:%d: %s is declared by ops/rules.h\n", FILENAME, FNR, words[count]; found = 1 }
        statement = header ? "" : "{"
    }
    END { exit found }' || wrong=1

# A row more, and its rules can be used; without it, they cannot.
mkdir "$folder/ops"
{
    cat ops/ops.def
    printf 'OP(probe, (1, 1), 1, 0, , infer_probe, vjp_probe, form_probe, step_probe,\n'
    printf '   KERNELS(kernel_probe, kernel_other_probe) RECURRENCE(0, 0, recurrence_probe), "")\n'
} >"$folder/ops/ops.def"
cat >"$folder/probe.c" <<'END'
#include "ops/rules.h"
const void *const probe[] = {infer_probe, vjp_probe, form_probe, step_probe, reference_probe, samples_probe,
                             &kernel_probe, &kernel_other_probe, &recurrence_probe};
END
$cc -std=gnu17 -Werror -fsyntax-only -I"$folder" -I. "$folder/probe.c" || { echo "a row of ops.def does not declare its rules"; wrong=1; }
$cc -std=gnu17 -fsyntax-only -I. "$folder/probe.c" 2>/dev/null && { echo "the probe's rules are there without its row"; wrong=1; }
exit $wrong
