// SPDX-License-Identifier: LGPL-3.0-or-later
// What hints are learned from: random places of photographs, as the regression of hints sees them.
#pragma once

#include <cz/hint_head.h>

#include "set.h"

// Places of a picture: enough for any number of hints, and for places to be judged by them.
#define TRAIN_HINT_POINTS 384

// A point: the truth of a patch (TRAIN_HINT_SIDE), and what the network says there.
typedef struct {
    CzHintPlace place;
    float truth[2]; // mean a*b* of the patch
} TrainHintPoint;

typedef struct {
    size_t n_pictures;
    int32_t n_maps, channels;
    TrainHintPoint *points; // n_pictures * TRAIN_HINT_POINTS
    float *features;        // as many * n_maps * channels, normalized (cz/hint_head.h)
} TrainHintPoints;

// At most n_most pictures of a set, evenly chosen among those held back (share) or all others, seen
// as in evaluation (size 256). The colorizer's network must have no head of hints. CZ_ERROR_MEMORY,
// BACKEND, NUMERIC; RECIPE: there are none.
bool train_hint_points_init(TrainHintPoints *points, CzColorizer *colorizer, const TrainSet *set,
                            double share, bool held_back, size_t n_most, GError **error);
void train_hint_points_clear(TrainHintPoints *points); // accepts a zeroed one

// The first principal directions of the features (n_directions * channels, orthonormal), by
// subspace iteration (Golub & Van Loan 2013, 8.2.4).
void train_hint_points_directions(const TrainHintPoints *points, int32_t n_directions,
                                  float *directions);
