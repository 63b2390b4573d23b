# After table.awk: every row is whole, and its code stands in one place of its file. -v root=… is the root of the source.

function complain(row, what) {
    printf "mutants.txt: %s of %s: %s\n", name[row], file[row], what
    bad++
}

function check_row(row,    times) {
    if (name[row] in known)
        complain(row, "there are two mutants of this name")
    known[name[row]] = 1
    if (name[row] !~ /^[a-z0-9_]+$/ || wrong[row] == "" || floor[row] == "" || filter[row] == "")
        return complain(row, "a row is `mutant NAME: WHAT IS WRONG`, `test FLOOR FILTER` and `code`")
    if (right[row] == "" || broken[row] == "" || right[row] == squeezed(broken[row]))
        return complain(row, "its code must mark an expression and another one: before «right → wrong» after")
    times = locate(row)
    if (times == 0)
        complain(row, "its code does not occur there; make the row follow what the file says now")
    if (times > 1)
        complain(row, "its code occurs " times " times; write more of what stands around it")
    if (times != 1)
        first[row] = last[row] = 0
}

function check_overlap(row,    other) {
    for (other = 1; other < row; other++)
        if (first[row] && file[other] == file[row] && first[row] <= last[other] && first[other] <= last[row])
            complain(row, "it changes what " name[other] " changes; mark less, or put one of them elsewhere")
}

END {
    for (line in unknown) {
        printf "mutants.txt:%d: not a line of the table: %s\n", line, unknown[line]
        bad++
    }
    for (row = 1; row <= count; row++) {
        if (row == 1 || file[row] != file[row - 1])
            found = read_source(root "/" file[row])
        if (!found) {
            complain(row, "there is no such file")
            continue
        }
        check_row(row)
        check_overlap(row)
    }
    printf "%d mutants, %d complaints\n", count, bad
    if (count < 80)
        print "mutants.txt: fewer than 80 mutants; has the table been read?"
    exit bad > 0 || count < 80
}
