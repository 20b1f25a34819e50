// SPDX-License-Identifier: LGPL-3.0-or-later
// What a run says of itself: log.csv, log.jsonl, validation.csv and TensorBoard's events
// (events.out.tfevents.colorizer), from one table of scalars.
//
// A line is the mean over the steps since the line before (losses, norms, chroma, the critic's
// figures), or the state at its step (rates, speed). In log.jsonl and in the events a scalar that
// no step since then had is left out (the critic's, before there is one); log.csv has 0 there.
#pragma once

#include "csv.h"
#include "gan.h"
#include "step.h"

typedef struct {
    const char *folder;
    int64_t steps; // of the whole training
    int32_t batch;
    const char *state; // of train_log_state(), to go on from there; NULL: a new run
} TrainLogOptions;

// What is no mean over steps.
typedef struct {
    float rate, rate_encoder, rate_critic;
    float gamut; // share of the output's places outside sRGB's gamut, in the line's last step
    float images_per_s; // since the process began, as the next
    float loader_wait;  // share of the time
    float rollbacks;    // so far
    float outliers;     // so far (outliers.h)
} TrainPace;

typedef struct TrainLog TrainLog;

// Opens the files of a run's folder and cuts off what was written after state. CZ_ERROR_IO. Later
// failures to write are told once on stderr and stop nothing.
TrainLog *train_log_new(const TrainLogOptions *options, GError **error);
void train_log_free(TrainLog *log); // accepts NULL
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TrainLog, train_log_free)

// One step; critic: NULL where it had no turn. Values that are not finite are left out of means.
// Each of the step's loss terms has a column loss.NAME, from its first step on.
void train_log_add(TrainLog *log, const TrainScalars *scalars, const TrainCriticScalars *critic);
// A line for the files and one for stdout; means begin anew.
void train_log_line(TrainLog *log, int64_t step, const TrainPace *pace);
// The mean of a column in the last line of this process; NAN: there is none, or no step had it.
double train_log_last(const TrainLog *log, const char *column);
// Figures of a validation: a row of validation.csv.
void train_log_validation(TrainLog *log, int64_t step, const TrainCell *figures, size_t n_figures);
// A PNG, for TensorBoard.
void train_log_sheet(TrainLog *log, int64_t step, const char *path);
// Something that happened, in words: a line of log.jsonl with the keys step, event and text.
void train_log_event(TrainLog *log, int64_t step, const char *event, const char *text);

// Where the files end and what the means have so far, as JSON for a checkpoint; what it counts is
// on the disk then. The caller frees.
char *train_log_state(TrainLog *log);
