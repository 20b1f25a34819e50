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
