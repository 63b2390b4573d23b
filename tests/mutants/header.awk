# After table.awk: writes to -v header_path=… mutants.h, which the copies and mutant.c include: the mutants' numbers, and their
# names in the same order. It is written anew whenever the table changes, so that the copies are made anew too.
END {
    print "/* Made of tests/mutants/mutants.txt. */\n#pragma once\n\nenum {\n    MUTANT_none," > header_path
    for (row = 1; row <= count; row++)
        printf "    MUTANT_%s,\n", name[row] > header_path
    print "};\n#define MUTANT_NAMES \\\n    \"none\", \\" > header_path
    for (row = 1; row <= count; row++)
        printf "    \"%s\"%s\n", name[row], row < count ? ", \\" : "" > header_path
    print "\nint mutant_now(void); /* tests/mutants/mutant.c */" > header_path
}
