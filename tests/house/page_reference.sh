#!/bin/sh
# A page is the output of its program. $1: the page; $2: the program; $3: the source that the page is made
# from.
"$2" | diff - "$1" >&2 || {
    echo "$1 is not what $3 says; make it anew with: $2 >$1" >&2
    exit 1
}
