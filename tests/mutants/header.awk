# After table.awk: mutants.h, which the copies and mutant.c include. Their numbers, and the names in the same order.
END {
    print "/* Made of tests/mutants/mutants.txt. */\n#pragma once\n\nenum {\n    MUTANT_none,"
    for (row = 1; row <= count; row++)
        printf "    MUTANT_%s,\n", name[row]
    print "};\n#define MUTANT_NAMES \\\n    \"none\", \\"
    for (row = 1; row <= count; row++)
        printf "    \"%s\"%s\n", name[row], row < count ? ", \\" : ""
    print "\nint mutant_now(void); /* tests/mutants/mutant.c */"
}
