// SPDX-License-Identifier: LGPL-3.0-or-later
// Distances as a pretrained network sees them: EfficientNet-lite0's trunk, which knows ImageNet.
//
// Built like LPIPS (Zhang, Isola, Efros, Shechtman & Wang 2018) and FID (Heusel et al. 2017), but
// on another network, and without weights learned from what people see: the numbers are not theirs
// and not to be compared with them. One thread at a time.
#pragma once

#include <cz/encoder.h>

#include "picture.h"

#define TRAIN_EYE_VALUES 320 // of the last level, what a picture is summed up in

typedef struct TrainEye TrainEye;

// path: the trunk's file (training/pretrained). CZ_ERROR_IO, FORMAT, MODEL, BACKEND, MEMORY.
TrainEye *train_eye_open(const char *path, const char *device, GError **error);
void train_eye_free(TrainEye *eye); // accepts NULL
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TrainEye, train_eye_free)

// What is seen of one picture; zeroed before the first use, used again for others.
typedef struct {
    float *levels[CZ_ENCODER_LEVELS];   // places x channels, of length 1 along the channels
    size_t n_places[CZ_ENCODER_LEVELS]; // 0: nothing seen yet
    float summary[TRAIN_EYE_VALUES];    // mean of the last level over all places, as it is
} TrainSight;
bool train_eye_see(TrainEye *eye, const TrainImage *picture, TrainSight *sight, GError **error);
void train_sight_clear(TrainSight *sight); // accepts a zeroed one

// Squared difference of two sights of equal size, summed over the channels, mean over the places,
// summed over the five levels: 0 for equal ones, 4 a level for opposite ones.
double train_sight_distance(const TrainSight *a, const TrainSight *b);
