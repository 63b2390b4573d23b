/* Checksums of a safetensors file. CRC-32, because zlib has a fast one and because accidental damage is
 * what they are for: it detects any burst of up to 32 bits for certain and misses other damage once in four
 * billion. It is no protection against intent. */
#include "core/context.h"
#include "core/safetensors.h"
#include <stdio.h>
#include <string.h>
#include <zlib.h>

static const char zeros[] = "00000000";

void checksum_print(uint32_t checksum, char out[CHECKSUM_DIGITS + 1])
{
    snprintf(out, CHECKSUM_DIGITS + 1, "%08x", (unsigned)checksum);
}

uint32_t checksum_of(const void *data, size_t bytes)
{
    return bytes ? (uint32_t)crc32_z(0, data, bytes) : 0;
}

const char *checksum_of_header(const char *header, size_t bytes, char out[CHECKSUM_DIGITS + 1])
{
    static const char place[] = "\"" CHECKSUM_OF_HEADER "\":\"";
    const size_t before = sizeof place - 1;
    const char *end = header + bytes, *found = memmem(header, bytes, place, before);
    if (!found || (size_t)(end - found) < before + CHECKSUM_DIGITS)
        return NULL;
    const char *digits = found + before, *rest = digits + CHECKSUM_DIGITS;
    uLong sum = crc32_z(0, (const Bytef *)header, (size_t)(digits - header));
    sum = crc32_z(sum, (const Bytef *)zeros, CHECKSUM_DIGITS);
    sum = crc32_z(sum, (const Bytef *)rest, (size_t)(end - rest));
    checksum_print((uint32_t)sum, out);
    return digits;
}

bool checksum_parse(const char *digits, uint32_t *checksum)
{
    *checksum = 0;
    for (int i = 0; i < CHECKSUM_DIGITS; i++) {
        char c = digits[i];
        int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (value < 0)
            return false;
        *checksum = *checksum << 4 | (uint32_t)value;
    }
    return true;
}

bool safetensors_check_data(const safetensors *s, const stored_tensor *t, rondo_error *error)
{
    return !s->has_checksums || checksum_of(safetensors_stored(s, t), t->size_bytes) == t->checksum ||
           fail(error, RONDO_FILE, "%s: tensor \"%.100s\" does not match its checksum; the file is damaged",
                s->path, t->name);
}

bool safetensors_check_all(const safetensors *s, rondo_error *error)
{
    for (int i = 0; i < s->count; i++)
        if (!safetensors_check_data(s, &s->tensors[i], error))
            return false;
    return true;
}

bool rondo_file_check(rondo *context, const char *path, rondo_error *error)
{
    error_begin(error);
    safetensors file;
    if (!context || !safetensors_open(&file, &context->allocator, path, error))
        return false;
    bool good = file.has_checksums
                    ? safetensors_check_all(&file, error)
                    : fail(error, RONDO_MISMATCH,
                           "%s was written without checksums, so damage in it cannot be detected", path);
    safetensors_close(&file);
    return good;
}
