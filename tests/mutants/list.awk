# After table.awk: a line a mutant for run.sh and meson.build, with tabs between: name, floor, filter, file, what is wrong.
END {
    for (row = 1; row <= count; row++)
        printf "%s\t%s\t%s\t%s\t%s\n", name[row], floor[row], filter[row], file[row], wrong[row]
}
