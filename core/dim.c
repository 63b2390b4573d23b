/* Dims are monomials: a number times powers of declared symbols. Multiplication and division are exact or
 * fail. */
#include "core/graph.h"
#include <string.h>

enum { MAX_POWER = UINT8_MAX };

dim dim_number(int64_t number)
{
    return (dim){.factor = number};
}

dim dim_symbol(int symbol)
{
    dim d = {.factor = 1};
    d.power[symbol] = 1;
    return d;
}

bool dim_equal(dim a, dim b)
{
    return !memcmp(&a, &b, sizeof a);
}

bool dim_is_literal(dim a)
{
    for (int s = 0; s < MAX_SYMBOLS; s++)
        if (a.power[s])
            return false;
    return true;
}

bool dim_is_number(dim a, int64_t number)
{
    return a.factor == number && dim_is_literal(a);
}

bool dim_has(dim a, int symbol)
{
    return symbol >= 0 && symbol < MAX_SYMBOLS && a.power[symbol];
}

int dim_only_symbol(dim a)
{
    for (int s = 0; s < MAX_SYMBOLS; s++)
        if (a.power[s])
            return dim_equal(a, dim_symbol(s)) ? s : -1;
    return -1;
}

bool dim_multiply(dim a, dim b, dim *product)
{
    dim p = {0};
    if (a.factor < 0 || b.factor < 0 || __builtin_mul_overflow(a.factor, b.factor, &p.factor))
        return false;
    for (int s = 0; s < MAX_SYMBOLS && p.factor; s++) { /* 0 times a symbol is 0 */
        if (a.power[s] + b.power[s] > MAX_POWER)
            return false;
        p.power[s] = (uint8_t)(a.power[s] + b.power[s]);
    }
    *product = p;
    return true;
}

bool dim_divide(dim a, dim b, dim *quotient)
{
    if (a.factor < 0 || b.factor <= 0 || a.factor % b.factor)
        return false;
    dim q = {.factor = a.factor / b.factor};
    for (int s = 0; s < MAX_SYMBOLS && q.factor; s++) {
        if (a.power[s] < b.power[s])
            return false;
        q.power[s] = (uint8_t)(a.power[s] - b.power[s]);
    }
    *quotient = q;
    return true;
}

/* On overflow the extent is −1, which no valid shape has; dim_value returns it as well. */
dim dim_replace(dim a, int symbol, dim by)
{
    if (!dim_has(a, symbol))
        return a;
    int power = a.power[symbol];
    a.power[symbol] = 0;
    for (int i = 0; i < power; i++)
        if (!dim_multiply(a, by, &a))
            return dim_number(-1);
    return a;
}

int64_t dim_value(dim a, const int64_t *bound)
{
    for (int s = 0; s < MAX_SYMBOLS; s++)
        if (a.power[s] && bound[s] <= 0)
            return bound[s] ? -1 : 0;
    int64_t number = a.factor;
    for (int s = 0; s < MAX_SYMBOLS && number > 0; s++)
        for (int i = 0; i < a.power[s]; i++)
            if (__builtin_mul_overflow(number, bound[s], &number))
                return -1;
    return number < 0 ? -1 : number;
}

bool shape_equal(const shape *a, const shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (!dim_equal(a->dims[i], b->dims[i]))
            return false;
    return true;
}

bool shape_elements(const shape *a, dim *product)
{
    dim all = dim_number(1);
    for (int i = 0; i < a->rank; i++)
        if (!dim_multiply(all, a->dims[i], &all))
            return false;
    *product = all;
    return true;
}
