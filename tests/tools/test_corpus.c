/* Files to lines, lines to tokens, tokens to batches. */
#include "tools/data/batches.h"
#include "tools/signals.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

static char paths[4][64];
static int path_count;

/* A file that is gone after the test's process; its name. */
static const char *file_with(const void *content, size_t bytes, bool compressed)
{
    char *path = paths[path_count++ % 4];
    snprintf(path, 64, "/tmp/rondo-corpus-%d-%d%s", (int)getpid(), path_count, compressed ? ".gz" : "");
    if (compressed) {
        gzFile file = gzopen(path, "wb");
        gzwrite(file, content, (unsigned)bytes);
        gzclose(file);
    } else {
        FILE *file = fopen(path, "wb");
        fwrite(content, 1, bytes, file);
        fclose(file);
    }
    return path;
}
#define FILE_WITH(text) file_with(text, sizeof text - 1, false)

static void remove_files(void)
{
    for (int i = 0; i < 4; i++)
        if (paths[i][0])
            unlink(paths[i]);
}
TestSuite(lines, .fini = remove_files);
TestSuite(corpus, .fini = remove_files);
TestSuite(batches, .fini = remove_files);

static lines read_lines(const char *path)
{
    lines l;
    rondo_error error = {0};
    cr_assert(lines_read(&l, NULL, path, &error), "%s", error.message);
    return l;
}

static void refused(const char *path, const char *saying)
{
    lines l;
    rondo_error error = {0};
    cr_assert(!lines_read(&l, NULL, path, &error));
    cr_expect(error.code == RONDO_FILE && strstr(error.message, saying), "'%s' does not say '%s'",
              error.message, saying);
}

/* `count` lines of letters, line i of lengths[i] words; the tokenizer knows them. */
static lines made_lines(int64_t count, uint32_t random)
{
    size_t size = (size_t)count * 100, at = 0;
    char *data = malloc(size);
    for (int64_t i = 0; i < count; i++) {
        random = random * 1664525u + 1013904223u;
        int words = 1 + (int)((random >> 20) % 30);
        for (int w = 0; w < words; w++) {
            random = random * 1664525u + 1013904223u;
            at += (size_t)sprintf(data + at, "%s%c", w ? " " : "", 'a' + (random >> 24) % 5);
        }
        data[at++] = '\n';
    }
    lines l = read_lines(file_with(data, at, false));
    free(data);
    return l;
}

static tokenizer *letters(const lines *l)
{
    rondo_error error = {0};
    tokenizer_lines part = {l->text, l->start, l->count};
    tokenizer *t = tokenizer_train(&part, 1, 16, TOKENIZER_BPE, &error);
    cr_assert(t, "%s", error.message);
    return t;
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
    refused(FILE_WITH("ab\xE2\x82"), "column 3");                                /* cut off */
    refused(FILE_WITH("x\xE2\x82\ny"), "line 1");                                /* cut off by the line */
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

/* A process that writes the bytes into a pipe, `at_once` in a write; the pipe's end to read becomes standard input. */
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

/* What was given out by the allocator below, and the most at any time. */
static size_t given, most_given;
static void *counted(void *user, size_t bytes, size_t alignment)
{
    (void)user;
    given += bytes;
    most_given = given > most_given ? given : most_given;
    return aligned_alloc(alignment, bytes);
}
static void uncounted(void *user, void *memory, size_t bytes)
{
    (void)user;
    given -= memory ? bytes : 0;
    free(memory);
}

Test(lines, a_line_has_a_bounded_length)
{
    const rondo_allocator allocator = {NULL, counted, uncounted};
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
    refused(file_with(content, 4 * MOST, false), "line 3 is longer than");
    rondo_error error = {0};
    cr_expect(!lines_read(&l, &allocator, paths[(path_count + 3) % 4], &error));
    cr_expect(given == 0 && most_given < 5 * MOST, "%zu bytes", most_given);
    refused("/dev/zero", "/dev/zero line 1: a NUL byte at column 1");
    free(content);
}

Test(lines, the_end_a_failure_and_memory_that_is_refused_are_three_things)
{
    rondo_error error = {0};
    lines l;
    cr_assert_eq(dup2(open("/dev/null", O_WRONLY), STDIN_FILENO), STDIN_FILENO); /* reading fails */
    cr_expect(!lines_read(&l, NULL, "-", &error));
    cr_expect(error.code == RONDO_IO && strstr(error.message, "cannot read standard input"), "%s",
              error.message);
    cr_assert_eq(dup2(open("/dev/null", O_RDONLY), STDIN_FILENO), STDIN_FILENO); /* the end comes at once */
    l = read_lines("-");
    cr_expect_eq(l.count, 0);
    lines_free(&l);
}

Test(lines, a_signal_that_asks_to_stop_is_obeyed)
{
    lines l, good = made_lines(100, 1);
    corpus c;
    rondo_error error = {0};
    tokenizer *t = letters(&good);
    signals_begin();
    raise(SIGTERM);
    cr_expect(!lines_read(&l, NULL, good.path, &error) && error.code == RONDO_CANCELLED);
    error = (rondo_error){0};
    cr_expect(!corpus_make(&c, NULL, NULL, &good, t, (corpus_limits){0, 0}, &error) &&
              error.code == RONDO_CANCELLED);
    error = (rondo_error){0};
    cr_expect(!corpus_make_blocks(&c, NULL, &good, t, 8, &error) && error.code == RONDO_CANCELLED);
    tokenizer_free(t);
    lines_free(&good);
}

static int exit_code_of(void (*child)(void))
{
    int status;
    pid_t process = fork();
    if (process == 0) {
        child();
        _exit(0);
    }
    cr_assert_eq(waitpid(process, &status, 0), process);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char left_file[80], left_folder[64];
static void stop_at_once(void)
{
    signals_begin();
    signals_end_at_once("", left_file, left_folder);
    raise(SIGTERM);
}
static void stop_too_early(void)
{
    signals_begin();
    raise(SIGINT);
    signals_end_at_once("", NULL, NULL);
}
static void stop_later(void)
{
    signals_begin();
    signals_end_at_once("", NULL, NULL);
    signals_be_noted();
    raise(SIGINT);
    _exit(signals_caught());
}

Test(lines, work_that_cannot_look_for_signals_ends_at_once)
{
    strcpy(left_folder, "/tmp/rondo-signal-XXXXXX");
    cr_assert(mkdtemp(left_folder));
    snprintf(left_file, sizeof left_file, "%s/lock", left_folder);
    fclose(fopen(left_file, "w"));
    cr_expect_eq(exit_code_of(stop_at_once), 128 + SIGTERM);
    cr_expect(access(left_folder, F_OK) != 0);
    cr_expect_eq(exit_code_of(stop_too_early), 128 + SIGINT);
    cr_expect_eq(exit_code_of(stop_later), SIGINT);
}

/* ---- Tokens ---- */

Test(corpus, what_is_empty_or_too_long_is_skipped_and_counted)
{
    char longest[20003] = "";
    for (int i = 0; i < 10000; i++)
        memcpy(longest + 2 * i, "a ", 2);
    char content[21000];
    snprintf(content, sizeof content, "a b c\n\n%s\nb\n  \t\nc c c c c c\n", longest);
    lines source = read_lines(file_with(content, strlen(content), false)),
          target = read_lines(FILE_WITH("b\na\nc\n\na\na b\n"));
    lines sample = made_lines(200, 1);
    tokenizer *t = letters(&sample);
    corpus c;
    rondo_error error = {0};
    cr_assert(corpus_make(&c, NULL, &source, &target, t, (corpus_limits){100, 0}, &error), "%s",
              error.message);
    cr_expect(c.count == 2 && c.empty == 3 && c.long_in_words == 1 && c.lines == 6 && c.words == 3);
    cr_expect(c.id[0] == 0 && c.id[1] == 5);
    char words[200];
    corpus_describe(&c, (corpus_limits){100, 0}, words, sizeof words);
    cr_expect_str_eq(words, "6 lines, 3 empty and 1 of more than 100 words skipped");
    corpus_free(&c);
    cr_assert(corpus_make(&c, NULL, &source, &target, t, (corpus_limits){0, 5}, &error), "%s", error.message);
    cr_expect(c.count == 1 && c.long_in_tokens == 2);
    corpus_free(&c);
    cr_expect(!corpus_make(&c, NULL, &source, &target, t, (corpus_limits){0, 1}, &error));
    cr_expect(error.code == RONDO_FILE && strstr(error.message, "nothing to learn from"), "%s",
              error.message);
    lines_free(&source);
    lines_free(&target);
    lines_free(&sample);
    tokenizer_free(t);
}

Test(corpus, a_stream_is_cut_into_blocks_without_a_seam)
{
    lines sample = made_lines(50, 3);
    tokenizer *t = letters(&sample);
    corpus by_line, blocks;
    rondo_error error = {0};
    cr_assert(corpus_make(&by_line, NULL, NULL, &sample, t, (corpus_limits){0, 0}, &error));
    cr_assert(corpus_make_blocks(&blocks, NULL, &sample, t, 64, &error), "%s", error.message);
    cr_expect(!blocks.ends && !blocks.has_source && blocks.words == by_line.words);
    cr_expect(blocks.side[1].used == by_line.side[1].used + sample.count);
    cr_expect(blocks.count == (blocks.side[1].used + 63) / 64);
    int64_t at = 0;
    for (int64_t i = 0; i < by_line.count; i++) {
        for (int64_t k = by_line.side[1].start[i]; k < by_line.side[1].start[i + 1]; k++)
            cr_assert(blocks.side[1].tokens[at++] == by_line.side[1].tokens[k]);
        cr_assert(blocks.side[1].tokens[at++] == TOKEN_END);
    }
    for (int64_t b = 0; b + 1 < blocks.count; b++)
        cr_expect(corpus_length(&blocks, 1, b) == 64);
    corpus_free(&by_line);
    corpus_free(&blocks);
    lines_free(&sample);
    tokenizer_free(t);
}

/* ---- Batches ---- */

static corpus pairs(int64_t count)
{
    lines source = made_lines(count, 1), target = made_lines(count, 99);
    tokenizer *t = letters(&source);
    corpus c;
    rondo_error error = {0};
    cr_assert(corpus_make(&c, NULL, &source, &target, t, (corpus_limits){0, 0}, &error), "%s", error.message);
    lines_free(&source);
    lines_free(&target);
    tokenizer_free(t);
    return c;
}

/* Every sequence of the corpus is in the epoch once, laid out as the header says. */
static void check_epoch(batches *b, int64_t batch_tokens)
{
    const corpus *c = b->corpus;
    char *seen = calloc((size_t)c->lines, 1);
    for (int64_t i = 0; i < b->count; i++) {
        batch now;
        batches_get(b, i, &now);
        int64_t S = now.source_extent, T = now.target_extent;
        cr_assert(now.rows >= 1 && (now.rows == 1 || now.rows * (S > T ? S : T) <= batch_tokens));
        for (int64_t r = 0; r < now.rows; r++) {
            int64_t id = now.sentence[r]; /* nothing was skipped: line and sequence numbers agree */
            cr_assert(c->id[id] == id && !seen[id]++);
            const int32_t *source = c->side[0].tokens + c->side[0].start[id],
                          *target = c->side[1].tokens + c->side[1].start[id];
            int64_t s = now.source_length[r] - 1, t = now.target_length[r] - 1;
            cr_assert(s == c->side[0].start[id + 1] - c->side[0].start[id] &&
                      t == c->side[1].start[id + 1] - c->side[1].start[id]);
            for (int64_t k = 0; k < S; k++)
                cr_assert(now.source[r * S + k] == (k < s ? source[k] : k == s ? TOKEN_END : TOKEN_PADDING));
            for (int64_t k = 0; k < T; k++) {
                cr_assert(now.target_in[r * T + k] == (k > t    ? TOKEN_PADDING
                                                       : k == 0 ? TOKEN_BEGIN
                                                                : target[k - 1]));
                cr_assert(now.target_out[r * T + k] == (k < t    ? target[k]
                                                        : k == t ? TOKEN_END
                                                                 : TOKEN_PADDING));
            }
        }
    }
    for (int64_t i = 0; i < c->count; i++)
        cr_assert(seen[i] == 1);
    free(seen);
}

Test(batches, an_epoch_holds_every_sequence_once_in_few_shapes)
{
    corpus c = pairs(3000);
    batches b;
    rondo_error error = {0};
    cr_assert(batches_begin(&b, &c, 600, 7, &error), "%s", error.message);
    cr_expect(b.shape_count >= 8 && b.shape_count <= BATCH_SHAPES);
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        batches_plan(&b, epoch);
        check_epoch(&b, 600);
        cr_expect(batches_padding(&b) < 1.35, "%f",
                  batches_padding(&b)); /* the two sides are unrelated here */
    }
    batches_free(&b);
    corpus_free(&c);
}

Test(batches, tiny_corpora_and_tiny_budgets_work)
{
    for (int64_t count = 1; count < 20; count += 6) {
        corpus c = pairs(count);
        batches b;
        rondo_error error = {0};
        cr_assert(batches_begin(&b, &c, 1, 7, &error));
        batches_plan(&b, 0);
        cr_expect(b.count == count);
        check_epoch(&b, 1);
        batches_free(&b);
        cr_assert(batches_begin(&b, &c, 1000000, 7, &error));
        batches_plan(&b, 0);
        check_epoch(&b, 1000000);
        batches_free(&b);
        corpus_free(&c);
    }
}

static uint64_t fingerprint(batches *b, int64_t from)
{
    uint64_t hash = 1469598103934665603u;
    for (int64_t i = from; i < b->count; i++) {
        batch now;
        batches_get(b, i, &now);
        for (int64_t r = 0; r < now.rows; r++)
            hash = (hash ^ (uint64_t)now.sentence[r]) * 1099511628211u;
    }
    return hash;
}

Test(batches, order_is_a_function_of_seed_and_epoch_and_can_be_entered_anywhere)
{
    corpus c = pairs(1000);
    batches a, b, other;
    rondo_error error = {0};
    cr_assert(batches_begin(&a, &c, 500, 7, &error) && batches_begin(&b, &c, 500, 7, &error));
    cr_assert(batches_begin(&other, &c, 500, 8, &error));
    for (int64_t epoch = 0; epoch < 4; epoch++)
        batches_plan(&a, epoch);
    batches_plan(&b, 3); /* straight away */
    batches_plan(&other, 3);
    cr_expect(a.count == b.count && fingerprint(&a, 0) == fingerprint(&b, 0));
    cr_expect(fingerprint(&a, a.count / 2) == fingerprint(&b, b.count / 2));
    cr_expect(fingerprint(&a, 0) != fingerprint(&other, 0));
    batches_plan(&b, 2);
    cr_expect(fingerprint(&a, 0) != fingerprint(&b, 0));
    batches_free(&a);
    batches_free(&b);
    batches_free(&other);
    corpus_free(&c);
}

Test(batches, nearly_all_batches_are_full)
{
    corpus c = pairs(3000);
    batches b;
    rondo_error error = {0};
    cr_assert(batches_begin(&b, &c, 600, 1, &error));
    batches_plan(&b, 0);
    int partial = 0;
    for (int64_t i = 0; i < b.count; i++) {
        batch now;
        batches_get(&b, i, &now);
        for (int s = 0; s < b.shape_count; s++)
            if (b.shapes[s].source == now.source_extent && b.shapes[s].target == now.target_extent)
                partial += now.rows < b.shapes[s].rows;
    }
    cr_expect(partial <= 3, "%d of %d batches are not full", partial, (int)b.count);
    batches_free(&b);
    corpus_free(&c);
}

Test(batches, blocks_keep_the_stream_and_shift_by_one)
{
    lines sample = made_lines(50, 3);
    tokenizer *t = letters(&sample);
    corpus c;
    batches b;
    rondo_error error = {0};
    cr_assert(corpus_make_blocks(&c, NULL, &sample, t, 32, &error) && batches_begin(&b, &c, 128, 1, &error));
    batches_plan(&b, 0);
    int64_t targets = 0;
    for (int64_t i = 0; i < b.count; i++) {
        batch now;
        batches_get(&b, i, &now);
        cr_assert(!now.source && !now.source_length && now.source_extent == 0);
        targets += now.target_tokens;
        for (int64_t r = 0; r < now.rows; r++) {
            const int32_t *in = now.target_in + r * now.target_extent,
                          *out = now.target_out + r * now.target_extent;
            cr_assert(in[0] == TOKEN_BEGIN);
            for (int64_t k = 1; k < now.target_length[r]; k++)
                cr_assert(in[k] == out[k - 1]);
            cr_assert(
                memcmp(out, c.side[1].tokens + 32 * now.sentence[r], 4 * (size_t)now.target_length[r]) == 0);
        }
    }
    cr_expect(targets == c.side[1].used);
    batches_free(&b);
    corpus_free(&c);
    lines_free(&sample);
    tokenizer_free(t);
}

/* ---- Memory that is refused ---- */

static int left, live;
static void *sometimes(void *user, size_t bytes, size_t alignment)
{
    (void)user;
    if (left-- == 0)
        return NULL;
    live++;
    return aligned_alloc(alignment, bytes);
}
static void release(void *user, void *memory, size_t bytes)
{
    (void)user;
    (void)bytes;
    live -= memory != NULL;
    free(memory);
}

/* Nothing is taken for the end of the file. */
Test(lines, every_refused_allocation_is_told_from_the_end)
{
    const rondo_allocator allocator = {NULL, sometimes, release};
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
            left = budget;
            live = 0;
            last = line_reader_open(&r, &allocator, path, &error) ? LINE_TEXT : LINE_FAILED;
            if (last == LINE_TEXT) {
                while ((last = line_reader_next(&r, &line, &length, &error)) == LINE_TEXT)
                    count++;
                line_reader_close(&r);
            }
            cr_assert(last == LINE_END ? count == 7 : last == LINE_FAILED && error.code == RONDO_MEMORY);
            cr_assert(live == 0 && budget < 50, "%d blocks stay after %d allocations", live, budget);
        }
    }
}

Test(corpus, every_refused_allocation_is_an_error_that_leaks_nothing)
{
    const rondo_allocator allocator = {NULL, sometimes, release};
    lines sample = made_lines(40, 1);
    tokenizer *t = letters(&sample);
    const char *path = sample.path;
    bool done = false;
    for (int budget = 0; !done; budget++) {
        rondo_error error = {0};
        lines l = {0};
        corpus c = {0};
        batches b = {0};
        left = budget;
        live = 0;
        bool read = lines_read(&l, &allocator, path, &error);
        bool made = read && corpus_make(&c, &allocator, &l, &l, t, (corpus_limits){0, 0}, &error);
        done = made && batches_begin(&b, &c, 300, 1, &error);
        cr_assert(done || error.code == RONDO_MEMORY, "%s", error.message);
        if (done)
            batches_free(&b);
        if (made)
            corpus_free(&c);
        if (read)
            lines_free(&l);
        cr_assert(live == 0, "%d blocks stay after %d allocations", live, budget);
        cr_assert(budget < 100);
    }
    lines_free(&sample);
    tokenizer_free(t);
}
