// SPDX-License-Identifier: LGPL-3.0-or-later
// One training step: forward, loss, backward, gated update, as one plan on one device.
#pragma once

#include <cz/plan.h>

#include "losses.h"
#include "optimizer.h" // names in the store
#include "recipe.h"

typedef struct {
    float loss;         // weighted sum, before the update
    float norm;         // of the gradient
    float gate;         // 0: the update was left out; below 1: clipped
    float chroma;       // mean of sqrt(a*^2 + b*^2) of the output, ab/100
    float chroma_true;  // of the truth
    float spread;       // sqrt(var a* + var b*) of the output over places and pictures, ab/100
    float spread_true;  // of the truth
    bool outlier;       // left out because loss or norm was out of line (outliers.h)
    int64_t n_outliers; // such steps in the whole training
    float gan;          // the term of this name; 0 without a critic
    TrainTerm terms[TRAIN_MOST_TERMS]; // of the loss (losses.h), the first n_terms
    int32_t n_terms;
} TrainScalars;

typedef struct TrainStep TrainStep;

// Fills an empty store with starting weights (recipe's encoder, start, seed), moments and averages.
// CZ_ERROR_IO, FORMAT, MODEL (encoder, start), RECIPE (start is another network), MEMORY, BACKEND.
bool train_step_start(CzStore *store, const TrainRecipe *recipe, GError **error);
// against_critic: with the loss that a critic gives (gan.h), whose weights are in the store then.
// device, store and recipe must outlive the step. CZ_ERROR_MODEL (the store lacks a tensor), SHAPE,
// BACKEND, MEMORY.
TrainStep *train_step_new(CzEngineDevice *device, CzStore *store, const TrainRecipe *recipe,
                          bool against_critic, GError **error);
void train_step_free(TrainStep *step);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TrainStep, train_step_free)

// Pictures of a step's batch on this device: its share, where ranks train together (plan.h).
int32_t train_batch_here(const CzEngineDevice *device, const TrainRecipe *recipe);

// lightness (batch, crop, crop, 1) L*/50 - 1; chroma (batch, crop/s, crop/s, 2) ab/100, s being the
// recipe's stride; index: the step's number from 0. A loss that is not finite is no error: gate is
// 0 then. With train.accumulate, so many calls with the same index are a step, the last one updates
// (gate is 0 in the others), and scalars, the same struct in all of them, are means over them.
// CZ_ERROR_BACKEND.
bool train_step_run(TrainStep *step, const float *lightness, const float *chroma, int64_t index,
                    TrainScalars *scalars, GError **error);
// Asked for in each run, as soon as the device works: what the next run will be given, so that it
// travels meanwhile. It must stay as it is until then. *lightness NULL: not known yet. FALSE fails
// the run with the error.
typedef bool (*TrainAhead)(void *user, const float **lightness, const float **chroma,
                           GError **error);
void train_step_look_ahead(TrainStep *step, TrainAhead ahead, void *user);
// The color of the last step, before its update: as chroma.
bool train_step_read_chroma(TrainStep *step, float *chroma, GError **error);
CzPlan *train_step_plan(TrainStep *step); // borrowed; for profiles
