// SPDX-License-Identifier: LGPL-3.0-or-later
// BF16 convolutions where the CPU cannot multiply BF16: through F32 copies of the pictures.
//
// The library itself refuses them before AVX-512, and imitates them eight times slower than F32
// there. BF16 then saves memory, not time, and is still there to be asked for.
#include "lower.h"

#include <string.h>

// To the nearest, ties to even; a NaN stays one.
static inline uint32_t round_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1);
    return (value != value ? bits | 0x400000 : rounded) & 0xffff0000u;
}

void wide_load(float *dst, const uint16_t *src, size_t n)
{
#pragma omp parallel for simd
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = (uint32_t)src[i] << 16;
        memcpy(&dst[i], &bits, sizeof bits);
    }
}

void wide_store(uint16_t *dst, const float *src, size_t n)
{
#pragma omp parallel for simd
    for (size_t i = 0; i < n; i++)
        dst[i] = (uint16_t)(round_bits(src[i]) >> 16);
}

void wide_round(float *dst, const float *src, size_t n)
{
#pragma omp parallel for simd
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = round_bits(src[i]);
        memcpy(&dst[i], &bits, sizeof bits);
    }
}
