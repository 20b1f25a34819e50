// SPDX-License-Identifier: LGPL-3.0-or-later
// A training run: the loop around steps, with its log, checkpoints and weights in one folder.
#pragma once

#include <signal.h>

#include <cz/plan.h>

#include "ranks.h"
#include "recipe.h"
#include "set.h"

enum { TRAIN_DEVICE_ID = 32 };

typedef struct {
    const TrainRecipe *recipe;
    const TrainSet *set;
    const char *folder;
    const char *device; // NULL: auto
    int n_loaders;      // threads that prepare batches
    bool resume;
    int64_t stop_after; // steps in all, with those before a resume, then as if stopped; 0: none
    double deadline;    // seconds of g_get_monotonic_time(): stop and save before; 0: none
    const TrainRanks *ranks;           // that train together; NULL: alone
    const volatile sig_atomic_t *stop; // of any rank, not 0: finish the step, save, return
    bool any_device; // resume on another device than the checkpoint's, even if deterministic
    char *opened;    // TRAIN_DEVICE_ID bytes that become the device's id, once it is open; or NULL
} TrainRunOptions;

// Ends with DIR/final.safetensors, or earlier with a checkpoint when stopped (*stopped). The run's
// folder: recipe.conf, lock, checkpoint-{0,1}, good, best and step-N.safetensors (checkpoint.h),
// log.csv, log.jsonl, validation.csv, events (log.h), ema.safetensors, sheet.png, sheets/,
// plots.png. Alarms (watch.h) take it back to good.safetensors; CZ_ERROR_NUMERIC after
// watch.max-rollbacks.
// With ranks, all call it alike; only the first writes and speaks. What fails on one rank alone
// ends all (TrainRanks.abort) after its sentence; else as train_ranks_agree() has it.
// A GPU that fails, and that was chosen by "auto", is left: the CPU goes on from the last
// checkpoint, or from the beginning where there is none. One that has no memory for the batch gets
// half of it, and twice as many runs a step.
bool train_run(const TrainRunOptions *options, bool *stopped, GError **error);
// The same on one device.
bool train_run_once(const TrainRunOptions *options, bool *stopped, GError **error);
