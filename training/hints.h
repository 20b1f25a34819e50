// SPDX-License-Identifier: LGPL-3.0-or-later
// Hints for measuring: places of a picture whose true color is told.
#pragma once

#include <cz/hints.h>

#include "picture.h"

// The protocol of Zhang et al. 2017 ("Real-time user-guided image colorization", their test sweep):
// n patches of 6 x 6 pixels at random places, each with its mean true a*b*. The first k of n are
// the k for the same seed and picture number.
#define TRAIN_HINT_SIDE 6
void train_hints_sample(const TrainImage *picture, uint64_t seed, size_t number, CzDab *dabs,
                        size_t n);

// How much numbers of hints gain over no hint.
#define TRAIN_HINTS_MOST_COUNTS 8
#define TRAIN_HINTS_MOST        1000
typedef struct {
    size_t n;
    int counts[TRAIN_HINTS_MOST_COUNTS];
    double gains[TRAIN_HINTS_MOST_COUNTS]; // dB of PSNR (RGB, 8 bit), mean over the pictures
} TrainHints;

// "1,5,10": numbers from 1 to TRAIN_HINTS_MOST. FALSE for anything else; gains are zeros.
bool train_hints_parse(TrainHints *hints, const char *text);
// Fills gains; reach as in CzSettings.
bool train_hints_measure(TrainHints *hints, const char *weights, const char *device, double reach,
                         const TrainImage *pictures, size_t n, GError **error);
