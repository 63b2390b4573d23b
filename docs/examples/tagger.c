/* A tagger: an LSTM that reads a line of letters in both directions says of each letter whether it stood in
 * the line before, comes again, both or neither. The loop's body is the function `step`.
 *
 *   cc tagger.c $(pkg-config --cflags --libs rondo) -lm -o tagger && ./tagger
 */
#include <rondo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LETTERS = 6, TAGS = 4, WIDTH = 32, BATCH = 64, MOST = 12, UPDATES = 400 };

/* h, c and a row of gates' inputs → the next h and c (Hochreiter & Schmidhuber 1997). */
static void step(rondo_graph *g, rondo_loop_step *s, void *user)
{
    (void)g, (void)user;
    rondo_value z = rondo_linear(s->carries[0], 4 * WIDTH, .name = "recurrent", .no_bias = true);
    z = rondo_add(z, s->rows[0]);
    rondo_value in = rondo_sigmoid(rondo_slice(z, -1, 0, WIDTH));
    rondo_value keep = rondo_sigmoid(rondo_slice(z, -1, WIDTH, WIDTH));
    rondo_value out = rondo_sigmoid(rondo_slice(z, -1, 2 * WIDTH, WIDTH));
    rondo_value offer = rondo_tanh(rondo_slice(z, -1, 3 * WIDTH, WIDTH));
    s->carries[1] = rondo_add(rondo_mul(keep, s->carries[1]), rondo_mul(in, offer));
    s->carries[0] = s->results[0] = rondo_mul(out, rondo_tanh(s->carries[1]));
}

static rondo_value one_way(rondo_value x, rondo_value length, const char *name, bool reverse)
{
    rondo_value gates = rondo_linear(x, 4 * WIDTH, .name = name), start = rondo_loop_zeros(x, WIDTH);
    return rondo_loop(x.graph, step, .over = {gates}, .carries = {start, start}, .name = name,
                      .reverse = reverse, .length = length)
        .results[0];
}

/* [B, T] letters, of which length[b] count → [B, T, 4] logits. */
static rondo_value tag(rondo_graph *g)
{
    rondo_value letters = rondo_input(g, "letters", "i32[B,T]"), length = rondo_input(g, "length", "i32[B]");
    rondo_value x = rondo_embed(rondo_parameter(g, "embed.weight", "f32[%d,%d]", LETTERS, WIDTH), letters);
    rondo_value forth = one_way(x, length, "forth", false), back = one_way(x, length, "back", true);
    return rondo_linear(rondo_concat(forth, back, -1), TAGS, .name = "output");
}

static void add_accuracy(rondo_value logits, rondo_value loss, rondo_value tags)
{
    rondo_graph *g = logits.graph;
    rondo_value guess = rondo_apply(g, "cast", "type=f32", 1, rondo_argmax(logits, -1));
    rondo_value hits = rondo_equal(guess, rondo_apply(g, "cast", "type=f32", 1, tags));
    rondo_metric(rondo_sum(rondo_sum(hits, -1), 0), rondo_count(loss), "accuracy");
}

typedef struct batch {
    int32_t letters[BATCH * MOST], length[BATCH], tags[BATCH * MOST];
    rondo_tensor tensors[3];
} batch;

/* 1: the letter stood before, 2: it comes again. Tags beyond the length are −1, which the loss ignores. */
static void find_tags(const int32_t *letters, int32_t length, int32_t *tags)
{
    for (int t = 0; t < MOST; t++) {
        tags[t] = t < length ? 0 : -1;
        for (int s = 0; t < length && s < length; s++)
            if (s != t && letters[s] == letters[t])
                tags[t] |= s < t ? 1 : 2;
    }
}

static void make_batch(batch *b)
{
    for (int i = 0; i < BATCH; i++) {
        b->length[i] = 3 + rand() % (MOST - 2);
        for (int t = 0; t < MOST; t++)
            b->letters[i * MOST + t] = rand() % LETTERS;
        find_tags(b->letters + i * MOST, b->length[i], b->tags + i * MOST);
    }
    b->tensors[0] = (rondo_tensor){"letters", RONDO_I32, 2, {BATCH, MOST}, b->letters};
    b->tensors[1] = (rondo_tensor){"length", RONDO_I32, 1, {BATCH}, b->length};
    b->tensors[2] = (rondo_tensor){"tags", RONDO_I32, 2, {BATCH, MOST}, b->tags};
}

static bool train(rondo_trainer *trainer, rondo_step *last, rondo_error *error)
{
    static batch b;
    for (int i = 1; i <= UPDATES; i++) {
        make_batch(&b);
        if (!rondo_trainer_step(trainer, b.tensors, 3, 1e-2f, last, error))
            return false;
        if (i % 100 == 0)
            printf("update %3d: loss %.3f\n", i, last->loss);
    }
    make_batch(&b);
    return rondo_trainer_evaluate(trainer, b.tensors, 3, last, error);
}

/* Prints a line and, below, the tag of each letter. */
static bool predict(const rondo_function *f, const rondo_weights *weights, const char *line,
                    rondo_error *error)
{
    int32_t letters[MOST], length = (int32_t)strlen(line);
    for (int t = 0; t < length; t++)
        letters[t] = line[t] - 'a';
    const rondo_tensor inputs[] = {{"letters", RONDO_I32, 2, {1, length}, letters},
                                   {"length", RONDO_I32, 1, {1}, &length}};
    rondo_tensor tags;
    rondo_results *results = rondo_function_run(f, weights, inputs, 2, error);
    bool good = results && rondo_results_get(results, "tags", &tags);
    printf("%s\n", line);
    for (int t = 0; good && t < length; t++)
        putchar(".<>x"[((const int32_t *)tags.data)[t]]);
    printf("   . once  < stood before  > comes again  x both\n");
    rondo_results_free(results);
    return good;
}

int main(void)
{
    static const char *const name = "tags";
    rondo_error error = {RONDO_OK, ""};
    rondo_step last = {0};
    rondo *r = rondo_new(2);
    rondo_graph *g = rondo_graph_new(r, &error);
    rondo_value logits = tag(g), tags = rondo_input(g, "tags", "i32[B,T]"), best = rondo_argmax(logits, -1);
    rondo_value loss = rondo_cross_entropy(logits, tags, .ignore = -1);
    add_accuracy(logits, loss, tags);
    rondo_weights *weights = rondo_weights_new(g, 1, &error);
    rondo_trainer *trainer = weights ? rondo_trainer_new(loss, &error, weights) : NULL;
    rondo_function *f = trainer ? rondo_function_new(&best, &name, 1, &error) : NULL;
    rondo_graph_free(g);
    bool good = f && train(trainer, &last, &error) && predict(f, weights, "abcabcaaf", &error);
    double right = good ? last.measures[last.measure_count - 1].value : 0;
    if (good)
        printf("accuracy on new lines: %.3f\n", right);
    else
        fprintf(stderr, "%s\n", error.message);
    rondo_function_free(f);
    rondo_trainer_free(trainer);
    rondo_weights_free(weights);
    rondo_free(r);
    return good && right > 0.95 ? 0 : 1;
}
