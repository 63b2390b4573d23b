/* A graph as text, with its gradient, as a function: least squares on lines of two lengths, by gradient
 * descent. */
#include <rondo.h>
#include <stdio.h>

static const char source[] = "x = input(name=\"x\", type=f32[N])\n"
                             "y = input(name=\"y\", type=f32[N])\n"
                             "line = input(name=\"line\", type=f32[2])\n"
                             "slope = slice(line, axis=0, start=0, length=1)\n"
                             "offset = slice(line, axis=0, start=1, length=1)\n"
                             "d = sub(add(mul(x, slope), offset), y)\n"
                             "output loss = mean(mul(d, d), axis=0)\n"
                             "output gradient = gradient(loss, line)\n";

/* Descends from 0; the line that fits. */
static bool fit(const rondo_function *f, float *x, float *y, int64_t count, float line[2], rondo_error *error)
{
    const rondo_tensor inputs[] = {
        {"x", RONDO_F32, 1, {count}, x}, {"y", RONDO_F32, 1, {count}, y}, {"line", RONDO_F32, 1, {2}, line}};
    line[0] = line[1] = 0;
    for (int step = 0; step < 400; step++) {
        rondo_tensor gradient;
        rondo_results *results = rondo_function_run(f, NULL, inputs, 3, error);
        if (!rondo_results_get(results, "gradient", &gradient))
            return false;
        for (int i = 0; i < 2; i++)
            line[i] -= 0.3f * ((const float *)gradient.data)[i];
        rondo_results_free(results);
    }
    return true;
}

int main(void)
{
    float few_x[] = {-1, 0, 1}, few_y[] = {-1, 1, 3}, line[2];
    float many_x[] = {-1, -0.5f, 0, 0.5f, 1}, many_y[] = {3, 2.5f, 2, 1.5f, 1};
    rondo_error error = {RONDO_OK, ""};
    rondo *r = rondo_new(1);
    rondo_graph *g = rondo_graph_parse(r, source, "line.graph", &error);
    rondo_function *f = rondo_function_of(g, &error);
    rondo_graph_free(g);

    bool good = f && fit(f, few_x, few_y, 3, line, &error);
    if (good)
        printf("3 points: y = %.3f x + %.3f\n", line[0], line[1]);
    good = good && fit(f, many_x, many_y, 5, line, &error);
    if (good)
        printf("5 points: y = %.3f x + %.3f\n", line[0], line[1]);
    else
        fprintf(stderr, "%s\n", error.message);
    rondo_function_free(f);
    rondo_free(r);
    return good ? 0 : 1;
}
