// SPDX-License-Identifier: LGPL-3.0-or-later
// Hints for measuring: places of a picture whose true color is told.
#pragma once

#include <cz/hints.h>

#include "picture.h"

// The protocol of Zhang et al. 2017 ("Real-time user-guided image colorization", their test sweep):
// n patches of 6 x 6 pixels at random places, each with its mean true a*b*. The first k of n are
// the k for the same seed and picture number.
#define TRAIN_HINT_SIDE 6
typedef enum {
    TRAIN_PLACES_UNIFORM,
    TRAIN_PLACES_NORMAL, // around the middle, deviation a quarter of the side: their code's default
} TrainHintPlaces;
void train_hints_sample(const TrainImage *picture, TrainHintPlaces places, uint64_t seed,
                        uint64_t number, CzDab *dabs, size_t n);

// How much numbers of hints gain over no hint.
#define TRAIN_HINTS_MOST_COUNTS 8
#define TRAIN_HINTS_MOST        1000
typedef struct {
    TrainHintPlaces places;
    double reach; // as in CzSettings
    size_t n;
    int counts[TRAIN_HINTS_MOST_COUNTS];
    double gains[TRAIN_HINTS_MOST_COUNTS]; // dB of PSNR (RGB, 8 bit), mean over the pictures
} TrainHints;

// Their published curve, gain over no hint on their 1,000 pictures at 256 px (the authors' file
// psnrs_siggraph.npy): 0.14 dB of standard error.
#define TRAIN_HINTS_PUBLISHED 7
extern const int train_hints_published_counts[TRAIN_HINTS_PUBLISHED];
extern const double train_hints_published_gains[TRAIN_HINTS_PUBLISHED];
#define TRAIN_HINTS_CURVE "1,2,5,10,20,50,100" // the same numbers

// "1,5,10": numbers from 1 to TRAIN_HINTS_MOST. FALSE for anything else; gains are zeros.
bool train_hints_parse(TrainHints *hints, const char *text);
// Adds one of n_pictures to the gains: its chroma, without hints, is left with some. The places
// depend on the picture alone.
bool train_hints_add(TrainHints *hints, CzColorizer *colorizer, CzChroma *chroma,
                     const TrainImage *picture, size_t n_pictures, GError **error);
