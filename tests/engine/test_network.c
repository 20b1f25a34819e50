// SPDX-License-Identifier: LGPL-3.0-or-later
// The network of a weights file in the precisions that there are.
#include "colorizer/network.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/ops.h>
#include <cz/plan.h>

#include "weights.h"

enum { WIDTH = 96, HEIGHT = 64, N_CHROMA = WIDTH / 2 * HEIGHT / 2 * 2 };

static char *small; // weights

// Hills of some sizes, and an edge: L*/50 - 1.
static float *lightness_new(void)
{
    float *lightness = g_new(float, WIDTH *HEIGHT);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++)
            lightness[y * WIDTH + x] = 0.5f * sinf(0.11f * (float)x) * cosf(0.07f * (float)y) +
                                       0.2f * sinf(0.9f * (float)x + 0.5f * (float)y) +
                                       (x > 60 ? 0.25f : -0.25f);
    return lightness;
}

// a*b*/100 of a network opened anew; NULL with an error. The caller frees.
static float *run(const char *device, CzDtype precision, GError **error)
{
    g_autofree float *lightness = lightness_new(), *chroma = g_new0(float, N_CHROMA);
    CzNetwork *network = cz_network_new(small, device, precision, error);
    CzFeatures features = {0};
    bool done = network && cz_network_features_init(network, WIDTH, HEIGHT, &features, error) &&
                cz_network_run(network, WIDTH, HEIGHT, lightness, chroma, &features, NULL, error);
    cz_features_clear(&features);
    cz_network_free(network);
    return done ? g_steal_pointer(&chroma) : NULL;
}

static void bf16_is_close(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree float *f32 = run(NULL, CZ_F32, &error), *bf16 = run(NULL, CZ_BF16, &error);
    g_assert_no_error(error);
    double difference = 0, size = 0;
    for (int i = 0; i < N_CHROMA; i++) {
        difference += fabs((double)f32[i] - (double)bf16[i]);
        size += fabs((double)f32[i]);
    }
    g_test_message("BF16 differs by %.2g of the mean chroma", difference / size);
    g_assert_cmpfloat(difference / size, <, 0.1);
    g_assert_cmpfloat(difference, >, 0);
}

static void f16_is_f32_on_the_cpu(void)
{
    const char *const devices[] = {"cpu", "reference"};
    for (size_t i = 0; i < G_N_ELEMENTS(devices); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree float *f32 = run(devices[i], CZ_F32, &error);
        g_autofree float *f16 = run(devices[i], CZ_F16, &error);
        g_assert_no_error(error);
        if (f32 && f16)
            g_assert_cmpmem(f16, N_CHROMA * sizeof *f16, f32, N_CHROMA * sizeof *f32);
    }
}

static void a_refusal_names_the_precision(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree float *lightness = lightness_new(), *chroma = g_new0(float, N_CHROMA);
    CzNetwork *network = cz_network_new(small, "reference", CZ_BF16, &error);
    CzFeatures features = {0};
    g_assert_true(network && cz_network_features_init(network, WIDTH, HEIGHT, &features, &error));
    cz_fault_arm(CZ_FAULT_BACKEND, 1);
    g_assert_false(
        cz_network_run(network, WIDTH, HEIGHT, lightness, chroma, &features, NULL, &error));
    cz_fault_arm(CZ_FAULT_BACKEND, 0);
    g_assert_error(error, CZ_ERROR, CZ_ERROR_BACKEND);
    g_assert_nonnull(strstr(error->message, "the network in BF16: "));
    cz_features_clear(&features);
    cz_network_free(network);
}

// ---- the bundled weights ------------------------------------------------------------------------

// a*b* as the reference backend has it, whose F16 is that of the ops; the caller frees.
static float *run_bundled(const CzModelFile *file, CzDtype dtype, size_t *n)
{
    g_autoptr(GError) error = NULL;
    g_autofree float *lightness = lightness_new();
    g_autoptr(CzEngineDevice) device = cz_device_open("reference", &error);
    g_autoptr(CzStore) store = cz_store_new(device);
    g_autoptr(CzGraph) graph = cz_graph_new();
    const CzGeneratorUse use = {.dtype = dtype};
    CzGeneratorParams params;
    CzGeneratorOutput output;
    g_assert_true(cz_generator_read(&params, file, &error) && cz_store_load(store, file, &error));
    CzValue input = cz_input(graph, "lightness", cz_shape(1, 1, HEIGHT, WIDTH));
    cz_generator_build(graph, input, &params, &use, &output);
    cz_generator_clear(&output);
    *n = cz_shape_count(cz_graph_shape(graph, output.chroma));
    g_autofree float *ab = g_new0(float, *n);
    g_autoptr(CzPlan) plan = cz_plan_new(device, store, graph, &output.chroma, 1, NULL, &error);
    bool done = plan && cz_plan_write(plan, input, lightness, WIDTH * HEIGHT, &error) &&
                cz_plan_run(plan, NULL, &error) &&
                cz_plan_read(plan, output.chroma, ab, *n, &error);
    g_assert_no_error(error);
    for (size_t i = 0; i < *n; i++)
        ab[i] *= 100;
    return done ? g_steal_pointer(&ab) : NULL;
}

// Half a step of a*b* is invisible; 65504, where F16 ends, is far from any activation.
static void the_bundled_weights_give_the_same_color_in_f16(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path =
        g_build_filename(g_getenv("COLORIZE_SOURCE_ROOT"), "weights", "photo.safetensors", NULL);
    g_autoptr(CzModelFile) file = cz_model_file_open(path, &error);
    g_assert_no_error(error);
    if (!file)
        return;
    size_t n = 0;
    g_autofree float *f32 = run_bundled(file, CZ_F32, &n), *f16 = run_bundled(file, CZ_F16, &n);
    g_assert_true(f32 && f16);
    if (!f32 || !f16)
        return;
    double most = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)f32[i] - (double)f16[i]);
        g_assert_true(isfinite(f16[i]));
        most = MAX(most, fabs((double)f32[i]));
        worst = MAX(worst, difference);
    }
    g_test_message("F16 differs by %.3g of a*b*, which is %.3g at most", worst, most);
    g_assert_cmpfloat(most, >, 5);
    g_assert_cmpfloat(worst, <=, 0.5);
    g_assert_cmpfloat(worst, >, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_autofree char *folder = g_dir_make_tmp("network-XXXXXX", NULL);
    small = test_weights_write(folder, "small.safetensors", &test_weights_small, NULL, NULL);
#define CASE(claim) g_test_add_func("/engine/network/" #claim, claim)
    CASE(bf16_is_close);
    CASE(f16_is_f32_on_the_cpu);
    CASE(a_refusal_names_the_precision);
    CASE(the_bundled_weights_give_the_same_color_in_f16);
    int result = g_test_run();
    g_free(small);
    g_autofree char *remove = g_strdup_printf("rm -rf '%s'", folder);
    return system(remove) == 0 ? result : 1;
}
