// SPDX-License-Identifier: LGPL-3.0-or-later
// Hints spread over a field: Gaussian-process regression on features, place and lightness.
//
//     r(p) = sum_j alpha_j k(p, j),    (K + noise / weight) alpha = hint - prediction at the dabs
//     k = exp(-|df| / feature - |dplace| / place - |dL*| / lightness)
//
// Kriging with an exponential kernel (Rasmussen & Williams 2006, 2.2 and 4.2.1). The features are
// the network's; place is in shorter sides of the photograph.
#pragma once

#include <cz/hints.h>

#include "color/features.h"

typedef struct {
    float feature, place, lightness, noise; // lightness in L*
} CzHintKernel;

// The kernel of a reach, 0 to 1.
CzHintKernel cz_hint_kernel(double reach);

// field: of the ground's size (out): the ground's field with the hints; untouched after an error.
// At a dab of weight 1 the field gives the dab's color, brought into the gamut. Single-threaded.
// CZ_ERROR_MEMORY, NUMERIC (dabs that are no numbers), ARGUMENT (too many).
bool cz_hints_spread(const CzGround *ground, const CzDab *dabs, size_t n_dabs,
                     const CzHintKernel *kernel, CzField *field, GError **error);

// What the ground's field gives at a dab, before all hints.
void cz_hints_predicted(const CzGround *ground, const CzDab *dab, float ab[2]);
// The kernel's values between a dab and all places of the ground's field. likeness: field.height *
// field.width (out); untouched after an error. CZ_ERROR_MEMORY, NUMERIC.
bool cz_hints_likeness(const CzGround *ground, const CzDab *dab, const CzHintKernel *kernel,
                       float *likeness, GError **error);
