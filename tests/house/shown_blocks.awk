# Extracts the shown blocks of Markdown pages. A block is fenced, or indented by four spaces; its mark is the
# HTML comment right before it, "KIND: WHAT". For each block: folder/N has its lines without the indentation,
# folder/N.what has WHAT, and standard output a line "N page first last indentation kind".
FNR == 1 { finish(); mark = comment = ""; fenced = 0; blank = 1 }
fenced && /^```/ { fenced = 0; finish(); next }
fenced { add($0); next }
/^```/ { fenced = 1; begin(FNR + 1, 0); next }
/^    / && (blank || open) {
    if (!open)
        begin(FNR, 4)
    for (; held; held--)
        add("")
    add(substr($0, 5))
    blank = 0
    next
}
/^ *$/ { blank = 1; held += open; next }
{ finish(); blank = 0 }
comment != "" || /^<!-- / {
    comment = comment $0 "\n"
    if (/-->$/) {
        mark = substr(comment, 6)
        sub(/ *-->\n$/, "", mark)
        comment = ""
    }
    next
}
{ mark = "" }
END { finish() }

function begin(line, by)
{
    open = 1
    held = 0
    page = FILENAME
    first = line
    last = line - 1
    indentation = by
    count++
    colon = index(mark, ":")
    kind = colon ? substr(mark, 1, colon - 1) : mark
    print (colon ? substr(mark, colon + 1) : "") >(folder "/" count ".what")
    printf "" >(folder "/" count)
    mark = ""
}
function add(line)
{
    print line >(folder "/" count)
    last++
}
function finish()
{
    if (open) {
        print count, page, first, last, indentation, kind
        close(folder "/" count)
        close(folder "/" count ".what")
    }
    open = held = 0
}
