// SPDX-License-Identifier: LGPL-3.0-or-later
// The Frechet distance where it is known, and where it must not change.
#include <math.h>
#include <string.h>

#include <glib.h>

#include <cz/rng.h>

#include "frechet.h"

// Rows of correlated normal numbers: each value leans on the one before.
static float *make(size_t n, size_t d, uint64_t seed)
{
    float *rows = g_new(float, n *d);
    CzRng rng = cz_rng(seed, 0);
    for (size_t i = 0; i < n * d; i++)
        rows[i] = cz_rng_normal(&rng) + (i % d ? 0.7f * rows[i - 1] : 1);
    return rows;
}

static double distance(const float *a, size_t n_a, const float *b, size_t n_b, size_t d)
{
    g_autoptr(GError) error = NULL;
    double result = -1;
    g_assert_true(train_frechet(a, n_a, b, n_b, d, &result, &error));
    g_assert_no_error(error);
    return result;
}

static double variance(const float *rows, size_t n, size_t d, size_t i, size_t j)
{
    double mi = 0, mj = 0, sum = 0;
    for (size_t k = 0; k < n; k++) {
        mi += rows[k * d + i] / (double)n;
        mj += rows[k * d + j] / (double)n;
    }
    for (size_t k = 0; k < n; k++)
        sum += (rows[k * d + i] - mi) * (rows[k * d + j] - mj);
    return sum / ((double)n - 1);
}

static void expect(const char *what, double found, double expected, double bound)
{
    if (!(fabs(found - expected) <= bound)) // NaN fails
        g_test_fail_printf("%s: expected %.12g, found %.12g, bound %g", what, expected, found,
                           bound);
}

// Roots of eigenvalues that rounding moved from 0 by 1e-16 of the trace are 1e-8 of its root.
static void equal_sets_are_at_no_distance(void)
{
    static const size_t sizes[][2] = {{100, 8}, {20, 64}, {300, 40}, {2, 5}};
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        size_t n = sizes[i][0], d = sizes[i][1];
        g_autofree float *a = make(n, d, i);
        expect("equal", distance(a, n, a, n, d), 0, 1e-6 * (double)d);
    }
}

// b = 2 a: |mean|^2 + tr(A + 4 A - 4 A), also where there are fewer rows than values.
static void a_scaled_set_is_where_the_formula_says(void)
{
    static const size_t sizes[][2] = {{100, 8}, {20, 64}};
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        size_t n = sizes[i][0], d = sizes[i][1];
        g_autofree float *a = make(n, d, i), *b = g_new(float, n *d);
        double expected = 0;
        for (size_t j = 0; j < d; j++) {
            double mean = 0;
            for (size_t k = 0; k < n; k++) {
                b[k * d + j] = 2 * a[k * d + j];
                mean += a[k * d + j] / (double)n;
            }
            expected += mean * mean + variance(a, n, d, j, j);
        }
        expect("twice", distance(a, n, b, n, d), expected, 1e-6 * expected);
    }
}

// For 2 x 2, tr M^(1/2) = (tr M + 2 (det M)^(1/2))^(1/2).
static void two_values_agree_with_the_closed_form(void)
{
    enum { N = 50, M = 70 };
    g_autofree float *a = make(N, 2, 5), *b = make(M, 2, 6);
    double m[2] = {0}, cov[2][4];
    for (size_t i = 0; i < M; i++)
        b[2 * i] = 3 * b[2 * i] - b[2 * i + 1];
    for (size_t j = 0; j < 2; j++) {
        for (size_t i = 0; i < N; i++)
            m[j] += a[2 * i + j] / (double)N;
        for (size_t i = 0; i < M; i++)
            m[j] -= b[2 * i + j] / (double)M;
    }
    for (size_t i = 0; i < 4; i++) {
        cov[0][i] = variance(a, N, 2, i / 2, i % 2);
        cov[1][i] = variance(b, M, 2, i / 2, i % 2);
    }
    double trace = cov[0][0] * cov[1][0] + 2 * cov[0][1] * cov[1][1] + cov[0][3] * cov[1][3];
    double det = (cov[0][0] * cov[0][3] - cov[0][1] * cov[0][1]) *
                 (cov[1][0] * cov[1][3] - cov[1][1] * cov[1][1]);
    double expected = m[0] * m[0] + m[1] * m[1] + cov[0][0] + cov[0][3] + cov[1][0] + cov[1][3] -
                      2 * sqrt(trace + 2 * sqrt(det));
    expect("closed form", distance(a, N, b, M, 2), expected, 1e-10 * expected);
}

// Each way round another matrix is factorized. An eigenvalue that is 0 comes out as some 1e-16 of
// the largest, its root as 1e-8 of that one's.
static void it_is_the_same_both_ways_and_in_any_order(void)
{
    static const size_t sizes[][3] = {{60, 90, 40}, {30, 25, 50}, {200, 10, 33}};
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        size_t n = sizes[i][0], m = sizes[i][1], d = sizes[i][2];
        g_autofree float *a = make(n, d, 7), *b = make(m, d, 8), *turned = g_new(float, n *d);
        double there = distance(a, n, b, m, d);
        for (size_t k = 0; k < n; k++)
            memcpy(turned + k * d, a + (n - 1 - k) * d, d * sizeof *a);
        g_assert_cmpfloat(there, >, 1);
        expect("back", distance(b, m, a, n, d), there, 1e-6 * there);
        expect("turned", distance(turned, n, b, m, d), there, 1e-6 * there);
    }
}

// A dead value comes first: what has no variance must not end the factorization.
static void values_that_never_change_do_not_matter(void)
{
    enum { N = 60, D = 6 };
    g_autofree float *a = make(N, D, 3), *b = make(N, D, 4);
    float wide[2][N * (D + 1)];
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j <= D; j++) {
            wide[0][i * (D + 1) + j] = j > 0 ? a[i * D + j - 1] : 5;
            wide[1][i * (D + 1) + j] = j > 0 ? b[i * D + j - 1] : 5;
        }
    double expected = distance(a, N, b, N, D);
    expect("dead value", distance(wide[0], N, wide[1], N, D + 1), expected, 1e-6 * expected);
}

static void one_row_has_no_covariance(void)
{
    g_autofree float *a = make(3, 4, 1);
    g_assert_true(isnan(distance(a, 1, a, 3, 4)));
    g_assert_true(isnan(distance(a, 3, a, 1, 4)));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define ADD(name) g_test_add_func("/training/frechet/" #name, name)
    ADD(equal_sets_are_at_no_distance);
    ADD(a_scaled_set_is_where_the_formula_says);
    ADD(two_values_agree_with_the_closed_form);
    ADD(it_is_the_same_both_ways_and_in_any_order);
    ADD(values_that_never_change_do_not_matter);
    ADD(one_row_has_no_covariance);
    return g_test_run();
}
