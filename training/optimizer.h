// SPDX-License-Identifier: LGPL-3.0-or-later
// How weights learn from a loss, the same for generator and critic: gradients, their norm, the gate
// that all of them go through, and the update of each weight, as nodes of the caller's graph.
//
// Accumulation: every `accumulate` runs of the plan are one step. A run adds its gradients to means
// in the store; the last one of a step updates from these, so that the step is that of one batch
// which is so many times larger, wherever the loss is a mean over pictures.
#pragma once

#include <glib.h>

#include <cz/ops.h>
#include <cz/plan.h>

// Names in the store: "NAME" the weight, "m/NAME" and "v/NAME" Adam's moments, "ema/NAME" the
// moving average, "mean/NAME" the gradient of a step so far, if it has several runs.
#define TRAIN_M    "m/"
#define TRAIN_V    "v/"
#define TRAIN_EMA  "ema/"
#define TRAIN_MEAN "mean/"

// FALSE: no optimizer has this name (adamw, adam, adabelief).
bool train_optimizer_of(const char *name, CzAdamKind *kind);

typedef struct {
    const char *name; // of who learns: "mean/NAME.loss"; must outlive the optimizer
    CzAdamKind kind;
    double beta1, beta2, epsilon;
    double clip;        // largest norm of the gradient; 0: no limit
    double skip_z;      // leave out steps so many deviations out of line (outliers.h); 0: none
    bool average;       // keep "ema/NAME" of every weight
    int32_t accumulate; // runs a step; 0: 1
} TrainOptimizerParams;

// One thread at a time. Values are nodes of the graph, which must outlive it.
typedef struct {
    CzGraph *graph;
    TrainOptimizerParams params;
    CzValue rates;  // input (1, 4, 1, 1), as cz_adamw() has it
    CzValue limits; // input (1, 2, 1, 1): largest loss and norm; with skip_z
    CzValue parts;  // input (1, 3, 1, 1): weight of the mean so far, of this run; 1 in the last run
    CzValue sound;  // scalar: 0 if this run must not enter the mean; with accumulate
    CzValue loss;   // scalar: the mean of the step's runs so far, and of all ranks
    CzValue norm;   // scalar: of its gradient, before clipping
    CzValue gate; // scalar: 0 leaves the step out, below 1 clips; a caller may multiply it by more
                  // before train_optimizer_updates()
    CzValue report; // all numbers that are read after a run, in one piece
    float *numbers; // the last run's
    size_t n_numbers;
    GArray *weights;
    GArray *effects;  // of CzValue: what the plan has to put out so that the weights move
    int32_t run;      // of the step, from 0: the next one
    int32_t last_run; // the one that was read
    bool broken;      // one of the step's runs was not sound
} TrainOptimizer;

typedef struct {
    float loss, norm, gate; // as they are after this run of the step; a step of which one run was
                            // not sound ends with NAN
    bool outlier;           // left out because it was out of line
    int64_t n_outliers;     // in the whole training
} TrainUpdate;

// Adds the inputs. Clear what has been initialised; clearing twice is allowed.
void train_optimizer_init(TrainOptimizer *optimizer, CzGraph *graph,
                          const TrainOptimizerParams *params);
void train_optimizer_clear(TrainOptimizer *optimizer);

// A tensor that is to learn. rate_scale: times the rate; decay: of this weight.
void train_optimizer_add(TrainOptimizer *optimizer, const char *name, CzShape shape,
                         double rate_scale, double decay);
// Gradient of the loss (a scalar) for every tensor added; sets loss, norm and gate. A loss that is
// not finite closes the gate.
void train_optimizer_gradients(TrainOptimizer *optimizer, CzValue loss);
// The update of every tensor, behind the gate: appends to effects.
void train_optimizer_updates(TrainOptimizer *optimizer);

typedef struct {
    double rate, ema; // ema: decay of the average
    int64_t index;    // of the step, from 0
    bool fresh;       // the window of losses begins anew
} TrainMoment;

// Adds to the store what the optimizer itself keeps there and is not there yet: means, the window
// of losses. Before the plan is made. CZ_ERROR_MEMORY, BACKEND, MODEL.
bool train_optimizer_prepare(const TrainOptimizer *optimizer, CzStore *store, GError **error);
// What is to be read after each run beside loss, norm and gate: n scalars in F32. Once, after
// train_optimizer_updates() or when gate is final; the plan has to put out the report.
void train_optimizer_report(TrainOptimizer *optimizer, const CzValue *values, size_t n);
// Before each run of the plan, and after it: writes the inputs; reads the report, all of it at
// once, as each reading waits for the device. The plan puts out report and effects; store: the
// plan's. Errors as those of plan and store.
bool train_optimizer_before(TrainOptimizer *optimizer, CzPlan *plan, CzStore *store,
                            const TrainMoment *moment, GError **error);
bool train_optimizer_after(TrainOptimizer *optimizer, CzPlan *plan, CzStore *store,
                           TrainUpdate *update, GError **error);
// After that: *mean becomes the mean over the step's runs so far of the index-th of the report's
// values.
void train_optimizer_read(const TrainOptimizer *optimizer, size_t index, float *mean);

// Puts what belongs to one weight into the store: moments at zero and, if average, the average at
// the weight itself, which must be there. CZ_ERROR_MODEL, MEMORY, BACKEND.
bool train_optimizer_start(CzStore *store, const char *name, CzShape shape, bool average,
                           GError **error);
