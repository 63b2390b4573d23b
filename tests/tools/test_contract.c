/* The contract holds for every mixer in the table, and fails for mixers that break one clause each. */
#include "tools/check/contract.h"
#include <criterion/criterion.h>
#include <string.h>

static rondo_error problem;

static contract checked(rondo *context, const mixer *m, arena *a, bool *good)
{
    arena_begin(a, &context->allocator);
    problem = (rondo_error){0};
    contract k = {.context = context, .mixer = m, .seed = 1, .arena = a, .error = &problem};
    *good = contract_check(&k);
    return k;
}

/* The failing row of that name; NULL: none fails. */
static const contract_row *failing(const contract *k, const char *what)
{
    for (int i = 0; i < k->count; i++)
        if (!k->rows[i].good && strstr(k->rows[i].what, what))
            return &k->rows[i];
    return NULL;
}

Test(contract, holds_for_every_mixer)
{
    rondo *context = rondo_new(1);
    for (const mixer *m = mixers; m->name; m++) {
        arena a;
        bool good;
        contract k = checked(context, m, &a, &good);
        cr_expect(good, "%s: %s", m->name, problem.message);
        cr_expect(k.count > 20, "%s: only %d lines", m->name, k.count);
        for (int i = 0; i < k.count; i++)
            cr_expect(k.rows[i].good, "%s %s: %s is %g, at most %g", m->name, k.rows[i].place, k.rows[i].what,
                      k.rows[i].value, k.rows[i].bound);
        arena_end(&a);
    }
    rondo_free(context);
}

/* Every token sees every other one. */
static rondo_value sees_the_future(void *user, rondo_value x, rondo_value y, rondo_value length, bool causal,
                                   int64_t heads)
{
    (void)user, (void)length, (void)causal, (void)heads;
    return rondo_matmul(rondo_softmax(rondo_matmul(x, y, .transpose_b = true)), y);
}

Test(contract, future_is_seen)
{
    arena a;
    bool good;
    rondo *context = rondo_new(1);
    const mixer m = {"future", sees_the_future, false, true, false, ""};
    contract k = checked(context, &m, &a, &good);
    cr_expect(failing(&k, "another future"));
    cr_expect(failing(&k, "gradients into the future"));
    cr_expect(!good && problem.code == RONDO_NOT_CAUSAL, "%s", problem.message);
    arena_end(&a);
    rondo_free(context);
}

/* Softmax over padding as well. */
static rondo_value reads_padding(void *user, rondo_value x, rondo_value y, rondo_value length, bool causal,
                                 int64_t heads)
{
    (void)user, (void)length, (void)causal, (void)heads;
    int64_t d = rondo_extent(x, -1);
    return rondo_linear(rondo_matmul(rondo_softmax(rondo_matmul(x, y, .transpose_b = true)), y), d,
                        .name = "out");
}

Test(contract, padding_is_read)
{
    arena a;
    bool good;
    rondo *context = rondo_new(1);
    const mixer m = {"padding", reads_padding, true, false, false, ""};
    contract k = checked(context, &m, &a, &good);
    cr_expect(good, "%s", problem.message);
    cr_expect(failing(&k, "padding 0 or 1000"));
    cr_expect(failing(&k, "padding of NaN"));
    arena_end(&a);
    rondo_free(context);
}

/* Loses digits by adding and subtracting a large number. */
static rondo_value cancels(void *user, rondo_value x, rondo_value y, rondo_value length, bool causal,
                           int64_t heads)
{
    (void)user, (void)y, (void)length, (void)causal, (void)heads;
    rondo_value large = rondo_add_scalar(rondo_linear(x, rondo_extent(x, -1), .name = "out"), 1 << 10);
    return rondo_add_scalar(rondo_mul(large, rondo_sigmoid(rondo_mul_scalar(x, 0))), -(1 << 9));
}

Test(contract, f32_is_too_far_from_f64)
{
    arena a;
    bool good;
    rondo *context = rondo_new(1);
    const mixer m = {"cancels", cancels, false, true, false, ""};
    contract k = checked(context, &m, &a, &good);
    cr_expect(good, "%s", problem.message);
    cr_expect(failing(&k, "f32 against f64"));
    cr_expect(!failing(&k, "finite differences"));
    arena_end(&a);
    rondo_free(context);
}
