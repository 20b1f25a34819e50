// SPDX-License-Identifier: LGPL-3.0-or-later
// What a weights file has learned about hints: in which directions of the features places differ,
// how far a prediction may be off at a place, and the widths of the kernel.
//
// With f the normalized features of a map, z = weight f takes their place. The amplitude of a place
//     s = exp(clamp(mean over maps of amplitude z + curve (q, q^2, c, c^2), -1, 1)),
//     q = (L* - 50) / 50, c = sqrt(a*^2 + b*^2 + 1) / 30 of the prediction
// is the expected size of its error against others': the kernel between two places is multiplied
// with both amplitudes (a diagonal scaling keeps it positive definite). The bound keeps what one
// dab does elsewhere below e^2 of what it asks for.
#pragma once

#include "color/features.h"
#include "color/hints.h"

#define CZ_HINT_LIGHTNESS 50.0f // of q: middle and unit
#define CZ_HINT_CHROMA    30.0f // of c
#define CZ_HINT_CURVE     4

struct CzHintHead {
    int32_t channels, width;    // of the features that come in and go out
    float *weight;              // width * channels
    float *amplitude;           // width
    float curve[CZ_HINT_CURVE]; // of q, q^2, c, c^2
    CzHintKernel kernel;        // of the middle reach
};

// All zero but the sizes. CZ_ERROR_MEMORY.
CzHintHead *cz_hint_head_new(int32_t channels, int32_t width, GError **error);
void cz_hint_head_free(CzHintHead *head); // accepts NULL
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CzHintHead, cz_hint_head_free)

// Puts z in place of the normalized features of a map. CZ_ERROR_MEMORY: nothing has changed.
bool cz_hint_head_project(const CzHintHead *head, CzFeatures *features, GError **error);
// The amplitude of a place. sum: of amplitude z over maps.
float cz_hint_head_amplitude(const CzHintHead *head, float sum, int n_maps, float l,
                             const float c[2]);
// Of all places of a ground's field: field.height * field.width (out).
bool cz_hint_head_amplitudes(const CzHintHead *head, const CzGround *ground, float *dst,
                             GError **error); // CZ_ERROR_MEMORY
