/* The corpus of Debian's package descriptions, and lists with anything wrong in them. */
#include "tools/data/debian_corpus.h"
#include "tools/signals.h"
#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[64];

static void make_folder(void)
{
    strcpy(folder, "/tmp/rondo-debian-XXXXXX");
    cr_assert(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    cr_assert(system(command) == 0);
}
TestSuite(debian, .init = make_folder, .fini = remove_folder);

static const char *path_of(const char *name)
{
    static char paths[4][160];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static lines read_file(const char *name)
{
    lines l;
    rondo_error error = {0};
    cr_assert(lines_read(&l, NULL, path_of(name), &error), "%s", error.message);
    return l;
}

/* 400 packages of 400 sources; the even ones are translated. */
static void write_lists(void)
{
    FILE *packages = fopen(path_of("x_main_binary-amd64_Packages"), "w");
    FILE *english = fopen(path_of("x_main_i18n_Translation-en"), "w");
    FILE *german = fopen(path_of("x_main_i18n_Translation-de"), "w");
    for (int i = 0; i < 400; i++) {
        char name[3] = {(char)('a' + i / 20), (char)('a' + i % 20), 0};
        fprintf(packages, "Package: p%s\nSource: s%s (1.0)\nDescription: x\n\n", name, name);
        fprintf(english, "Package: p%s\nDescription-md5: %032d\nDescription-en: tool %s for tests\n", name, i,
                name);
        fprintf(english, " The first %s\n paragraph.\n .\n  * an item %s\n    of two lines\n  * same %s\n\n",
                name, name, name);
        if (i % 2)
            continue;
        fprintf(german, "Package: p%s\nDescription-md5: %032d\nDescription-de: Werkzeug %s für Tests\n", name,
                i, name);
        fprintf(german, " Der erste %s\n Absatz.\n .\n", name);
        if (i % 4)
            fprintf(german, "  * ein %s\n    Punkt\n  * same %s\n", name, name);
        fprintf(german, "\n");
    }
    fclose(packages);
    fclose(english);
    fclose(german);
}

static void check_part(const char *part, int64_t expected, int *items)
{
    char name[2][16];
    snprintf(name[0], 16, "%s.en", part);
    snprintf(name[1], 16, "%s.de", part);
    lines en = read_file(name[0]), de = read_file(name[1]);
    cr_expect(en.count == expected && de.count == expected);
    for (int64_t i = 0; i < en.count; i++) {
        const char *e = lines_get(&en, i), *d = lines_get(&de, i);
        bool synopsis = strncmp(e, "tool ", 5) == 0 && strncmp(d, "Werkzeug ", 9) == 0;
        bool paragraph = strncmp(e, "The first ", 10) == 0 && strncmp(d, "Der erste ", 10) == 0;
        bool item = strncmp(e, "* an item ", 10) == 0 && strncmp(d, "* ein ", 6) == 0;
        cr_expect(synopsis || paragraph || item, "%s | %s", e, d);
        cr_expect(!item || (strstr(e, " of two lines") && strstr(d, " Punkt")), "%s | %s", e, d);
        *items += item;
    }
    lines_free(&en);
    lines_free(&de);
}

Test(debian, parts_that_correspond_become_pairs)
{
    write_lists();
    debian_counts counts;
    rondo_error error = {0};
    cr_assert(debian_corpus_make(NULL, folder, folder, "de", 12, &counts, &error), "%s", error.message);
    cr_expect(counts.descriptions == 200 && counts.segments == 100 * 4 + 100 && counts.same == 100);
    int items = 0;
    check_part("train", counts.kept[0], &items);
    check_part("valid", counts.kept[1], &items);
    check_part("test", counts.kept[2], &items);
    cr_expect(items > 80 && counts.kept[0] > 300 && counts.kept[1] > 0 && counts.kept[2] > 0);
    cr_expect(counts.kept[0] + counts.kept[1] + counts.kept[2] + counts.repeated == 400);
}

/* ---- lists with anything wrong in them ---- */

static uint32_t state = 1;
static uint32_t below(uint32_t bound)
{
    state = state * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)(state >> 8) * bound >> 24);
}

/* Copies lines; some are truncated, left out, repeated, without a colon, or replaced. */
static void damage(const char *from, const char *to)
{
    static const char *const odd[] = {"Description-en",
                                      "Description-de",
                                      "Description-",
                                      "Description-en x: y",
                                      "Description-de:",
                                      "Package:",
                                      "Package",
                                      "Description-md5:",
                                      "Description-md5: x",
                                      " .",
                                      " ",
                                      "  * ",
                                      "  *",
                                      "Source",
                                      "Source:",
                                      ": :",
                                      "Description-en:\tx",
                                      "",
                                      "\t"};
    char line[512];
    FILE *in = fopen(path_of(from), "r"), *out = fopen(path_of(to), "w");
    while (fgets(line, sizeof line, in)) {
        uint32_t kind = below(60);
        size_t length = strcspn(line, "\n");
        line[length] = 0;
        if (kind == 0)
            continue;
        if (kind == 1 && length)
            line[below((uint32_t)length)] = 0;
        if (kind == 2 && strchr(line, ':'))
            *strchr(line, ':') = 0;
        if (kind == 3)
            fprintf(out, "%s\n", line);
        fprintf(out, "%s\n", kind == 4 ? odd[below(sizeof odd / sizeof *odd)] : line);
        if (kind == 5)
            fprintf(out, "%s\n", odd[below(sizeof odd / sizeof *odd)]);
    }
    fclose(in);
    fclose(out);
}

Test(debian, damaged_lists_give_a_corpus_or_an_error)
{
    static const char *const lists[] = {"x_main_binary-amd64_Packages", "x_main_i18n_Translation-en",
                                        "x_main_i18n_Translation-de"};
    enum { ROUNDS = 40 };
    int64_t pairs = 0;
    write_lists();
    for (int i = 0; i < 3; i++) {
        char good[64];
        snprintf(good, sizeof good, "good%d", i);
        cr_assert_eq(rename(path_of(lists[i]), path_of(good)), 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        debian_counts counts;
        rondo_error error = {0};
        for (int i = 0; i < 3; i++) {
            char good[64];
            snprintf(good, sizeof good, "good%d", i);
            damage(good, lists[i]);
        }
        bool made = debian_corpus_make(NULL, folder, folder, "de", 12, &counts, &error);
        cr_assert(made || error.code == RONDO_FILE, "%s", error.message);
        pairs += made ? counts.kept[0] : 0;
    }
    cr_expect_gt(pairs, ROUNDS * 50, "%d", (int)pairs); /* much of each list is undamaged */
}

Test(debian, a_signal_stops_it_and_leaves_no_part_of_a_file)
{
    debian_counts counts;
    rondo_error error = {0};
    write_lists();
    signals_begin();
    raise(SIGTERM);
    cr_expect(!debian_corpus_make(NULL, folder, folder, "de", 12, &counts, &error));
    cr_expect_eq(error.code, RONDO_CANCELLED);
    DIR *d = opendir(folder);
    for (struct dirent *e; (e = readdir(d));)
        cr_expect(e->d_name[0] == '.' || e->d_name[0] == 'x', "%s", e->d_name);
    closedir(d);
}

Test(debian, a_folder_without_lists_is_refused_in_words)
{
    debian_counts counts;
    rondo_error error = {0};
    cr_expect(!debian_corpus_make(NULL, folder, folder, "de", 12, &counts, &error));
    cr_expect(error.code == RONDO_FILE && strstr(error.message, "_Packages"), "%s", error.message);
}
