// SPDX-License-Identifier: LGPL-3.0-or-later
// A float's bits, and BF16 as its upper half: for inner loops, which inline them.
#pragma once

#include <stdint.h>
#include <string.h>

static inline uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float bits_float(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float bf16_widen(uint16_t bf16)
{
    return bits_float((uint32_t)bf16 << 16);
}

// Nearest, ties to even. A NaN keeps a set mantissa bit, or it would round to infinity.
static inline uint16_t bf16_round(float value)
{
    uint32_t bits = float_bits(value);
    uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return (uint16_t)(value != value ? (bits >> 16) | 0x40u : rounded);
}
