// SPDX-License-Identifier: LGPL-3.0-or-later
// The curves of sRGB and of CIE lightness as inline functions that compilers vectorise.
//
// Roots start from the exponent bits (as the "fast inverse square root" does) and are refined by
// Newton's method without divisions. Relative errors, measured over the whole range in
// test_color.c: cube root 1.5e-7, x^2.4 6e-7, x^(1/2.4) 3e-7; one L* step of 16 bits is 1e-5.
// Branches are selections, so that both sides must be harmless for any x.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#define CURVE static inline __attribute__((always_inline))

CURVE int32_t curve_bits(float x)
{
    int32_t i;
    memcpy(&i, &x, sizeof i);
    return i;
}

CURVE float curve_float(int32_t i)
{
    float x;
    memcpy(&x, &i, sizeof x);
    return x;
}

// x >= 0; the negative of garbage is garbage, callers select it away.
CURVE float curve_cbrt(float x)
{
    // y ~ x^(-1/3), 3.4 % off, then 0.24 %, then 1.1e-5; then one step on the root itself.
    float y = curve_float((int32_t)(0x54a237fa - (float)curve_bits(x) * (1.0f / 3)));
    y *= 4.0f / 3 - x * (1.0f / 3) * y * y * y;
    y *= 4.0f / 3 - x * (1.0f / 3) * y * y * y;
    float root = x * y * y;
    return root - (root * root * root - x) * (y * y * (1.0f / 3));
}

// x^2.4 for x >= 0 as x^3 * (x^(-1/5))^3.
CURVE float curve_pow_2_4(float x)
{
    float y = curve_float((int32_t)(0x4c2ba5e3 - (float)curve_bits(x) * 0.2f));
    for (int step = 0; step < 3; step++) {
        float y2 = y * y;
        y += y * (0.2f - x * y * (y2 * y2) * 0.2f);
    }
    float xy = x * y;
    return xy * xy * xy;
}

// IEC 61966-2-1, 5.2: encoded to linear, continued as an odd function below zero, and above one.
CURVE float curve_to_linear(float encoded)
{
    float v = fabsf(encoded);
    float high = curve_pow_2_4(v * (1 / 1.055f) + 0.055f / 1.055f);
    float linear = v <= 0.04045f ? v * (1 / 12.92f) : high;
    return copysignf(linear, encoded);
}

CURVE float curve_to_encoded(float linear)
{
    float v = fabsf(linear);
    float root = curve_cbrt(v); // v^(1/2.4) = v^(5/12) = v^(1/3) * v^(1/12)
    float high = 1.055f * root * sqrtf(sqrtf(root)) - 0.055f;
    float encoded = v <= 0.0031308f ? v * 12.92f : high;
    return copysignf(encoded, linear);
}

// CIE 15:2004, 8.2.1: f(t) of L* = 116 f(Y/Yn) - 16, and its inverse. Linear below 216/24389.
CURVE float curve_lab_f(float t)
{
    float root = curve_cbrt(t);
    return t > 216.0f / 24389 ? root : t * (24389.0f / 27 / 116) + 16.0f / 116;
}

CURVE float curve_lab_f_inverse(float f)
{
    return f > 6.0f / 29 ? f * f * f : (f - 16.0f / 116) * (27.0f * 116 / 24389);
}
