// SPDX-License-Identifier: LGPL-3.0-or-later
// The network of a weights file on a device, with the rule of what to do when the device refuses.
//
// To be used on the engine thread only, its making and freeing included.
#pragma once

#include <cz/backend.h>
#include <cz/generator.h>

#include "color/class_head.h"
#include "color/hint_head.h"

typedef struct CzNetwork CzNetwork;

#define CZ_MAX_WORKING_SIZES 8

// What the file says beside the network itself.
typedef struct {
    int32_t sizes[CZ_MAX_WORKING_SIZES]; // short sides, ascending
    int n_sizes;
    bool d65; // a* and b* are under D65
} CzNetworkUse;

// device: as cz_device_open takes it; precision: as in CzColorizerOptions. CZ_ERROR_IO, FORMAT,
// MODEL, BACKEND, MEMORY.
CzNetwork *cz_network_new(const char *weights, const char *device, CzDtype precision,
                          GError **error);
void cz_network_free(CzNetwork *network); // accepts NULL
const CzNetworkUse *cz_network_use(const CzNetwork *network);
// What the file has learned about hints; NULL: nothing.
const CzHintHead *cz_network_hints(const CzNetwork *network);
void cz_network_forget_hints(CzNetwork *network); // from now on nothing: to learn it anew
// The file's head of color classes; NULL: none.
const CzClassHead *cz_network_classes(const CzNetwork *network);
const CzDeviceInfo *cz_network_device(const CzNetwork *network); // may change in a run
// Once after each such change: a sentence on why. NULL: nothing new. The caller frees.
char *cz_network_notice(CzNetwork *network);

bool cz_network_features_init(const CzNetwork *network, int32_t w, int32_t h, CzFeatures *features,
                              GError **error); // CZ_ERROR_MEMORY

// lightness: h * w of L*/50 - 1; chroma (out): ((h + 1) / 2) * ((w + 1) / 2) * 2 of a*b*/100, at
// this size whatever the network's own;
// features (out): what cz_network_features_init made for this size.
// A device that cannot compile or run the network is left for the next one, if it was chosen by
// "auto"; one that is out of memory, even without the plans of other sizes, is left for the CPU.
bool cz_network_run(CzNetwork *network, int32_t w, int32_t h, const float *lightness, float *chroma,
                    CzFeatures *features, const CzProgress *progress, GError **error);

// Whether the network gives slopes beside its chroma (an affine head).
bool cz_network_has_slopes(const CzNetwork *network);
// Those of the last run, which was of this size: as chroma, a*b*/100 for each L*/50.
bool cz_network_slopes(CzNetwork *network, int32_t w, int32_t h, float *slopes, GError **error);
