// SPDX-License-Identifier: LGPL-3.0-or-later
// What the parts of the self-test share: two devices and a table of rows.
#pragma once

#include <cz/plan.h>

#include "selftest.h"

typedef struct {
    const TrainSelftestOptions *options;
    // Under test; believed where there is much to compute; the law, for ops. NULL: not open.
    CzEngineDevice *device, *right, *reference;
    char *device_id, *right_id; // as they opened first
    bool f16;                   // the device computes in it, as it did then
    GString *text;              // all that was shown
    unsigned n_rows, n_failed;
} Selftest;

typedef struct {
    const char *what, *type; // type: of the activations
    unsigned n;              // compared, or runs that were timed
    double value, bound;     // more than bound fails; 0: there is none
    const char *unit;
    char *failure; // a sentence: it fails whatever the value is; NULL: none
    char *note;    // shown below; NULL: none
} SelftestRow;

// Adds the row; failure and note are freed.
void selftest_row(Selftest *test, SelftestRow *row);
// All devices, open. FALSE: the row is told, as one that failed by that.
bool selftest_open(Selftest *test, SelftestRow *row);
// A row that could not be made: the error is freed and cleared. The devices are opened anew for the
// next one; stores and plans must be gone.
void selftest_break(Selftest *test, SelftestRow *row, GError **error);
// Whether the device computes in this type.
bool selftest_takes(const Selftest *test, CzDtype dtype);

// ---- the parts ----------------------------------------------------------------------------------

void selftest_training(Selftest *test); // steps against the other's
void selftest_weights(Selftest *test);  // the bundled weights against the other's F32
void selftest_pace(Selftest *test);     // pictures a second
