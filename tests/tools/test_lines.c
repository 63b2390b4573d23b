/* Reading lines: what separates them, what is refused, and that end, failure and lack of memory are
 * distinct. */
#include "tests/tools/text_files.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

TestSuite(lines, .fini = remove_files);

static void refused(const char *path, const char *saying)
{
    lines l;
    rondo_error error = {0};
    cr_assert(!lines_read(&l, NULL, path, &error));
    cr_expect(error.code == RONDO_FILE && strstr(error.message, saying), "'%s' does not say '%s'",
              error.message, saying);
}

Test(lines, only_newlines_separate_and_carriage_returns_and_bom_go)
{
    lines l = read_lines(FILE_WITH("\xEF\xBB\xBF"
                                   "a b\r\n\n\xC2\x85 \xE2\x80\xA8x\ry\nlast"));
    cr_assert(l.count == 4);
    cr_expect_str_eq(lines_get(&l, 0), "a b");
    cr_expect_str_eq(lines_get(&l, 1), "");
    cr_expect_str_eq(lines_get(&l, 2), "\xC2\x85 \xE2\x80\xA8x\ry");
    cr_expect_str_eq(lines_get(&l, 3), "last");
    for (int64_t i = 0; i < 4; i++)
        cr_expect(lines_length(&l, i) == (int64_t)strlen(lines_get(&l, i)));
    lines_free(&l);
    l = read_lines(FILE_WITH("one\n"));
    cr_expect(l.count == 1);
    lines_free(&l);
    l = read_lines(FILE_WITH(""));
    cr_expect(l.count == 0);
    lines_free(&l);
}

Test(lines, compressed_and_plain_files_read_the_same)
{
    char content[100000];
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = i % 37 == 36 ? '\n' : (char)('a' + i * i % 26);
    lines a = read_lines(file_with(content, sizeof content, false)),
          b = read_lines(file_with(content, sizeof content, true));
    rondo_error error = {0};
    cr_assert(lines_match(&a, &b, &error) && a.count == 2703);
    for (int64_t i = 0; i < a.count; i++)
        cr_assert_str_eq(lines_get(&a, i), lines_get(&b, i));
    lines_free(&a);
    lines_free(&b);
}

Test(lines, bytes_that_are_not_utf8_are_named_with_line_and_column)
{
    refused(FILE_WITH("gut\nsch\xC3\xB6n \xE4 so\n"), "line 2: not UTF-8 (byte 0xE4 at column 7)");
    refused(FILE_WITH("\xC0\xAF"), "line 1: not UTF-8 (byte 0xC0 at column 1)"); /* overlong */
    refused(FILE_WITH("\xE0\x9F\xBF"), "byte 0xE0");                             /* overlong */
    refused(FILE_WITH("\xED\xA0\x80"), "byte 0xED");                             /* surrogate */
    refused(FILE_WITH("\xF4\x90\x80\x80"), "byte 0xF4");                         /* above U+10FFFF */
    refused(FILE_WITH("ab\xE2\x82"), "column 3");                                /* truncated */
    refused(FILE_WITH("x\xE2\x82\ny"), "line 1"); /* truncated by the end of the line */
    refused(FILE_WITH("\x80"), "byte 0x80");
    refused(FILE_WITH("a\nb\0c\n"), "line 2: a NUL byte at column 2");
    refused(FILE_WITH("\xFF\xFE"
                      "a\0"),
            "byte 0xFF");
    lines l = read_lines(FILE_WITH("\xF4\x8F\xBF\xBF \xED\x9F\xBF \xEE\x80\x80 \xDF\xBF\n"));
    cr_expect(l.count == 1);
    lines_free(&l);
}

Test(lines, files_that_cannot_be_read_say_why)
{
    char content[5000];
    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (char)('a' + i * i * i % 23);
    const char *path = file_with(content, sizeof content, true);
    cr_assert(truncate(path, 40) == 0);
    refused(path, "ends in the middle of its compressed data");
    refused("/nowhere/at-all", "cannot open /nowhere/at-all: No such file");
    refused("/tmp", "directory");
}

Test(lines, unequal_counts_are_both_named)
{
    lines a = read_lines(FILE_WITH("1\n2\n3\n")), b = read_lines(FILE_WITH("1\n2\n"));
    rondo_error error = {0};
    cr_expect(!lines_match(&a, &b, &error) && error.code == RONDO_MISMATCH);
    cr_expect(strstr(error.message, "has 3 lines and") && strstr(error.message, "has 2:"), "%s",
              error.message);
    lines_free(&a);
    lines_free(&b);
}

Test(lines, members_of_gzip_follow_each_other_and_what_follows_them_is_left_alone)
{
    static const char parts[][3000] = {{[0 ... 2997] = 'a', '\n'}, {"b\nc"}, {"d\n"}};
    char path[64];
    snprintf(path, sizeof path, "%s", file_with("", 0, true));
    FILE *out = fopen(path, "wb");
    for (int i = 0; i < 3; i++) {
        const char *part = file_with(parts[i], strlen(parts[i]), true);
        char bytes[4000];
        FILE *in = fopen(part, "rb");
        size_t count = fread(bytes, 1, sizeof bytes, in);
        fclose(in);
        fwrite(bytes, 1, count, out);
    }
    fwrite("\0\0no gzip", 1, 9, out);
    fclose(out);
    lines l = read_lines(path);
    cr_assert_eq(l.count, 3, "%d lines", (int)l.count);
    cr_expect_str_eq(lines_get(&l, 1), "b");
    cr_expect_str_eq(lines_get(&l, 2), "cd");
    lines_free(&l);
}

/* Starts a process that writes the bytes into a pipe, `at_once` per write; the other end becomes standard
 * input. */
static void feed_standard_input(const char *bytes, size_t count, size_t at_once)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    if (fork() == 0) {
        close(ends[0]);
        for (size_t at = 0; at < count; at += at_once)
            if (write(ends[1], bytes + at, count - at < at_once ? count - at : at_once) < 0)
                break;
        _exit(0);
    }
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
}

Test(lines, a_pipe_may_give_its_bytes_one_by_one)
{
    for (int compressed = 0; compressed < 2; compressed++) {
        char bytes[200];
        FILE *file = fopen(file_with("\xEF\xBB\xBFone\r\n\ntwo \xC3\xA4\nlast", 20, compressed), "rb");
        size_t count = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        feed_standard_input(bytes, count, 1);
        lines l = read_lines("-");
        cr_assert_eq(l.count, 4);
        cr_expect_str_eq(lines_get(&l, 0), "one");
        cr_expect_str_eq(lines_get(&l, 2), "two \xC3\xA4");
        cr_expect_str_eq(lines_get(&l, 3), "last");
        lines_free(&l);
    }
}

Test(lines, a_line_has_a_bounded_length)
{
    enum { MOST = LINE_MOST_BYTES };
    char *content = malloc(4 * MOST);
    memset(content, 'a', 4 * MOST);
    memcpy(content + MOST, "\r\nend", 5);
    lines l = read_lines(file_with(content, MOST + 5, false));
    cr_expect(l.count == 2 && lines_length(&l, 0) == MOST);
    lines_free(&l);
    content[MOST] = 'a';
    refused(file_with(content, MOST + 5, false),
            "line 1 is longer than 1,048,576 bytes; break it into lines");
    content[2] = '\n';
    const char *path = file_with(content, 4 * MOST, false);
    refused(path, "line 3 is longer than");
    rondo_error error = {0};
    allocations_left = -1;
    cr_expect(!lines_read(&l, &limited_allocator, path, &error));
    cr_expect(bytes_alive == 0 && most_bytes_alive < 5 * MOST, "%zu bytes", most_bytes_alive);
    refused("/dev/zero", "/dev/zero line 1: a NUL byte at column 1");
    free(content);
}

Test(lines, the_end_a_failure_and_memory_that_is_refused_are_three_things)
{
    rondo_error error = {0};
    lines l;
    cr_assert_eq(dup2(open("/dev/null", O_WRONLY), STDIN_FILENO), STDIN_FILENO); /* reading from it fails */
    cr_expect(!lines_read(&l, NULL, "-", &error));
    cr_expect(error.code == RONDO_IO && strstr(error.message, "cannot read standard input"), "%s",
              error.message);
    cr_assert_eq(dup2(open("/dev/null", O_RDONLY), STDIN_FILENO), STDIN_FILENO); /* it is at its end */
    l = read_lines("-");
    cr_expect_eq(l.count, 0);
    lines_free(&l);
}

/* A refused allocation is not taken for the end of the file. */
Test(lines, every_refused_allocation_is_told_from_the_end)
{
    char content[300000];
    memset(content, 'a', sizeof content);
    for (size_t i = 0; i < sizeof content; i += 50000)
        content[i] = '\n';
    for (int compressed = 0; compressed < 2; compressed++) {
        const char *path = file_with(content, sizeof content, compressed);
        line_found last = LINE_FAILED;
        for (int budget = 0; last != LINE_END; budget++) {
            char *line;
            size_t length;
            line_reader r;
            int64_t count = 0;
            rondo_error error = {0};
            allocations_left = budget;
            blocks_alive = 0;
            last = line_reader_open(&r, &limited_allocator, path, &error) ? LINE_TEXT : LINE_FAILED;
            if (last == LINE_TEXT) {
                while ((last = line_reader_next(&r, &line, &length, &error)) == LINE_TEXT)
                    count++;
                line_reader_close(&r);
            }
            cr_assert(last == LINE_END ? count == 7 : last == LINE_FAILED && error.code == RONDO_MEMORY);
            cr_assert(blocks_alive == 0 && budget < 50, "%d blocks stay after %d allocations", blocks_alive,
                      budget);
        }
    }
}
