/* A model in C from its definition to its last token: a two-layer language model with linear attention learns
 * to copy a word, then continues a prompt token by token from a state of constant size.
 *
 *   cc copy.c $(pkg-config --cflags --libs rondo) -lm -o copy && ./copy
 */
#include <math.h>
#include <rondo.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SYMBOLS = 8,
    FIRST = 4,
    MARK = 3,
    VOCABULARY = FIRST + SYMBOLS,
    WORD = 6,
    LENGTH = 2 * WORD + 1,
    BATCH = 32
};
enum { WIDTH = 64, HEADS = 4, LAYERS = 2, UPDATES = 1200 };

static rondo_value phi(rondo_value x)
{
    return rondo_add_scalar(rondo_elu(x), 1);
}

/* Causal linear attention as its paper writes it, with the T × T product; the compiler makes a scan of it. */
static rondo_value attention(rondo_value x)
{
    rondo_value q =
        phi(rondo_split_heads(rondo_linear(x, WIDTH, .name = "q_proj"), HEADS)); /* [B, H, T, D] */
    rondo_value k = phi(rondo_split_heads(rondo_linear(x, WIDTH, .name = "k_proj"), HEADS));
    rondo_value v = rondo_split_heads(rondo_linear(x, WIDTH, .name = "v_proj"), HEADS);
    rondo_value a = rondo_causal_mask(rondo_matmul(q, k, .transpose_b = true)); /* [B, H, T, T] */
    rondo_value n = rondo_add_scalar(rondo_sum(a, -1, .keep = true), 1e-6);
    return rondo_linear(rondo_merge_heads(rondo_div(rondo_matmul(a, v), n)), WIDTH, .name = "out_proj");
}

static rondo_value language_model(rondo_graph *g)
{
    rondo_value table = rondo_parameter(g, "embed.weight", "f32[%d,%d]", VOCABULARY, WIDTH);
    rondo_initialize(table, RONDO_NORMAL, 1 / sqrt(WIDTH));
    rondo_value tokens = rondo_input(g, "tokens", "i32[B,T]");
    rondo_value x = rondo_mul_scalar(rondo_embed(table, tokens), sqrt(WIDTH));
    x = rondo_add(x, rondo_sinusoid(rondo_positions(tokens), WIDTH));
    for (int i = 0; i < LAYERS; i++) {
        rondo_enter(g, "layers.%d", i);
        x = rondo_add(x, attention(rondo_layer_norm(x, "norm1")));
        rondo_value inner =
            rondo_relu(rondo_linear(rondo_layer_norm(x, "norm2"), 4 * WIDTH, .name = "linear1"));
        x = rondo_add(x, rondo_linear(inner, WIDTH, .name = "linear2"));
        rondo_leave(g);
    }
    return rondo_matmul(rondo_layer_norm(x, "norm"), table, .transpose_b = true); /* [B, T, V] */
}

/* word MARK word: only the second half can be learned, so the first half has no targets (0). */
static void make_batch(int32_t *tokens, int32_t *targets)
{
    for (int b = 0; b < BATCH; b++) {
        int32_t line[LENGTH + 1];
        line[WORD] = MARK;
        for (int i = 0; i < WORD; i++)
            line[i] = line[WORD + 1 + i] = FIRST + rand() % SYMBOLS;
        line[LENGTH] = 0;
        for (int t = 0; t < LENGTH; t++) {
            tokens[b * LENGTH + t] = line[t];
            targets[b * LENGTH + t] = t >= WORD ? line[t + 1] : 0;
        }
    }
}

static bool train(rondo_trainer *trainer, rondo_error *error)
{
    static int32_t tokens[BATCH * LENGTH], targets[BATCH * LENGTH];
    const rondo_tensor inputs[] = {{"tokens", RONDO_I32, 2, {BATCH, LENGTH}, tokens},
                                   {"targets", RONDO_I32, 2, {BATCH, LENGTH}, targets}};
    for (int i = 1; i <= UPDATES; i++) {
        rondo_step step;
        make_batch(tokens, targets);
        if (!rondo_trainer_step(trainer, inputs, 2, 3e-3f * (i < 100 ? i / 100.0f : 10 / sqrtf((float)i)),
                                &step, error))
            return false;
        if (i % 200 == 0)
            printf("update %4d   loss %.4f\n", i, step.loss);
    }
    return true;
}

/* Feeds a word and its mark at once, then samples what follows: how many tokens are right; −1: failed. */
static int copy_word(rondo_session *session, rondo_error *error)
{
    int32_t prompt[WORD + 1], out[WORD];
    int64_t length;
    double score;
    int right = 0;
    prompt[WORD] = MARK;
    for (int i = 0; i < WORD; i++)
        prompt[i] = FIRST + rand() % SYMBOLS;
    if (!rondo_session_source(session, NULL, 0, error) ||
        !rondo_session_advance(session, prompt, WORD + 1, NULL, error) ||
        !rondo_generate(session, out, &length, &score, error, WORD, .temperature = 0.1f, .seed = 1,
                        .go_on = true))
        return -1;
    for (int i = 0; i < WORD; i++) {
        printf(" %c", 'a' + prompt[i] - FIRST);
        right += i < length && out[i] == prompt[i];
    }
    printf("  →  ");
    for (int i = 0; i < length; i++)
        printf(" %c", out[i] < FIRST ? '?' : 'a' + out[i] - FIRST);
    printf("   log-probability %.3f\n", score);
    return right;
}

int main(void)
{
    rondo_error error = {RONDO_OK, ""};
    rondo *r = rondo_new(2);
    rondo_graph *g = rondo_graph_new(r, &error);
    rondo_value logits = language_model(g);
    rondo_value targets = rondo_input(g, "targets", "i32[B,T]");
    rondo_value loss = rondo_cross_entropy(logits, targets, .ignore_padding = true);
    rondo_weights *weights = rondo_weights_new(g, 1, &error);
    rondo_trainer *trainer = rondo_trainer_new(loss, &error, weights, .clip_norm = 1);
    bool good = trainer && train(trainer, &error);
    rondo_program *program = good ? rondo_program_new(logits, "T", &error) : NULL;
    rondo_session *session = rondo_session_new(program, weights, 1, &error);
    int right = 0;
    for (int i = 0; session && i < 5 && right >= 0; i++) {
        int now = copy_word(session, &error);
        right = now < 0 ? -1 : right + now;
    }
    good = session && right >= 0;
    if (good)
        printf("%d of %d tokens right; the state is %zu bytes, at any length\n", right, 5 * WORD,
               rondo_session_state_bytes(session));
    else
        fprintf(stderr, "%s\n", error.message);
    rondo_session_free(session);
    rondo_program_free(program);
    rondo_trainer_free(trainer);
    rondo_weights_free(weights);
    rondo_graph_free(g);
    rondo_free(r);
    return good && right == 5 * WORD ? 0 : 1;
}
