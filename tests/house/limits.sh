#!/bin/sh
# Examples and the conventions stay short, every file says what it is for, and lines of C have at most 110 columns
# (tables in .def files excepted). $1: the root of the source.
LC_ALL=C.UTF-8
export LC_ALL
cd "${1:-.}" || exit 1
wrong=0
at_most() {
    lines=$(wc -l <"$2") || exit 1
    [ "$lines" -le "$1" ] && return
    echo "$2 has $lines lines; at most $1"
    wrong=1
}
at_most 150 docs/examples/copy.c
at_most 150 docs/examples/classifier.c
at_most 150 docs/examples/ctc.c
at_most 150 docs/examples/tagger.c
at_most 80 docs/examples/function.c
at_most 60 docs/examples/own_mixer.c
at_most 10 docs/examples/linear.graph
at_most 40 CONVENTIONS.md # one screen

# The first comment says what a file is for.
for file in $(find core ops autograd compiler models tools tests docs/examples -name '*.c' -o -name '*.h' -o -name '*.cc' -o -name '*.def' | sort); do
    case $(head -n 1 "$file") in
    '/* '* | '// '*) ;;
    *) echo "$file does not open with a comment" && wrong=1 ;;
    esac
done

find rondo.h core ops autograd compiler models tools tests docs/examples \( -name '*.c' -o -name '*.h' -o -name '*.cc' \) \
    -exec grep -nHE '^.{111,}$' {} + | cut -c1-150 | grep . && echo "lines of more than 110 columns" && wrong=1

# The sources hold the right code alone; the wrong one is in tests/mutants/mutants.txt.
grep -rniE 'mutants?([^a-z]|$)' core ops autograd compiler models tools rondo.h && echo "the sources know nothing of mutants" && wrong=1
exit $wrong
