// SPDX-License-Identifier: LGPL-3.0-or-later
// Shapes, element types and borrowed views of tensors.
//
// A shape is always four numbers: n, c, h, w. Memory is always NHWC: element (n, c, h, w) lies at
// ((n * H + h) * W + w) * C + c. A filter has shape (out, in / groups, kh, kw) and hence lies in
// memory as out, kh, kw, in; a bias has shape (1, C, 1, 1), a scalar (1, 1, 1, 1).
// Files (safetensors) keep the field's usual order OIHW; the store turns it round (plan.h).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

G_BEGIN_DECLS

// BF16: the upper half of an F32. F16: IEEE 754 binary16, three more bits and 65504 at most.
typedef enum { CZ_F32, CZ_BF16, CZ_F16 } CzDtype;

typedef struct {
    int32_t n, c, h, w;
} CzShape;

typedef struct {
    CzShape shape;
    CzDtype dtype;
    void *data; // borrowed; 64-byte aligned when it comes from a plan
} CzView;

static inline CzShape cz_shape(int32_t n, int32_t c, int32_t h, int32_t w)
{
    return (CzShape){n, c, h, w};
}

static inline bool cz_shape_equal(CzShape a, CzShape b)
{
    return a.n == b.n && a.c == b.c && a.h == b.h && a.w == b.w;
}

// Number of elements. The shape has passed cz_shape_bytes() before, so nothing overflows.
static inline size_t cz_shape_count(CzShape s)
{
    return (size_t)s.n * (size_t)s.c * (size_t)s.h * (size_t)s.w;
}

static inline size_t cz_dtype_size(CzDtype dtype)
{
    return dtype == CZ_F32 ? 4 : 2;
}

const char *cz_dtype_name(CzDtype dtype); // "F32", "BF16", "F16", as safetensors spells them

// Bytes of a dense tensor. FALSE with CZ_ERROR_SHAPE if a dimension is below 1 or the product
// does not fit; n_bytes may be NULL.
bool cz_shape_bytes(CzShape shape, CzDtype dtype, size_t *n_bytes, GError **error);

// "2x64x16x16" (n, c, h, w); the caller frees.
char *cz_shape_format(CzShape shape);

// Conversions, round to nearest even; n elements, no overlap.
void cz_f32_to_bf16(uint16_t *dst, const float *src, size_t n);
void cz_bf16_to_f32(float *dst, const uint16_t *src, size_t n);
void cz_f32_to_f16(uint16_t *dst, const float *src, size_t n);
void cz_f16_to_f32(float *dst, const uint16_t *src, size_t n);

// Any dtype to and from float.
void cz_view_to_f32(float *dst, const CzView *src);
void cz_view_from_f32(CzView *dst, const float *src);

G_END_DECLS
