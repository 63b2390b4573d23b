/* Uses every macro of rondo.h once, so that header.sh can check that compilers do not warn about their
 * expansions, in C and in C++. It is compiled and never run. */
#include "rondo.h"

rondo_value every_unary(rondo_value x);
rondo_value every_binary(rondo_value a, rondo_value b);
rondo_value every_shape(rondo_value x, rondo_value length);
rondo_value every_move(rondo_value x, rondo_value ids);
rondo_value every_recurrence(rondo_graph *g, rondo_value x);
rondo_value every_layer(rondo_graph *g, rondo_value x);
bool every_object(rondo_value loss, rondo_weights *weights, rondo_session *session,
                  const rondo_program *program);

rondo_value every_unary(rondo_value x)
{
    x = rondo_neg(rondo_exp(rondo_log(rondo_tanh(rondo_sigmoid(x)))));
    x = rondo_relu(rondo_gelu(rondo_silu(rondo_elu(rondo_sqrt(x)))));
    x = rondo_rsqrt(rondo_abs(rondo_softplus(x)));
    return rondo_mul_scalar(rondo_add_scalar(rondo_sin(rondo_cos(x)), 1), 0.5);
}

rondo_value every_binary(rondo_value a, rondo_value b)
{
    a = rondo_add(rondo_sub(a, b), rondo_mul(rondo_div(a, b), rondo_power(a, b)));
    a = rondo_minimum(rondo_maximum(a, b), rondo_less(a, b));
    a = rondo_less_equal(a, rondo_equal(a, b));
    a = rondo_matmul(rondo_matmul(a, b), b, .transpose_a = true, .transpose_b = true);
    return rondo_concat(rondo_select(a, a, b), b, -1);
}

rondo_value every_shape(rondo_value x, rondo_value length)
{
    x = rondo_sum(rondo_mean(x, 0), -1, .keep = true);
    x = rondo_logsumexp(rondo_max(x, 1), 1, .keep = true);
    x = rondo_slice(rondo_cumsum(x, 1), 1, 0, 4);
    x = rondo_broadcast(rondo_reshape(x, "[B,T,%d]", 8), "[B,T,%d]", 8);
    x = rondo_transpose(rondo_merge_heads(rondo_split_heads(x, 2)), "0,2,1");
    x = rondo_causal_mask_fill(rondo_causal_mask(x), -1e30);
    return rondo_row_mask(rondo_key_mask(x, length, 0), length);
}

rondo_value every_move(rondo_value x, rondo_value ids)
{
    rondo_value gradient;
    x = rondo_roll(rondo_reverse(x, 1, .length = ids), 1, 2);
    ids = rondo_argmax(rondo_sort(x, 1, false, &ids), 1, .keep = true);
    ids = rondo_nonzero(rondo_argsort(x, 1, true), 1, &ids);
    x = rondo_top_k(x, 3, 1, &ids);
    x = rondo_scatter(rondo_gather(x, ids, 1), ids, 1, "[B,%d]", 4);
    x = rondo_add(rondo_windows(x, 1, 3, .stride = 2), rondo_one_hot(ids, 7));
    x = rondo_mean_pool(rondo_max_pool(x, 2), 2, .stride = 1);
    x = rondo_conv(x, 8, .width = 3, .padding = RONDO_CAUSAL);
    x = rondo_add(x, rondo_random_uniform(x.graph, 0, "[B,%d]", 4));
    x = rondo_add(x, rondo_random_normal(x.graph, 0, "[B,%d]", 4));
    x = rondo_stop_gradient(rondo_add(x, rondo_random_gumbel(x.graph, 0, "[B,%d]", 4)));
    return rondo_gradient(x, &x, 1, &gradient) ? gradient : x;
}

static void body(rondo_graph *g, rondo_loop_step *step, void *user)
{
    (void)g;
    (void)user;
    step->results[0] = step->rows[0];
}

rondo_value every_recurrence(rondo_graph *g, rondo_value x)
{
    x = rondo_convolve(rondo_delta(x, x, x, .beta = x), 4, .name = "conv");
    return rondo_loop(g, body, .over = {x}, .carries = {rondo_loop_zeros(x, 8)}, .block = 2).results[0];
}

rondo_value every_layer(rondo_graph *g, rondo_value x)
{
    rondo_value ids = rondo_input(g, "ids", "i32[B,T]"), plain = rondo_input(g, "x", "f32[B,T,%d]", 8);
    rondo_value table = rondo_parameter(g, "table", "f32[%d,%d]", 16, 8);
    x = rondo_add(x, rondo_apply(g, "add", NULL, 2, x, rondo_constant(g, 1.0, "f32[T,T]")));
    x = rondo_linear(rondo_linear(x, 8), 8, .name = "second", .no_bias = true, .gain = 2);
    x = rondo_rms_norm(rondo_layer_norm(x, "norm"), "norm", .epsilon = 1e-6f);
    x = rondo_add(rondo_softmax(x), rondo_embed(table, ids));
    x = rondo_add(rondo_dropout(x, 0.1f), rondo_sinusoid(rondo_positions(ids), 8));
    x = rondo_add(x, plain);
    rondo_value loss = rondo_cross_entropy(rondo_matmul(x, table, .transpose_b = true), ids,
                                           .smoothing = 0.1f, .ignore = -1);
    loss = rondo_total(x, .mask = x);
    loss = rondo_binary_cross_entropy(loss, x, .length = ids);
    loss = rondo_squared_error(loss, x, .length = ids, .mask = x);
    loss = rondo_divergence(loss, x, .temperature = 2, .mask = x);
    loss = rondo_logistic_mixture(loss, ids, .levels = 4, .channels = 3);
    loss = rondo_ctc(loss, ids, .frames = ids, .label_lengths = ids, .blank = 1, .name = "ctc");
    rondo_objective(x, "objective", .count = rondo_count(loss), .weight = 0.5f);
    return rondo_metric(loss, rondo_count(loss), "metric");
}

bool every_object(rondo_value loss, rondo_weights *weights, rondo_session *session,
                  const rondo_program *program)
{
    rondo_error error;
    rondo *one = rondo_new(1), *two = rondo_new(2, .wisdom = "wisdom");
    rondo_trainer *trainer = rondo_trainer_new(loss, &error, weights, .beta1 = 0.9f, .clip_norm = 1);
    int32_t tokens[8];
    int64_t length;
    double score;
    const char *line = "a line";
    bool good = rondo_generate(session, tokens, &length, &score, &error, 8, .top_k = 4);
    rondo_lines *lines = rondo_translate(program, &line, 1, &error, 100, .temperature = 0.5f);
    rondo_lines_free(lines);
    rondo_trainer_free(trainer);
    rondo_free(two);
    rondo_free(one);
    return good && rondo_version() == RONDO_VERSION;
}
