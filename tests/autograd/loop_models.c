/* See loop_models.h. */
#include "loop_models.h"

enum { WIDTH = 4 };

/* ---- a plain recurrent net: products with a weight from around and with one that the body makes ---- */

static void net(rondo_graph *g, rondo_loop_step *s, void *user)
{
    (void)g;
    rondo_value drive = rondo_add(s->rows[0], rondo_matmul(s->carries[0], *(const rondo_value *)user));
    s->carries[0] = rondo_tanh(drive);
    s->results[0] = rondo_linear(s->carries[0], 3, .name = "out");
}

static rondo_value zeros(rondo_graph *g)
{
    return rondo_constant(g, 0, "f32[B,%d]", WIDTH);
}

static rondo_value make_net(rondo_value x)
{
    rondo_value w = rondo_parameter(x.graph, "w", "f32[%d,%d]", WIDTH, WIDTH);
    rondo_value drive = rondo_linear(x, WIDTH, .name = "in");
    return rondo_loop(x.graph, net, .over = {drive}, .carries = {zeros(x.graph)}, .user = &w, .name = "net")
        .results[0];
}

/* ---- an LSTM (Hochreiter & Schmidhuber 1997, with forget gates), both ways, with lengths ---- */

static void lstm(rondo_graph *g, rondo_loop_step *s, void *user)
{
    (void)g, (void)user;
    rondo_value z =
        rondo_add(s->rows[0], rondo_linear(s->carries[0], 4 * WIDTH, .name = "recurrent", .no_bias = true));
    rondo_value in = rondo_sigmoid(rondo_slice(z, -1, 0, WIDTH));
    rondo_value forget = rondo_sigmoid(rondo_slice(z, -1, WIDTH, WIDTH));
    rondo_value out = rondo_sigmoid(rondo_slice(z, -1, 2 * WIDTH, WIDTH));
    rondo_value new = rondo_tanh(rondo_slice(z, -1, 3 * WIDTH, WIDTH));
    s->carries[1] = rondo_add(rondo_mul(forget, s->carries[1]), rondo_mul(in, new));
    s->carries[0] = s->results[0] = rondo_mul(out, rondo_tanh(s->carries[1]));
}

static rondo_value one_way(rondo_value x, const char *name, bool reverse, rondo_value length)
{
    rondo_value start = zeros(x.graph);
    rondo_value drive = rondo_linear(x, 4 * WIDTH, .name = name);
    return rondo_loop(x.graph, lstm, .over = {drive}, .carries = {start, start}, .name = name,
                      .reverse = reverse, .length = length)
        .results[0];
}

static rondo_value make_lstm(rondo_value x)
{
    return one_way(x, "lstm", false, (rondo_value){0});
}

static rondo_value make_both_ways(rondo_value x)
{
    rondo_value length = rondo_input(x.graph, "length", "i32[B]");
    return rondo_add(one_way(x, "forth", false, length), one_way(x, "back", true, length));
}

/* ---- carries that change places, an initial carry that is computed, the last carry read ---- */

static void turn(rondo_graph *g, rondo_loop_step *s, void *user)
{
    (void)g, (void)user;
    rondo_value first = s->carries[0];
    s->carries[0] = rondo_add(rondo_mul(s->carries[1], rondo_sigmoid(s->rows[0])), s->rows[0]);
    s->carries[1] = first;
    s->results[0] = rondo_mul(first, s->carries[0]);
}

static rondo_value make_turns(rondo_value x)
{
    rondo_value start = rondo_linear(rondo_mean(x, 1), 3, .name = "start"), other = rondo_tanh(start);
    rondo_loop_results r = rondo_loop(x.graph, turn, .over = {x}, .carries = {start, other}, .name = "turns");
    return rondo_add(r.results[0], rondo_reshape(rondo_mul(r.carries[0], r.carries[1]), "[B,1,3]"));
}

/* ---- a loop in a loop: the inner one goes over the channels of a row ---- */

static void inner(rondo_graph *g, rondo_loop_step *s, void *user)
{
    (void)g;
    rondo_value scale = *(const rondo_value *)user;
    s->carries[0] = rondo_add(rondo_mul(s->carries[0], scale), s->rows[0]);
    s->results[0] = rondo_tanh(s->carries[0]);
}

static void outer(rondo_graph *g, rondo_loop_step *s, void *user)
{
    rondo_value row = rondo_reshape(rondo_add(s->rows[0], s->carries[0]), "[B,3,1]");
    rondo_loop_results r = rondo_loop(g, inner, .over = {row}, .carries = {rondo_constant(g, 0, "f32[B,1]")},
                                      .user = user, .name = "inner");
    s->carries[0] = s->results[0] = rondo_reshape(r.results[0], "[B,3]");
}

static rondo_value make_nested(rondo_value x)
{
    rondo_value scale = rondo_parameter(x.graph, "scale", "f32[1]");
    rondo_value start = rondo_constant(x.graph, 0, "f32[B,3]");
    return rondo_loop(x.graph, outer, .over = {x}, .carries = {start}, .user = &scale, .name = "outer")
        .results[0];
}

const loop_case loop_cases[] = {{"net", make_net, true},
                                {"lstm", make_lstm, true},
                                {"both ways", make_both_ways, false},
                                {"turns", make_turns, false},
                                {"nested", make_nested, true}};
const int loop_case_count = sizeof loop_cases / sizeof *loop_cases;
