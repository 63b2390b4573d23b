/* Philox against its published vectors, and the distributions made from it. */
#include "core/random.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static void expect_block(uint64_t seed, uint32_t site, uint64_t sentence, uint32_t position, uint32_t index,
                         uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    uint32_t out[4];
    random_block(seed, site, sentence, position, index, out);
    cr_expect(out[0] == a && out[1] == b && out[2] == c && out[3] == d, "%08x %08x %08x %08x", out[0], out[1],
              out[2], out[3]);
}

/* Random123's kat_vectors: philox4x32 10; counter = {index, position, sentence, site}. */
Test(random, philox_gives_the_known_answers)
{
    expect_block(0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
    expect_block(UINT64_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, 0x408f276d, 0x41c83b0e,
                 0xa20bc7c6, 0x6d5451fd);
    expect_block(0x299f31d0a4093822, 0x03707344, 0x13198a2e, 0x85a308d3, 0x243f6a88, 0xd16cfe09, 0x94fdcceb,
                 0x5001e420, 0x24126ea1);
}

Test(random, each_coordinate_matters)
{
    uint32_t base[4], other[4];
    random_block(1, 2, 3, 4, 5, base);
    for (int i = 0; i < 6; i++) {
        random_block(1 + (i == 0), 2 + (i == 1), 3 + (i == 2) + ((uint64_t)(i == 5) << 32), 4 + (i == 3),
                     5 + (i == 4), other);
        cr_expect(memcmp(base, other, sizeof base) != 0, "coordinate %d", i);
    }
}

Test(random, uniform_stays_below_one)
{
    cr_expect_eq(random_uniform(0), 0);
    cr_expect_lt(random_uniform(UINT32_MAX), 1);
    cr_expect_eq(random_uniform(1u << 31), 0.5);
}

Test(random, normal_is_finite_at_the_edges)
{
    static const uint32_t edges[] = {0, 1, UINT32_MAX};
    for (int i = 0; i < 9; i++) {
        double pair[2];
        random_normal_pair(edges[i / 3], edges[i % 3], pair);
        cr_expect(isfinite(pair[0]) && isfinite(pair[1]) && fabs(pair[0]) < 7 && fabs(pair[1]) < 7);
    }
}

Test(random, fills_depend_on_the_place_only)
{
    float all[1003], some[1003];
    random_fill_normal(all, 1003, 1, 7, random_key("decoder.weight"));
    random_fill_normal(some, 10, 1, 7, random_key("decoder.weight"));
    cr_expect(!memcmp(all, some, 10 * sizeof *all));
    random_fill_normal(some, 1003, 1, 7, random_key("encoder.weight"));
    cr_expect_neq(all[0], some[0]);
    random_fill_normal(some, 1003, 1, 8, random_key("decoder.weight"));
    cr_expect_neq(all[0], some[0]);
}

Test(random, fills_have_the_moments_they_should)
{
    enum { COUNT = 200000 };
    static float x[COUNT];
    double sum = 0, square = 0, fourth = 0;
    random_fill_normal(x, COUNT, 2, 1, 1);
    for (int i = 0; i < COUNT; i++) {
        sum += x[i];
        square += (double)x[i] * x[i];
        fourth += pow(x[i], 4);
    }
    cr_expect_float_eq(sum / COUNT, 0, 0.02);
    cr_expect_float_eq(square / COUNT, 4, 0.06);
    cr_expect_float_eq(fourth / COUNT, 48, 2);
    random_fill_uniform(x, COUNT, -3, 1, 1, 1);
    sum = 0;
    for (int i = 0; i < COUNT; i++) {
        cr_assert(x[i] >= -3 && x[i] <= 1);
        sum += x[i];
    }
    cr_expect_float_eq(sum / COUNT, -1, 0.02);
}

Test(random, the_key_is_fnv_1a)
{
    cr_expect_eq(random_key(""), UINT64_C(0xcbf29ce484222325));
    cr_expect_eq(random_key("foobar"), UINT64_C(0x85944171f73967e8));
}
