/* Weights of other dtypes become f32: every f16 and bf16 exactly, f64 rounded, at any address in the file. */
#include "core/convert.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* A file in memory that holds one tensor at an odd address. */
static void convert(const char *dtype, size_t element_bytes, const void *numbers, size_t count, float *out)
{
    static char content[1 << 20];
    safetensors s = {.map = {.data = content, .bytes = sizeof content}};
    stored_tensor t = {.offset_bytes = 1, .size_bytes = element_bytes * count};
    strcpy(t.type_text, dtype);
    memcpy(content + 1, numbers, element_bytes * count);
    cr_assert(convert_is_known(&t));
    convert_to_f32(&s, &t, out);
}

/* By the definition of the format. */
static double f16_value(unsigned half)
{
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    double size = exponent == 31  ? (mantissa ? NAN : INFINITY)
                  : exponent == 0 ? ldexp(mantissa, -24)
                                  : ldexp(1024 + mantissa, exponent - 25);
    return half & 0x8000 ? -size : size;
}

Test(convert, every_f16_and_bf16_is_exact)
{
    static uint16_t halves[1 << 16];
    static float out[1 << 16];
    for (int i = 0; i < 1 << 16; i++)
        halves[i] = (uint16_t)i;
    convert("F16", 2, halves, 1 << 16, out);
    for (unsigned i = 0; i < 1 << 16; i++) {
        double wanted = f16_value(i);
        cr_assert(isnan(wanted) ? isnan(out[i]) : out[i] == wanted && !signbit(out[i]) == !signbit(wanted),
                  "%04x is %g and not %g", i, out[i], wanted);
    }
    convert("BF16", 2, halves, 1 << 16, out);
    for (uint32_t i = 0; i < 1 << 16; i++) {
        uint32_t bits;
        memcpy(&bits, &out[i], sizeof bits);
        cr_assert(bits == i << 16 || isnan(out[i]), "%04x became %08x", i, bits);
    }
}

Test(convert, f64_is_rounded_and_f32_is_copied)
{
    const double doubles[] = {0.1, -0.0, 1 + 0x1p-24, 1 + 0x1.8p-24, 1e300, -1e-300, 3e38};
    const float floats[] = {0.1f, -0.0f, 1e-40f, INFINITY};
    float out[7];
    convert("F64", 8, doubles, 7, out);
    for (int i = 0; i < 7; i++)
        cr_expect(out[i] == (float)doubles[i] && !signbit(out[i]) == !signbit(doubles[i]), "%d: %g", i,
                  out[i]);
    cr_expect(isinf(out[4]));
    convert("F32", 4, floats, 4, out);
    cr_expect_arr_eq(out, floats, sizeof floats);
}

Test(convert, other_dtypes_are_not_known)
{
    static const char *const others[] = {"I32", "I64", "U8", "BOOL", "F8_E4M3", "C64", "F4", ""};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        stored_tensor t = {0};
        strcpy(t.type_text, others[i]);
        cr_expect_not(convert_is_known(&t), "%s", others[i]);
    }
    stored_tensor t = {.type_text = "F32", .unreadable = "has 9 axes"};
    cr_expect_not(convert_is_known(&t));
}
