/* The numbers of a stored tensor as f32, for dtypes that Rondo does not compute with. */
#pragma once
#include "core/safetensors.h"

/* F32, F64, F16 or BF16. */
bool convert_is_known(const stored_tensor *t);
/* Writes all numbers of a known tensor. F64 is rounded to the nearest; what is out of range becomes
 * infinite. */
void convert_to_f32(const safetensors *s, const stored_tensor *t, float *out);
/* Makes safetensors_data give f32 at an aligned address: in the file where it holds that, else in memory
 * of s. */
bool convert_tensor(safetensors *s, const stored_tensor *t, rondo_error *error);
