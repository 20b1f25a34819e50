// SPDX-License-Identifier: LGPL-3.0-or-later
// Learning how hints spread: a head on frozen features, amplitudes and widths of the kernel,
// through the regression itself as nodes.
//
// A picture of a batch has a random number of hints, geometric with mean 8 (Zhang et al. 2017,
// "Real-time user-guided image colorization", 3.1), and other places that are to get their true
// color from them. The loss is the mean over pictures of log(mean squared error in a*b* + 20): the
// PSNR that hints gain, where 20 stands for what no hint can know. The regression is that of
// engine/color/hints.h, modest parts only.
#pragma once

#include <cz/plan.h>

#include "hint_points.h"

typedef struct {
    int32_t width;  // of the head, at most 256
    int32_t batch;  // pictures of a step
    int32_t hints;  // at most so many in a picture, up to 64
    int32_t judged; // other places of a picture; hints + judged at most TRAIN_HINT_POINTS
    int64_t steps;  // of a course
    double rate;    // of the head; ten times that for the kernel's numbers
    uint64_t seed;
} TrainHintFitOptions;
extern const TrainHintFitOptions train_hint_fit_default;

typedef struct TrainHintFit TrainHintFit;

// Starts from the principal directions of the points, amplitudes of 1 and the kernel of
// cz_hint_kernel(). device must outlive it. CZ_ERROR_BACKEND, MEMORY, SHAPE.
TrainHintFit *train_hint_fit_new(CzEngineDevice *device, const TrainHintPoints *points,
                                 const TrainHintFitOptions *options, GError **error);
void train_hint_fit_free(TrainHintFit *fit); // accepts NULL
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TrainHintFit, train_hint_fit_free)

// A course of options.steps on these points (of as many maps and channels as at first), the rate
// falling to 0 along half a cosine. loss: mean over the last tenth of the steps.
// CZ_ERROR_BACKEND; NUMERIC: no step had a finite gradient.
bool train_hint_fit_run(TrainHintFit *fit, const TrainHintPoints *points, double *loss,
                        GError **error);
// The loss of one batch, before its update, and the update at this rate (0: none).
bool train_hint_fit_step(TrainHintFit *fit, const TrainHintPoints *points, double rate,
                         double *loss, GError **error);
// What has been learned, with features scaled to mean square length 1 over the points; the caller
// frees. NULL: CZ_ERROR_BACKEND, MEMORY.
CzHintHead *train_hint_fit_head(TrainHintFit *fit, const TrainHintPoints *points, GError **error);
