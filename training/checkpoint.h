// SPDX-License-Identifier: LGPL-3.0-or-later
// Checkpoints that resume bit for bit, and the weights that go into the plug-in.
//
// A run's folder holds two checkpoints, checkpoint-0 and checkpoint-1.safetensors: weights,
// moments, averages (F32), step, recipe and set. A new one replaces the older, atomically, so that
// a damaged one always has its predecessor. Order of data and random numbers are functions of set,
// seed and step.
#pragma once

#include <cz/plan.h>

#include "recipe.h"

// set: train_set_hash(); step: steps done. CZ_ERROR_IO, MEMORY, BACKEND: both old checkpoints are
// intact.
bool train_checkpoint_save(const char *folder, CzStore *store, const TrainRecipe *recipe,
                           uint64_t set, int64_t step, GError **error);

// Fills the store from the newest sound checkpoint; *note (caller frees) says if a damaged one was
// passed over. CZ_ERROR_IO: there is none; CZ_ERROR_RECIPE: made with another recipe ([run] and
// [model] may differ) or another set.
bool train_checkpoint_load(const char *folder, CzStore *store, const TrainRecipe *recipe,
                           uint64_t set, int64_t *step, char **note, GError **error);

// The moving averages as F16 with all colorize.* metadata: what plug-in and apply read.
bool train_weights_save(const char *path, CzStore *store, const TrainRecipe *recipe, int64_t step,
                        GError **error);
