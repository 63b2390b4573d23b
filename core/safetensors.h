/* safetensors: 8 bytes of header length, a JSON header, then the tensors. Read as hostile: every offset, length, shape and
 * dtype is checked against the file before anything is used. Tensors are 64-byte aligned by order and header padding. */
#pragma once
#include "core/file.h"

typedef struct stored_tensor {
    const char *name;
    rondo_type type;    /* RONDO_F32, RONDO_F64 or RONDO_I32; 0: another dtype, which type_text names */
    char type_text[16]; /* the dtype as the file has it, cut if it is longer */
    const char *unreadable; /* why Rondo cannot use it, as the end of a sentence; NULL: it can */
    int rank;               /* unreadable tensors: 0 */
    int64_t dims[8];
    size_t offset_bytes, size_bytes; /* from the start of the file */
} stored_tensor;

typedef struct safetensors {
    file_map map;
    arena arena;
    stored_tensor *tensors; /* sorted by name */
    int count;
    const char **metadata; /* key, value, key, value, … */
    int metadata_count;    /* pairs */
    const char *path;
} safetensors;
bool safetensors_open(safetensors *s, const rondo_allocator *a, const char *path, rondo_error *error);
void safetensors_close(safetensors *s); /* fine after a failed open */
/* NULL: not there. A tensor of an unknown dtype or of more than 8 axes is found, but not readable. */
const stored_tensor *safetensors_find(const safetensors *s, const char *name);
/* True, or RONDO_MISMATCH with a sentence that names the tensor and says why it cannot be read. */
bool safetensors_check_readable(const safetensors *s, const stored_tensor *t, rondo_error *error);
const void *safetensors_data(const safetensors *s, const stored_tensor *t);
const char *safetensors_metadata(const safetensors *s, const char *key); /* NULL: not there */
/* Writes all or nothing. tensors[i].data is read; metadata as pairs. */
bool safetensors_save(const rondo_allocator *a, const char *path, const rondo_tensor *tensors, int count,
                      const char *const *metadata, int pairs, rondo_error *error);
