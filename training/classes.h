// SPDX-License-Identifier: LGPL-3.0-or-later
// Colour as a classification (Zhang, Isola & Efros 2016): which of the squares of the a*b* plane a
// place has (cz/classes.h), asked of the decoder's features at 1/8 by a head that the prediction
// does not need; the colors suggested for a place are its modes.
//
// A place's truth, the mean over its chroma, is spread over the 5 nearest squares with a Gaussian
// of sigma 5. Its cross entropy counts by the balance w of its nearest square: w ~ 1 / (p / 2 + 1 /
// (2 Q)) with p the squares' shares in the training set, smoothed by the same spreading, and the
// mean of w over p 1.
//
// Tensors: those of cz/classes.h, which learn and go into the weights file, and "classes.balance"
// (1, Q, 1, 1), which is measured once, when a run begins.
#pragma once

#include <cz/classes.h>
#include <cz/ops.h>
#include <cz/plan.h>
#include <cz/unet.h>

#include "set.h"

// The nearest 5 squares of one color and their shares, which sum to 1; the nearest first.
enum { TRAIN_CLASSES_NEAREST = 5 };
typedef struct {
    int32_t index[TRAIN_CLASSES_NEAREST];
    float share[TRAIN_CLASSES_NEAREST];
} TrainClassShares;

typedef struct TrainClasses TrainClasses;
// For targets of this shape (n, Q, h, w). The store must hold the balance (CZ_ERROR_MODEL). MEMORY,
// BACKEND.
TrainClasses *train_classes_new(CzStore *store, CzShape target, GError **error);
void train_classes_free(TrainClasses *classes); // accepts NULL

void train_classes_spread(const TrainClasses *classes, const float ab[2], TrainClassShares *shares);
// chroma: (n, side, side, 2) a*b*/100. What the input `target` of train_classes_build() is due:
// shares times balance; borrowed until the next call. *n_elements: their number.
const float *train_classes_encode(TrainClasses *classes, const float *chroma, int32_t side,
                                  size_t *n_elements);

// Head and loss, a scalar: minus the mean over places of the sum over squares of target times
// log(share). features: (n, c, h, w) F32. *target becomes the input.
CzValue train_classes_build(CzGraph *graph, CzValue features, CzValue *target);

// Tensors that learn; width: the features' channels. As cz_unet_each().
bool train_classes_each(int32_t width, bool (*visit)(void *user, const CzUnetTensor *tensor),
                        void *user);
// What the store lacks of them: small random weights, and a balance of 1. MEMORY, BACKEND.
bool train_classes_start(CzStore *store, int32_t width, uint64_t seed, GError **error);
// Measures the balance on the set's training pictures (at most 2,000, evenly spaced; the share
// held_back is left out) and puts it into the store. The same set gives the same. CZ_ERROR_ARGUMENT
// (no pictures), MEMORY, BACKEND.
bool train_classes_measure(CzStore *store, const TrainSet *set, double held_back, GError **error);
