// SPDX-License-Identifier: LGPL-3.0-or-later
// Hints for measuring.
#include "hints.h"

#include <cz/color.h>
#include <cz/rng.h>

static CzDab patch(const TrainImage *picture, int32_t left, int32_t top)
{
    int32_t w = MIN(TRAIN_HINT_SIDE, picture->width), h = MIN(TRAIN_HINT_SIDE, picture->height);
    double sums[3] = {0};
    for (int32_t i = 0; i < w * h; i++) {
        float lab[3];
        const uint8_t *pixel = picture->rgb + 3 * ((size_t)(top + i / w) * (size_t)picture->width +
                                                   (size_t)(left + i % w));
        for (int k = 0; k < 3; k++)
            lab[k] = (float)pixel[k] / 255;
        cz_rgb_to_lab(lab, lab, 1);
        for (int k = 0; k < 3; k++)
            sums[k] += lab[k] / (w * h);
    }
    return (CzDab){.x = ((float)left + 0.5f * (float)w) / (float)picture->width,
                   .y = ((float)top + 0.5f * (float)h) / (float)picture->height,
                   .l = (float)sums[0],
                   .a = (float)sums[1],
                   .b = (float)sums[2],
                   .weight = 1};
}

void train_hints_sample(const TrainImage *picture, uint64_t seed, size_t number, CzDab *dabs,
                        size_t n)
{
    CzRng rng = cz_rng(seed, number);
    uint32_t columns = (uint32_t)MAX(picture->width - TRAIN_HINT_SIDE + 1, 1);
    uint32_t rows = (uint32_t)MAX(picture->height - TRAIN_HINT_SIDE + 1, 1);
    for (size_t i = 0; i < n; i++) {
        int32_t left = (int32_t)cz_rng_below(&rng, columns);
        dabs[i] = patch(picture, left, (int32_t)cz_rng_below(&rng, rows));
    }
}
