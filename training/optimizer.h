// SPDX-License-Identifier: LGPL-3.0-or-later
// How weights learn from a loss, the same for generator and critic: gradients, their norm, the gate
// that all of them go through, and the update of each weight, as nodes of the caller's graph.
#pragma once

#include <glib.h>

#include <cz/ops.h>
#include <cz/plan.h>

// Names in the store: "NAME" the weight, "m/NAME" and "v/NAME" Adam's moments, "ema/NAME" the
// moving average.
#define TRAIN_M   "m/"
#define TRAIN_V   "v/"
#define TRAIN_EMA "ema/"

typedef struct {
    double beta1, beta2, epsilon;
    double clip;  // largest norm of the gradient; 0: no limit
    bool average; // keep "ema/NAME" of every weight
} TrainOptimizerParams;

// One thread at a time. Values are nodes of the graph, which must outlive it.
typedef struct {
    CzGraph *graph;
    TrainOptimizerParams params;
    CzValue rates; // input (1, 4, 1, 1): train_optimizer_rates()
    CzValue norm;  // scalar: of the gradient, before clipping
    CzValue gate;  // scalar: 0 leaves the step out, below 1 clips; a caller may multiply it by more
                   // before train_optimizer_updates()
    GArray *weights;
    GArray *effects; // of CzValue: what the plan has to put out so that the weights move
} TrainOptimizer;

// Adds the input `rates`. Clear what has been initialised; clearing twice is allowed.
void train_optimizer_init(TrainOptimizer *optimizer, CzGraph *graph,
                          const TrainOptimizerParams *params);
void train_optimizer_clear(TrainOptimizer *optimizer);

// A tensor that is to learn. rate_scale: times the rate; decay: of this weight.
void train_optimizer_add(TrainOptimizer *optimizer, const char *name, CzShape shape,
                         double rate_scale, double decay);
// Gradient of the loss (a scalar) for every tensor added; sets norm and gate. A loss that is not
// finite closes the gate.
void train_optimizer_gradients(TrainOptimizer *optimizer, CzValue loss);
// The update of every tensor, behind the gate: appends to effects.
void train_optimizer_updates(TrainOptimizer *optimizer);
// What to write into the input `rates` at step `index` (from 0). ema: decay of the average.
void train_optimizer_rates(const TrainOptimizer *optimizer, double rate, double ema, int64_t index,
                           float rates[4]);

// Puts what belongs to one weight into the store: moments at zero and, if average, the average at
// the weight itself, which must be there. CZ_ERROR_MODEL, MEMORY, BACKEND.
bool train_optimizer_start(CzStore *store, const char *name, CzShape shape, bool average,
                           GError **error);
