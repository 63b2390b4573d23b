#!/bin/sh
# A page is what the program that makes it prints. $1: the page; $2: that program; $3: the source that the page is made of.
"$2" | diff - "$1" >&2 || {
    echo "$1 is not what $3 says; make it anew with: $2 >$1" >&2
    exit 1
}
