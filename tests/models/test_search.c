/* A sequence that is finished stays finished: nothing is added to it and nobody is told of more, while the
 * others go on. */
#include "tests/models/small_model.h"
#include <criterion/criterion.h>

enum { BATCH = 3, MOST = 9 };

typedef struct listener {
    int64_t heard[BATCH], stop_after[BATCH];
} listener;

static bool listen(void *user, int64_t sequence, int32_t token, double log_prob)
{
    listener *l = user;
    cr_expect(token >= 0 && token < SMALL_VOCABULARY && log_prob <= 0);
    return ++l->heard[sequence] < l->stop_after[sequence];
}

Test(search, what_is_finished_stays_finished)
{
    static const char *const decoders[] = {"softmax", "linear"};
    for (int i = 0; i < 2; i++) {
        rondo_error error = {0};
        small_model m = small_model_new(NULL, decoders[i], NULL, 1);
        int32_t all[BATCH * MOST], some[BATCH * MOST];
        int64_t lengths[BATCH];
        double scores[BATCH], shorter[BATCH];
        listener open = {.stop_after = {MOST + 1, MOST + 1, MOST + 1}}, l = {.stop_after = {2, MOST + 1, 1}};
        rondo_session *s = small_session(&m, BATCH, 0);
        cr_assert(rondo_generate(s, all, lengths, scores, &error, MOST, .temperature = 1, .seed = 8,
                                 .on_token = listen, .user = &open),
                  "%s", error.message);
        for (int b = 0; b < BATCH; b++)
            cr_expect_eq(lengths[b], open.heard[b]);
        int64_t whole = lengths[1], first = lengths[0] < 2 ? lengths[0] : 2,
                last = lengths[2] < 1 ? lengths[2] : 1;
        small_source(&m, s, BATCH, 0);
        cr_assert(rondo_generate(s, some, lengths, shorter, &error, MOST, .temperature = 1, .seed = 8,
                                 .on_token = listen, .user = &l),
                  "%s", error.message);
        cr_expect(lengths[0] == first && lengths[1] == whole && lengths[2] == last, "lengths %d, %d, %d",
                  (int)lengths[0], (int)lengths[1], (int)lengths[2]);
        for (int b = 0; b < BATCH; b++) {
            cr_expect_eq(l.heard[b], lengths[b], "sequence %d: %d tokens were told", b, (int)l.heard[b]);
            cr_expect_arr_eq(some + b * MOST, all + b * MOST, sizeof *all * (size_t)lengths[b]);
        }
        cr_expect_eq(shorter[1], scores[1]);
        cr_expect_gt(shorter[0] + (lengths[0] == open.heard[0]), scores[0]);
        rondo_session_free(s);
        small_model_free(&m);
    }
}
