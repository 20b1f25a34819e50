// SPDX-License-Identifier: LGPL-3.0-or-later
// Small symmetric positive definite systems, in double.
#pragma once

#include <stdbool.h>
#include <stddef.h>

// Solves matrix * x = rhs. matrix (n * n, the lower half counts) becomes its Cholesky factor, rhs
// (n rows of n_columns) becomes x. FALSE if the matrix is not positive definite.
bool cz_cholesky_solve(double *matrix, size_t n, double *rhs, size_t n_columns);
