// SPDX-License-Identifier: LGPL-3.0-or-later
// The trunk by itself: it is the generator's encoder, in colour, and its file's order is turned.
#include <cz/encoder.h>

#include <math.h>
#include <string.h>

#include <cz/error.h>
#include <cz/ops.h>
#include <cz/unet.h>

enum { SIDE = 64 };

static char *encoder_path(void)
{
    return g_build_filename(g_getenv("COLORIZE_SOURCE_ROOT"), "training", "pretrained",
                            "efficientnet-lite0-imagenet.safetensors", NULL);
}

// The bottom level, which all of the trunk has a part in; the caller frees.
static float *run(CzStore *store, CzEngineDevice *device, int32_t channels, const char *prefix,
                  const float *src, size_t *n)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    g_autoptr(GError) error = NULL;
    CzValue levels[CZ_ENCODER_LEVELS];
    CzValue input = cz_input(graph, "src", cz_shape(1, channels, SIDE, SIDE));
    cz_encoder_build(graph, input, prefix, levels, CZ_ENCODER_LEVELS);
    for (int i = 0; i < CZ_ENCODER_LEVELS; i++) {
        CzShape shape = cz_graph_shape(graph, levels[i]);
        g_assert_cmpint(shape.c, ==, cz_encoder_widths[i]);
        g_assert_cmpint(shape.h, ==, SIDE >> (i + 1));
    }
    *n = cz_shape_count(cz_graph_shape(graph, levels[CZ_ENCODER_LEVELS - 1]));
    float *out = g_new0(float, *n);
    g_autoptr(CzPlan) plan =
        cz_plan_new(device, store, graph, levels + CZ_ENCODER_LEVELS - 1, 1, NULL, &error);
    bool done = plan && cz_plan_write(plan, input, src, (size_t)channels * SIDE * SIDE, &error) &&
                cz_plan_run(plan, NULL, &error) &&
                cz_plan_read(plan, levels[CZ_ENCODER_LEVELS - 1], out, *n, &error);
    g_assert_no_error(error);
    g_assert_true(done);
    return out;
}

// A picture without edges at its border: outside, the grey stem pads with mid-grey's 0, the colour
// stem with its own, half a level apart.
static void a_grey_picture_looks_as_the_generators_encoder_sees_it(void)
{
    g_autofree char *path = encoder_path();
    g_autoptr(CzEngineDevice) device = cz_device_open("cpu", NULL);
    g_autoptr(CzStore) store = cz_store_new(device);
    g_autofree float *grey = g_new(float, SIDE *SIDE), *rgb = g_new(float, SIDE *SIDE * 3);
    size_t n_grey, n_rgb;
    double worst = 0, squares = 0;

    g_assert_true(cz_unet_start(store, &cz_unet_default, path, 1, NULL));
    g_assert_true(cz_encoder_load(store, path, "eye.", CZ_ENCODER_LEVELS, NULL));
    for (int i = 0; i < SIDE * SIDE; i++) {
        double x = (double)(i % SIDE) / SIDE, y = (double)i / (SIDE * SIDE);
        grey[i] = (float)(0.8 * sin(3.14159265 * x) * sin(9 * y) * sin(3.14159265 * y));
        for (int k = 0; k < 3; k++) // L*/50 - 1 as a grey of as many levels
            rgb[3 * i + k] = CZ_ENCODER_SCALE * (grey[i] + 1) / 2 + CZ_ENCODER_SHIFT;
    }
    g_autofree float *a = run(store, device, 1, "encoder.", grey, &n_grey);
    g_autofree float *b = run(store, device, 3, "eye.", rgb, &n_rgb);
    g_assert_cmpuint(n_grey, ==, n_rgb);
    for (size_t i = 0; i < n_grey; i++) {
        worst = MAX(worst, fabs((double)a[i] - b[i]));
        squares += (double)b[i] * b[i];
    }
    // The padding differs by STEM_SHIFT = 1/256 of the range along one row: some hundredths.
    double size = sqrt(squares / (double)n_rgb);
    g_test_message("worst difference %g, deviation %g", worst, size);
    g_assert_cmpfloat(size, >, 0.1);
    g_assert_cmpfloat(worst, <, 0.05 * size);
}

static void filters_are_turned_from_file_order(void)
{
    enum { OUT = 32, IN = 3, TAPS = 9 };
    g_autofree char *path = encoder_path();
    g_autoptr(CzModelFile) file = cz_model_file_open(path, NULL);
    g_autoptr(CzEngineDevice) device = cz_device_open("reference", NULL);
    g_autoptr(CzStore) store = cz_store_new(device);
    float found[OUT * IN * TAPS], expected[OUT * IN * TAPS];
    CzShape shape;

    g_assert_true(cz_encoder_load(store, path, "", CZ_ENCODER_LEVELS, NULL));
    g_assert_true(cz_store_has(store, "stem.weight", &shape));
    g_assert_cmpuint(cz_shape_count(shape), ==, OUT * IN * TAPS);
    g_assert_true(cz_store_read(store, "stem.weight", found, NULL));
    cz_tensor_to_f32(cz_model_file_find(file, "stem.weight"), expected);
    for (size_t o = 0; o < OUT; o++)
        for (size_t c = 0; c < IN; c++)
            for (size_t k = 0; k < TAPS; k++)
                g_assert_cmpfloat(found[(o * TAPS + k) * IN + c], ==,
                                  expected[(o * IN + c) * TAPS + k]);
}

static void a_file_without_a_trunk_is_refused(void)
{
    g_autofree char *path =
        g_build_filename(g_getenv("COLORIZE_SOURCE_ROOT"), "weights", "photo.safetensors", NULL);
    g_autoptr(CzEngineDevice) device = cz_device_open("reference", NULL);
    g_autoptr(CzStore) store = cz_store_new(device);
    g_autoptr(GError) error = NULL, nowhere = NULL;

    g_assert_false(cz_encoder_load(store, path, "", CZ_ENCODER_LEVELS, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_MODEL);
    g_assert_nonnull(error && strstr(error->message, "stem.weight") ? "" : NULL);
    g_assert_false(cz_encoder_load(store, "nowhere.safetensors", "", CZ_ENCODER_LEVELS, &nowhere));
    g_assert_error(nowhere, CZ_ERROR, CZ_ERROR_IO);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define ADD(name) g_test_add_func("/engine/encoder/" #name, name)
    ADD(a_grey_picture_looks_as_the_generators_encoder_sees_it);
    ADD(filters_are_turned_from_file_order);
    ADD(a_file_without_a_trunk_is_refused);
    return g_test_run();
}
