# What ./try and ./check share, in POSIX sh: questions, packages, building, steps that are done once. The caller sets
# `me` (its name) and `run` (a folder for logs and marks), and may set `yes`.

rondo=build/rondo
began=$(date +%s)

say() { printf '%s\n' "$*"; }

# One sentence, and how to go on.
stop() {
    free=$(df -Pk . 2>/dev/null | awk 'NR == 2 { print int($4 / 1024) }')
    if [ "${free:-9999}" -lt 50 ]; then
        printf '%s: the disk is full (%s MB left); free some space, then go on with: %s\n' "$me" "$free" "$again" >&2
    else
        printf '%s: %s\n' "$me" "$*" >&2
    fi
    exit 1
}

interrupted() {
    trap '' INT TERM HUP
    printf '\n%s: stopped; nothing that was done is lost; go on with: %s\n' "$me" "$again" >&2
    exit 130
}

# Asks once. Answers other than yes stop.
ask() {
    [ -n "$yes" ] && return
    [ -t 0 ] || stop "asks before it begins, and this is not a terminal; go on with: ./$me --yes"
    printf 'Go on? [Y/n] '
    read -r answer || answer=n
    case $answer in
    '' | y | Y | yes | Yes) ;;
    *) stop "nothing was done; go on with: $again" ;;
    esac
}

# The packages of tools/packages.txt that are not installed. $1: check, or nothing.
missing_packages() {
    awk -v kind="$1" '!/^#/ && NF && (NF == 1 || $2 == kind) { print $1 }' tools/packages.txt | while read -r package; do
        case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
        installed) ;;
        *) printf '%s ' "$package" ;;
        esac
    done
}

# $1: check, or nothing.
install_packages() {
    command -v apt-get >/dev/null || stop "installs with apt-get, which is not here; install what tools/packages.txt names, then build with: meson setup build && ninja -C build"
    missing=$(missing_packages "$1")
    [ -z "$missing" ] && return
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null; then
        as_root=sudo
    else
        stop "these packages are missing and only root can install them; as root: apt-get install --no-install-recommends ${missing}; then go on with: $again"
    fi
    say "installing: $missing"
    { $as_root apt-get update -q && $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends $missing; } >"$run/install.log" 2>&1 </dev/null || {
        tail -n 3 "$run/install.log" >&2
        stop "apt could not install everything (is this machine online?); $run/install.log says why; go on with: $again"
    }
}

# $1: true or false, for the tests.
build() {
    if [ ! -e build/build.ninja ]; then
        meson setup build "-Dtests=$1" >"$run/build.log" 2>&1 || {
            tail -n 5 "$run/build.log" >&2
            stop "meson did not like what it found; $run/build.log says why; go on with: $again"
        }
    elif [ "$1" = true ]; then
        meson configure build -Dtests=true >"$run/build.log" 2>&1 || stop "meson failed; begin anew with: rm -r build; $again"
    fi
    ninja -C build >>"$run/build.log" 2>&1 || {
        tail -n 20 "$run/build.log" >&2
        stop "the build failed; $run/build.log says why; go on with: $again"
    }
}

# step MARK WORDS COMMAND...: runs the command unless the mark says that it is done.
step() {
    mark=$1 words=$2
    shift 2
    if [ -e "$run/$mark.done" ]; then
        say "== $words: done before"
        return
    fi
    say "== $words ($(($(date +%s) - began)) s)"
    "$@" || {
        code=$?
        [ $code -ge 128 ] && interrupted
        stop "\"$words\" failed; go on with: $again"
    }
    { : >"$run/$mark.done"; } 2>/dev/null || stop "cannot write into $run; go on with: $again"
}
