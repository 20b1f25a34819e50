// SPDX-License-Identifier: LGPL-3.0-or-later
// The Frechet distance of two Gaussians (Dowson & Landau 1982), by which Heusel et al. 2017 compare
// sets of pictures through a network's features.
#pragma once

#include <stddef.h>

#include <glib.h>

// |mean a - mean b|^2 + tr(A + B - 2 (A B)^(1/2)), A and B the covariances (divided by n - 1) of
// n_a and n_b rows of n_values. No regularisation: A = L L^T by a pivoted Cholesky factorization,
// which stops at A's rank (fewer rows than values are allowed), and tr (A B)^(1/2) is the sum of
// the roots of the eigenvalues of L^T B L. NaN for fewer than two rows. CZ_ERROR_MEMORY leaves
// *distance.
//
// Few rows make it too large, and the more so the fewer: compare at equal numbers only.
gboolean train_frechet(const float *a, size_t n_a, const float *b, size_t n_b, size_t n_values,
                       double *distance, GError **error);
