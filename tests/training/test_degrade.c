// SPDX-License-Identifier: LGPL-3.0-or-later
// Degradations of lightness, each against what it promises.
#include <math.h>
#include <string.h>

#include <glib.h>

#include <cz/color.h>

#include "degrade.h"

enum { SIDE = 40, N = SIDE * SIDE };

typedef struct {
    float lab[3 * N], l[N], scratch[N];
} Picture;

// Smooth colours with an edge; gray: without chroma.
static Picture *picture_new(bool gray)
{
    Picture *p = g_new0(Picture, 1);
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            float *pixel = p->lab + 3 * (y * SIDE + x);
            float rgb[3] = {0.2f + 0.015f * (float)x, x < 17 ? 0.8f : 0.3f,
                            0.9f - 0.02f * (float)y};
            if (gray)
                rgb[1] = rgb[2] = rgb[0];
            cz_rgb_to_lab(pixel, rgb, 1);
        }
    return p;
}

static void run(Picture *p, const TrainDegradeDraw *drawn)
{
    train_degrade(drawn, p->lab, SIDE, p->l, p->scratch);
}

static void expect(const char *what, const float *found, const double *expected, double bound)
{
    int worst = 0;
    for (int i = 0; i < N; i++)
        if (fabs(found[i] - expected[i]) > fabs(found[worst] - expected[worst]))
            worst = i;
    g_test_message("%s: worst at %d: %.7g, expected %.7g, bound %g", what, worst, found[worst],
                   expected[worst], bound);
    g_assert_cmpfloat(fabs(found[worst] - expected[worst]), <=, bound);
}

static const TrainDegradeDraw nothing = {.white = 1};

static void nothing_drawn_is_lightness(void)
{
    g_autofree Picture *p = picture_new(false);
    double l[N];
    run(p, &nothing);
    for (int i = 0; i < N; i++)
        l[i] = p->lab[3 * i] / 100;
    expect("L*", p->l, l, 1e-7);
}

static double plate_of(const float *lab, const float w[3])
{
    float rgb[3];
    double y = 0;
    cz_lab_to_rgb(rgb, lab, 1);
    for (int c = 0; c < 3; c++)
        y += w[c] * (rgb[c] <= 0.04045 ? rgb[c] / 12.92 : pow((rgb[c] + 0.055) / 1.055, 2.4));
    return y > 216.0 / 24389 ? 1.16 * cbrt(y) - 0.16 : y * 24389 / 2700;
}

static void a_plate_mixes_light_and_leaves_grays(void)
{
    TrainDegradeDraw blue = {.white = 1, .weight = {0.05f, 0.2f, 0.75f}};
    g_autofree Picture *colors = picture_new(false), *gray = picture_new(true);
    double l[N];
    run(colors, &blue);
    for (int i = 0; i < N; i++)
        l[i] = plate_of(colors->lab + 3 * i, blue.weight);
    expect("plate", colors->l, l, 2e-6);
    run(gray, &blue);
    for (int i = 0; i < N; i++)
        l[i] = gray->lab[3 * i] / 100;
    expect("plate on gray", gray->l, l, 5e-6);
}

static void blur_is_gaussian(void)
{
    TrainDegradeDraw drawn = {.white = 1, .blur = 1.3f};
    g_autofree Picture *p = picture_new(false);
    double l[N];
    run(p, &drawn);
    for (int i = 0; i < N; i++) {
        double sum = 0, weights = 0;
        for (int v = -12; v <= 12; v++)
            for (int u = -12; u <= 12; u++) {
                int x = CLAMP(i % SIDE + u, 0, SIDE - 1), y = CLAMP(i / SIDE + v, 0, SIDE - 1);
                double w = exp(-(u * u + v * v) / (2 * 1.3 * 1.3));
                sum += w * p->lab[3 * (y * SIDE + x)] / 100;
                weights += w;
            }
        l[i] = sum / weights;
    }
    expect("blur", p->l, l, 2e-6);
}

static void fading_maps_black_and_white(void)
{
    TrainDegradeDraw drawn = {.black = 0.2f, .white = 0.75f};
    g_autofree Picture *p = picture_new(false);
    double l[N];
    run(p, &drawn);
    for (int i = 0; i < N; i++)
        l[i] = 0.2 + 0.55 * p->lab[3 * i] / 100;
    expect("fade", p->l, l, 1e-6);
}

static void grain_has_the_deviation_that_was_drawn(void)
{
    g_autofree Picture *p = picture_new(true);
    double sum = 0, squares = 0, neighbours = 0;
    int n = 0;
    for (int turn = 0; turn < 40; turn++) {
        TrainDegradeDraw drawn = {.white = 1, .grain = 0.04f, .grain_at = (uint64_t)turn};
        run(p, &drawn);
        for (int i = 1; i < N; i++, n++) {
            double noise = p->l[i] - p->lab[3 * i] / 100;
            sum += noise;
            squares += noise * noise;
            neighbours += noise * (p->l[i - 1] - p->lab[3 * (i - 1)] / 100);
        }
    }
    double deviation = sqrt(squares / n), correlation = neighbours / squares;
    g_test_message("%d values: mean %.5f, deviation %.5f, correlation of neighbours %.3f", n,
                   sum / n, deviation, correlation);
    // 64,000 values: the deviation's own error is 0.04 / sqrt(2 * 64000), the mean's 0.04 / 253
    // * 1.3.
    g_assert_cmpfloat(fabs(sum / n), <, 4 * 0.04 / 253 * 1.35);
    g_assert_cmpfloat(fabs(deviation - 0.04), <, 5 * 0.04 / sqrt(2.0 * n) * 1.3);
    g_assert_cmpfloat(fabs(correlation - 0.4), <, 0.03); // 0.894 * 0.447, less the rows' ends
}

// At a quality where every step is 1 the transform alone is left, and rounding by half a step.
static void jpeg_rounds_and_worse_qualities_do_so_more(void)
{
    g_autofree Picture *p = picture_new(false);
    double errors[3];
    const int32_t qualities[3] = {100, 70, 20};
    for (int q = 0; q < 3; q++) {
        TrainDegradeDraw drawn = {.white = 1, .quality = qualities[q]};
        double squares = 0;
        run(p, &drawn);
        for (int i = 0; i < N; i++) {
            double error = 255 * (p->l[i] - p->lab[3 * i] / 100);
            squares += error * error;
        }
        errors[q] = sqrt(squares / N);
    }
    g_test_message("root mean square error, of 255: %.3f, %.3f, %.3f", errors[0], errors[1],
                   errors[2]);
    g_assert_cmpfloat(errors[0], <, 0.5); // uniform rounding: 0.29, and orthonormal
    g_assert_cmpfloat(errors[0], >, 0.1);
    g_assert_cmpfloat(errors[1], >, 1.5 * errors[0]);
    g_assert_cmpfloat(errors[2], >, 1.5 * errors[1]);
    for (int i = 0; i < N; i++)
        memcpy(p->lab + 3 * i, (const float[3]){100 * 128 / 255.0f, 0, 0}, 3 * sizeof(float));
    TrainDegradeDraw drawn = {.white = 1, .quality = 20};
    run(p, &drawn);
    for (int i = 0; i < N; i++)
        g_assert_cmpfloat(fabsf(p->l[i] - 128 / 255.0f), <, 1e-5f);
}

static void probabilities_are_kept_and_draws_repeat(void)
{
    const TrainDegradeParams params = {
        .blur = 0.1f, .plate = 0.3f, .fade = 0.5f, .grain = 0.7f, .jpeg = 0.9f};
    int counts[5] = {0}, old = 0;
    enum { TURNS = 4000 };
    for (uint64_t i = 0; i < TURNS; i++) {
        CzRng rng = cz_rng(3, i), again = cz_rng(3, i);
        TrainDegradeDraw a = train_degrade_draw(&params, &rng),
                         b = train_degrade_draw(&params, &again);
        g_assert_cmpmem(&a, sizeof a, &b, sizeof b);
        float sum = a.weight[0] + a.weight[1] + a.weight[2];
        g_assert_true(sum == 0 || fabsf(sum - 1) < 1e-6f);
        counts[0] += a.blur > 0, counts[1] += sum > 0, counts[2] += a.black > 0;
        counts[3] += a.grain > 0, counts[4] += a.quality > 0;
        old += sum > 0 && a.weight[0] <= 0.1f && a.weight[2] >= 0.4f;
        g_assert_true(a.black >= 0 && a.black <= 0.25f && a.white >= 0.7f && a.white <= 1);
        g_assert_true(a.quality == 0 || (a.quality >= 20 && a.quality <= 70));
    }
    const double expected[5] = {0.1, 0.3, 0.5, 0.7, 0.9};
    for (int i = 0; i < 5; i++) {
        double share = counts[i] / (double)TURNS;
        g_test_message("degradation %d: %.3f, expected %.1f", i, share, expected[i]);
        // Four deviations of a binomial share.
        g_assert_cmpfloat(fabs(share - expected[i]), <,
                          4 * sqrt(expected[i] * (1 - expected[i]) / TURNS));
    }
    g_assert_cmpint(old, >, counts[1] * 2 / 5); // half of the plates, and some by chance
}

static void impossible_probabilities_are_refused(void)
{
    TrainDegradeParams params = {.jpeg = 1.5f};
    g_autoptr(GError) error = NULL;
    g_assert_false(train_degrade_check(&params, &error));
    g_assert_nonnull(strstr(error->message, "1.5"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(claim) g_test_add_func("/degrade/" #claim, claim)
    ADD(nothing_drawn_is_lightness);
    ADD(a_plate_mixes_light_and_leaves_grays);
    ADD(blur_is_gaussian);
    ADD(fading_maps_black_and_white);
    ADD(grain_has_the_deviation_that_was_drawn);
    ADD(jpeg_rounds_and_worse_qualities_do_so_more);
    ADD(probabilities_are_kept_and_draws_repeat);
    ADD(impossible_probabilities_are_refused);
    return g_test_run();
}
