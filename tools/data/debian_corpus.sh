#!/bin/sh
# Makes a parallel corpus, English and German, from the package descriptions in the Debian archive of this machine, as an
# ordinary user: tools/data/debian_corpus.sh FOLDER [RONDO]. Writes FOLDER/{train,valid,test}.{en,de}; the lists of the system are not
# changed, and what was fetched is removed again.
folder=$1 rondo=${2:-build/rondo}
fail() { printf 'debian_corpus.sh: %s\n' "$*" >&2; exit 1; }
[ -n "$folder" ] || { printf 'usage: tools/data/debian_corpus.sh FOLDER [RONDO]\n' >&2; exit 2; }
[ -x "$rondo" ] || fail "there is no $rondo; build it first: meson setup build && ninja -C build"
command -v apt-get >/dev/null || fail "this needs apt-get, as in Debian"
mkdir -p "$folder" || fail "cannot make the folder $folder"
folder=$(cd "$folder" && pwd) || exit 1
for part in train valid test; do
    [ -s "$folder/$part.en" ] && [ -s "$folder/$part.de" ] || missing=1
done
[ -n "$missing" ] || exit 0

# The archive that this machine was installed from: the main suite of its release, in either format of sources.
# Neither updates and security nor other vendors have translations.
private=$folder/apt
mkdir -p "$private/lists/partial" "$private/cache/archives/partial" "$private/sources" "$private/tmp" || fail "cannot write into $folder"
codename=$(. /etc/os-release 2>/dev/null; printf '%s' "$VERSION_CODENAME")
one_line='$1 == "deb" { option = ""; first = 2
    if ($2 ~ /^\[/) { while (first <= NF) { option = option " " $first; if ($(first++) ~ /\]$/) break } }
    if ($(first + 1) == codename) for (i = first + 2; i <= NF; i++) if ($i == "main") { print "deb" option, $first, codename, "main"; exit } }'
stanzas='function done() {
        if (types ~ /(^| )deb( |$)/ && (" " suites " ") ~ (" " codename " ") && components ~ /(^| )main( |$)/ && enabled !~ /no/) {
            split(uris, uri, " ")
            print "deb" (signed ~ /^\// ? " [signed-by=" signed "]" : ""), uri[1], codename, "main"
        }
        types = uris = suites = components = signed = enabled = "" }
    /^#/ { next }
    /^[ \t]*$/ { done() }
    { key = tolower($1); value = $0; sub(/^[^:]*:[ \t]*/, "", value) }
    key == "types:" { types = value } key == "uris:" { uris = value } key == "suites:" { suites = value }
    key == "components:" { components = value } key == "signed-by:" { signed = value } key == "enabled:" { enabled = value }
    END { done() }'
{
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -r "$list" ] && awk -v codename="$codename" "$one_line" "$list"
    done
    for list in /etc/apt/sources.list.d/*.sources; do
        [ -r "$list" ] && awk -v codename="$codename" "$stanzas" "$list"
    done
} | head -n 1 >"$private/sources/main.list"
[ -s "$private/sources/main.list" ] || fail "found no source of '$codename main' in /etc/apt; add one to $private/sources/main.list"

cat >"$private/apt.conf" <<END
#clear Acquire::Languages;
Acquire::Languages { "en"; "de"; };
Acquire::GzipIndexes "false";
Acquire::Retries "3";
APT::Sandbox::User "$(id -un)";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Dir::State::Lists "$private/lists";
Dir::Cache "$private/cache";
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$private/sources";
END
TMPDIR=$private/tmp apt-get -c "$private/apt.conf" -q update >"$private/update.log" 2>&1
ls "$private"/lists/*_i18n_Translation-de >/dev/null 2>&1 || {
    grep '^[EW]:' "$private/update.log" | head -n 2 >&2
    fail "apt could not fetch the descriptions (is this machine online?); see $private/update.log"
}
"$rondo" corpus debian "$private/lists" "$folder" || exit
rm -rf "$private"
