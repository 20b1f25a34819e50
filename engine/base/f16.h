// SPDX-License-Identifier: LGPL-3.0-or-later
// F16, IEEE 754 binary16, to and from float: for inner loops, which inline them.
#pragma once

#include "base/bf16.h"

static inline float f16_widen(uint16_t f16)
{
    uint32_t sign = (uint32_t)(f16 & 0x8000u) << 16, rest = f16 & 0x7fffu;
    if (rest >= 0x7c00u)
        return bits_float(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
    if (rest < 0x400u) { // subnormal: rest * 2^-24
        float value = (float)rest * 0x1p-24f;
        return sign ? -value : value;
    }
    return bits_float(sign | ((rest << 13) + 0x38000000u));
}

// Nearest, ties to even; infinity from 65520 on. Adding a magic number lets the float unit do the
// rounding of subnormals.
static inline uint16_t f16_round(float value)
{
    uint32_t bits = float_bits(value), sign = (bits >> 16) & 0x8000u;
    bits &= 0x7fffffffu;
    if (bits >= 0x7f800000u) // infinity, NaN
        return (uint16_t)(sign | 0x7c00u | (bits > 0x7f800000u ? 0x200u : 0u));
    if (bits < 0x38800000u) {                                     // below 2^-14: subnormal in F16
        float magic = bits_float(0x3f000000u) + bits_float(bits); // 0.5: ulp is 2^-24
        return (uint16_t)(sign | (float_bits(magic) - 0x3f000000u));
    }
    uint32_t rounded = bits + 0xc8000fffu + ((bits >> 13) & 1u);
    uint32_t half = rounded >> 13;
    return (uint16_t)(sign | (half > 0x7c00u ? 0x7c00u : half));
}
