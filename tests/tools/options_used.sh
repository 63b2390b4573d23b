#!/bin/sh
# No option is parsed and ignored: each field of tools/options/options.def is read somewhere in tools/, apart from the files that
# work on the whole table. $1: the root of the source.
cd "${1:-.}" || exit 1
sources=$(ls tools/*.c tools/*/*.c | grep -v -e '/options/' -e '/settings\.c')
missing=0
for field in $(sed -n 's/^OPTION(\([a-z0-9_]*\),.*/\1/p' tools/options/options.def); do
    case $field in
    settings | preset) continue ;; # read by tools/options/ itself
    esac
    grep -Eq "(\\bo|options)(->|\\.)$field\\b|OPTION_$field\\b" $sources || {
        echo "--$field is parsed and never used"
        missing=$((missing + 1))
    }
done
[ $missing = 0 ]
