/* A program outside the tree, which uses only the installed rondo.h and pkg-config. It builds a small
 * language model, reads the report on it, trains it a little, saves the compiled model to its first argument,
 * and prints the tokens that the model generates; outside_run.c has to print the same. */
#include <rondo.h>
#include <stdio.h>
#include <string.h>

enum { VOCABULARY = 12, WIDTH = 16, BATCH = 2, LENGTH = 6, MORE = 8 };

/* Names that a program may use for itself; they must not clash with the static library. */
int fail(void);
int graph_new(void);
int arena_begin(void);
int fail(void)
{
    return 1;
}
int graph_new(void)
{
    return 2;
}
int arena_begin(void)
{
    return 3;
}

static rondo_value language_model(rondo_graph *g)
{
    rondo_value table = rondo_parameter(g, "embed.weight", "f32[%d,%d]", VOCABULARY, WIDTH);
    rondo_value x = rondo_embed(table, rondo_input(g, "tokens", "i32[B,T]"));
    rondo_value q = rondo_split_heads(rondo_linear(x, WIDTH, .name = "q_proj"), 2);
    rondo_value k = rondo_split_heads(rondo_linear(x, WIDTH, .name = "k_proj"), 2);
    rondo_value a = rondo_causal_mask(rondo_matmul(rondo_exp(q), rondo_exp(k), .transpose_b = true));
    rondo_value weights = rondo_div(a, rondo_add_scalar(rondo_sum(a, -1, .keep = true), 1e-6));
    x = rondo_add(x, rondo_merge_heads(rondo_matmul(weights, rondo_split_heads(x, 2))));
    return rondo_matmul(rondo_layer_norm(x, "norm"), table, .transpose_b = true);
}

static bool go_on(const rondo_program *program, const rondo_weights *weights, rondo_error *error)
{
    const int32_t prompt[3] = {4, 5, 6};
    int32_t tokens[MORE];
    int64_t length = 0;
    double score;
    rondo_session *session = rondo_session_new(program, weights, 1, error);
    bool good = rondo_session_source(session, NULL, 0, error) &&
                rondo_session_advance(session, prompt, 3, NULL, error) &&
                rondo_generate(session, tokens, &length, &score, error, MORE, .go_on = true);
    for (int64_t i = 0; good && i < length; i++)
        printf("%d ", tokens[i]);
    if (good)
        printf("%.9g\n", score);
    rondo_session_free(session);
    return good;
}

int main(int argc, char **argv)
{
    rondo_error error = {RONDO_OK, ""};
    int32_t tokens[BATCH * LENGTH] = {4, 5, 6, 7, 8, 9, 9, 8, 7, 6, 5, 4},
                           targets[BATCH * LENGTH] = {5, 6, 7, 8, 9, 10, 8, 7, 6, 5, 4, 3};
    const rondo_tensor inputs[] = {{"tokens", RONDO_I32, 2, {BATCH, LENGTH}, tokens},
                                   {"targets", RONDO_I32, 2, {BATCH, LENGTH}, targets}};
    rondo *r = rondo_new(2);
    rondo_graph *g = rondo_graph_new(r, &error);
    rondo_value logits = language_model(g);
    rondo_value loss = rondo_cross_entropy(logits, rondo_input(g, "targets", "i32[B,T]"));
    char *report = rondo_graph_explain(g, "T", &error);
    rondo_weights *weights = rondo_weights_new(g, 1, &error);
    rondo_trainer *trainer = rondo_trainer_new(loss, &error, weights);
    rondo_step first = {0, 0, 0, 0, 0, 0, NULL, 0}, last = first;
    bool good = argc > 1 && report && rondo_version() == RONDO_VERSION &&
                rondo_trainer_step(trainer, inputs, 2, 1e-2f, &first, &error);
    for (int i = 0; good && i < 50; i++)
        good = rondo_trainer_step(trainer, inputs, 2, 1e-2f, &last, &error);
    rondo_program *program = good ? rondo_program_new(logits, "T", &error) : NULL;
    good = program && rondo_program_save(program, weights, NULL, 0, argv[1], &error) &&
           go_on(program, weights, &error);
    if (!good)
        fprintf(stderr, "%s\n", error.code ? error.message : "wrong use or a wrong version");
    else if (last.loss > 0.5 * first.loss)
        good = fprintf(stderr, "the loss only fell from %g to %g\n", first.loss, last.loss) < 0;
    rondo_program_free(program);
    rondo_trainer_free(trainer);
    rondo_weights_free(weights);
    rondo_text_free(r, report);
    rondo_graph_free(g);
    rondo_free(r);
    return good ? 0 : 1;
}
