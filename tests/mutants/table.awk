# Reads the table, mutants.txt, and finds its rows in the sources. Goes before one of list.awk, header.awk, check.awk and
# copy.awk, whose END works on the rows 1 … count: file, name, wrong, floor, filter, and what `code` is made of.

function squeezed(text) {
    gsub(/[ \t\n]/, "", text)
    return text
}

# before «right → broken» after; a row without the marks has no `right` and no `broken`.
function split_code(text,    open, turn, end) {
    open = index(text, "«")
    turn = index(text, " → ")
    end = index(text, "»")
    if (!open || turn < open || end < turn)
        return
    before[count] = squeezed(substr(text, 1, open - 1))
    open += length("«")
    right[count] = squeezed(substr(text, open, turn - open))
    turn += length(" → ")
    broken[count] = substr(text, turn, end - turn)
    after[count] = squeezed(substr(text, end + length("»")))
}

/^#/ || /^$/ { next }
{ key = $1; rest = $0; sub(/^[^ ]+ +/, "", rest) }
key == "file" { current = rest; next }
key == "mutant" {
    file[++count] = current
    name[count] = wrong[count] = rest
    sub(/:.*/, "", name[count])
    sub(/^[^:]*: */, "", wrong[count])
    next
}
key == "test" { floor[count] = $2; filter[count] = $3; next }
key == "code" { split_code(rest); next }
{ unknown[FNR] = $0 }

# The text of a source, without white space in `dense`; place[i] is where the i-th character of `dense` stands in `source`.
# False if there is no such file.
function read_source(path,    line, at, all, i, good) {
    source = dense = ""
    all = 0
    while ((good = (getline line < path)) > 0) {
        for (i = 1; i <= length(line); i++)
            if (substr(line, i, 1) !~ /[ \t]/)
                place[++all] = length(source) + i
        source = source line "\n"
        dense = dense squeezed(line)
    }
    close(path)
    return good == 0
}

# How often the code of a row occurs in the source; its `right` is then source[first[row]] … source[last[row]].
function locate(row,    text, at, from, times) {
    text = before[row] right[row] after[row]
    if (text == "")
        return 0
    for (from = 0; (at = index(substr(dense, from + 1), text)); times++) {
        from += at
        first[row] = place[from + length(before[row])]
        last[row] = place[from + length(before[row] right[row]) - 1]
    }
    return times + 0
}
