#!/bin/sh
# With -Dtests=false Criterion is not needed; by default its absence is an error. $1: the root of the source;
# $2: meson.
root=$1 meson=$2
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT

# A pkg-config that does not know Criterion, and no cmake.
real=$(command -v pkg-config) || { echo "no pkg-config"; exit 77; }
cat >"$folder/pkg-config" <<END
#!/bin/sh
case " \$* " in *criterion*) exit 1 ;; esac
exec "$real" "\$@"
END
chmod +x "$folder/pkg-config"
PKG_CONFIG=$folder/pkg-config CMAKE=/bin/false
export PKG_CONFIG CMAKE
$meson setup "$folder/without" "$root" -Dtests=false >"$folder/log" 2>&1 || { tail -n 5 "$folder/log"; echo "-Dtests=false does not configure without Criterion"; exit 1; }
$meson setup "$folder/with" "$root" -Dtests=true >"$folder/log" 2>&1 && { echo "Criterion was hidden and found all the same: nothing was tested"; exit 1; }
grep -qi criterion "$folder/log" || { tail -n 5 "$folder/log"; echo "-Dtests=true does not say that Criterion is missing"; exit 1; }
