// SPDX-License-Identifier: LGPL-3.0-or-later
// A look at a run while it goes on: metrics on held-back pictures, and a sample sheet.
#pragma once

#include "log.h"
#include "run.h"
#include "scores.h"

// Colorizes held-back pictures of the set with DIR/ema.safetensors as the plug-in would: prints a
// line, tells it to the log, replaces DIR/sheet.png (rows grey, output, truth; the same photographs
// each time) and adds DIR/sheets/STEP.png. A set too small to hold pictures back is no error
// (mean->n is 0 then), nor is a sheet that cannot be written.
bool train_validate(const TrainRunOptions *options, TrainLog *log, int64_t step, TrainScores *mean,
                    GError **error);
// The sheet alone.
bool train_show(const TrainRunOptions *options, TrainLog *log, int64_t step, GError **error);
