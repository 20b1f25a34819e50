// SPDX-License-Identifier: LGPL-3.0-or-later
// What is done to a* and b* beside the field: the balance of hues, and the tint of the paper.
#pragma once

#include <stddef.h>

// ---- warmth -------------------------------------------------------------------------------------

// a*b* += WARMTH_SHARE * warmth * C* * (cos, sin)(60 degrees) for n pixels of Lab; warmth -1 to 1.
// 60 degrees is the hue of lamplight and sepia; its opposite is the blue of a clear sky. As the
// shift is proportional to chroma, greys stay grey, and strength may come before or after.
#define CZ_WARMTH_SHARE 0.5f
void cz_warmth_span(float *lab, size_t n, float warmth);

// ---- the tint of a photograph -------------------------------------------------------------------

#define CZ_TONE_TERMS 4 // a cubic of t = L*/50 - 1

// Sums over pixels; start from zeros.
typedef struct {
    double t[2 * CZ_TONE_TERMS - 1];           // of t^k
    double a[CZ_TONE_TERMS], b[CZ_TONE_TERMS]; // of t^k a*, t^k b*
    double least, most;                        // of t
} CzToneSums;

// Mean a*, b* as a function of L*.
typedef struct {
    float a[CZ_TONE_TERMS], b[CZ_TONE_TERMS];
    float least, most; // of t; beyond, the tint of the end counts
} CzTone;

// Pixels without a finite colour are left out.
void cz_tone_add(CzToneSums *sums, const float *lab, size_t n);
// Least squares; no tint where no pixel was. The mean over all pixels is exact.
CzTone cz_tone_fit(const CzToneSums *sums);
// Adds the tint to n pixels.
void cz_tone_span(const CzTone *tone, float *lab, size_t n);
