// SPDX-License-Identifier: LGPL-3.0-or-later
// What a mere factor on chroma makes of weights: gain over grey against colourfulness.
//
// Weights are better only if they give more decibels at equal colourfulness: a paler picture always
// has the smaller error.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "picture.h"

#define TRAIN_FRONTIER_STEPS  17 // strengths 0.4, 0.5, ... 2
#define TRAIN_FRONTIER_PLACES 4  // 60, 70, 80 and 90 % of the true colourfulness

typedef struct {
    size_t n; // pictures, at the last strength
    double gains[TRAIN_FRONTIER_STEPS], colourfulness[TRAIN_FRONTIER_STEPS]; // sums
    double colourfulness_true;                                               // sum
} TrainFrontier; // zeroed: nothing measured

double train_frontier_strength(size_t step);
extern const int train_frontier_percents[TRAIN_FRONTIER_PLACES];

// Adds one picture's output at the strength of this step; every picture at all steps.
void train_frontier_add(TrainFrontier *frontier, size_t step, const TrainImage *truth,
                        const TrainImage *output, double psnr_grey);

// Mean gain over grey, dB, where the mean CF is so much of the true one: between two strengths on a
// straight line. NaN: no strength gives it.
double train_frontier_gain(const TrainFrontier *frontier, double percent);
