// SPDX-License-Identifier: LGPL-3.0-or-later
// What lab.c and gamut.c share: pixels in planes of one block, and RGB to XYZ.
//
// Interleaved pixels are split into planes on the stack, worked on there, and merged again: so dst
// may be src and inner loops have neither strides nor aliases. The last, shorter block is padded,
// so that every pixel takes the very same path wherever it lies (strips = whole).
#pragma once

#include <stddef.h>
#include <string.h>

#include "color/transfer.h"

#define PIXELS 256

typedef struct {
    float p[3][PIXELS];
} Planes;

CURVE void pixels_split(Planes *restrict dst, const float *restrict src)
{
    for (int i = 0; i < PIXELS; i++) {
        dst->p[0][i] = src[3 * i];
        dst->p[1][i] = src[3 * i + 1];
        dst->p[2][i] = src[3 * i + 2];
    }
}

CURVE void pixels_merge(float *restrict dst, const Planes *restrict src)
{
    for (int i = 0; i < PIXELS; i++) {
        dst[3 * i] = src->p[0][i];
        dst[3 * i + 1] = src->p[1][i];
        dst[3 * i + 2] = src->p[2][i];
    }
}

typedef void (*PixelsBlock)(float *dst, const float *src);

// Runs a block function over n pixels; dst_channels: of dst (1 or 3), src always has 3.
static inline void pixels_each(float *dst, int dst_channels, const float *src, size_t n_pixels,
                               PixelsBlock block)
{
    size_t i = 0;
    for (; i + PIXELS <= n_pixels; i += PIXELS)
        block(dst + i * dst_channels, src + 3 * i);
    if (i < n_pixels) {
        float in[3 * PIXELS] = {0}, out[3 * PIXELS];
        size_t rest = n_pixels - i;
        memcpy(in, src + 3 * i, rest * 3 * sizeof *in);
        block(out, in);
        memcpy(dst + i * dst_channels, out, rest * dst_channels * sizeof *out);
    }
}

typedef struct {
    float x, y, z;
} Triple;

// Linear sRGB to X/Xn, Y/Yn, Z/Zn of D50 (0.964202880, 1, 0.824905400), Bradford-adapted. babl
// 0.1.98 has the rows 0.436034844 0.385116654 0.143051372, 0.222487940 0.716903839 0.060608257,
// 0.013915885 0.097060507 0.713928955: sRGB's primaries as its ICC profiles round them. Rows
// divided by the white sum to 1; written around green, so that greys come out exactly equal.
#define XYZ_X_RED  0.452223130f
#define XYZ_X_BLUE 0.148362316f
#define XYZ_Y_RED  0.222487940f
#define XYZ_Y_BLUE 0.060608257f
#define XYZ_Z_RED  0.016869674f
#define XYZ_Z_BLUE 0.865467671f

CURVE Triple linear_to_xyz(float red, float green, float blue)
{
    float u = red - green, w = blue - green;
    return (Triple){green + (XYZ_X_RED * u + XYZ_X_BLUE * w),
                    green + (XYZ_Y_RED * u + XYZ_Y_BLUE * w),
                    green + (XYZ_Z_RED * u + XYZ_Z_BLUE * w)};
}

// The inverse, around Y. Returned as red, green, blue.
CURVE Triple xyz_to_linear(float x, float y, float z)
{
    float u = x - y, w = z - y;
    return (Triple){y + (3.02207770f * u - 0.404800932f * w),
                    y + (-0.943755696f * u + 0.0275950498f * w),
                    y + (0.0693998614f * u + 1.15958341f * w)};
}

CURVE Triple lab_to_linear(float lightness, float a, float b)
{
    float fy = (lightness + 16) * (1.0f / 116);
    float fx = fy + a * (1.0f / 500), fz = fy - b * (1.0f / 200);
    return xyz_to_linear(curve_lab_f_inverse(fx), curve_lab_f_inverse(fy), curve_lab_f_inverse(fz));
}
