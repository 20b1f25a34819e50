// SPDX-License-Identifier: LGPL-3.0-or-later
// Warmth, the tint of a print, and the solver under it and under hints.
#include "color/tone.h"

#include <math.h>

#include <glib.h>

#include <cz/color.h>
#include <cz/rng.h>

#include "base/cholesky.h"

static double hue_of(double a, double b)
{
    return atan2(b, a) * 180 / M_PI;
}

// Degrees between a hue and the warm pole, 0 to 180.
static double distance_to_warm(double a, double b)
{
    return fabs(fmod(hue_of(a, b) - 60 + 540, 360) - 180);
}

static void warmth_leaves_greys_grey(void)
{
    for (int l = 0; l <= 100; l++) {
        float lab[3] = {(float)l, 0, 0};
        cz_warmth_span(lab, 1, 1);
        g_assert_true(lab[0] == (float)l && lab[1] == 0 && lab[2] == 0);
    }
}

static void warmth_turns_hues_to_its_pole(void)
{
    for (int degrees = 0; degrees < 360; degrees += 5) {
        float c = cosf((float)(degrees * M_PI / 180)), s = sinf((float)(degrees * M_PI / 180));
        float warm[3] = {50, 30 * c, 30 * s}, cool[3] = {50, 30 * c, 30 * s};
        double before = distance_to_warm(c, s);
        cz_warmth_span(warm, 1, 0.8f);
        cz_warmth_span(cool, 1, -0.8f);
        g_assert_true(warm[0] == 50 && cool[0] == 50);
        if (distance_to_warm(warm[1], warm[2]) > before + 1e-3 ||
            distance_to_warm(cool[1], cool[2]) < before - 1e-3)
            g_test_fail_printf("hue %d becomes %g and %g", degrees, hue_of(warm[1], warm[2]),
                               hue_of(cool[1], cool[2]));
        // The shift itself: 0.5 * 0.8 * 30 along the warm pole.
        g_assert_cmpfloat_with_epsilon(warm[1] - 30 * c, 12 * cos(M_PI / 3), 1e-4);
        g_assert_cmpfloat_with_epsilon(warm[2] - 30 * s, 12 * sin(M_PI / 3), 1e-4);
    }
}

static void warmth_is_proportional_to_chroma(void)
{
    CzRng rng = cz_rng(1, 0);
    for (int i = 0; i < 1000; i++) {
        float lab[3] = {50, 20 * cz_rng_normal(&rng), 20 * cz_rng_normal(&rng)};
        float triple[3] = {50, 3 * lab[1], 3 * lab[2]};
        cz_warmth_span(lab, 1, -0.6f);
        cz_warmth_span(triple, 1, -0.6f);
        g_assert_cmpfloat_with_epsilon(triple[1], 3 * lab[1], 1e-4);
        g_assert_cmpfloat_with_epsilon(triple[2], 3 * lab[2], 1e-4);
    }
}

// What an old print is like: strongest in the middle tones.
static void sepia(float *lab)
{
    float t = lab[0] / 50 - 1;
    lab[1] = 6 - 2 * t - 4 * t * t;
    lab[2] = 18 - 3 * t - 9 * t * t + 2 * t * t * t;
}

static void a_print_s_tint_is_found(void)
{
    CzToneSums sums = {{0}};
    CzRng rng = cz_rng(2, 0);
    for (int i = 0; i < 20000; i++) {
        float lab[3] = {100 * cz_rng_uniform(&rng), 0, 0};
        sepia(lab);
        lab[1] += 3 * cz_rng_normal(&rng);
        lab[2] += 3 * cz_rng_normal(&rng);
        cz_tone_add(&sums, lab, 1);
    }
    CzTone tone = cz_tone_fit(&sums);
    double worst = 0;
    for (int l = 0; l <= 100; l++) {
        float found[3] = {(float)l, 0, 0}, expected[3] = {(float)l, 0, 0};
        cz_tone_span(&tone, found, 1);
        sepia(expected);
        g_assert_true(found[0] == (float)l);
        worst = fmax(worst, hypot(found[1] - expected[1], found[2] - expected[2]));
    }
    // Four deviations of the fit at its ends: 3 * 4 / sqrt(20000) each in a and b.
    g_test_message("worst %.3g", worst);
    g_assert_cmpfloat(worst, <, 4 * 3 * 4 / sqrt(20000) * M_SQRT2);
}

static void the_mean_tint_is_exact(void)
{
    CzToneSums sums = {{0}};
    CzRng rng = cz_rng(3, 0);
    float lab[3 * 500];
    double mean_a = 0, found_a = 0;
    for (int i = 0; i < 500; i++) {
        lab[3 * i] = 40 + 20 * cz_rng_uniform(&rng);
        lab[3 * i + 1] = 30 * cz_rng_normal(&rng);
        lab[3 * i + 2] = 30 * cz_rng_normal(&rng);
        mean_a += lab[3 * i + 1] / 500.0;
    }
    cz_tone_add(&sums, lab, 500);
    CzTone tone = cz_tone_fit(&sums);
    for (int i = 0; i < 500; i++) {
        float pixel[3] = {lab[3 * i], 0, 0};
        cz_tone_span(&tone, pixel, 1);
        found_a += pixel[1] / 500.0;
    }
    g_assert_cmpfloat_with_epsilon(found_a, mean_a, 1e-3);
}

static void odd_pictures_have_a_finite_tint(void)
{
    CzToneSums none = {{0}}, one = {{0}}, lost = {{0}};
    const float pixel[3] = {30, 4, 9}, nan[6] = {NAN, 1, 1, 50, INFINITY, 0};
    for (int i = 0; i < 100; i++)
        cz_tone_add(&one, pixel, 1);
    cz_tone_add(&lost, nan, 2);
    const CzTone tones[] = {cz_tone_fit(&none), cz_tone_fit(&lost), cz_tone_fit(&one)};
    for (int k = 0; k < 3; k++)
        for (int l = 0; l <= 100; l += 10) {
            float lab[3] = {(float)l, 0, 0};
            cz_tone_span(&tones[k], lab, 1);
            g_assert_cmpfloat_with_epsilon(lab[1], k == 2 ? 4 : 0, 1e-3);
            g_assert_cmpfloat_with_epsilon(lab[2], k == 2 ? 9 : 0, 1e-3);
        }
}

static void systems_are_solved(void)
{
    enum { N = 37, COLUMNS = 2 };
    double a[N * N], x[N * COLUMNS], rhs[N * COLUMNS], worst = 0;
    float v[N * N];
    CzRng rng = cz_rng(4, 0);
    for (int i = 0; i < N * N; i++)
        v[i] = cz_rng_normal(&rng);
    for (int i = 0; i < N * COLUMNS; i++)
        x[i] = cz_rng_normal(&rng);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i * N + j] = i == j;
            for (int k = 0; k < N; k++)
                a[i * N + j] += (double)v[i * N + k] * v[j * N + k];
        }
    for (int i = 0; i < N * COLUMNS; i++) {
        rhs[i] = 0;
        for (int k = 0; k < N; k++)
            rhs[i] += a[i / COLUMNS * N + k] * x[k * COLUMNS + i % COLUMNS];
    }
    g_assert_true(cz_cholesky_solve(a, N, rhs, COLUMNS));
    for (int i = 0; i < N * COLUMNS; i++)
        worst = fmax(worst, fabs(rhs[i] - x[i]));
    g_assert_cmpfloat(worst, <, 1e-10);
    double singular[4] = {1, 2, 2, 1}, two[2] = {1, 1};
    g_assert_false(cz_cholesky_solve(singular, 2, two, 1));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define CASE(claim) g_test_add_func("/engine/tone/" #claim, claim)
    CASE(warmth_leaves_greys_grey);
    CASE(warmth_turns_hues_to_its_pole);
    CASE(warmth_is_proportional_to_chroma);
    CASE(a_print_s_tint_is_found);
    CASE(the_mean_tint_is_exact);
    CASE(odd_pictures_have_a_finite_tint);
    CASE(systems_are_solved);
    return g_test_run();
}
