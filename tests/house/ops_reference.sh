#!/bin/sh
# docs/OPS.md is what the op table says. $1: the root of the source; $2: the built print_reference.
"$2" | diff - "$1/docs/OPS.md" >&2 || {
    echo "docs/OPS.md is not what ops/ops.def says; make it anew with: $2 >docs/OPS.md" >&2
    exit 1
}
