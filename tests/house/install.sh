#!/bin/sh
# What `meson install` installs is sufficient: programs outside the tree build and run with the installed
# header and pkg-config alone, against the shared library, the static one and librondo-run, and the installed
# command finds its library. $1: the root of the source; $2: the build folder; $3, $4: a C and a C++ compiler;
# $5: meson.
root=$1 build=$2 cc=$3 cxx=$4 meson=$5
stage=$(mktemp -d) || exit 1
trap 'rm -rf "$stage"' EXIT
stop() { echo "$*"; exit 1; }

DESTDIR=$stage $meson install -C "$build" --no-rebuild --quiet >"$stage/log" 2>&1 || { cat "$stage/log"; stop "meson install failed"; }
pc=$(find "$stage" -name rondo.pc)
[ -n "$pc" ] || stop "rondo.pc was not installed"
prefix=$stage$(sed -n 's/^prefix=//p' "$pc")
# The prefix is that of the final place; set it to the present one, as a packager would.
sed -i "s|^prefix=.*|prefix=$prefix|" "${pc%/*}"/rondo*.pc
libraries=$prefix/$(sed -n 's/^libdir=${prefix}\///p' "$pc")
PKG_CONFIG_PATH=${pc%/*}
export PKG_CONFIG_PATH
for file in "$prefix/include/rondo.h" "$prefix/bin/rondo" "$libraries/librondo.so" "$libraries/librondo.so.0" "$libraries/librondo.a" \
    "$libraries/librondo-run.so" "$libraries/librondo-run.so.0"; do
    [ -e "$file" ] || stop "${file#"$stage"} was not installed"
done
find "$prefix" -name '*.a' ! -name librondo.a | grep . && stop "only librondo.a is for others"
find "$prefix" -name '*.h' ! -name rondo.h | grep . && stop "only rondo.h is for others"
"$prefix/bin/rondo" --help >"$stage/help" || stop "the installed command does not run"

# make COMPILER PROGRAM SOURCE PACKAGE [--static]: builds with the flags of pkg-config, outside the tree. The
# examples use -lm.
make() {
    flags=$(pkg-config $5 --cflags --libs "$4") || stop "pkg-config --cflags --libs $5 $4 failed"
    (cd "$stage" && $1 "$3" -Wall -Wextra -Werror $flags -lm -o "$2") || stop "cannot build $3 with: $flags"
}
cp "$root"/tests/house/outside*.c "$root"/docs/examples/*.c "$stage"
LD_LIBRARY_PATH=$libraries
export LD_LIBRARY_PATH
make "$cc" outside outside.c rondo
make "$cc" outside_run outside_run.c rondo-run
make "$cc" copy copy.c rondo
make "$cc" own_mixer own_mixer.c rondo
make "$cc" function function.c rondo
make "$cc" classifier classifier.c rondo
make "$cc" ctc ctc.c rondo
make "$cc" tagger tagger.c rondo

make "$cxx -std=c++20 -x c++" outside_cxx outside.c rondo
(cd "$stage" && ./outside model.rondo >shared.txt) || stop "the program outside the tree failed"
(cd "$stage" && ./outside_run model.rondo >run.txt) || stop "the program with librondo-run failed"
cmp "$stage/shared.txt" "$stage/run.txt" || stop "librondo-run goes on with other tokens than librondo"
ldd "$stage/outside_run" | grep -q 'librondo\.so' && stop "librondo-run brings librondo along"
(cd "$stage" && ./outside_cxx cxx.rondo >cxx.txt) || stop "the program outside the tree failed as C++"
cmp "$stage/shared.txt" "$stage/cxx.txt" || stop "as C++ the program does something else"
(cd "$stage" && ./copy) >"$stage/copy.txt" || { tail -n 3 "$stage/copy.txt"; stop "docs/examples/copy.c did not learn to copy"; }
grep -qFx "    $(tail -n 1 "$stage/copy.txt")" "$root/README.md" || stop "README.md does not show the last line of copy.c: $(tail -n 1 "$stage/copy.txt")"
(cd "$stage" && ./function) >"$stage/lines.txt" || stop "docs/examples/function.c fails"
printf '3 points: y = 2.000 x + 1.000\n5 points: y = -1.000 x + 2.000\n' | cmp - "$stage/lines.txt" || stop "docs/examples/function.c fits other lines"
(cd "$stage" && ./classifier) >"$stage/classes.txt" || { cat "$stage/classes.txt"; stop "docs/examples/classifier.c did not learn its classes"; }
grep -qE '^new lines +64: +loss [0-9.]+ +accuracy (0\.9|1\.0)' "$stage/classes.txt" || stop "docs/examples/classifier.c does not print its accuracy"
(cd "$stage" && ./ctc) >"$stage/labels.txt" || { cat "$stage/labels.txt"; stop "docs/examples/ctc.c did not learn its labels"; }
(cd "$stage" && ./tagger) >"$stage/tags.txt" || { cat "$stage/tags.txt"; stop "docs/examples/tagger.c did not learn its tags"; }
(cd "$stage" && ./own_mixer --help) >"$stage/help" || stop "docs/examples/own_mixer.c does not become the command"

# The static library, with no other installed.
rm "$libraries"/librondo*.so*
make "$cc" static outside.c rondo --static
(cd "$stage" && ./static static.rondo >static.txt) || stop "the statically linked program failed"
cmp "$stage/shared.txt" "$stage/static.txt" || stop "static and shared library do not agree"
exit 0
