// SPDX-License-Identifier: LGPL-3.0-or-later
// From pictures to rows of the table: the figures of weights over a set.
#pragma once

#include "figures.h"
#include "frontier.h"
#include "hints.h"

typedef struct {
    size_t n;
    double values[TRAIN_N_FIGURES]; // NaN: was not measured
} TrainScores;

// Sums over pictures, in any order.
typedef struct TrainTally TrainTally;
TrainTally *train_tally_new(void);
void train_tally_free(TrainTally *tally); // accepts NULL
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TrainTally, train_tally_free)
void train_tally_add(TrainTally *tally, const TrainLook *look);
TrainScores train_tally_finish(const TrainTally *tally); // n = 0 gives NaN

// A true picture to look at: all that does not depend on the output. look is cleared or zeroed
// before, eye (may be NULL), truth and grey live as long. Cleared by the caller also on failure.
// CZ_ERROR_MEMORY, or what the eye's device said.
bool train_look_begin(TrainLook *look, TrainEye *eye, const TrainImage *truth,
                      const TrainImage *grey, GError **error);
// Then any number of outputs beside it; reduced 0, seconds NaN until the caller says otherwise.
bool train_look_at(TrainLook *look, const TrainImage *output, GError **error);
void train_look_clear(TrainLook *look); // accepts a zeroed one

typedef struct {
    const char *weights, *device; // NULL: bundled, auto
    TrainEye *eye;                // NULL: without its figures
    const double *strengths;      // a row of the table for each
    size_t n_strengths;
    bool worn; // the network sees the pictures made old (worn.h); judged at the true lightness
    TrainFrontier *frontier; // filled; NULL: not wanted
    TrainHints *hints;       // its counts wanted, gains filled; NULL
} TrainMeasure;

// Predicts every picture once and measures it at every strength. scores: n_strengths (out).
// outputs, may be NULL: n_outputs pictures for each strength, the first ones of the set.
bool train_scores_measure(const TrainMeasure *measure, const TrainImage *pictures, size_t n,
                          TrainScores *scores, TrainImage *outputs, size_t n_outputs,
                          GError **error);
