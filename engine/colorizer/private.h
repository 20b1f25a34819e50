// SPDX-License-Identifier: LGPL-3.0-or-later
// What predict and apply share.
#pragma once

#include <cz/colorizer.h>

#include "color/class_head.h"
#include "color/hints.h"
#include "color/tone.h"
#include "colorizer/network.h"
#include "colorizer/worker.h"

struct CzColorizer {
    CzWorker *worker;
    CzNetwork *network; // used on the worker's thread only
};

struct CzChroma {
    CzField field; // with the hints
    CzGround ground;
    CzHintKernel kernel; // of the middle reach
    CzClassMap classes;  // what the weights' head of classes says; empty: they have none
    CzField fine; // of tiles, without hints; width 0: none
    int32_t n_tiles;
    bool hinted;
    CzTone tone; // of the photograph itself
    int32_t width, height; // of the photograph
};

// Rows that are held at once: about a megapixel, so that memory is bounded whatever the photograph.
static inline int32_t cz_band_rows(const CzPhoto *photo)
{
    return CLAMP((1 << 20) / photo->width, 1, MIN(256, photo->height));
}

// A band of RGB floats. CZ_ERROR_MEMORY.
float *cz_band_alloc(const CzPhoto *photo, GError **error);

// Asks the host; FALSE with CZ_ERROR_CANCELLED.
bool cz_progress_report(const CzProgress *progress, double fraction, GError **error);
