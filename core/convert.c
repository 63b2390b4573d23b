/* convert: f16, bf16 and f64 to f32. Tensors of a foreign file may lie at any address, so numbers are
 * copied out of it. */
#include "core/convert.h"
#include <string.h>

static float from_bits(uint32_t bits)
{
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static float from_f32(const char *at)
{
    float number;
    memcpy(&number, at, sizeof number);
    return number;
}

static float from_f64(const char *at)
{
    double number;
    memcpy(&number, at, sizeof number);
    return (float)number;
}

static float from_bf16(const char *at)
{
    uint16_t half;
    memcpy(&half, at, sizeof half);
    return from_bits((uint32_t)half << 16);
}

/* One bit of sign, 5 of exponent (bias 15), 10 of mantissa; every f16 is an f32. */
static float from_f16(const char *at)
{
    uint16_t half;
    memcpy(&half, at, sizeof half);
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 1023;
    if (exponent == 31)
        return from_bits(sign | 0x7f800000 | mantissa << 13);
    if (exponent == 0) { /* mantissa · 2^−24, exact */
        float small = (float)mantissa * 0x1p-24f;
        return sign ? -small : small;
    }
    return from_bits(sign | (exponent + 127 - 15) << 23 | mantissa << 13);
}

typedef struct conversion {
    const char *dtype;
    size_t bytes;
    float (*number)(const char *at);
} conversion;
static const conversion conversions[] = {
    {"F32", 4, from_f32}, {"F64", 8, from_f64}, {"F16", 2, from_f16}, {"BF16", 2, from_bf16}};

static const conversion *conversion_of(const stored_tensor *t)
{
    for (size_t i = 0; i < sizeof conversions / sizeof *conversions; i++)
        if (!t->unreadable && !strcmp(t->type_text, conversions[i].dtype))
            return &conversions[i];
    return NULL;
}

bool convert_is_known(const stored_tensor *t)
{
    return conversion_of(t) != NULL;
}

void convert_to_f32(const safetensors *s, const stored_tensor *t, float *out)
{
    const conversion *c = conversion_of(t);
    const char *data = safetensors_stored(s, t);
    size_t count = t->size_bytes / c->bytes;
    if (count && c->number == from_f32)
        memcpy(out, data, count * sizeof *out);
    else
        for (size_t i = 0; i < count; i++)
            out[i] = c->number(data + i * c->bytes);
}

bool convert_tensor(safetensors *s, const stored_tensor *t, rondo_error *error)
{
    const conversion *c = conversion_of(t);
    bool is_aligned = (uintptr_t)safetensors_stored(s, t) % _Alignof(float) == 0;
    if (t->converted || (c->number == from_f32 && is_aligned))
        return true;
    size_t count = t->size_bytes / c->bytes;
    float *numbers = ARENA_NEW(&s->arena, float, count + 1);
    if (!numbers)
        return fail_memory(error, sizeof *numbers * count, "the weights of a file");
    convert_to_f32(s, t, numbers);
    s->tensors[t - s->tensors].converted = numbers;
    return true;
}
