// SPDX-License-Identifier: LGPL-3.0-or-later
// Shapes, byte counts, and conversions between element types.
#include <cz/tensor.h>

#include <string.h>

#include <cz/error.h>

#include "base/bf16.h"
#include "base/clones.h"
#include "base/f16.h"

const char *cz_dtype_name(CzDtype dtype)
{
    static const char *const names[] = {[CZ_F32] = "F32", [CZ_BF16] = "BF16", [CZ_F16] = "F16"};
    return names[dtype];
}

char *cz_shape_format(CzShape s)
{
    return g_strdup_printf("%dx%dx%dx%d", s.n, s.c, s.h, s.w);
}

bool cz_shape_bytes(CzShape shape, CzDtype dtype, size_t *n_bytes, GError **error)
{
    const int32_t dims[] = {shape.n, shape.c, shape.h, shape.w};
    gsize total = cz_dtype_size(dtype);
    bool sound = true;
    for (int i = 0; i < 4; i++)
        sound = sound && dims[i] >= 1 && g_size_checked_mul(&total, total, (gsize)dims[i]);
    // Offsets are computed as ptrdiff_t in places: half of the address space is enough.
    if (!sound || total > G_MAXSSIZE) {
        g_autofree char *text = cz_shape_format(shape);
        g_set_error(
            error, CZ_ERROR, CZ_ERROR_SHAPE,
            "shape %s: every dimension must be at least 1 and the tensor must fit in memory", text);
        return false;
    }
    if (n_bytes)
        *n_bytes = total;
    return true;
}

CZ_CLONES
void cz_f32_to_bf16(uint16_t *restrict dst, const float *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = bf16_round(src[i]);
}

CZ_CLONES
void cz_bf16_to_f32(float *restrict dst, const uint16_t *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = bf16_widen(src[i]);
}

void cz_f32_to_f16(uint16_t *dst, const float *src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = f16_round(src[i]);
}

void cz_f16_to_f32(float *dst, const uint16_t *src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = f16_widen(src[i]);
}

void cz_view_to_f32(float *dst, const CzView *src)
{
    size_t n = cz_shape_count(src->shape);
    if (src->dtype == CZ_F32)
        memcpy(dst, src->data, n * sizeof *dst);
    else if (src->dtype == CZ_BF16)
        cz_bf16_to_f32(dst, src->data, n);
    else
        cz_f16_to_f32(dst, src->data, n);
}

void cz_view_from_f32(CzView *dst, const float *src)
{
    size_t n = cz_shape_count(dst->shape);
    if (dst->dtype == CZ_F32)
        memcpy(dst->data, src, n * sizeof *src);
    else if (dst->dtype == CZ_BF16)
        cz_f32_to_bf16(dst->data, src, n);
    else
        cz_f32_to_f16(dst->data, src, n);
}
