// SPDX-License-Identifier: LGPL-3.0-or-later
// Means of the metrics over a set of pictures, for one weights file.
#pragma once

#include "picture.h"

typedef struct {
    size_t n;
    double psnr, psnr_grey; // dB; the gain over grey is their difference
    double ssim, delta_e;   // output against truth
    double ssim_grey, delta_e_grey;
    double colourfulness, colourfulness_true; // signed CF of output and truth
    double seconds;                           // predict and apply, a picture
} TrainScores;

// Adds one picture's figures (sums; divide with train_scores_mean at the end).
void train_scores_add(TrainScores *scores, const TrainImage *truth, const TrainImage *grey,
                      const TrainImage *output);
TrainScores train_scores_mean(const TrainScores *sums);

// Colorizes every picture with the weights and measures it. worn: the network sees the pictures
// made old (worn.h), and its color is judged at their true lightness. outputs (n, may be NULL)
// keeps the first n_outputs results.
bool train_scores_measure(const char *weights, const char *device, double strength, bool worn,
                          const TrainImage *pictures, size_t n, TrainImage *outputs,
                          size_t n_outputs, TrainScores *mean, GError **error);
