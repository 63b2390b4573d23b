/* linearize: what is separable is rewritten, however it is expressed; what is not is refused, with the node
 * and the reason; the numbers do not change. */
#include "compiler/explain/explain.h"
#include "tests/compiler/attention_generator.h"
#include "tests/compiler/linearize_text.h"
#include "tests/core/counting_allocator.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define QKV                                                                                                  \
    "q = input(name=\"q\", type=f32[B,2,T,3])\n"                                                             \
    "k = input(name=\"k\", type=f32[B,2,T,3])\n"                                                             \
    "v = input(name=\"v\", type=f32[B,2,T,5])\n"

static void is_one_scan(const char *body)
{
    rewritten r = becomes_one_scan(body);
    rewritten_free(&r);
}

Test(linearize, the_paper_s_form_is_one_scan)
{
    is_one_scan(QKV "a = causal_mask(matmul(q, k, transpose_b))\n"
                    "n = add(sum(a, axis=-1, keep), 1e-6)\n"
                    "output y = div(matmul(a, v), n)\n");
}

Test(linearize, normalising_before_the_values_is_the_same_scan)
{
    is_one_scan(QKV "a = causal_mask(matmul(q, k, transpose_b))\n"
                    "output y = matmul(div(a, add(sum(a, axis=-1, keep), 1e-6)), v)\n");
}

Test(linearize, the_row_sum_may_stand_before_the_values_are_made)
{
    is_one_scan("q = input(name=\"q\", type=f32[B,2,T,3])\n"
                "a = causal_mask(matmul(q, q, transpose_b))\n"
                "n = maximum(sum(a, axis=-1, keep), 0.01)\n"
                "v = tanh(input(name=\"v\", type=f32[B,2,T,5]))\n"
                "output y = div(matmul(a, v), n)\n");
}

/* One scan would be a cycle: the values depend on the normaliser. */
Test(linearize, values_that_need_their_own_normaliser_take_two_scans)
{
    rewritten r = rewrite_parse(QKV "a = causal_mask(matmul(q, k, transpose_b))\n"
                                    "n = sum(a, axis=-1, keep)\n"
                                    "output y = matmul(a, div(v, n))\n");
    rewrite_run(&r);
    cr_assert_eq(graph_count(r.after, OP_scan), 2);
    cr_assert(!graph_has_pair(r.after, "T"));
    same_numbers(r.before, r.after, 1, "values / normaliser");
    rewritten_free(&r);
}

Test(linearize, a_running_mean_is_a_scan)
{
    is_one_scan("x = input(name=\"x\", type=f32[B,T,5])\n"
                "t = input(name=\"t\", type=f32[T,1])\n"
                "ones = causal_mask(constant(number=1, type=f32[T,T]))\n"
                "output y = matmul(div(ones, t), x)\n");
}

/* Sentences advance by different numbers of tokens, so each has its own count: the triangle gets the batch
 * axis. */
Test(linearize, a_triangle_without_a_batch_axis_is_one_scan_for_each_sentence)
{
    is_one_scan("x = input(name=\"x\", type=f32[B,T,5])\n"
                "ones = causal_mask(constant(number=1, type=f32[T,T]))\n"
                "output y = matmul(div(ones, sum(ones, axis=-1, keep)), x)\n");
    is_one_scan("x = input(name=\"x\", type=f32[B,2,T,5])\n"
                "ones = causal_mask(broadcast(1, dims=[T,T]))\n"
                "output y = div(matmul(ones, x), sum(ones, axis=-1, keep))\n");
}

Test(linearize, a_triangle_that_is_looked_at_without_its_batch_stays_without)
{
    rewritten r = rewrite_parse("x = input(name=\"x\", type=f32[B,T,5])\n"
                                "ones = causal_mask(constant(number=1, type=f32[T,T]))\n"
                                "output count = sum(ones, axis=-1, keep)\n"
                                "output y = matmul(ones, x)\n");
    rewrite_run(&r);
    cr_assert_eq(graph_count(r.after, OP_scan), 2);
    cr_assert_eq(r.report.records[0].line, 4);
    same_numbers(r.before, r.after, 1, "count is [T, 1]");
    rewritten_free(&r);
}

Test(linearize, masks_and_scales_stand_anywhere)
{
    is_one_scan(QKV "length = input(name=\"length\", type=i32[B])\n"
                    "gate = input(name=\"gate\", type=f32[B,1,T,1])\n"
                    "a = mul(matmul(k, q, transpose_b), 0.125)\n"
                    "a1 = causal_mask(key_mask(transpose(a, order=[0,1,3,2]), length))\n"
                    "a2 = row_mask(mul(gate, a1), length)\n"
                    "a3 = reshape(a2, dims=[2*B,T,T])\n"
                    "n = maximum(sum(a3, axis=-1, keep), 0.01)\n"
                    "output y = div(matmul(a3, reshape(v, dims=[2*B,T,5])), n)\n");
}

/* Masks select: where a factor is not finite but masked, the product is 0, before and after the rewrite. */
Test(linearize, what_is_masked_is_never_multiplied)
{
    is_one_scan(QKV "length = input(name=\"length\", type=i32[B])\n"
                    "kept = row_mask(constant(number=1, type=f32[B,2,T,1]), length)\n"
                    "a = row_mask(div(causal_mask(matmul(q, k, transpose_b)), kept), length)\n"
                    "output y = matmul(a, v)\n");
    is_one_scan(QKV "length = input(name=\"length\", type=i32[B])\n"
                    "kept = key_mask(constant(number=1, type=f32[B,2,1,T]), length)\n"
                    "a = key_mask(div(causal_mask(matmul(q, k, transpose_b)), kept), length)\n"
                    "output y = matmul(a, v)\n");
}

Test(linearize, without_a_mask_the_product_is_reassociated)
{
    rewritten r = rewrite_parse("q = input(name=\"q\", type=f32[B,T,3])\n"
                                "k = input(name=\"k\", type=f32[B,S,3])\n"
                                "v = input(name=\"v\", type=f32[B,S,5])\n"
                                "a = matmul(q, k, transpose_b)\n"
                                "output y = div(matmul(a, v), mean(a, axis=-1, keep))\n");
    rewrite_run(&r);
    cr_assert_eq(graph_count(r.after, OP_scan), 0);
    cr_assert(!graph_has_pair(r.after, "TS"));
    cr_assert_eq(r.report.count, 1);
    cr_assert_eq(r.report.records[0].kind, LINEARIZE_REASSOCIATED);
    cr_assert(r.report.records[0].normalised);
    same_numbers(r.before, r.after, 1, "reassociated");
    rewritten_free(&r);
}

/* The weights are an output too: that reader keeps the product, the other one gets a scan. */
Test(linearize, two_readers_are_judged_apart)
{
    rewritten r = rewrite_parse(QKV "a = causal_mask(matmul(q, k, transpose_b))\n"
                                    "output y = matmul(a, v)\n"
                                    "output sharp = matmul(exp(a), v)\n");
    rewrite_run(&r);
    cr_assert_eq(graph_count(r.after, OP_scan), 1);
    cr_assert(graph_has_pair(r.after, "T"));
    cr_assert_eq(r.report.count, 2);
    cr_assert_eq(r.report.records[0].kind, LINEARIZE_SCAN);
    cr_assert_eq(r.report.records[1].kind, LINEARIZE_REFUSED);
    same_numbers(r.before, r.after, 1, "two readers");
    rewritten_free(&r);
}

Test(linearize, refuses_softmax_whatever_masks_it)
{
    is_refused(QKV "a = mul(matmul(q, k, transpose_b), 0.125)\n"
                   "m = causal_mask(a, fill=-inf)\n"
                   "w = softmax(m)\n"
                   "output y = matmul(w, v)\n",
               6, "softmax couples t and s");
}

Test(linearize, refuses_what_looks_ahead)
{
    is_refused(QKV "a = causal_mask(matmul(q, k, transpose_b))\n"
                   "output y = matmul(a, v, transpose_a)\n",
               5, "summed over t");
}

Test(linearize, refuses_a_mean_over_tokens_to_come)
{
    is_refused(QKV "a = causal_mask(matmul(q, k, transpose_b))\n"
                   "output n = mean(a, axis=-1)\n",
               5, "including later ones");
}

Test(linearize, refuses_a_mask_that_is_no_zero)
{
    is_refused(QKV "a = causal_mask(matmul(q, k, transpose_b), fill=-inf)\n"
                   "output y = matmul(exp(a), v)\n",
               4, "causal mask with fill −inf");
}

Test(linearize, a_product_of_sentences_is_no_attention)
{
    rewritten r = rewrite_parse("x = input(name=\"x\", type=f32[B,T,3])\n"
                                "p = input(name=\"p\", type=f32[T,3])\n"
                                "m = mean(x, axis=1)\n"
                                "output y = tanh(matmul(m, p, transpose_b))\n");
    rewrite_run(&r);
    cr_assert_eq(r.report.count, 0);
    rewritten_free(&r);
}

/* Random separable expressions: nothing over (t, s) is left, and the numbers are the same. */
Test(linearize, rewrites_whatever_is_separable, .timeout = 120)
{
    rondo *context = rondo_new(1);
    for (uint64_t seed = 0; seed < 1500; seed++) {
        rondo_error error = {0};
        attention_case c = attention_generate(context, seed, &error);
        cr_assert(c.graph, "seed %lu: %s", (unsigned long)seed, error.message);
        rondo_graph *after = linearize(c.graph, NULL, NULL, &error);
        cr_assert(after, "seed %lu: %s", (unsigned long)seed, error.message);
        cr_assert(graph_verify(after, &error), "seed %lu: %s", (unsigned long)seed, error.message);
        cr_assert(!graph_has_pair(after, "TS"), "seed %lu is still quadratic: %s", (unsigned long)seed,
                  c.story);
        int scans = graph_count(after, OP_scan);
        cr_assert(c.causal ? scans >= 1 : scans == 0, "seed %lu: %d scans: %s", (unsigned long)seed, scans,
                  c.story);
        cr_assert(!c.causal || !c.one_scan || scans == c.contractions, "seed %lu: %d scans: %s",
                  (unsigned long)seed, scans, c.story);
        same_numbers(c.graph, after, seed, c.story);
        graph_free(after);
        graph_free(c.graph);
    }
    rondo_free(context);
}

/* The gradients of the rewritten graph are those of the old one, for every input. */
Test(linearize, the_gradients_are_the_same, .timeout = 120)
{
    rondo *context = rondo_new(1);
    for (uint64_t seed = 5000; seed < 5400; seed++) {
        rondo_error error = {0};
        attention_case c = attention_generate(context, seed, &error);
        rondo_graph *written = c.graph ? graph_with_loss(c.graph, &error) : NULL;
        rondo_graph *linear = linearize(written, NULL, NULL, &error);
        cr_assert(linear, "seed %lu: %s", (unsigned long)seed, error.message);
        rondo_graph *before = graph_with_gradients(written, &error),
                    *after = graph_with_gradients(linear, &error);
        cr_assert(before && after, "seed %lu: %s: %s", (unsigned long)seed, error.message, c.story);
        cr_assert(!graph_has_pair(after, "TS"), "seed %lu: the gradient is quadratic: %s",
                  (unsigned long)seed, c.story);
        same_numbers(before, after, seed, c.story);
        graph_free(after);
        graph_free(before);
        graph_free(linear);
        graph_free(written);
        graph_free(c.graph);
    }
    rondo_free(context);
}

/* Random expressions with one step that must be refused: node and reason are right, and nothing changes for
 * its readers. */
Test(linearize, refuses_with_the_node_and_the_reason, .timeout = 120)
{
    rondo *context = rondo_new(1);
    for (uint64_t seed = 0; seed < 1000; seed++) {
        rondo_error error = {0};
        arena a;
        arena_begin(&a, NULL);
        linearize_report report = {.arena = &a};
        attention_case c = attention_generate_refused(context, seed, &error);
        cr_assert(c.graph, "seed %lu: %s", (unsigned long)seed, error.message);
        rondo_graph *after = linearize(c.graph, &report, NULL, &error);
        cr_assert(after, "seed %lu: %s", (unsigned long)seed, error.message);
        cr_assert(graph_verify(after, &error), "seed %lu: %s", (unsigned long)seed, error.message);
        int refused = 0;
        for (int i = 0; i < report.count; i++) {
            const linearize_record *r = &report.records[i];
            if (r->kind != LINEARIZE_REFUSED)
                continue;
            refused++;
            cr_assert_eq(c.graph->nodes[r->node].op, c.refusing, "seed %lu: %s ended it: %s",
                         (unsigned long)seed, op_table[c.graph->nodes[r->node].op].signature.name, c.story);
            cr_assert(strstr(r->reason, c.reason), "seed %lu: %s: %s", (unsigned long)seed, r->reason,
                      c.story);
        }
        cr_assert_eq(refused, 1, "seed %lu: %d refusals: %s", (unsigned long)seed, refused, c.story);
        same_numbers(c.graph, after, seed, c.story);
        graph_free(after);
        graph_free(c.graph);
        arena_end(&a);
    }
    rondo_free(context);
}

/* The report: every line fits, and it says what was written, what runs and what it costs. */
Test(explain, a_page_says_what_why_and_how_much)
{
    rewritten r = rewrite_parse(
        QKV "a = causal_mask(matmul(q, k, transpose_b))\n"
            "output y = div(matmul(a, v), add(sum(a, axis=-1, keep), 1e-6))\n"
            "output z = matmul(softmax(causal_mask(matmul(q, k, transpose_b), fill=-inf)), v)\n");
    rondo_error error = {0};
    text page = {.arena = &r.arena};
    cr_assert(explain_graph(r.before, NULL, &page, &error), "%s", error.message);
    const char *words = text_done(&page);
    const char *said[] = {"2 attentions",         "2·B·2·T²·(3+5)",          "4·B·2·T·3·6",
                          "144 bytes a sequence", "softmax couples t and s", "64 bytes a token"};
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        cr_assert(strstr(words, said[i]), "\"%s\" is not in\n%s", said[i], words);
    int width = 0;
    for (const char *c = words; *c; c++) {
        width = *c == '\n' ? 0 : width + ((*c & 0xc0) != 0x80);
        cr_assert_leq(width, 100, "a line is too wide in\n%s", words);
    }
    cr_assert(!explain_graph(r.before, "X", &page, &error));
    cr_assert(strstr(error.message, "no symbol X"));
    rewritten_free(&r);
}

/* An allocator that fails once, at every possible point: an error, no leak, and the graph is untouched. */
Test(linearize, survives_every_refused_allocation)
{
    const char *source =
        QKV "a = causal_mask(matmul(q, k, transpose_b))\n"
            "output y = div(matmul(a, v), add(sum(a, axis=-1, keep), 1e-6))\n"
            "output z = matmul(softmax(causal_mask(matmul(q, k, transpose_b), fill=-inf)), v)\n"
            "ones = causal_mask(constant(number=1, type=f32[T,T]))\n"
            "output m = div(matmul(ones, v), sum(ones, axis=-1, keep))\n";
    bool succeeded = false;
    for (long refuse = 1; !succeeded; refuse++) {
        counting count = {0};
        rondo_allocator allocator = counting_allocator(&count);
        rondo *context =
            rondo_new_with(&(rondo_options){.size = sizeof(rondo_options), .allocator = &allocator});
        rondo_error error = {0};
        rondo_graph *g = graph_parse(context, source, "test.graph", &error);
        cr_assert(g, "%s", error.message);
        arena a;
        arena_begin(&a, &allocator);
        text page = {.arena = &a};
        count.refuse_at = count.requests + refuse;
        succeeded = explain_graph(g, NULL, &page, &error);
        cr_assert(succeeded || error.code == RONDO_MEMORY, "request %ld: %s", refuse, error.message);
        cr_assert(refuse < 2000);
        arena_end(&a);
        graph_free(g);
        rondo_free(context);
        cr_assert_eq(count.live_bytes, 0);
    }
}
