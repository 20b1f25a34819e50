// SPDX-License-Identifier: LGPL-3.0-or-later
// Moments of features, and eigenvalues of a symmetric matrix.
#include "frechet.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include <cz/memory.h>

static void moments(const float *rows, size_t n, size_t d, double *mean, double *covariance)
{
    memset(mean, 0, d * sizeof *mean);
    memset(covariance, 0, d * d * sizeof *covariance);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            mean[j] += rows[i * d + j] / (double)n;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++) {
            double centred = (rows[i * d + j] - mean[j]) / ((double)n - 1);
            double *row = covariance + j * d;
            for (size_t k = 0; k < d; k++)
                row[k] += centred * (rows[i * d + k] - mean[k]);
        }
}

static double trace(const double *matrix, size_t d)
{
    double sum = 0;
    for (size_t i = 0; i < d; i++)
        sum += matrix[i * d + i];
    return sum;
}

// Cholesky's factorization with the largest remaining diagonal next (Higham 1990): matrix = factor
// factor^T with factor d x rank in rows of d. rest: d values of scratch. Returns the rank.
static size_t factorize(const double *matrix, size_t d, double *factor, double *rest)
{
    double largest = 0;
    for (size_t i = 0; i < d; i++)
        largest = MAX(largest, rest[i] = matrix[i * d + i]);
    for (size_t k = 0; k < d; k++) {
        size_t pivot = 0;
        for (size_t i = 1; i < d; i++)
            pivot = rest[i] > rest[pivot] ? i : pivot;
        if (rest[pivot] <= (double)d * DBL_EPSILON * largest)
            return k;
        const double *chosen = factor + pivot * d;
        double root = sqrt(rest[pivot]);
        for (size_t i = 0; i < d; i++) {
            double *row = factor + i * d, sum = matrix[i * d + pivot];
            for (size_t j = 0; j < k; j++)
                sum -= row[j] * chosen[j];
            // Rows chosen before have nothing left; what rounding leaves is dropped.
            row[k] = rest[i] > -DBL_MAX ? sum / root : 0;
        }
        for (size_t i = 0; i < d; i++)
            if (rest[i] > -DBL_MAX)
                rest[i] -= factor[i * d + k] * factor[i * d + k];
        rest[pivot] = -DBL_MAX;
    }
    return d;
}

// dst (rank x rank) = factor^T matrix factor; product: d x rank of scratch.
static void sandwich(const double *matrix, const double *factor, size_t d, size_t rank,
                     double *product, double *dst)
{
    memset(product, 0, d * rank * sizeof *product);
    memset(dst, 0, rank * rank * sizeof *dst);
    for (size_t i = 0; i < d; i++)
        for (size_t k = 0; k < d; k++)
            for (size_t j = 0; j < rank; j++)
                product[i * rank + j] += matrix[i * d + k] * factor[k * d + j];
    for (size_t k = 0; k < d; k++)
        for (size_t i = 0; i < rank; i++)
            for (size_t j = 0; j < rank; j++)
                dst[i * rank + j] += factor[k * d + i] * product[k * rank + j];
}

// Householder's reflections: what is left of the matrix (n x n) is its diagonal and off.
static void tridiagonalize(double *matrix, size_t n, double *diagonal, double *off, double *scratch)
{
    double *v = scratch, *w = scratch + n;
    for (size_t k = 0; k + 2 < n; k++) {
        double size = 0, vv = 0, vw = 0;
        for (size_t i = k + 1; i < n; i++)
            size += matrix[i * n + k] * matrix[i * n + k];
        size = copysign(sqrt(size), -matrix[(k + 1) * n + k]);
        off[k] = size;
        for (size_t i = k + 1; i < n; i++) {
            v[i] = matrix[i * n + k] - (i == k + 1 ? size : 0);
            vv += v[i] * v[i];
        }
        if (vv <= 0)
            continue;
        for (size_t i = k + 1; i < n; i++) {
            w[i] = 0;
            for (size_t j = k + 1; j < n; j++)
                w[i] += matrix[i * n + j] * v[j];
            w[i] *= 2 / vv;
            vw += v[i] * w[i];
        }
        for (size_t i = k + 1; i < n; i++)
            w[i] -= vw / vv * v[i];
        for (size_t i = k + 1; i < n; i++)
            for (size_t j = k + 1; j < n; j++)
                matrix[i * n + j] -= v[i] * w[j] + w[i] * v[j];
    }
    for (size_t i = 0; i < n; i++)
        diagonal[i] = matrix[i * n + i];
    if (n > 1)
        off[n - 2] = matrix[(n - 1) * n + n - 2];
}

// One QR step with Wilkinson's shift on the block from low to high (Golub & Van Loan, 8.3.3).
static void qr_step(double *diagonal, double *off, size_t low, size_t high)
{
    double half = (diagonal[high - 1] - diagonal[high]) / 2, last = off[high - 1];
    double shift = diagonal[high] - last * last / (half + copysign(hypot(half, last), half));
    double x = diagonal[low] - shift, z = off[low];
    for (size_t k = low; k < high; k++) {
        double r = hypot(x, z), c = r > 0 ? x / r : 1, s = r > 0 ? z / r : 0;
        double a = diagonal[k], b = diagonal[k + 1], f = off[k];
        if (k > low)
            off[k - 1] = r;
        diagonal[k] = c * c * a + 2 * c * s * f + s * s * b;
        diagonal[k + 1] = s * s * a - 2 * c * s * f + c * c * b;
        off[k] = c * s * (b - a) + (c * c - s * s) * f;
        if (k + 1 < high) {
            x = off[k];
            z = s * off[k + 1];
            off[k + 1] *= c;
        }
    }
}

// Eigenvalues, in diagonal. To an absolute error of some units of the largest one's last place.
static void diagonalize(double *diagonal, double *off, size_t n)
{
    double size = 0;
    for (size_t i = 0; i < n; i++)
        size = MAX(size, fabs(diagonal[i]) + (i + 1 < n ? fabs(off[i]) : 0));
    size_t high = n > 0 ? n - 1 : 0;
    // Two or three steps an eigenvalue are usual; a matrix with NaN must end, too.
    for (size_t steps = 0; high > 0 && steps < 64 * n; steps++) {
        if (fabs(off[high - 1]) <= DBL_EPSILON * size) {
            high--;
            continue;
        }
        size_t low = high - 1;
        while (low > 0 && fabs(off[low - 1]) > DBL_EPSILON * size)
            low--;
        qr_step(diagonal, off, low, high);
    }
}

gboolean train_frechet(const float *a, size_t n_a, const float *b, size_t n_b, size_t n_values,
                       double *distance, GError **error)
{
    size_t d = n_values;
    double *memory = cz_memory_alloc((5 * d * d + 6 * d) * sizeof *memory, "covariances", error);
    if (!memory)
        return FALSE;
    double *cov_a = memory, *cov_b = cov_a + d * d, *factor = cov_b + d * d;
    double *product = factor + d * d, *inner = product + d * d, *mean_a = inner + d * d;
    double *mean_b = mean_a + d, *diagonal = mean_b + d, *off = diagonal + d, *scratch = off + d;
    moments(a, n_a, d, mean_a, cov_a);
    moments(b, n_b, d, mean_b, cov_b);
    size_t rank = factorize(cov_a, d, factor, scratch);
    sandwich(cov_b, factor, d, rank, product, inner);
    tridiagonalize(inner, rank, diagonal, off, scratch);
    diagonalize(diagonal, off, rank);
    double sum = trace(cov_a, d) + trace(cov_b, d);
    for (size_t i = 0; i < d; i++)
        sum += (mean_a[i] - mean_b[i]) * (mean_a[i] - mean_b[i]);
    for (size_t i = 0; i < rank; i++)
        sum -= 2 * sqrt(MAX(diagonal[i], 0));
    *distance = n_a > 1 && n_b > 1 ? MAX(sum, 0) : NAN;
    cz_memory_free(memory);
    return TRUE;
}
