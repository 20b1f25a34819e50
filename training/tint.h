// SPDX-License-Identifier: LGPL-3.0-or-later
// Whether a picture has colour worth learning from: not grey, not sepia or of one other tint.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

G_BEGIN_DECLS

// CIELAB units, over the picture reduced to a shorter side of 64 (grain and JPEG noise are gone).
typedef struct {
    double chroma; // mean of sqrt(a*^2 + b*^2)
    // Root of the mean square of what the best curve ab(L*) leaves of a*, b*: near 0 for every
    // toned print, whatever its tones, since there L* alone says the colour.
    double spread;
} TrainTint;

#define TRAIN_TINT_MIN_CHROMA 4.0
#define TRAIN_TINT_MIN_SPREAD 1.5

// rgb: height * width * 3, encoded sRGB, 8 bit. CZ_ERROR_MEMORY.
bool train_tint_measure(TrainTint *tint, const uint8_t *rgb, int32_t width, int32_t height,
                        GError **error);

G_END_DECLS
