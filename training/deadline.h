// SPDX-License-Identifier: LGPL-3.0-or-later
// A time by which a run has to have stopped and saved.
#pragma once

#include <stdbool.h>

#include <cz/plan.h>

typedef struct {
    double end;     // seconds of g_get_monotonic_time(); 0: none
    double saving;  // what the last checkpoint may take, seconds
    double last;    // when near() was asked last
    double longest; // between two of its questions
} TrainDeadline;

// store: what checkpoints hold.
TrainDeadline train_deadline(double end, const CzStore *store);
// Asked after each step, with all that came with it: whether another one might come too late.
bool train_deadline_near(TrainDeadline *deadline);
