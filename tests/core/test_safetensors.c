/* safetensors: what is saved can be read again; damaged files are refused with a reason. */
#include "core/safetensors.h"
#include "tests/core/counting_allocator.h"
#include <criterion/criterion.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/rondo-tensors-XXXXXX";
static void enter(void)
{
    close(mkstemp(path));
}
static void leave(void)
{
    unlink(path);
}
TestSuite(safetensors, .init = enter, .fini = leave);

Test(safetensors, what_is_saved_comes_back)
{
    float weights[6] = {1, 2, 3, 4, 5, 6}, wide[32] = {7};
    double moment = 0.5;
    int32_t ids[3] = {1, 2, 3};
    const rondo_tensor tensors[] = {{"ids", RONDO_I32, 1, {3}, ids},
                                    {"wide", RONDO_F32, 2, {2, 16}, wide},
                                    {"a.weight", RONDO_F32, 2, {2, 3}, weights},
                                    {"moment", RONDO_F64, 0, {0}, &moment},
                                    {"nothing \"ü\"", RONDO_F32, 2, {0, 7}, NULL}};
    const char *const metadata[] = {"format", "1", "graph", "line\nline ü"};
    rondo_error error = {0};
    setlocale(LC_ALL, "de_DE.UTF-8");
    cr_assert(safetensors_save(&memory_malloc, path, tensors, 5, metadata, 2, &error), "%s", error.message);
    safetensors s;
    cr_assert(safetensors_open(&s, &memory_malloc, path, &error), "%s", error.message);
    cr_expect_eq(s.count, 5);
    for (int i = 0; i < 5; i++) {
        const stored_tensor *t = safetensors_find(&s, tensors[i].name);
        cr_assert(t, "%s", tensors[i].name);
        cr_expect(t->type == tensors[i].type && t->rank == tensors[i].rank);
        for (int d = 0; d < t->rank; d++)
            cr_expect_eq(t->dims[d], tensors[i].dims[d]);
        cr_expect(t->size_bytes == 0 || !memcmp(safetensors_data(&s, t), tensors[i].data, t->size_bytes));
    }
    cr_expect_eq(safetensors_find(&s, "wide")->offset_bytes % 64, 0);
    cr_expect_eq(safetensors_find(&s, "moment")->offset_bytes % 8, 0);
    cr_expect_str_eq(safetensors_metadata(&s, "graph"), "line\nline ü");
    cr_expect_null(safetensors_metadata(&s, "absent"));
    cr_expect_null(safetensors_find(&s, "absent"));
    safetensors_close(&s);
    safetensors_close(&s);
}

Test(safetensors, nothing_at_all_is_a_file_too)
{
    rondo_error error = {0};
    safetensors s;
    cr_assert(safetensors_save(NULL, path, NULL, 0, NULL, 0, &error), "%s", error.message);
    cr_assert(safetensors_open(&s, NULL, path, &error), "%s", error.message);
    cr_expect_eq(s.count, 0);
    cr_expect_null(safetensors_find(&s, "x"));
    safetensors_close(&s);
}

Test(safetensors, what_cannot_be_saved_is_refused_and_the_old_file_stays)
{
    float x[1] = {1};
    const rondo_tensor twice[] = {{"x", RONDO_F32, 1, {1}, x}, {"x", RONDO_F32, 1, {1}, x}};
    const rondo_tensor bad[] = {{"\xff", RONDO_F32, 1, {1}, x},
                                {"__metadata__", RONDO_F32, 1, {1}, x},
                                {"x", 0, 1, {1}, x},
                                {"x", RONDO_F32, 2, {INT64_MAX, 3}, x},
                                {"x", RONDO_F32, 1, {-1}, x},
                                {"x", RONDO_F32, 1, {1}, NULL},
                                {NULL, RONDO_F32, 1, {1}, x}};
    rondo_error error = {0};
    cr_assert(safetensors_save(NULL, path, twice, 1, NULL, 0, &error));
    cr_expect_not(safetensors_save(NULL, path, twice, 2, NULL, 0, &error));
    cr_expect_eq(error.code, RONDO_ARGUMENT);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        error = (rondo_error){0};
        cr_expect_not(safetensors_save(NULL, path, &bad[i], 1, NULL, 0, &error), "%d", (int)i);
        cr_expect(error.code == RONDO_ARGUMENT || error.code == RONDO_SHAPE);
    }
    safetensors s;
    cr_expect(safetensors_open(&s, NULL, path, NULL));
    cr_expect_eq(s.count, 1);
    safetensors_close(&s);
}

/* ---- hostile files ---- */

static void put(uint64_t length, const char *header, size_t header_bytes, size_t data_bytes)
{
    FILE *f = fopen(path, "wb");
    fwrite(&length, 1, 8, f);
    fwrite(header, 1, header_bytes, f);
    for (size_t i = 0; i < data_bytes; i++)
        fputc(0, f);
    fclose(f);
}
static bool opens(rondo_error *error)
{
    safetensors s;
    *error = (rondo_error){0};
    bool good = safetensors_open(&s, &memory_malloc, path, error);
    safetensors_close(&s);
    return good;
}

#define TENSOR(name, type, shape, from, to)                                                                  \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"

Test(safetensors, good_headers_are_taken)
{
    static const struct {
        const char *header;
        size_t data;
    } good[] = {{"{}", 0},
                {"{}   ", 0},
                {"{" TENSOR("x", "F32", "[2]", "0", "8") "}", 8},
                {"{" TENSOR("x", "F32", "[]", "0", "4") "}", 4},
                {"{" TENSOR("x", "BF16", "[3]", "0", "6") "}", 6},
                {"{" TENSOR("b", "F32", "[1]", "4", "8") "," TENSOR("a", "F32", "[1]", "0", "4") "}", 8},
                {"{" TENSOR("a", "F32", "[0]", "4", "4") "," TENSOR("b", "F32", "[1]", "0", "4") "}", 4},
                {"{" TENSOR("a", "F32", "[0,9223372036854775807,9223372036854775807]", "0", "0") "}", 0},
                {"{\"__metadata__\":{\"a\":\"b\"}}", 0}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        rondo_error error;
        put(strlen(good[i].header), good[i].header, strlen(good[i].header), good[i].data);
        cr_expect(opens(&error), "%s: %s", good[i].header, error.message);
    }
}

Test(safetensors, damaged_headers_are_refused)
{
    static const struct {
        const char *header;
        size_t data;
        const char *why;
    } bad[] = {
        {"[]", 0, "begin with {"},
        {" {}", 0, "begin with {"},
        {"{", 0, "not JSON"},
        {"{} x", 0, "not JSON"},
        {"{}", 1, "after the last"},
        {"{\"x\":1}", 0, "not described"},
        {"{\"x\":{}}", 0, "not described"},
        {"{" TENSOR("x", "F32", "[2]", "0", "4") "}", 4, "size that its shape"},
        {"{" TENSOR("x", "F64", "[2]", "0", "8") "}", 8, "size that its shape"},
        {"{" TENSOR("x", "F32", "[2]", "0", "8") "}", 4, "outside the file"},
        {"{" TENSOR("x", "F32", "[2]", "-8", "0") "}", 8, "outside the file"},
        {"{" TENSOR("x", "F32", "[2]", "8", "0") "}", 8, "outside the file"},
        {"{" TENSOR("x", "F32", "[2]", "0", "9223372036854775807") "}", 8, "outside the file"},
        {"{" TENSOR("x", "F32", "[2]", "0", "18446744073709551616") "}", 8, "not JSON"},
        {"{" TENSOR("x", "F32", "[-1]", "0", "4") "}", 4, "natural numbers"},
        {"{" TENSOR("x", "F32", "[1.0]", "0", "4") "}", 4, "natural numbers"},
        {"{" TENSOR("x", "F32", "[\"1\"]", "0", "4") "}", 4, "natural numbers"},
        {"{" TENSOR("x", "F32", "1", "0", "4") "}", 4, "no shape"},
        {"{" TENSOR("x", "F32", "[4294967296,4294967296,4]", "0", "0") "}", 0,
         "larger than the address space"},
        {"{" TENSOR("x", "F32", "[4611686018427387904,4]", "0", "0") "}", 0, "larger than the address space"},
        {"{" TENSOR("x", "F32", "[1,1,1,1,1,1,1,1,2]", "0", "4") "}", 4, "size that its shape"},
        {"{" TENSOR("x", "F32", "[1,1,1,1,1,1,1,1,-1]", "0", "4") "}", 4, "natural numbers"},
        {"{" TENSOR("x", "F4", "[4]", "0", "8") "}", 4, "outside the file"},
        {"{" TENSOR("x", "", "[1]", "0", "4") "}", 4, "no dtype"},
        {"{" TENSOR("a", "F32", "[2]", "0", "8") "," TENSOR("b", "F32", "[2]", "4", "12") "}", 12,
         "overlaps"},
        {"{" TENSOR("a", "F32", "[1]", "0", "4") "," TENSOR("b", "F32", "[1]", "0", "4") "}", 4, "overlaps"},
        {"{" TENSOR("a", "F32", "[1]", "0", "4") "," TENSOR("b", "F32", "[1]", "8", "12") "}", 12,
         "does not start where"},
        {"{" TENSOR("a", "F32", "[0]", "2", "2") "," TENSOR("b", "F32", "[1]", "0", "4") "}", 4, "overlaps"},
        {"{" TENSOR("a", "F32", "[1]", "0", "4") "," TENSOR("a", "F32", "[1]", "4", "8") "}", 8, "not JSON"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "no data_offsets"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"more\":1}}", 4, "not described"},
        {"{\"__metadata__\":1}", 0, "not an object"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "not text"},
        {"{\"\xff\":1}", 0, "not JSON"},
        {"{\"a\\u0000b\":1}", 0, "not JSON"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        rondo_error error;
        put(strlen(bad[i].header), bad[i].header, strlen(bad[i].header), bad[i].data);
        cr_expect_not(opens(&error), "%s", bad[i].header);
        cr_expect(error.code == RONDO_FILE && strstr(error.message, bad[i].why) &&
                      strstr(error.message, path),
                  "%s: %s", bad[i].header, error.message);
    }
}

/* A tensor that Rondo cannot read is no damage; it is refused when it is requested. */
Test(safetensors, tensors_that_cannot_be_read_are_refused_by_name)
{
    static const struct {
        const char *name, *entry, *why;
    } tensors[] = {
        {"a", TENSOR("a", "F4", "[4]", "0", "2"), "\"a\" has dtype F4, "},
        {"b", TENSOR("b", "F32", "[1,1,1,1,1,1,1,1,1]", "2", "6"), "\"b\" has 9 axes, "},
        {"c", TENSOR("c", "BF16", "[3]", "6", "12"), NULL},
        {"d", TENSOR("d", "F32", "[2]", "12", "20"), NULL},
        {"e", TENSOR("e", "NEW\\nAND_VERY_LONG", "[]", "20", "21"), "has dtype NEW?AND_VERY_LO, "}};
    char header[1000] = "";
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
        strcat(strcat(header, i ? "," : "{"), tensors[i].entry);
    strcat(header, "}");
    rondo_error error = {0};
    safetensors s;
    put(strlen(header), header, strlen(header), 21);
    cr_assert(safetensors_open(&s, &memory_malloc, path, &error), "%s", error.message);
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        const stored_tensor *t = safetensors_find(&s, tensors[i].name);
        error = (rondo_error){0};
        cr_assert(t);
        cr_expect_eq(safetensors_check_readable(&s, t, &error), tensors[i].why == NULL);
        if (tensors[i].why)
            cr_expect(error.code == RONDO_MISMATCH && t->type == 0 && t->rank == 0 &&
                          strstr(error.message, tensors[i].why) && strstr(error.message, path),
                      "%s", error.message);
    }
    cr_expect_str_eq(safetensors_find(&s, "c")->type_text, "BF16");
    cr_expect_eq(safetensors_find(&s, "d")->type, RONDO_F32);
    safetensors_close(&s);
}

Test(safetensors, damaged_lengths_are_refused)
{
    rondo_error error;
    static const uint64_t lengths[] = {0, 3, 1000, UINT64_MAX, UINT64_MAX - 7, INT64_MAX, 1ull << 32};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        put(lengths[i], "{}", 2, 0);
        cr_expect_not(opens(&error));
        cr_expect_eq(error.code, RONDO_FILE, "%s", error.message);
    }
    for (int bytes = 0; bytes < 8; bytes++) {
        put(2, "", 0, 0);
        cr_assert_eq(truncate(path, bytes), 0);
        cr_expect_not(opens(&error));
        cr_expect_eq(error.code, RONDO_FILE);
    }
}

/* A tensor of this many axes; each is two bytes of the header and forty of memory. */
static void put_axes(int count)
{
    static const char begin[] = "{\"x\":{\"dtype\":\"F32\",\"shape\":[1",
                      end[] = "],\"data_offsets\":[0,4]}}";
    size_t length = sizeof begin + sizeof end - 2 + 2 * (size_t)(count - 1);
    char *header = malloc(length + 1), *at = stpcpy(header, begin);
    for (int i = 1; i < count; i++)
        at = stpcpy(at, ",1");
    strcpy(at, end);
    put(length, header, length, 4);
    free(header);
}

Test(safetensors, a_header_of_many_values_is_refused)
{
    rondo_error error;
    put_axes(999000);
    cr_expect(opens(&error), "%s", error.message);
    put_axes(1000001);
    cr_expect_not(opens(&error));
    cr_expect(error.code == RONDO_FILE && strstr(error.message, "more than 1,000,000 values"), "%s",
              error.message);
}

Test(safetensors, commas_in_texts_are_not_values)
{
    enum { COMMAS = 3000000 };
    rondo_error error = {0};
    char *text = malloc(COMMAS + 1);
    memset(text, ',', COMMAS);
    text[COMMAS] = 0;
    text[7] = '"';
    const char *const metadata[] = {"long", text};
    cr_expect(safetensors_save(NULL, path, NULL, 0, metadata, 1, &error) && opens(&error), "%s",
              error.message);
    free(text);
}

Test(safetensors, what_could_not_be_read_is_not_written)
{
    enum { PAIRS = 500001 };
    rondo_error error = {0};
    const char **metadata = malloc(2 * PAIRS * sizeof *metadata);
    char(*keys)[8] = malloc(PAIRS * sizeof *keys);
    for (int i = 0; i < PAIRS; i++) {
        snprintf(keys[i], sizeof keys[i], "%d", i);
        metadata[2 * i] = metadata[2 * i + 1] = keys[i];
    }
    cr_expect_not(safetensors_save(NULL, path, NULL, 0, metadata, PAIRS, &error));
    cr_expect(error.code == RONDO_ARGUMENT && strstr(error.message, "more than 1,000,000 values"), "%s",
              error.message);
    free(metadata);
    free(keys);
    cr_expect_null(safetensors_over_limit("{}", 2));
    cr_expect_str_eq(safetensors_over_limit("{}", (100 << 20) + 1), "its header is longer than 100 MB");
}

Test(safetensors, deep_nesting_ends_as_an_error)
{
    enum { DEPTH = 1000000 };
    char *header = malloc(2 * DEPTH + 20);
    strcpy(header, "{\"x\":");
    memset(header + 5, '[', DEPTH);
    rondo_error error;
    put(5 + DEPTH, header, 5 + DEPTH, 0);
    cr_expect_not(opens(&error));
    cr_expect_eq(error.code, RONDO_FILE);
    free(header);
}

Test(safetensors, every_truncation_and_every_changed_byte_ends_well)
{
    float x[40] = {1};
    const rondo_tensor tensors[] = {{"layer.weight", RONDO_F32, 2, {4, 8}, x},
                                    {"layer.bias", RONDO_F32, 1, {8}, x}};
    const char *const metadata[] = {"format", "1"};
    rondo_error error;
    cr_assert(safetensors_save(NULL, path, tensors, 2, metadata, 1, NULL));
    static char bytes[2000];
    FILE *f = fopen(path, "rb");
    size_t count = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(truncate(path, (off_t)(count - 1 - i)), 0);
        cr_expect_not(opens(&error), "%d bytes", (int)(count - 1 - i));
    }
    for (size_t i = 0; i < count - 160; i++) {
        static const char changes[] = {0, 1, '"', '}', '9', ' ', (char)0xff, '['};
        for (size_t k = 0; k < sizeof changes; k++) {
            char old = bytes[i];
            bytes[i] = changes[k];
            f = fopen(path, "wb");
            fwrite(bytes, 1, count, f);
            fclose(f);
            bytes[i] = old;
            cr_expect(opens(&error) || error.code == RONDO_FILE, "byte %d: %s", (int)i, error.message);
        }
    }
}

/* ---- checksums ---- */

static char bytes[4096];
static size_t byte_count;

static void save_small(void)
{
    float x[40] = {1, 2, 3}, y[3] = {-0.5f, 0, 9};
    const rondo_tensor tensors[] = {{"layer.weight", RONDO_F32, 2, {4, 8}, x},
                                    {"nothing", RONDO_F32, 1, {0}, NULL},
                                    {"layer.bias", RONDO_F32, 1, {8}, x + 32},
                                    {"layer.scale", RONDO_F32, 1, {3}, y}};
    const char *const metadata[] = {"format", "pt", "graph", "%q = \"rondo.checksum.header\":\"00000000\""};
    cr_assert(safetensors_save(NULL, path, tensors, 4, metadata, 2, NULL));
    FILE *f = fopen(path, "rb");
    byte_count = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
}
static void write_small(void)
{
    FILE *f = fopen(path, "wb");
    fwrite(bytes, 1, byte_count, f);
    fclose(f);
}
/* The file opens, and all data is as it was written. */
static bool is_sound(rondo_error *error)
{
    safetensors s;
    *error = (rondo_error){0};
    bool good = safetensors_open(&s, &memory_malloc, path, error) && s.has_checksums &&
                safetensors_check_all(&s, error);
    safetensors_close(&s);
    return good;
}

Test(safetensors, no_changed_byte_is_accepted)
{
    rondo_error error;
    save_small();
    cr_assert(is_sound(&error), "%s", error.message);
    for (size_t i = 0; i < byte_count; i++) {
        bytes[i] ^= (char)(1 << i % 8);
        write_small();
        bytes[i] ^= (char)(1 << i % 8);
        cr_expect(!is_sound(&error) && error.code == RONDO_FILE, "byte %d", (int)i);
    }
}

Test(safetensors, no_zeroed_block_is_accepted)
{
    rondo_error error;
    static char kept[sizeof bytes];
    save_small();
    memcpy(kept, bytes, sizeof bytes);
    for (size_t size = 4; size <= 512; size *= 2)
        for (size_t i = 0; i + size <= byte_count; i += size) {
            memset(bytes + i, 0, size);
            bool same = !memcmp(bytes, kept, byte_count);
            write_small();
            memcpy(bytes, kept, byte_count);
            cr_expect(is_sound(&error) == same, "%d bytes from %d on", (int)size, (int)i);
        }
}

static void replace(const char *from, const char *to)
{
    char *at = memmem(bytes, byte_count, from, strlen(from));
    cr_assert(at && strlen(from) == strlen(to), "%s", from);
    memcpy(at, to, strlen(to));
}

Test(safetensors, checksums_are_wanted_only_where_both_keys_are)
{
    rondo_error error;
    safetensors s;
    save_small();
    replace("rondo.checksum.data", "other.checksum.data");
    write_small();
    cr_expect(!is_sound(&error) && strstr(error.message, "one of its checksums is missing"), "%s",
              error.message);
    replace("\"rondo.checksum.header\":\"", "\"other.checksum.header\":\"");
    bytes[byte_count - 1] ^= 1; /* nobody can tell */
    write_small();
    cr_assert(safetensors_open(&s, &memory_malloc, path, &error), "%s", error.message);
    cr_expect(!s.has_checksums && safetensors_check_all(&s, &error));
    safetensors_close(&s);
}

Test(safetensors, a_damaged_tensor_is_named_and_others_can_be_read)
{
    rondo_error error = {0};
    safetensors s;
    save_small();
    bytes[byte_count - 1] ^= 1;
    write_small();
    cr_assert(safetensors_open(&s, &memory_malloc, path, &error), "%s", error.message);
    cr_expect(safetensors_check_data(&s, safetensors_find(&s, "layer.weight"), &error));
    cr_expect_not(safetensors_check_data(&s, safetensors_find(&s, "layer.scale"), &error));
    cr_expect(error.code == RONDO_FILE && strstr(error.message, "\"layer.scale\"") &&
              strstr(error.message, path));
    safetensors_close(&s);
}

Test(safetensors, each_allocation_may_fail)
{
    counting c = {.refuse_at = 1};
    const rondo_allocator scarce = counting_allocator(&c);
    float x[40] = {1};
    const rondo_tensor tensors[] = {{"layer.weight", RONDO_F32, 2, {4, 8}, x},
                                    {"layer.bias", RONDO_F32, 1, {8}, x}};
    bool saved = false, opened = false;
    for (; !saved; c.refuse_at++, c.requests = 0) {
        rondo_error error = {0};
        saved = safetensors_save(&scarce, path, tensors, 2, NULL, 0, &error);
        cr_expect(saved || error.code == RONDO_MEMORY);
        cr_expect_eq(c.live_bytes, 0);
    }
    for (c.refuse_at = 1; !opened; c.refuse_at++, c.requests = 0) {
        safetensors s;
        rondo_error error = {0};
        opened = safetensors_open(&s, &scarce, path, &error);
        cr_expect(opened || error.code == RONDO_MEMORY);
        safetensors_close(&s);
        cr_expect_eq(c.live_bytes, 0);
    }
    cr_expect_gt(c.refuse_at, 2, "nothing was refused");
}
