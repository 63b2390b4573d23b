/* Convolution and pooling, which are windows with a product or a reduction, against their formulas, and
 * random numbers as they are asked for. */
#include "ops/build.h"
#include "ops/interpret.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static rondo *context;
static rondo_graph *g;

static void begin(void)
{
    context = rondo_new(1);
    g = rondo_graph_new(context, NULL);
}
static void end(void)
{
    rondo_graph_free(g);
    rondo_free(context);
}
TestSuite(conv, .init = begin, .fini = end);

enum { MOST = 4096 };
static double number(int64_t i) /* of element i of any leaf */
{
    return sin(1.7 * (double)i + 0.3) * 2;
}

/* All leaves hold number(i); symbols are bound to 6. */
static void evaluate(rondo_value y, interpretation *result)
{
    static double numbers[MOST];
    interpret_binding bindings[8];
    int64_t bound[MAX_SYMBOLS];
    rondo_error error = {0};
    int count = 0;
    cr_assert(rondo_graph_check(g, &error), "%s", error.message);
    for (int64_t i = 0; i < MOST; i++)
        numbers[i] = number(i);
    for (int s = 0; s < MAX_SYMBOLS; s++)
        bound[s] = 6;
    for (value_id v = 0; v < g->value_count; v++)
        if (op_table[graph_op_of(g, v)].flags & OP_LEAF)
            bindings[count++] = (interpret_binding){v, numbers};
    cr_assert(y.id >= 0 && interpret(g, bound, bindings, count, result, &error), "%s", error.message);
}

static void expect_element(const interpretation *result, rondo_value y, int64_t i, double wanted)
{
    double is = result->values[y.id].data[i];
    cr_assert(fabs(is - wanted) <= 1e-11 * (1 + fabs(wanted)), "element %d is %.17g, not %.17g", (int)i, is,
              wanted);
}

/* x [2,n,C], `before` as the comment of rondo_windows says it. */
static void check_conv1d(int64_t n, int64_t channels, int64_t out, int64_t width, int64_t stride,
                         rondo_padding padding)
{
    static const char *types[] = {"f32[2,6,3]", "f32[2,7,3]", "f32[2,6,1]"};
    rondo_value x = rondo_input(g, "x", "%s", types[channels == 1 ? 2 : n - 6]);
    rondo_value y = rondo_conv(x, out, .width = width, .stride = stride, .padding = padding);
    int64_t before = padding == RONDO_CAUSAL ? width - 1 : padding == RONDO_CENTRED ? (width - 1) / 2 : 0;
    int64_t rows = padding == RONDO_UNPADDED ? (n - width) / stride + 1 : (n + stride - 1) / stride;
    interpretation result;
    evaluate(y, &result);
    cr_assert_eq(result.values[y.id].count, 2 * rows * out);
    for (int64_t e = 0; e < 2 * rows * out; e++) {
        int64_t b = e / out / rows, i = e / out % rows, o = e % out;
        double sum = number(o); /* the bias */
        for (int64_t j = 0; j < width; j++)
            for (int64_t c = 0, t = i * stride + j - before; t >= 0 && t < n && c < channels; c++)
                sum += number((o * width + j) * channels + c) * number((b * n + t) * channels + c);
        expect_element(&result, y, e, sum);
    }
    interpret_end(&result);
}

Test(conv, of_one_axis_is_its_formula)
{
    check_conv1d(7, 3, 4, 3, 1, RONDO_CENTRED);
}
Test(conv, an_even_width_is_centred_to_the_left)
{
    check_conv1d(6, 3, 2, 4, 1, RONDO_CENTRED);
}
Test(conv, with_a_stride_has_every_second_row)
{
    check_conv1d(7, 3, 5, 3, 2, RONDO_CENTRED);
}
Test(conv, causal_rows_see_no_later_ones)
{
    check_conv1d(6, 1, 3, 4, 2, RONDO_CAUSAL);
}
Test(conv, without_padding_has_whole_windows_alone)
{
    check_conv1d(7, 3, 2, 3, 3, RONDO_UNPADDED);
}

Test(conv, of_two_axes_is_its_formula)
{
    enum { H = 5, W = 4, C = 3, O = 2, K = 3, B = 2, ROWS = 3, COLUMNS = 2, STRIDE = 2 };
    rondo_value x = rondo_input(g, "x", "f32[%d,%d,%d,%d]", B, H, W, C);
    rondo_value y = rondo_conv(x, O, .width = K, .stride = STRIDE, .padding = RONDO_CENTRED, .no_bias = true);
    interpretation result;
    evaluate(y, &result);
    cr_assert_eq(result.values[y.id].count, B * ROWS * COLUMNS * O);
    for (int64_t e = 0; e < B * ROWS * COLUMNS * O; e++) {
        int64_t o = e % O, column = e / O % COLUMNS, row = e / O / COLUMNS % ROWS, b = e / O / COLUMNS / ROWS;
        double sum = 0;
        for (int64_t tap = 0; tap < K * K * C; tap++) {
            int64_t h = row * STRIDE + tap / C / K - 1, w = column * STRIDE + tap / C % K - 1;
            if (h >= 0 && h < H && w >= 0 && w < W)
                sum += number(o * K * K * C + tap) * number(((b * H + h) * W + w) * C + tap % C);
        }
        expect_element(&result, y, e, sum);
    }
    interpret_end(&result);
}

/* One weight for each channel; with causal padding it is convolve, with the taps in the same order. */
static void check_depthwise(rondo_padding padding, int64_t before, op_id op)
{
    enum { N = 6, C = 3, K = 3 };
    rondo_value x = rondo_input(g, "x", "f32[2,%d,%d]", N, C);
    rondo_value y = rondo_conv(x, C, .width = K, .padding = padding, .depthwise = true, .no_bias = true);
    interpretation result;
    evaluate(y, &result);
    cr_expect_eq(graph_op_of(g, y.id), op);
    for (int64_t e = 0; e < 2 * N * C; e++) {
        int64_t c = e % C, t = e / C % N, b = e / C / N;
        double sum = 0;
        for (int64_t j = 0; j < K; j++)
            if (t + j - before >= 0 && t + j - before < N)
                sum += number(j * C + c) * number((b * N + t + j - before) * C + c);
        expect_element(&result, y, e, sum);
    }
    interpret_end(&result);
}

Test(conv, of_each_channel_by_itself_is_its_formula)
{
    check_depthwise(RONDO_CENTRED, 1, OP_sum);
}
Test(conv, of_each_channel_causal_is_convolve)
{
    check_depthwise(RONDO_CAUSAL, 2, OP_convolve);
}

Test(conv, rows_beyond_the_length_count_as_zeros)
{
    rondo_value x = rondo_input(g, "x", "f32[1,6,1]"), length = rondo_input(g, "length", "i32[1]");
    rondo_value y = rondo_conv(x, 1, .width = 3, .padding = RONDO_CENTRED, .no_bias = true, .length = length);
    static const double numbers[] = {1, 2, 4, NAN, NAN, NAN}, two[] = {3}, weight[] = {1, 10, 100},
                        expected[] = {210, 421, 42, 4, 0, 0};
    const interpret_binding bindings[] = {
        {x.id, numbers}, {length.id, two}, {graph_find_leaf(g, OP_parameter, "conv.weight"), weight}};
    const int64_t bound[MAX_SYMBOLS] = {0};
    interpretation result;
    cr_assert(interpret(g, bound, bindings, 3, &result, NULL));
    for (int i = 0; i < 6; i++)
        expect_element(&result, y, i, expected[i]);
    interpret_end(&result);
}

Test(conv, pooling_is_the_largest_or_the_mean_of_each_patch)
{
    enum { H = 4, W = 6, C = 2, K = 2 };
    rondo_value x = rondo_input(g, "x", "f32[1,%d,%d,%d]", H, W, C);
    rondo_value largest = rondo_max_pool(x, K), mean = rondo_mean_pool(x, K);
    interpretation result;
    evaluate(mean, &result);
    for (int64_t e = 0; e < H / K * W / K * C; e++) {
        int64_t c = e % C, w = e / C % (W / K) * K, h = e / C / (W / K) * K;
        double most = -INFINITY, sum = 0;
        for (int64_t tap = 0; tap < K * K; tap++) {
            double is = number(((h + tap / K) * W + w + tap % K) * C + c);
            most = is > most ? is : most;
            sum += is;
        }
        expect_element(&result, largest, e, most);
        expect_element(&result, mean, e, sum / (K * K));
    }
    interpret_end(&result);
}

Test(conv, the_padding_of_a_max_pool_is_never_the_largest)
{
    rondo_value x = rondo_neg(rondo_exp(rondo_input(g, "x", "f32[1,6,1]")));
    rondo_value y = rondo_max_pool(x, 3, .stride = 1, .padding = RONDO_CENTRED);
    interpretation result;
    evaluate(y, &result);
    expect_element(&result, y, 0, fmax(-exp(number(0)), -exp(number(1))));
    interpret_end(&result);
}

/* ---- symbols and mistakes ---- */

static void expect_dims(rondo_value v, const char *expected)
{
    text t = {.arena = &g->arena};
    rondo_error error = {0};
    cr_assert(rondo_graph_check(g, &error), "%s", error.message);
    shape_text(&t, g, graph_shape_of(g, v.id));
    cr_expect_str_eq(text_done(&t), expected);
}

static void expect_error(const char *expected)
{
    rondo_error error = {0};
    cr_assert(!rondo_graph_check(g, &error));
    cr_expect(strstr(error.message, expected), "the error is\n  %s\nnot\n  %s", error.message, expected);
    cr_expect(strstr(error.message, "test_conv.c:"), "%s does not name its line", error.message);
}

Test(conv, a_symbol_is_kept_or_divided)
{
    rondo_value x = rondo_input(g, "x", "f32[B,4*T,8]");
    expect_dims(rondo_conv(x, 5, .width = 3, .padding = RONDO_CENTRED, .name = "a"), "[B,4*T,5]");
    expect_dims(rondo_conv(x, 5, .width = 3, .padding = RONDO_CAUSAL, .stride = 2, .name = "b"), "[B,2*T,5]");
    expect_dims(rondo_max_pool(x, 4), "[B,T,8]");
    expect_dims(rondo_windows(x, 1, 4, .stride = 4), "[B,T,4,8]");
}

Test(conv, what_is_no_number_times_symbols_is_refused)
{
    rondo_conv(rondo_input(g, "x", "f32[B,T,8]"), 5, .width = 3);
    expect_error(
        "convolution of [B,T,8]: how many windows of 3 with stride 1 and padding 0 there are is no number "
        "times the symbols of T; the padding of one axis must be from 2 to 2, and its extent a multiple "
        "of the stride");
}
Test(conv, a_window_that_does_not_fit_is_refused)
{
    rondo_max_pool(rondo_input(g, "x", "f32[B,2,2,8]"), 3);
    expect_error("windows of [B,2,2,8]: a window of 3 is wider than axis 2 with its padding");
}
Test(conv, an_image_has_no_causal_padding)
{
    rondo_conv(rondo_input(g, "x", "f32[B,2,2,8]"), 3, .width = 3, .padding = RONDO_CAUSAL);
    expect_error("rondo_conv of [B,2,2,8]: causal padding is for one axis, [B,T,C]");
}
Test(conv, each_channel_by_itself_keeps_their_number)
{
    rondo_conv(rondo_input(g, "x", "f32[B,6,8]"), 16, .width = 3, .depthwise = true);
    expect_error("rondo_conv: 16 channels of the 8 of x, each by itself");
}
Test(conv, has_a_width)
{
    rondo_conv(rondo_input(g, "x", "f32[B,6,8]"), 16);
    expect_error("rondo_conv: a width of 0 and a stride of 1");
}

/* ---- random numbers ---- */

Test(conv, random_numbers_ask_for_a_seed_and_sentences_and_have_a_site_each)
{
    rondo_value a = rondo_random_normal(g, 1, "[B,T,%d]", 8), b = rondo_random_normal(g, 1, "[B,T,%d]", 8);
    expect_dims(a, "[B,T,8]");
    cr_expect_neq(a.id, b.id);
    cr_expect_eq(graph_node_of(g, a.id)->inputs[0], graph_find_leaf(g, OP_input, "dropout.seed"));
    cr_expect_eq(graph_node_of(g, b.id)->inputs[1], graph_find_leaf(g, OP_input, "sentences"));
    rondo_random_uniform(g, 0, "[B,T]");
    expect_error("random_uniform of [B,T]: axis 0 is that of the sentences, it cannot be time too");
}
