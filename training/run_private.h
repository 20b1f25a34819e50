// SPDX-License-Identifier: LGPL-3.0-or-later
// What the files about a run share.
#pragma once

#include "checkpoint.h"
#include "gan.h"
#include "loader.h"
#include "log.h"
#include "run.h"
#include "schedule.h"
#include "step.h"
#include "watch.h"

typedef struct {
    const TrainRunOptions *options;
    const TrainRecipe *recipe; // scaled
    TrainRecipe scaled;        // the options' with rates as rollbacks have left them
    int lock;                  // descriptor; -1: none
    CzEngineDevice *device;
    CzStore *store;
    TrainPhase phase;
    TrainRecipe stage;   // the recipe with the crops' size of now
    TrainStep *step;     // of phase and stage
    TrainCritic *critic; // NULL as long as it does not learn
    float *fake;         // the generator's color, for the critic
    TrainLoader *loader;
    const TrainBatch *next; // taken from the loader, and not learned from yet; NULL: none
    TrainLog *log;
    int64_t done, steps, end; // end: where this process stops
    int32_t run_of_step;      // with train.accumulate, from 0
    int64_t ran;              // steps of this process
    int64_t skipped;          // steps in a row without an update
    int64_t outliers;         // steps left out as such, in the whole training
    float gamut;              // of the last line's step
    TrainWatch watch;
    double began, saved;        // seconds
    double waited;              // for loaders that are gone, seconds
    double norm;                // of the last step's gradient
    TrainProgress progress;     // of the checkpoint that it went on from
    TrainCriticScalars verdict; // of the step
    bool judged;                // the critic had its turn in it
} TrainRun;

// The rank that writes files and speaks.
static inline bool run_is_first(const TrainRun *run)
{
    return train_ranks_first(run->options->ranks);
}

// Plans and batches for what the next step has to do; each phase and each size begin once.
bool run_enter_phase(TrainRun *run, GError **error);
void run_close_loader(TrainRun *run);
