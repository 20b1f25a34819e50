// SPDX-License-Identifier: LGPL-3.0-or-later
// Steps that fall out of line: loss or gradient norm far above those of the last steps (the idea is
// llm.c's, Karpathy 2024).
//
// The limit of a step is mean + z * deviation of the window as earlier steps have left it, so that
// it is known before the step runs and the gate inside the step can close on it. A step that was
// left out counts in the window all the same: a loss that rises for good is soon in line.
#pragma once

#include <cz/plan.h>

#define TRAIN_OUTLIERS        "window" // name in the store
#define TRAIN_OUTLIERS_WINDOW 128

// As it lies in the store, (1, 259, 1, 1).
typedef struct {
    float next, n; // where the next step's figures go; how many are there
    float n_found; // outliers so far, whatever has left the window
    float loss[TRAIN_OUTLIERS_WINDOW], norm[TRAIN_OUTLIERS_WINDOW];
} TrainOutliers;

// The errors of cz_store_add, _read, _write.
bool train_outliers_start(CzStore *store, GError **error); // empty
bool train_outliers_read(TrainOutliers *outliers, CzStore *store, GError **error);
bool train_outliers_write(const TrainOutliers *outliers, CzStore *store, GError **error);

// The largest loss and norm that are in line; FLT_MAX as long as the window is not full.
void train_outliers_limits(const TrainOutliers *outliers, double z, float limits[2]);
// Takes a step's figures in; what is not finite is passed over.
void train_outliers_add(TrainOutliers *outliers, float loss, float norm);
void train_outliers_clear(TrainOutliers *outliers); // the window, not the count
