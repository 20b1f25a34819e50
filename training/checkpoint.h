// SPDX-License-Identifier: LGPL-3.0-or-later
// Checkpoints that resume bit for bit, and the weights that go into the plug-in.
//
// A run's folder holds two checkpoints, checkpoint-0 and checkpoint-1.safetensors: weights,
// moments, averages (F32), step, recipe and set. A new one replaces the older, atomically, so that
// a damaged one always has its predecessor. Order of data and random numbers are functions of set,
// seed and step.
//
// Beside them may lie good.safetensors (what a rollback goes back to), best.safetensors (weights)
// and step-STEP.safetensors (checkpoints that stay).
#pragma once

#include <cz/plan.h>

#include "recipe.h"

typedef struct {
    int64_t step; // steps done
    char *log;    // train_log_state(); may be NULL, as the next
    char *watch;  // train_watch_text()
    char *bits;   // CzDeviceInfo.same_bits of what trained; may be NULL
    bool clean;   // no alarm was pending
} TrainProgress;

void train_progress_clear(TrainProgress *progress);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TrainProgress, train_progress_clear)

// set: train_set_hash(). CZ_ERROR_IO, MEMORY, BACKEND: both old checkpoints are intact.
bool train_checkpoint_save(const char *folder, CzStore *store, const TrainRecipe *recipe,
                           uint64_t set, const TrainProgress *progress, GError **error);

// Whether there may be one to load.
bool train_checkpoint_is_there(const char *folder);
// Fills the store from the newest sound checkpoint; *note (caller frees) says if a damaged one was
// passed over, or if run.bf16 is another one. CZ_ERROR_IO: there is none; CZ_ERROR_RECIPE: made
// with another recipe ([run] and [model] may differ) or another set. The caller clears progress.
bool train_checkpoint_load(const char *folder, CzStore *store, const TrainRecipe *recipe,
                           uint64_t set, TrainProgress *progress, char **note, GError **error);

// After a save or a load: keeps, as DIR/good.safetensors, the last checkpoint but one if both were
// clean (it has stood the test of the steps since), or the very first clean one. Links, no copies,
// where the file system has them. CZ_ERROR_IO.
bool train_checkpoint_settle(const char *folder, GError **error);
// As train_checkpoint_load(), from good.safetensors. CZ_ERROR_IO: there is none.
bool train_checkpoint_load_good(const char *folder, CzStore *store, const TrainRecipe *recipe,
                                uint64_t set, TrainProgress *progress, GError **error);
// Keeps the newest checkpoint for good, as DIR/step-STEP.safetensors. CZ_ERROR_IO.
bool train_checkpoint_keep(const char *folder, GError **error);

// The moving averages as F16 with all colorize.* metadata: what plug-in and apply read.
bool train_weights_save(const char *path, CzStore *store, const TrainRecipe *recipe, int64_t step,
                        GError **error);
// Which way run.best's metrics are better: 1 up, -1 down, 0 no such metric.
int train_best_sign(const char *metric);
// The same as DIR/best.safetensors, if score is better than the one that this file has in its
// metadata for the same metric ("colorize.best" METRIC, "colorize.best_score"), or there is none.
bool train_weights_save_best(const char *folder, CzStore *store, const TrainRecipe *recipe,
                             int64_t step, double score, GError **error);
