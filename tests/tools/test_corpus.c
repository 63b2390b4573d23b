/* From lines to tokens, from tokens to batches. */
#include "tests/tools/text_files.h"
#include "tools/data/batches.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(corpus, .fini = remove_files);
TestSuite(batches, .fini = remove_files);

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

/* Every sequence of the corpus occurs once in the epoch, laid out as the header says. */
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
            int64_t id =
                now.sentence[r]; /* nothing was skipped, so line numbers and sequence numbers agree */
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
                  batches_padding(&b)); /* the lengths of the two sides are unrelated here */
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
    batches_plan(&b, 3); /* without the epochs before it */
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

Test(corpus, every_refused_allocation_is_an_error_that_leaks_nothing)
{
    lines sample = made_lines(40, 1);
    tokenizer *t = letters(&sample);
    const char *path = sample.path;
    bool done = false;
    for (int budget = 0; !done; budget++) {
        rondo_error error = {0};
        lines l = {0};
        corpus c = {0};
        batches b = {0};
        allocations_left = budget;
        blocks_alive = 0;
        bool read = lines_read(&l, &limited_allocator, path, &error);
        bool made = read && corpus_make(&c, &limited_allocator, &l, &l, t, (corpus_limits){0, 0}, &error);
        done = made && batches_begin(&b, &c, 300, 1, &error);
        cr_assert(done || error.code == RONDO_MEMORY, "%s", error.message);
        if (done)
            batches_free(&b);
        if (made)
            corpus_free(&c);
        if (read)
            lines_free(&l);
        cr_assert(blocks_alive == 0, "%d blocks stay after %d allocations", blocks_alive, budget);
        cr_assert(budget < 100);
    }
    lines_free(&sample);
    tokenizer_free(t);
}
