// SPDX-License-Identifier: LGPL-3.0-or-later
// What a weights file has learned about hints, on a picture's features (formula: cz/hint_head.h).
#pragma once

#include <cz/hint_head.h>

#include "color/features.h"

// Puts z in place of the normalized features of a map. CZ_ERROR_MEMORY: nothing has changed.
bool cz_hint_head_project(const CzHintHead *head, CzFeatures *features, GError **error);
// The amplitude of a place. sum: of amplitude z over maps.
float cz_hint_head_amplitude(const CzHintHead *head, float sum, int n_maps, float l,
                             const float c[2]);
// Of all places of a ground's field: field.height * field.width (out). CZ_ERROR_MEMORY.
bool cz_hint_head_amplitudes(const CzHintHead *head, const CzGround *ground, float *dst,
                             GError **error);
