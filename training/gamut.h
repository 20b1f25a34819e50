// SPDX-License-Identifier: LGPL-3.0-or-later
// How much of a batch's color no screen shows.
#pragma once

#include <stdint.h>

// Share of the chroma's places whose color lies outside sRGB's gamut, before apply would lower it.
// lightness (n, crop, crop, 1) L*/50 - 1; chroma (n, crop/stride, crop/stride, 2) ab/100, at the
// mean lightness of its pixels. What is not a number lies outside.
float train_gamut_share(const float *lightness, const float *chroma, int32_t n, int32_t crop,
                        int32_t stride);
