// SPDX-License-Identifier: LGPL-3.0-or-later
// Inference on a thread that sees plain memory only: the main loop reads the photograph for it.
#pragma once

#include <cz/colorizer.h>

#include "proxy.h"

typedef struct UiJob UiJob;

// All are called in the main loop.
typedef struct {
    void (*proxy)(void *user); // ui_job_proxy() is complete; once
    // The latest request's end: chroma (the receiver's) or error (borrowed). device: what it ran
    // on, NULL with an error.
    void (*done)(void *user, CzChroma *chroma, const CzDeviceInfo *device, const GError *error);
    void *user;
    // After done, once for each time that a device was left for another: a sentence on why. May be
    // NULL.
    void (*notice)(void *user, const char *text);
} UiJobEvents;

// photo is copied, its rows are read in the default main context. CZ_ERROR_MEMORY.
UiJob *ui_job_new(const CzPhoto *photo, const UiJobEvents *events, GError **error);
void ui_job_free(UiJob *job); // stops, waits; no event comes afterwards. Accepts NULL
// The newest request wins: one that runs is stopped, and its end is not reported.
void ui_job_start(UiJob *job, const char *weights, const char *device, int32_t tile_size);
void ui_job_stop(UiJob *job); // done comes with CZ_ERROR_CANCELLED
bool ui_job_busy(const UiJob *job);
double ui_job_fraction(const UiJob *job);      // 0 to 1
const UiProxy *ui_job_proxy(const UiJob *job); // lives as long as job
// Ends the job's thread (the job may only be freed then) and hands the colorizer out; NULL: none.
CzColorizer *ui_job_take_colorizer(UiJob *job);
