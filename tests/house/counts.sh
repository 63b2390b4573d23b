#!/bin/sh
# The numbers that the pages give for the tree are right. Each line of the table below is a page, a phrase of
# it with % for each number, and commands that print these numbers, one per line. A number of lines, files,
# ops, … in a page without a line here is an error. (Pages that are printed or measured are exempt from that.)
# $1: the root of the source.
LC_ALL=C.UTF-8
export LC_ALL
cd "${1:-.}" || exit 1
wrong=0
text=$(mktemp -d) || exit 1
trap 'rm -rf "$text"' EXIT

value() { sed -nE "s/.*\b$1 = ([0-9]+).*/\1/p" "$2" | head -n 1; } # of NAME in an enum of FILE
lines() { wc -l <"$1"; }
preset() { sed -n "s/^PRESET(\"$1\", \"$2\", \"\(.*\)\")/\1/p" tools/options/options.def; }
default() { sed -nE "s/^OPTION\([a-z_]*, \"$1\", [^,]*, [A-Z]*, \"([^\"]*)\".*/\1/p" tools/options/options.def; }
rounded() { echo $(($(value "$1" "$2") / $3)); }
word() { sed -n "$1p" <<END
one
two
three
four
five
six
seven
eight
nine
ten
END
}
heads() { value HEADS docs/examples/copy.c; }
a_head() { echo $(($(value WIDTH docs/examples/copy.c) / $(heads))); }
and_one() { echo $(($(a_head) + 1)); }
copy() { value "$1" docs/examples/copy.c; }

for page in *.md docs/*.md; do
    case $page in docs/OPS.md | docs/MIXERS.md) continue ;; esac # printed
    grep -v '^|' "$page" | tr '\n' ' ' | tr -s ' ' >"$text/$(echo "$page" | tr / _)"
done

while IFS='|' read -r page phrase commands; do
    eval "$commands" >"$text/numbers"
    while read -r number; do
        phrase=${phrase%%%*}$number${phrase#*%}
    done <"$text/numbers"
    file=$text/$(echo "$page" | tr / _)
    grep -qF "$phrase" "$file" || { echo "$page does not say: $phrase"; wrong=1; continue; }
    printf '%s' "$phrase" >"$text/phrase"
    awk 'NR == FNR { phrase = $0; next } { while ((i = index($0, phrase))) $0 = substr($0, 1, i - 1) substr($0, i + length(phrase)) } { print }' \
        "$text/phrase" "$file" >"$text/rest" && cp "$text/rest" "$file"
done <<'END'
README.md|adds one in % lines|lines docs/examples/own_mixer.c
README.md|at most % symbols per graph and % axes per tensor|value MAX_SYMBOLS core/graph.h; value MAX_RANK core/graph.h
README.md|% layers of % heads with % × % numbers|word $(copy LAYERS); heads; a_head; and_one
README.md|about % minutes on % cores|sed -n 's/.*about \([0-9]*\) minutes on \([0-9]*\) cores.*/\1\n\2/p' try
README.md|at most % minutes|sed -n 's/.*at most \([0-9]*\) minutes.*/\1/p' check
README.md|model.c:42: %`|sed -n 's/.*"\(decoder.3: matmul .* differ\)".*/\1/p' tests/ops/test_dsl.c
CONVENTIONS.md|4 spaces, % columns|sed -n 's/^ColumnLimit: //p' .clang-format
CONTRIBUTING.md|at most % columns|sed -n 's/^ColumnLimit: //p' .clang-format
CONTRIBUTING.md|wrapped at % columns|sed -n 's/^ColumnLimit: //p' .clang-format
docs/ARCHITECTURE.md|For the % lines of % tokens of copy.c|copy BATCH; echo $((2 * $(copy WORD) + 1))
docs/ARCHITECTURE.md|% · % · % floats for each sequence|heads; a_head; and_one
docs/ARCHITECTURE.md|That is % files where|word $(grep -rlw rsqrt core ops autograd compiler | wc -l)
docs/ARCHITECTURE.md|symbol C, % rows at first|value FIRST_CAPACITY models/decode/session.c
docs/GRAPH.md|Calls nest up to % deep|value MAX_DEPTH core/text/expression.c
docs/GRAPH.md|a graph has at most %, and|value MAX_SYMBOLS core/graph.h
docs/LOOPS.md|A loop has at most % sequences|value RONDO_LOOP_VALUES rondo.h
docs/LOOPS.md|results, % operands|value MAX_INPUTS core/graph.h
docs/LOOPS.md|bodies nest % deep|value MAX_BODY_DEPTH core/body.h
docs/GRAPH.md|_ and . : at most %|echo $(($(value WORD_BYTES core/text/lex.h) - 1))
docs/FILES.md|more than % axes|word $(value MAX_RANK core/graph.h)
docs/FILES.md|at most % MB and|value MOST_HEADER_BYTES core/safetensors.c
docs/NUMERICS.md|in blocks of %, each|value GEMM_BLOCK ops/vector/types.h
docs/NUMERICS.md|spins for % µs|rounded SPIN_NANOSECONDS core/team.c 1000
docs/GEMM.md|we divide k, in blocks of %|value GEMM_BLOCK ops/vector/types.h
docs/GEMM.md|panels of % rows|value GEMM_PANEL ops/kernels/products/gemm.h
docs/PERFORMANCE.md|panels of % rows|value GEMM_PANEL ops/kernels/products/gemm.h
docs/PERFORMANCE.md|medians of `--runs` (% if|default runs
docs/PERFORMANCE.md|among % random orders|value RANDOM_ORDERS tools/bench/memory.c
docs/PERFORMANCE.md|from T = % to %, with|value SHORTEST tools/bench/attention.c; value LONGEST tools/bench/attention.c
docs/PERFORMANCE.md|Decoding at positions %, % and %,|sed -n 's/.*positions\[MOST_POSITIONS\] = {\(.*\)};/\1/p' tools/bench/decode.c | sed 's/, */\n/g'
docs/PRIMITIVES.md|kept for the process: % of them|value KEPT ops/kernels/onednn/primitives.c
docs/RESULTS.md|a word of % letters out of %|copy WORD; copy SYMBOLS
docs/RESULTS.md|After % updates of % lines|copy UPDATES; copy BATCH
docs/WRITING_MIXERS.md|with the whole command around it, in % lines|lines docs/examples/own_mixer.c
docs/WRITING_MIXERS.md|in % memory layouts|word $(grep -c '^ *LAYOUT_[A-Z_]*,' tests/ops/harness.h)
END

rm "$text/docs_GEMM.md" "$text/docs_PRIMITIVES.md" "$text/docs_PERFORMANCE.md" "$text/docs_RESULTS.md" # measured: shapes, not counts
for file in "$text"/*.md; do
    grep -oE '([0-9][0-9,]*|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve) (lines|files|folders|ops|mixers|rows|options|commands|passes|tests|symbols|axes|columns|mutants|kernels|layouts)\b' "$file" >"$text/left" || continue
    echo "$(basename "$file" | sed "s|^docs_|docs/|"): a number that no line of tests/house/counts.sh checks: $(tr '\n' ';' <"$text/left")"
    wrong=1
done
exit $wrong
