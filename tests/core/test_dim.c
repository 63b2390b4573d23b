/* Dims: monomials over symbols; products and quotients are exact, or are refused. */
#include "core/graph.h"
#include <criterion/criterion.h>

enum { B, T };

static dim times(dim a, dim b)
{
    dim product = {0};
    cr_assert(dim_multiply(a, b, &product));
    return product;
}

Test(dim, equality_is_of_symbols_not_of_numbers)
{
    cr_assert(dim_equal(dim_symbol(B), dim_symbol(B)));
    cr_assert_not(dim_equal(dim_symbol(B), dim_symbol(T)));
    cr_assert_not(dim_equal(dim_symbol(B), dim_number(1)));
    cr_assert(dim_equal(times(dim_symbol(B), dim_symbol(T)), times(dim_symbol(T), dim_symbol(B))));
}

Test(dim, knows_what_it_is)
{
    dim two_b = times(dim_number(2), dim_symbol(B)), square = times(dim_symbol(T), dim_symbol(T));
    cr_assert_eq(dim_only_symbol(dim_symbol(T)), T);
    cr_assert_eq(dim_only_symbol(two_b), -1);
    cr_assert_eq(dim_only_symbol(square), -1);
    cr_assert_eq(dim_only_symbol(dim_number(1)), -1);
    cr_assert(dim_is_number(dim_number(7), 7) && !dim_is_number(dim_symbol(B), 1));
    cr_assert(dim_is_literal(dim_number(0)) && !dim_is_literal(two_b));
    cr_assert(dim_has(square, T) && !dim_has(square, B) && !dim_has(square, -1));
}

Test(dim, divides_exactly_or_not)
{
    dim bt64 = times(times(dim_symbol(B), dim_symbol(T)), dim_number(64)), q;
    cr_assert(dim_divide(bt64, dim_symbol(T), &q));
    cr_assert(dim_equal(q, times(dim_symbol(B), dim_number(64))));
    cr_assert(dim_divide(bt64, bt64, &q) && dim_is_number(q, 1));
    cr_assert_not(dim_divide(bt64, dim_number(5), &q));
    cr_assert_not(dim_divide(dim_number(64), dim_symbol(B), &q));
    cr_assert_not(dim_divide(bt64, dim_number(0), &q));
    cr_assert(dim_divide(dim_number(0), dim_symbol(B), &q) && dim_is_number(q, 0));
}

Test(dim, refuses_to_overflow)
{
    dim big = dim_number(INT64_MAX), product;
    cr_assert_not(dim_multiply(big, dim_number(2), &product));
    dim tower = dim_symbol(B);
    for (int i = 0; i < 7; i++)
        tower = times(tower, tower); /* B^128 */
    cr_assert_not(dim_multiply(tower, tower, &product), "a power has 8 bits");
    cr_assert(dim_is_number(times(tower, dim_number(0)), 0), "nothing times a symbol is nothing");
}

Test(dim, is_evaluated_with_overflow_seen)
{
    int64_t bound[MAX_SYMBOLS] = {3, 5};
    dim d = times(times(dim_symbol(B), dim_symbol(T)), times(dim_symbol(T), dim_number(2)));
    cr_assert_eq(dim_value(d, bound), 150);
    bound[T] = INT64_MAX / 2;
    cr_assert_eq(dim_value(d, bound), -1);
    bound[B] = 0;
    cr_assert_eq(dim_value(d, bound), 0, "an empty batch is empty whatever T is");
    bound[B] = -4;
    cr_assert_eq(dim_value(d, bound), -1);
}

Test(dim, replaces_a_symbol_with_its_power)
{
    dim square = times(dim_symbol(T), dim_symbol(T));
    cr_assert(dim_is_number(dim_replace(square, T, dim_number(3)), 9));
    cr_assert(dim_equal(dim_replace(square, B, dim_number(3)), square));
    cr_assert(dim_equal(dim_replace(square, T, dim_symbol(B)), times(dim_symbol(B), dim_symbol(B))));
    int64_t bound[MAX_SYMBOLS] = {1, 1};
    cr_assert_eq(dim_value(dim_replace(square, T, dim_number(INT64_MAX)), bound), -1);
}

Test(shape, counts_its_elements_as_a_dim)
{
    shape s = {3, {dim_symbol(B), dim_symbol(T), dim_number(64)}};
    dim all;
    cr_assert(shape_elements(&s, &all));
    cr_assert(dim_equal(all, times(times(dim_symbol(B), dim_symbol(T)), dim_number(64))));
    shape scalar = {0};
    cr_assert(shape_elements(&scalar, &all) && dim_is_number(all, 1));
    shape other = s;
    other.dims[5] = dim_number(9);
    cr_assert(shape_equal(&s, &other), "dims past the rank do not count");
    cr_assert_not(shape_equal(&s, &scalar));
}
