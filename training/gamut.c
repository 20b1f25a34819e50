// SPDX-License-Identifier: LGPL-3.0-or-later
// Counting places outside the gamut.
#include "gamut.h"

#include <stddef.h>

#include <cz/color.h>

float train_gamut_share(const float *lightness, const float *chroma, int32_t n, int32_t crop,
                        int32_t stride)
{
    size_t size = (size_t)crop, pool = (size_t)stride, side = size / pool, outside = 0;
    size_t rows = (size_t)n * side;
    for (size_t y = 0; y < rows; y++) {
        for (size_t x = 0; x < side; x++) {
            const float *ab = chroma + 2 * (y * side + x);
            float sum = 0;
            for (size_t i = 0; i < pool * pool; i++)
                sum += lightness[(y * pool + i / pool) * size + x * pool + i % pool];
            const float lab[3] = {50 * (sum / (float)(pool * pool) + 1), 100 * ab[0], 100 * ab[1]};
            outside += !cz_lab_in_gamut(lab);
        }
    }
    return (float)outside / (float)(rows * side);
}
