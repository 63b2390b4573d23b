#!/bin/sh
# Debian's three OpenBLAS (pthread, openmp, serial) share a soname, and a program may be started with any of
# them. With each, while a model is trained, the process has exactly RONDO_THREADS threads, and all products
# of both libraries have the same bits, for any number of threads. $1: the built products.so; $2: the command.
# Skipped (77) where fewer than two of them are installed (libopenblas0-openmp, libopenblas0-serial).
products=$1 command=$2
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT

flavours=
for flavour in pthread openmp serial; do
    for library in /usr/lib/*/openblas-$flavour/libopenblas.so.0; do
        [ -e "$library" ] && flavours="$flavours $flavour:${library%/*}"
    done
done
case $flavours in
*:*:*) ;;
*) echo "not two flavours of OpenBLAS here: $flavours"; exit 77 ;;
esac

# A corpus of arbitrary words.
awk 'BEGIN { srand(7); for (i = 0; i < 400; i++) { line = ""; for (n = 4 + int(rand() * 12); n > 0; n--)
    line = line sprintf("%c%c%c ", 97 + rand() * 6, 97 + rand() * 6, 97 + rand() * 6); print line } }' >"$folder/source"
sed 's/a/x/g; s/\([b-f]\)\(.\)/\2\1/g' "$folder/source" >"$folder/target"

wrong=0
for set in DEFAULT AVX2; do # at AVX2 some products go to OpenBLAS (docs/GEMM.md)
    first=
    for flavour in $flavours; do
        for threads in 1 3; do
            name=${flavour%%:*} report=$folder/report
            rm -rf "$folder/run" "$report"
            DNNL_MAX_CPU_ISA=$set LD_LIBRARY_PATH=${flavour#*:} LD_PRELOAD=$products RONDO_PRODUCTS=$report RONDO_THREADS=$threads \
                "$command" train --train "$folder/source" "$folder/target" --output-folder "$folder/run" --updates 4 --vocabulary 300 \
                --dim 64 --ffn 128 --encoder-layers 1 --decoder-layers 1 --batch-tokens 1200 >"$folder/log" 2>&1 ||
                { echo "training fails with $name and $threads threads:"; tail -n 5 "$folder/log"; exit 1; }
            [ -s "$report" ] || { echo "no product was seen with $name: nothing was tested"; exit 1; }
            read -r loaded fewest most sums <"$report"
            echo "$set, $name, RONDO_THREADS=$threads: $fewest to $most threads; products and sums of oneDNN and OpenBLAS: $sums"
            [ "$loaded" = "$name" ] || { echo "    OpenBLAS is $loaded"; wrong=1; }
            [ "$fewest" = "$threads" ] && [ "$most" = "$threads" ] || { echo "    not $threads threads"; wrong=1; }
            [ "$sums" = "${first:=$sums}" ] || { echo "    not the same products: $first"; wrong=1; }
        done
    done
done
exit $wrong
