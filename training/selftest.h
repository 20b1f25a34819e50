// SPDX-License-Identifier: LGPL-3.0-or-later
// What a device computes, held against another one, and what it takes: for users whose devices the
// tests have never seen.
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct {
    const char *device;                         // NULL: auto
    bool quick;                                 // compares, and leaves out what is measured
    void (*show)(void *user, const char *text); // each line as soon as it is there
    void *user;
} TrainSelftestOptions;

// The table and what it is about, as lines of text, which name no folder of the user's; *passed:
// all rows are within their bounds. What fails midway is a row. NULL with CZ_ERROR_BACKEND: the
// device, or the one it is held against, does not open, and nothing was tested. The caller frees.
char *train_selftest(const TrainSelftestOptions *options, bool *passed, GError **error);
