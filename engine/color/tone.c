// SPDX-License-Identifier: LGPL-3.0-or-later
// The balance of hues, and the tint of the paper.
#include "color/tone.h"

#include <math.h>
#include <string.h>

#include "base/cholesky.h"
#include "base/clones.h"

#define WARM_A  0.5f         // cos 60 degrees
#define WARM_B  0.866025404f // sin 60 degrees
#define MOST_AB 200.0f       // beyond is no colour that a print has
// Of the number of pixels: keeps a picture of one or two lightnesses from a wild curve.
#define RIDGE 1e-5

CZ_CLONES void cz_warmth_span(float *lab, size_t n, float warmth)
{
    float shift_a = CZ_WARMTH_SHARE * warmth * WARM_A, shift_b = CZ_WARMTH_SHARE * warmth * WARM_B;
    for (size_t i = 0; i < n; i++) {
        float a = lab[3 * i + 1], b = lab[3 * i + 2];
        float chroma = sqrtf(a * a + b * b);
        lab[3 * i + 1] = a + shift_a * chroma;
        lab[3 * i + 2] = b + shift_b * chroma;
    }
}

static float clamp(float x, float least, float most)
{
    return x < least ? least : x > most ? most : x;
}

void cz_tone_add(CzToneSums *sums, const float *lab, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float l = lab[3 * i], a = lab[3 * i + 1], b = lab[3 * i + 2];
        if (!isfinite(l) || !(fabsf(a) < MOST_AB && fabsf(b) < MOST_AB))
            continue;
        double t = clamp(l, 0, 100) / 50 - 1, power = 1;
        sums->least = sums->t[0] > 0 ? fmin(sums->least, t) : t;
        sums->most = sums->t[0] > 0 ? fmax(sums->most, t) : t;
        for (int k = 0; k < 2 * CZ_TONE_TERMS - 1; k++, power *= t) {
            sums->t[k] += power;
            if (k >= CZ_TONE_TERMS)
                continue;
            sums->a[k] += power * a;
            sums->b[k] += power * b;
        }
    }
}

CzTone cz_tone_fit(const CzToneSums *sums)
{
    CzTone tone = {.least = (float)sums->least, .most = (float)sums->most};
    double matrix[CZ_TONE_TERMS * CZ_TONE_TERMS], rhs[CZ_TONE_TERMS * 2];
    for (int i = 0; i < CZ_TONE_TERMS; i++) {
        for (int j = 0; j < CZ_TONE_TERMS; j++)
            matrix[i * CZ_TONE_TERMS + j] =
                sums->t[i + j] + (i == j && i > 0 ? RIDGE * sums->t[0] : 0);
        rhs[2 * i] = sums->a[i];
        rhs[2 * i + 1] = sums->b[i];
    }
    if (!cz_cholesky_solve(matrix, CZ_TONE_TERMS, rhs, 2))
        return tone;
    for (int i = 0; i < CZ_TONE_TERMS; i++) {
        tone.a[i] = (float)rhs[2 * i];
        tone.b[i] = (float)rhs[2 * i + 1];
    }
    return tone;
}

CZ_CLONES void cz_tone_span(const CzTone *tone, float *lab, size_t n)
{
    CzTone c = *tone;
    for (size_t i = 0; i < n; i++) {
        float t = lab[3 * i] * (1.0f / 50) - 1;
        t = t > c.least ? t : c.least;
        t = t < c.most ? t : c.most;
        lab[3 * i + 1] += c.a[0] + t * (c.a[1] + t * (c.a[2] + t * c.a[3]));
        lab[3 * i + 2] += c.b[0] + t * (c.b[1] + t * (c.b[2] + t * c.b[3]));
    }
}
