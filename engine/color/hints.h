// SPDX-License-Identifier: LGPL-3.0-or-later
// Hints spread over a field: Gaussian-process regression on features, lightness, predicted chroma
// and place, in two parts.
//
// What a dab asks for beyond the prediction is split: a modest part, as networks err, says
// something of the whole picture and is spread wide; the bold rest, which only an artist can want,
// stays with what looks alike. With d = hint - prediction at a dab, and m = |d|, mean over the dabs
// with weights near(dab, j), so that neighbours are split alike,
//
//     modest = d / max(1, m / bold)^3,    rest = d - modest
//     r(p) = sum_j alpha_j wide(p, j) + strength ab(p) sum_j ab_j alpha_j + sum_j beta_j near(p, j)
//     wide = exp(-u^1.5 - |dplace| / place)
//     near = exp(-(sharper u)^1.5 - |dplace| / near_place)
//     u^2 = |df|^2 / feature^2 + dL*^2 / lightness^2 + |dab|^2 / chroma^2
//
// where alpha and beta make r the modest part and the rest at the dabs, up to noise / weight. ab is
// the prediction: the second sum says that a picture may be stronger or paler than predicted.
// Weights may have learned amplitudes of places (cz/hint_head.h): both kernels are multiplied with
// those of p and j. Kriging (Rasmussen & Williams 2006, 2.2, 2.7 and 4.2.1: sums and products of
// gamma-exponential and linear kernels). Features, L* and ab are the network's and the field's;
// place is in shorter sides of the photograph.
#pragma once

#include <cz/hint_head.h>
#include <cz/hints.h>

#include "color/features.h"

// The kernel of a reach from that of the middle one.
CzHintKernel cz_hint_kernel_of(const CzHintKernel *middle, double reach);

// field: of the ground's size (out): the ground's field with the hints; untouched after an error.
// At a dab of weight 1 the field gives the dab's color, brought into the gamut. Single-threaded.
// CZ_ERROR_MEMORY, NUMERIC (dabs that are no numbers), ARGUMENT (too many).
bool cz_hints_spread(const CzGround *ground, const CzDab *dabs, size_t n_dabs,
                     const CzHintKernel *kernel, CzField *field, GError **error);

// What the ground's field gives at a dab, before all hints.
void cz_hints_predicted(const CzGround *ground, const CzDab *dab, float ab[2]);
// All that the regression reads there but the features: l and c of the field, and the above.
void cz_hints_given(const CzGround *ground, const CzDab *dab, float *l, float c[2], float ab[2]);
// The wide kernel's values between a dab and all places of the ground's field. likeness:
// field.height * field.width (out); untouched after an error. CZ_ERROR_MEMORY, NUMERIC.
bool cz_hints_likeness(const CzGround *ground, const CzDab *dab, const CzHintKernel *kernel,
                       float *likeness, GError **error);
