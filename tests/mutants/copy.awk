# After table.awk: makes of the source -v source_path=… the copy -v copy_path=… in which every mutant of that file can be chosen
# at run time. Lines keep their numbers. A row that fits nowhere, or in two places, or overlaps is left out:
# check.awk reports it.

# Puts the rows of this file into sorted[], in the order of their places; their number.
function sort_rows(    row, all, i) {
    for (row = 1; row <= count; row++) {
        if (substr("/" source_path, length(source_path) + 1 - length(file[row])) != "/" file[row])
            continue
        path = file[row]
        if (right[row] == "" || locate(row) != 1)
            continue
        for (i = ++all; i > 1 && first[sorted[i - 1]] > first[row]; i--)
            sorted[i] = sorted[i - 1]
        sorted[i] = row
    }
    return all + 0
}

END {
    read_source(source_path)
    all = sort_rows()
    printf "#include \"mutants.h\"\n#line 1 \"%s\"\n", path > copy_path
    done = 0
    for (i = 1; i <= all; i++) {
        row = sorted[i]
        if (first[row] <= done)
            continue
        printf "%s", substr(source, done + 1, first[row] - done - 1) > copy_path
        printf "(mutant_now() == MUTANT_%s ? (%s) : (%s))", name[row], broken[row],
            substr(source, first[row], last[row] - first[row] + 1) > copy_path
        done = last[row]
    }
    printf "%s", substr(source, done + 1) > copy_path
}
