/* safetensors: 8 bytes of header length, a JSON header, then the tensors. Every offset, length, shape and
 * dtype is checked against the file before anything is used. The order of tensors and the padding of the
 * header align tensors to 64 bytes where their sizes allow it. */
#pragma once
#include "core/arena.h"
#include "core/file.h"

typedef struct stored_tensor {
    const char *name;
    rondo_type type;        /* RONDO_F32, RONDO_F64 or RONDO_I32; 0: another dtype, which type_text names */
    char type_text[16];     /* the dtype as in the file, cut if it is longer */
    const char *unreadable; /* why Rondo cannot read it, as the end of a sentence; NULL: it can */
    int rank;               /* unreadable tensors: 0 */
    int64_t dims[8];
    size_t offset_bytes, size_bytes; /* from the start of the file */
    /* what safetensors_data gives instead of the file's bytes; NULL: those */
    const float *converted;
    uint32_t checksum;               /* of the data, if the file has checksums */
} stored_tensor;

typedef struct safetensors {
    file_map map;
    arena arena;
    stored_tensor *tensors; /* sorted by name */
    int count;
    const char **metadata; /* key, value, key, value, … */
    int metadata_count;    /* pairs */
    bool has_checksums;    /* and that of the header matches */
    const char *path;
} safetensors;
bool safetensors_open(safetensors *s, const rondo_allocator *a, const char *path, rondo_error *error);
/* The same without a mapping: all of the file is read into memory, and may change afterwards. */
bool safetensors_read(safetensors *s, const rondo_allocator *a, const char *path, rondo_error *error);
void safetensors_close(safetensors *s); /* allowed after a failed open */
/* NULL: not there. A tensor of an unknown dtype or of more than 8 axes is found, but is not readable. */
const stored_tensor *safetensors_find(const safetensors *s, const char *name);
/* True, or RONDO_MISMATCH with a sentence that names the tensor and says why it cannot be read. */
bool safetensors_check_readable(const safetensors *s, const stored_tensor *t, rondo_error *error);
const void *safetensors_data(const safetensors *s, const stored_tensor *t);
/* as in the file, whatever was converted */
const void *safetensors_stored(const safetensors *s, const stored_tensor *t);
const char *safetensors_metadata(const safetensors *s, const char *key); /* NULL: not there */
/* The whole number behind a key; *number stays as it is where there is no such key. RONDO_FILE: it is not a
 * number, or above `most`. */
bool safetensors_number(const safetensors *s, const char *key, uint64_t most, uint64_t *number,
                        rondo_error *error);
/* Writes the whole file or none. metadata: key, value, key, value, …; checksums are added to it. */
bool safetensors_save(const rondo_allocator *a, const char *path, const rondo_tensor *tensors, int count,
                      const char *const *metadata, int pairs, rondo_error *error);
/* The limit that a header exceeds, as a clause; NULL: none. It bounds the memory that parsing takes. */
const char *safetensors_over_limit(const char *header, size_t bytes);

/* ---- Checksums: Rondo writes them into every file; a file that has neither of these keys is not checked
 * ---- */

#define CHECKSUM_OF_HEADER "rondo.checksum.header" /* checked when a file is opened */
#define CHECKSUM_OF_DATA   "rondo.checksum.data"   /* one per tensor, in file order, separated by spaces */
enum { CHECKSUM_DIGITS = 8 };
/* True for a file without checksums. RONDO_FILE names the tensor that is damaged. */
bool safetensors_check_data(const safetensors *s, const stored_tensor *t, rondo_error *error);
bool safetensors_check_all(const safetensors *s, rondo_error *error); /* reads all of the file */

uint32_t checksum_of(const void *data, size_t bytes);
void checksum_print(uint32_t checksum, char out[CHECKSUM_DIGITS + 1]);
bool checksum_parse(const char *digits, uint32_t *checksum);
/* The checksum of all bytes before the tensors, with zeros in place of its own digits. Returns the position
 * of these digits; NULL: there are none. */
const char *checksum_of_header(const char *header, size_t bytes, char out[CHECKSUM_DIGITS + 1]);
