// SPDX-License-Identifier: LGPL-3.0-or-later
// The perceptual loss: its colors against engine/color, its distance against the formula, its
// gradient by finite differences, its encoder's file.
#include "steps.h"

#include <cz/color.h>
#include <cz/encoder.h>
#include <cz/error.h>
#include <cz/ops.h>
#include <cz/threads.h>

#include "perceptual.h"

enum { SIDE = 32, PLACES = 2 * SIDE * SIDE };

static char *source_file(const char *a, const char *b, const char *c)
{
    return g_build_filename(g_getenv("COLORIZE_SOURCE_ROOT"), a, b, c, NULL);
}

static char *encoder_path(void)
{
    return source_file("training", "pretrained", "efficientnet-lite0-imagenet.safetensors");
}

// ---- color --------------------------------------------------------------------------------------

// Colors of sRGB all over the cube, corners and greys included, and beyond it.
static void colors_are_those_of_the_engine(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CzEngineDevice) device = cz_device_open("cpu", &error);
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue l = cz_input(graph, "l", cz_shape(2, 1, SIDE, SIDE));
    CzValue ab = cz_input(graph, "ab", cz_shape(2, 2, SIDE, SIDE));
    CzValue rgb = train_perceptual_rgb(graph, l, ab);
    g_autoptr(CzPlan) plan = cz_plan_new(device, NULL, graph, &rgb, 1, NULL, &error);
    g_assert_no_error(error);
    float lab[3 * PLACES], lightness[PLACES], chroma[2 * PLACES], found[3 * PLACES];
    float expected[3 * PLACES];
    CzRng rng = cz_rng(1, 1);
    for (int i = 0; i < PLACES; i++) {
        float color[3];
        for (int c = 0; c < 3; c++)
            color[c] = i < 27 ? (float)(i /
                                        (c == 0   ? 1
                                         : c == 1 ? 3
                                                  : 9) %
                                        3) /
                                    2
                              : 1.2f * cz_rng_uniform(&rng) - 0.1f;
        cz_rgb_to_lab(lab + 3 * i, color, 1);
        lightness[i] = lab[3 * i] / 50 - 1;
        chroma[2 * i] = lab[3 * i + 1] / 100;
        chroma[2 * i + 1] = lab[3 * i + 2] / 100;
    }
    cz_lab_to_rgb(expected, lab, PLACES);
    g_assert_true(cz_plan_write(plan, l, lightness, PLACES, &error) &&
                  cz_plan_write(plan, ab, chroma, 2 * PLACES, &error) &&
                  cz_plan_run(plan, NULL, &error) &&
                  cz_plan_read(plan, rgb, found, 3 * PLACES, &error));
    double worst = 0;
    for (int i = 0; i < 3 * PLACES; i++) {
        double difference = fabs(found[i] - (double)CLAMP(expected[i], 0, 1));
        if (!(difference <= 1e-4)) {
            g_test_message("place %d: %g, expected %g", i / 3, (double)found[i],
                           (double)expected[i]);
            g_test_fail();
        }
        worst = fmax(worst, difference);
    }
    g_test_message("worst %g of 1e-4", worst);
}

// ---- distance -----------------------------------------------------------------------------------

typedef struct {
    CzEngineDevice *device;
    CzStore *store;
    CzGraph *graph;
    CzPlan *plan;
    CzValue lightness, output, truth, loss, gradient;
    float l[PLACES], o[2 * PLACES], t[2 * PLACES];
} Fixture;

static void fixture_init(Fixture *f, const char *device)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = encoder_path();
    f->device = cz_device_open(device, &error);
    f->store = cz_store_new(f->device);
    g_assert_true(train_perceptual_start(f->store, path, &error));
    f->graph = cz_graph_new();
    f->lightness = cz_input(f->graph, "l", cz_shape(2, 1, SIDE, SIDE));
    f->output = cz_input(f->graph, "output", cz_shape(2, 2, SIDE, SIDE));
    f->truth = cz_input(f->graph, "truth", cz_shape(2, 2, SIDE, SIDE));
    f->loss = train_perceptual_build(f->graph, f->lightness, f->output, f->truth, CZ_F32);
    cz_graph_gradient(f->graph, f->loss, &f->output, 1, &f->gradient);
    const CzValue outputs[] = {f->loss, f->gradient};
    f->plan = cz_plan_new(f->device, f->store, f->graph, outputs, 2, NULL, &error);
    g_assert_no_error(error);
    // Waves within the gamut, so that no clipping has a corner within reach.
    for (int i = 0; i < PLACES; i++) {
        float x = (float)(i % SIDE), y = (float)(i / SIDE % SIDE), n = (float)(i / SIDE / SIDE);
        f->l[i] = 0.3f * sinf(0.4f * x + n) * cosf(0.3f * y);
        f->o[2 * i] = 0.1f * sinf(0.2f * x + 0.3f * y);
        f->o[2 * i + 1] = 0.1f * cosf(0.5f * y + n);
        f->t[2 * i] = 0.15f * cosf(0.3f * x);
        f->t[2 * i + 1] = 0.15f * sinf(0.25f * x - 0.3f * y);
    }
}

static void fixture_clear(Fixture *f)
{
    cz_plan_free(f->plan);
    cz_graph_free(f->graph);
    cz_store_free(f->store);
    cz_device_close(f->device);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Fixture, fixture_clear)

static double loss_at(Fixture *f, const float *output)
{
    g_autoptr(GError) error = NULL;
    float loss = NAN;
    g_assert_true(cz_plan_write(f->plan, f->lightness, f->l, PLACES, &error) &&
                  cz_plan_write(f->plan, f->output, output, 2 * PLACES, &error) &&
                  cz_plan_write(f->plan, f->truth, f->t, 2 * PLACES, &error) &&
                  cz_plan_run(f->plan, NULL, &error) &&
                  cz_plan_read(f->plan, f->loss, &loss, 1, &error));
    return loss;
}

// What the encoder gives at the three levels for one picture, by a plan of its own.
static void read_levels(Fixture *f, const float *chroma, float *levels[3], CzShape shapes[3])
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue input = cz_input(graph, "rgb", cz_shape(2, 3, SIDE, SIDE)), all[CZ_ENCODER_LEVELS];
    float lab[3 * PLACES], rgb[3 * PLACES];
    for (int i = 0; i < PLACES; i++) {
        lab[3 * i] = 50 * f->l[i] + 50;
        lab[3 * i + 1] = 100 * chroma[2 * i];
        lab[3 * i + 2] = 100 * chroma[2 * i + 1];
    }
    cz_lab_to_rgb(rgb, lab, PLACES);
    for (int i = 0; i < 3 * PLACES; i++)
        rgb[i] = (255 * CLAMP(rgb[i], 0, 1) - 127) / 128;
    cz_encoder_build(graph, input, "perceptual.", all, CZ_ENCODER_LEVELS);
    g_autoptr(CzPlan) plan = cz_plan_new(f->device, f->store, graph, all + 1, 3, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(cz_plan_write(plan, input, rgb, 3 * PLACES, &error) &&
                  cz_plan_run(plan, NULL, &error));
    for (int i = 0; i < 3; i++) {
        shapes[i] = cz_graph_shape(graph, all[1 + i]);
        levels[i] = g_new(float, cz_shape_count(shapes[i]));
        cz_plan_read(plan, all[1 + i], levels[i], cz_shape_count(shapes[i]), &error);
        g_assert_no_error(error);
    }
}

static double distance_of_place(const float *a, const float *b, int32_t c)
{
    double aa = 1e-6, bb = 1e-6, sum = 0;
    for (int32_t i = 0; i < c; i++)
        aa += (double)a[i] * a[i], bb += (double)b[i] * b[i];
    for (int32_t i = 0; i < c; i++) {
        double d = a[i] / sqrt(aa) - b[i] / sqrt(bb);
        sum += d * d;
    }
    return sum;
}

static void distance_is_its_formula(void)
{
    g_auto(Fixture) f = {0};
    fixture_init(&f, "cpu");
    float *made[3], *real[3];
    CzShape shapes[3];
    double expected = 0, found = loss_at(&f, f.o);
    read_levels(&f, f.o, made, shapes);
    read_levels(&f, f.t, real, shapes);
    for (int i = 0; i < 3; i++) {
        CzShape s = shapes[i];
        int32_t places = s.n * s.h * s.w;
        g_assert_cmpint(s.h, ==, SIDE >> (2 + i));
        for (int32_t k = 0; k < places; k++)
            expected += distance_of_place(made[i] + k * s.c, real[i] + k * s.c, s.c) / places;
        g_free(made[i]);
        g_free(real[i]);
    }
    g_test_message("%.8g, expected %.8g", found, expected);
    g_assert_cmpfloat(expected, >, 0.05);
    // Colors are 1e-5 apart at most, and the encoder's features by ten times that.
    g_assert_cmpfloat(fabs(found - expected), <, 1e-3 * expected);
    g_assert_cmpfloat(loss_at(&f, f.t), <, 1e-6);
}

// Along the gradient's own direction and others in which its elements count unevenly. Both ends see
// the same kinks but for a few.
static void gradient_agrees_with_finite_differences(void)
{
    g_auto(Fixture) f = {0};
    fixture_init(&f, "cpu");
    float gradient[2 * PLACES], moved[2 * PLACES];
    double norm = 0;
    loss_at(&f, f.o);
    cz_plan_read(f.plan, f.gradient, gradient, 2 * PLACES, NULL);
    for (int i = 0; i < 2 * PLACES; i++)
        norm += (double)gradient[i] * gradient[i];
    norm = sqrt(norm);
    CzRng rng = cz_rng(6, 6);
    for (int turn = 0; turn < 5; turn++) {
        float direction[2 * PLACES];
        double slope = 0, ends[2], length = 0, h = 0.01;
        for (int i = 0; i < 2 * PLACES; i++) {
            direction[i] = gradient[i] * (turn ? 3 * cz_rng_uniform(&rng) - 1 : 1);
            length += (double)direction[i] * direction[i];
        }
        for (int i = 0; i < 2 * PLACES; i++) {
            direction[i] /= (float)sqrt(length);
            slope += (double)direction[i] * gradient[i];
        }
        for (int end = 0; end < 2; end++) {
            for (int i = 0; i < 2 * PLACES; i++)
                moved[i] = f.o[i] + (float)(end ? h : -h) * direction[i];
            ends[end] = loss_at(&f, moved);
        }
        double differences = (ends[1] - ends[0]) / (2 * h);
        g_test_message("slope %g, by differences %g (norm %g)", slope, differences, norm);
        g_assert_cmpfloat(fabs(slope - differences), <, 0.02 * norm);
    }
    g_assert_cmpfloat(norm, >, 1e-3);
}

// ---- the encoder's file -------------------------------------------------------------------------

static void encoders_that_do_not_fit_are_refused(void)
{
    g_autoptr(GError) error = NULL, other = NULL;
    g_autoptr(CzEngineDevice) device = cz_device_open("cpu", &error);
    g_autoptr(CzStore) store = cz_store_new(device);
    g_autofree char *grey = source_file("weights", "photo.safetensors", NULL);
    g_assert_false(train_perceptual_start(store, "/nowhere.safetensors", &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
    if (!g_file_test(grey, G_FILE_TEST_EXISTS))
        return;
    g_assert_false(train_perceptual_start(store, grey, &other));
    g_assert_error(other, CZ_ERROR, CZ_ERROR_MODEL);
    g_assert_nonnull(strstr(other->message, "stem.weight"));
}

static void encoder_is_read_once_and_only_what_is_needed(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CzEngineDevice) device = cz_device_open("cpu", &error);
    g_autoptr(CzStore) store = cz_store_new(device);
    g_autofree char *path = encoder_path();
    g_assert_true(train_perceptual_start(store, path, &error));
    size_t n = cz_store_n(store);
    g_assert_true(cz_store_has(store, "perceptual.block.10.project.weight", NULL));
    g_assert_false(cz_store_has(store, "perceptual.block.11.expand.weight", NULL));
    // A run that goes on has it in its checkpoint; the file may be gone.
    g_assert_true(train_perceptual_start(store, "/nowhere.safetensors", &error));
    g_assert_cmpuint(cz_store_n(store), ==, n);
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    cz_threads_set(1);
#define ADD(claim) g_test_add_func("/training/perceptual/" #claim, claim)
    ADD(colors_are_those_of_the_engine);
    ADD(distance_is_its_formula);
    ADD(gradient_agrees_with_finite_differences);
    ADD(encoders_that_do_not_fit_are_refused);
    ADD(encoder_is_read_once_and_only_what_is_needed);
    return g_test_run();
}
