# Shared by ./try and ./check, in POSIX sh: questions, packages, building, steps that are done once. The caller sets
# `me` (its name) and `run` (a folder for logs and marks), and may set `yes`.

rondo=build/rondo
began=$(date +%s)

say() { printf '%s\n' "$*"; }

# Says what is wrong and how to continue, and exits.
stop() {
    free=$(df -Pk . 2>/dev/null | awk 'NR == 2 { print int($4 / 1024) }')
    if [ "${free:-9999}" -lt 50 ]; then
        printf '%s: the disk is full (%s MB left); free some space, then continue with: %s\n' "$me" "$free" "$again" >&2
    else
        printf '%s: %s\n' "$me" "$*" >&2
    fi
    exit 1
}

interrupted() {
    trap '' INT TERM HUP
    printf '\n%s: stopped; nothing that was done is lost; continue with: %s\n' "$me" "$again" >&2
    exit 130
}

# Asks once; stops unless the answer is yes.
ask() {
    [ -n "$yes" ] && return
    [ -t 0 ] || stop "asks before it starts, and this is not a terminal; continue with: ./$me --yes"
    printf 'Continue? [Y/n] '
    read -r answer || answer=n
    case $answer in
    '' | y | Y | yes | Yes) ;;
    *) stop "nothing was done; continue with: $again" ;;
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
    command -v apt-get >/dev/null || stop "installs with apt-get, which was not found; install the packages in tools/packages.txt, then build with: meson setup build && ninja -C build"
    missing=$(missing_packages "$1")
    [ -z "$missing" ] && return
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null; then
        as_root=sudo
    else
        stop "these packages are missing and only root can install them: apt-get install --no-install-recommends ${missing}; then continue with: $again"
    fi
    say "installing: $missing"
    { $as_root apt-get update -q && $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends $missing; } >"$run/install.log" 2>&1 </dev/null || {
        tail -n 3 "$run/install.log" >&2
        stop "apt could not install everything (is this machine online?); see $run/install.log; continue with: $again"
    }
}

# $1: true or false, for the tests.
build() {
    if [ ! -e build/build.ninja ]; then
        meson setup build "-Dtests=$1" >"$run/build.log" 2>&1 || {
            tail -n 5 "$run/build.log" >&2
            stop "meson failed; see $run/build.log; continue with: $again"
        }
    elif [ "$1" = true ]; then
        meson configure build -Dtests=true >"$run/build.log" 2>&1 || stop "meson failed; start again with: rm -r build; $again"
    fi
    ninja -C build >>"$run/build.log" 2>&1 || {
        tail -n 20 "$run/build.log" >&2
        stop "the build failed; see $run/build.log; continue with: $again"
    }
}

# step MARK WORDS COMMAND...: runs the command, unless the mark of an earlier run says that it is done.
step() {
    mark=$1 words=$2
    shift 2
    if [ -e "$run/$mark.done" ]; then
        say "== $words: already done"
        return
    fi
    say "== $words ($(($(date +%s) - began)) s)"
    "$@" || {
        code=$?
        [ $code -ge 128 ] && interrupted
        stop "\"$words\" failed; continue with: $again"
    }
    { : >"$run/$mark.done"; } 2>/dev/null || stop "cannot write into $run; continue with: $again"
}
