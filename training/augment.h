// SPDX-License-Identifier: LGPL-3.0-or-later
// A picture of the set to one training sample: a random part at a random scale, perhaps mirrored,
// its lightness perhaps bent.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include <cz/rng.h>

#include "degrade.h"
#include "set.h"

G_BEGIN_DECLS

typedef struct {
    int32_t crop; // px of a sample's side, even
    // The picture's shorter side is scaled to a size drawn evenly from scale_min to scale_max times
    // crop, but never so small that a sample would not fit. At least 1.
    float scale_min, scale_max;
    float flip; // probability of being mirrored
    // With this probability L* becomes 100 (L* / 100)^g with g = exp(N(0, sigma)): the network sees
    // prints of every tone curve, while the colours to be learnt stay the photograph's own.
    float gamma_probability, gamma_sigma;
    TrainDegradeParams degrade; // of the lightness, before the bend
    // Pixels that a place of the chroma stands for, along each side: 1, 2 or 4, and crop is a
    // multiple; 0: 2.
    int32_t stride;
} TrainAugmentParams;

int32_t train_augment_stride(const TrainAugmentParams *params); // of the chroma, never 0

// CZ_ERROR_ARGUMENT says which value is impossible.
bool train_augment_check(const TrainAugmentParams *params, GError **error);

// Scratch memory, one for each thread.
typedef struct TrainAugmenter TrainAugmenter;
TrainAugmenter *train_augmenter_new(void);
void train_augmenter_free(TrainAugmenter *augmenter); // accepts NULL
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TrainAugmenter, train_augmenter_free)

// lightness: crop * crop, L*/50 - 1 after degradations and bend. chroma: (crop/s) * (crop/s) * 2,
// a*b*/100, mean over s x s places of the sample, s: the stride. Resampling is in L*a*b*, by area
// down and bilinear up. What comes out hangs on the picture, params and rng alone. CZ_ERROR_MEMORY.
bool train_augment(TrainAugmenter *augmenter, const TrainAugmentParams *params,
                   const TrainPicture *picture, CzRng *rng, float *lightness, float *chroma,
                   GError **error);

G_END_DECLS
