// SPDX-License-Identifier: LGPL-3.0-or-later
// What changes in the course of a training: rates, phases, the size of the crops. All of it is a
// function of recipe and step alone, so that a resumed run is where the uninterrupted one was.
#pragma once

#include "recipe.h"

typedef enum {
    TRAIN_SCHEDULE_COSINE,   // half a cosine down to 0 (Loshchilov & Hutter 2017, one period)
    TRAIN_SCHEDULE_LINEAR,   // constant up to `hold`, then straight down to 0
    TRAIN_SCHEDULE_STEP,     // constant up to `hold`, halved there and after every `halve_every`
    TRAIN_SCHEDULE_CONSTANT, // as it is
    TRAIN_N_SCHEDULES
} TrainScheduleKind;

// FALSE: no schedule has this name.
bool train_schedule_of(const char *name, TrainScheduleKind *kind);

typedef struct {
    TrainScheduleKind kind;
    double warmup;            // steps of linear rise in front
    double hold, halve_every; // steps
} TrainSchedule;

// The rate at a step (from 0) of n_steps; top: the highest.
double train_schedule_rate(const TrainSchedule *schedule, double top, int64_t step,
                           int64_t n_steps);

// The critic's learning rate; step: of the training. 0 as long as it does not learn.
double train_recipe_critic_rate(const TrainRecipe *recipe, int64_t step);
// The first step in which a critic learns, if there is one.
int64_t train_recipe_gan_step(const TrainRecipe *recipe);
// Pictures that a step learns from: train.batch * train.accumulate.
int64_t train_recipe_per_step(const TrainRecipe *recipe);

// Progressive growing (Karras et al. 2018, without fading: the networks here do not hang on size).
#define TRAIN_MOST_SIZES 8
typedef struct {
    int n;                           // 1 without data.sizes
    int32_t crops[TRAIN_MOST_SIZES]; // pixels
    double from[TRAIN_MOST_SIZES];   // share of the training where each begins; the first is 0
} TrainSizes;
// CZ_ERROR_RECIPE: data.sizes or data.grow-at cannot be meant.
bool train_recipe_sizes(const TrainRecipe *recipe, TrainSizes *sizes, GError **error);
// Side of the crops, pixels. By data.sizes, if there are any: the recipe's own crop may be the one
// of a stage.
int32_t train_recipe_crop(const TrainRecipe *recipe, int64_t step);
// FALSE: this step looks at other losses or sizes than the one before it.
bool train_recipe_goes_on(const TrainRecipe *recipe, int64_t step);
