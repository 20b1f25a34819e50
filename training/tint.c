// SPDX-License-Identifier: LGPL-3.0-or-later
// Whether a picture has colour worth learning from: not grey, not sepia or of one other tint.
#include "tint.h"

#include <math.h>
#include <stddef.h>

#include <cz/color.h>
#include <cz/memory.h>
#include <cz/resample.h>

enum { SIDE = 64, BINS = 16 };

typedef struct {
    double n, sum[2], square;
} Bin;

static void measure(TrainTint *tint, const float *lab, size_t n_pixels)
{
    Bin bins[BINS] = {{0}};
    double chroma = 0.0, left = 0.0;

    for (size_t i = 0; i < n_pixels; i++) {
        double a = lab[3 * i + 1], b = lab[3 * i + 2];
        int at = (int)(lab[3 * i] * (BINS / 100.0f));
        Bin *bin = &bins[CLAMP(at, 0, BINS - 1)];

        chroma += sqrt(a * a + b * b);
        bin->n += 1.0;
        bin->sum[0] += a;
        bin->sum[1] += b;
        bin->square += a * a + b * b;
    }
    for (int i = 0; i < BINS; i++)
        if (bins[i].n > 0.0)
            left += bins[i].square -
                    (bins[i].sum[0] * bins[i].sum[0] + bins[i].sum[1] * bins[i].sum[1]) / bins[i].n;
    tint->chroma = chroma / (double)n_pixels;
    tint->spread = sqrt(fmax(left, 0.0) / (double)n_pixels);
}

bool train_tint_measure(TrainTint *tint, const uint8_t *rgb, int32_t width, int32_t height,
                        GError **error)
{
    int32_t small_w = width, small_h = height;
    size_t n = (size_t)width * (size_t)height * 3;
    float *whole, *small;
    bool ok = FALSE;

    if (MIN(width, height) > SIDE)
        cz_fit_short_side(width, height, SIDE, &small_w, &small_h);
    whole = cz_memory_alloc(n * sizeof *whole, "a picture as numbers", error);
    if (!whole)
        return FALSE;
    small = cz_memory_alloc((size_t)small_w * (size_t)small_h * 3 * sizeof *small,
                            "a reduced picture", error);
    for (size_t i = 0; i < n; i++)
        whole[i] = rgb[i] * (1.0f / 255.0f);
    if (small && cz_resize_image(small, small_w, small_h, whole, width, height, 3, error)) {
        cz_rgb_to_lab(small, small, (size_t)small_w * (size_t)small_h);
        measure(tint, small, (size_t)small_w * (size_t)small_h);
        ok = TRUE;
    }
    cz_memory_free(small);
    cz_memory_free(whole);
    return ok;
}
