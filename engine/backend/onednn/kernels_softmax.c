// SPDX-License-Identifier: LGPL-3.0-or-later
// Logarithm of the softmax over channels, one place after the other.

#include "kernels_simd.h"

// Comparisons that let a NaN win, so that all of its place becomes one.
static float largest(const float *x, size_t n)
{
    float most = x[0];
    bool nan = false;
#pragma omp simd reduction(max : most) reduction(| : nan)
    for (size_t c = 0; c < n; c++) {
        most = x[c] > most ? x[c] : most;
        nan |= x[c] != x[c];
    }
    return nan ? NAN : most;
}

// The sum of e^(x - most); runs of CHUNK in F32, double above.
static double sum_of_exponentials(const float *x, size_t n, float most)
{
    double total = 0;
    for (size_t first = 0; first < n; first += CHUNK) {
        size_t last = min_size(first + CHUNK, n);
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t c = first; c < last; c++)
            sum += exponential(x[c] - most);
        total += sum;
    }
    return total;
}

static void place(float *dst, const float *x, size_t n)
{
    float most = largest(x, n);
    float rest = (float)log(sum_of_exponentials(x, n, most));
    // In this order: both are exact or small, where most + rest would round to most's size.
#pragma omp simd
    for (size_t c = 0; c < n; c++)
        dst[c] = (x[c] - most) - rest;
}

static void run_log_softmax(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                            int n_threads)
{
    size_t width = (size_t)dst->shape.c, n = cz_shape_count(dst->shape);
    int n_parts = part_count(n, n_threads);
    float *rows = scratch;
    PARALLEL(n_parts)
    for (int part = 0; part < n_parts; part++) {
        float *row = rows + part * round_up(width, 16);
        size_t last = part_start_grain(n, width, part + 1, n_parts);
        for (size_t i = part_start_grain(n, width, part, n_parts); i < last; i += width) {
            place(view_target(dst, i, row), view_read(src, i, width, row), width);
            view_written(dst, i, width, row);
        }
    }
}

bool CZ_ISA_NAME(find_softmax)(const CzNode *node, const CzNode *const *nodes, int n_threads,
                               CzKernel *kernel)
{
    size_t row_bytes = round_up((size_t)node->shape.c, 16) * sizeof(float);
    *kernel = (CzKernel){run_log_softmax, row_bytes * (size_t)(n_threads > 1 ? n_threads : 1),
                         "own log_softmax"};
    return true;
}
