// SPDX-License-Identifier: LGPL-3.0-or-later
// Learning how hints spread: the graph's regression by value, and what it learns of made points.
#include "hint_fit.h"

#include <math.h>
#include <string.h>

#include <glib.h>

#include <cz/memory.h>
#include <cz/rng.h>

enum { CHANNELS = 6, N_MAPS = 2 };

static void points_init(TrainHintPoints *points, size_t n_pictures)
{
    size_t n = n_pictures * TRAIN_HINT_POINTS;
    *points = (TrainHintPoints){.n_pictures = n_pictures, .n_maps = N_MAPS, .channels = CHANNELS};
    points->points = cz_memory_alloc(n * sizeof *points->points, "points", NULL);
    points->features = cz_memory_alloc(n * N_MAPS * CHANNELS * sizeof(float), "features", NULL);
    memset(points->points, 0, n * sizeof *points->points);
    memset(points->features, 0, n * N_MAPS * CHANNELS * sizeof(float));
}

static float *features_of(TrainHintPoints *points, size_t i, int map)
{
    return points->features + (i * N_MAPS + (size_t)map) * CHANNELS;
}

// ---- by value -----------------------------------------------------------------------------------

// Two kinds of places, alike within a kind. After one hint at one of kind i: the loss over all the
// other places, by the formula of color/hints.h.
static double expected_loss(const TrainHintPoint kinds[2], double between, int i)
{
    const CzHintKernel k = cz_hint_kernel(0.5);
    const TrainHintPoint *hint = &kinds[i];
    double own = 1 + (double)k.noise, sum = 0, n = TRAIN_HINT_POINTS / 2, modest = 0, predicted = 0;
    double alpha[2], v[2];
    for (int c = 0; c < 2; c++) {
        v[c] = (double)hint->place.predicted[c];
        alpha[c] = ((double)hint->truth[c] - v[c]) / own;
        modest += v[c] * alpha[c];
        predicted += v[c] * v[c] / own;
    }
    double strength = (double)k.strength * modest / (1 + (double)k.strength * predicted);
    for (int kind = 0; kind < 2; kind++)
        for (int c = 0; c < 2; c++) {
            double likeness = kind == i ? 1 : between;
            double made = likeness * (alpha[c] - strength * v[c] / own) +
                          strength * (double)kinds[kind].place.predicted[c];
            double wanted = (double)(kinds[kind].truth[c] - kinds[kind].place.predicted[c]);
            sum += pow(made - wanted, 2) * (kind == i ? n - 1 : n);
        }
    return log(sum / (2 * n - 1) + 20);
}

// Every place is either the hint or judged, so that the loss is one of two numbers.
static void the_regression_is_the_engine_s(void)
{
    TrainHintFitOptions options = train_hint_fit_default;
    static const TrainHintPoint kinds[2] = {{{0.2f, 0.3f, 40, {5, 9}, {5, 9}}, {17, 20}},
                                            {{0.6f, 0.5f, 62, {-8, 14}, {-8, 14}}, {-20, 40}}};
    TrainHintPoints points;
    const CzHintKernel k = cz_hint_kernel(0.5);
    double feature = 0, loss, found[2] = {0};
    options.batch = 1;
    options.hints = 1;
    options.judged = TRAIN_HINT_POINTS - 1;
    options.width = CHANNELS;
    points_init(&points, 1);
    for (size_t i = 0; i < TRAIN_HINT_POINTS; i++) {
        points.points[i] = kinds[i % 2];
        for (int m = 0; m < N_MAPS; m++)
            for (int c = 0; c < CHANNELS; c++)
                features_of(&points, i, m)[c] = i % 2 ? -0.4f : 0.1f * (float)(c + 1 + m);
    }
    for (int m = 0; m < N_MAPS; m++)
        for (int c = 0; c < CHANNELS; c++)
            feature += pow(0.4 + 0.1 * (c + 1 + m), 2) / N_MAPS;
    double u = sqrt(feature / pow((double)k.feature, 2) + pow(22 / (double)k.lightness, 2) +
                    (169 + 25) / pow((double)k.chroma, 2));
    double between = exp(-pow(u, 1.5) - hypot(0.4, 0.2) / (double)k.place);
    g_autoptr(CzEngineDevice) device = cz_device_open("cpu", NULL);
    g_autoptr(TrainHintFit) fit = train_hint_fit_new(device, &points, &options, NULL);
    g_assert_nonnull(fit);
    for (int step = 0; step < 12; step++) {
        g_assert_true(train_hint_fit_step(fit, &points, 0, &loss, NULL));
        int i = fabs(loss - expected_loss(kinds, between, 0)) > 1e-3;
        g_assert_cmpfloat_with_epsilon(loss, expected_loss(kinds, between, i), 1e-3);
        found[i]++;
    }
    g_assert_cmpfloat(fabs(expected_loss(kinds, between, 0) - expected_loss(kinds, between, 1)), >,
                      0.1);
    g_assert_true(found[0] > 0 && found[1] > 0);
    g_clear_pointer(&fit, train_hint_fit_free);
    train_hint_points_clear(&points);
}

// ---- learning -----------------------------------------------------------------------------------

// The first channel says which way a place errs, the last how far; the rest is loud and says
// nothing.
static void make_points(TrainHintPoints *points)
{
    CzRng rng = cz_rng(9, 0);
    points_init(points, 16);
    for (size_t picture = 0; picture < points->n_pictures; picture++) {
        float a = 15 * cz_rng_normal(&rng), b = 15 * cz_rng_normal(&rng);
        for (size_t i = 0; i < TRAIN_HINT_POINTS; i++) {
            size_t at = picture * TRAIN_HINT_POINTS + i;
            float kind = cz_rng_below(&rng, 2) ? 1 : -1, far = cz_rng_below(&rng, 2) ? 1 : -1;
            float scale = kind * expf(0.5f * far);
            TrainHintPoint *point = &points->points[at];
            point->place.x = cz_rng_uniform(&rng);
            point->place.y = cz_rng_uniform(&rng);
            point->place.l = 50;
            point->truth[0] = scale * a;
            point->truth[1] = scale * b;
            for (int m = 0; m < N_MAPS; m++) {
                float *f = features_of(points, at, m);
                for (int c = 1; c < CHANNELS - 1; c++)
                    f[c] = 0.35f * cz_rng_normal(&rng);
                f[0] = 0.3f * kind;
                f[CHANNELS - 1] = 0.3f * far;
            }
        }
    }
}

static double length_of(const CzHintHead *head, int channel)
{
    double sum = 0;
    for (int32_t k = 0; k < head->width; k++)
        sum += pow((double)head->weight[k * head->channels + channel], 2);
    return sqrt(sum);
}

static void learns_what_tells_places_apart(void)
{
    TrainHintFitOptions options = train_hint_fit_default;
    TrainHintPoints points;
    double before = 0, after = 0, loss, amplitude = 0, noise = 0;
    options.width = CHANNELS;
    options.hints = 12;
    options.judged = 24;
    options.steps = 150;
    options.batch = 4;
    options.rate = 0.03;
    make_points(&points);
    g_autoptr(CzEngineDevice) device = cz_device_open("cpu", NULL);
    g_autoptr(TrainHintFit) fit = train_hint_fit_new(device, &points, &options, NULL);
    g_assert_nonnull(fit);
    for (int i = 0; i < 10; i++) {
        g_assert_true(train_hint_fit_step(fit, &points, 0, &loss, NULL));
        before += loss / 10;
    }
    g_assert_true(train_hint_fit_run(fit, &points, &after, NULL));
    g_autoptr(CzHintHead) head = train_hint_fit_head(fit, &points, NULL);
    for (int c = 1; c < CHANNELS - 1; c++)
        noise = fmax(noise, length_of(head, c));
    for (int32_t k = 0; k < head->width; k++)
        amplitude += (double)(head->amplitude[k] * head->weight[k * CHANNELS + CHANNELS - 1]);
    g_test_message("loss %.3f, then %.3f; heads %.3f and %.3f; amplitude %.3f", before, after,
                   length_of(head, 0), noise, amplitude);
    g_assert_cmpfloat(after, <, before - 1);
    g_assert_cmpfloat(length_of(head, 0), >, 5 * noise);
    g_assert_cmpfloat_with_epsilon(amplitude, 0.5 / 0.3, 0.8);
    g_clear_pointer(&fit, train_hint_fit_free);
    train_hint_points_clear(&points);
}

// The largest share of variance first: with one direction, the loud one.
static void directions_are_the_principal_ones(void)
{
    TrainHintPoints points;
    float directions[2 * CHANNELS];
    CzRng rng = cz_rng(2, 0);
    points_init(&points, 2);
    for (size_t i = 0; i < 2 * TRAIN_HINT_POINTS; i++)
        for (int m = 0; m < N_MAPS; m++) {
            float wide = 3 * cz_rng_normal(&rng), less = cz_rng_normal(&rng);
            features_of(&points, i, m)[1] = 0.6f * wide;
            features_of(&points, i, m)[2] = 0.8f * wide;
            features_of(&points, i, m)[4] = less;
        }
    train_hint_points_directions(&points, 2, directions);
    g_assert_cmpfloat_with_epsilon(fabsf(0.6f * directions[1] + 0.8f * directions[2]), 1, 1e-2);
    g_assert_cmpfloat_with_epsilon(fabsf(directions[CHANNELS + 4]), 1, 1e-2);
    train_hint_points_clear(&points);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hint_fit/the_regression_is_the_engine_s", the_regression_is_the_engine_s);
    g_test_add_func("/hint_fit/learns_what_tells_places_apart", learns_what_tells_places_apart);
    g_test_add_func("/hint_fit/directions_are_the_principal_ones",
                    directions_are_the_principal_ones);
    return g_test_run();
}
