// SPDX-License-Identifier: LGPL-3.0-or-later
// Cholesky's factorization, row by row, and the two triangular solves.
#include "base/cholesky.h"

#include <math.h>

#include "base/clones.h"

// Four sums side by side: one would wait for its own last addition at every step.
CZ_CLONES static double dot(const double *x, const double *y, size_t n)
{
    double sums[4] = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t k = 0; k < 4; k++)
            sums[k] += x[i + k] * y[i + k];
    double sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    for (; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

static bool factorize(double *matrix, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double *row = matrix + i * n;
        for (size_t j = 0; j < i; j++) {
            const double *other = matrix + j * n;
            row[j] = (row[j] - dot(row, other, j)) / other[j];
        }
        double rest = row[i] - dot(row, row, i);
        if (!(rest > 0) || !isfinite(rest))
            return false;
        row[i] = sqrt(rest);
    }
    return true;
}

bool cz_cholesky_solve(double *matrix, size_t n, double *rhs, size_t n_columns)
{
    if (!factorize(matrix, n))
        return false;
    for (size_t c = 0; c < n_columns; c++) {
        for (size_t i = 0; i < n; i++) {
            double sum = rhs[i * n_columns + c];
            for (size_t j = 0; j < i; j++)
                sum -= matrix[i * n + j] * rhs[j * n_columns + c];
            rhs[i * n_columns + c] = sum / matrix[i * n + i];
        }
        for (size_t i = n; i-- > 0;) {
            double sum = rhs[i * n_columns + c];
            for (size_t j = i + 1; j < n; j++)
                sum -= matrix[j * n + i] * rhs[j * n_columns + c];
            rhs[i * n_columns + c] = sum / matrix[i * n + i];
        }
    }
    return true;
}
