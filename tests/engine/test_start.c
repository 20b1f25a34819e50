// SPDX-License-Identifier: LGPL-3.0-or-later
// What a training starts with: deviations of the random filters, and the encoder's folded stem.
#include <cz/unet.h>

#include <math.h>
#include <string.h>

#include <cz/error.h>

static char *encoder_path(void)
{
    return g_build_filename(g_getenv("COLORIZE_SOURCE_ROOT"), "training", "pretrained",
                            "efficientnet-lite0-imagenet.safetensors", NULL);
}

// NULL, and the test has failed, if there is no such tensor.
static float *read_tensor(CzStore *store, const char *name, size_t *n)
{
    CzShape shape = {0};
    g_assert_true(cz_store_has(store, name, &shape));
    *n = cz_shape_count(shape);
    float *data = g_new0(float, *n + 1);
    g_assert_true(cz_store_read(store, name, data, NULL));
    return data;
}

typedef struct {
    CzStore *store;
    bool random_encoder;
} Check;

// Mean and deviation within five of their own standard errors (head: a tenth of the deviation).
static bool check_random(void *user, const CzUnetTensor *tensor)
{
    const Check *check = user;
    if (tensor->encoder && !check->random_encoder)
        return true;
    size_t n;
    g_autofree float *data = read_tensor(check->store, tensor->name, &n);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        sum += data[i];
        squares += (double)data[i] * data[i];
    }
    CzShape s = tensor->shape;
    double wanted = sqrt((tensor->encoder ? 2 : 1 / 3.0) / ((double)s.c * s.h * s.w));
    if (strcmp(tensor->name, "head.weight") == 0)
        wanted *= 0.1;
    if (g_str_has_suffix(tensor->name, ".bias"))
        wanted = 0;
    double mean = sum / (double)n, deviation = sqrt(squares / (double)n);
    bool ok = fabs(mean) <= 5 * wanted / sqrt((double)n) &&
              fabs(deviation - wanted) <= 5 * wanted / sqrt(2.0 * (double)n);
    if (!ok)
        g_test_message("%s: mean %g, deviation %g, expected 0 and %g", tensor->name, mean,
                       deviation, wanted);
    g_assert_true(ok);
    return true;
}

static void random_filters_have_the_stated_deviation(void)
{
    g_autoptr(CzEngineDevice) device = cz_device_open("reference", NULL);
    g_autoptr(CzStore) store = cz_store_new(device);
    g_autoptr(GError) error = NULL;
    bool ok = cz_unet_start(store, &cz_unet_default, NULL, 3, &error);
    g_assert_no_error(error);
    g_assert_true(ok);
    Check check = {store, true};
    g_assert_true(cz_unet_each(&cz_unet_default, check_random, &check));
}

// A grey picture of one value, seen by the colour stem and by the folded one, far from any edge.
static void folded_stem_sees_grey_as_colour_stem_does(void)
{
    g_autofree char *path = encoder_path();
    g_autoptr(CzModelFile) file = cz_model_file_open(path, NULL);
    g_autoptr(CzEngineDevice) device = cz_device_open("reference", NULL);
    g_autoptr(CzStore) store = cz_store_new(device);
    CzUnetParams params = cz_unet_default;
    params.n_inputs = 2;
    g_assert_true(cz_unet_start(store, &params, path, 3, NULL));
    size_t n_filter, n_bias;
    g_autofree float *filter = read_tensor(store, "encoder.stem.weight", &n_filter);
    g_autofree float *bias = read_tensor(store, "encoder.stem.bias", &n_bias);
    g_assert_cmpuint(n_filter, ==, 32 * 2 * 9);
    float colour[32 * 27], colour_bias[32];
    cz_tensor_to_f32(cz_model_file_find(file, "stem.weight"), colour);
    cz_tensor_to_f32(cz_model_file_find(file, "stem.bias"), colour_bias);
    for (size_t o = 0; o < 32; o++) {
        for (int v = 0; v <= 255; v += 51) {
            double wanted = colour_bias[o], found = bias[o], size = fabs(wanted);
            for (size_t i = 0; i < 27; i++) {
                wanted += colour[o * 27 + i] * (v - 127) / 128.0;
                size += fabs(colour[o * 27 + i]);
            }
            for (size_t k = 0; k < 9; k++)
                found += filter[(o * 9 + k) * 2] * (v / 127.5 - 1);
            g_assert_cmpfloat_with_epsilon(found, wanted, 27 * 6e-8 * size);
        }
        for (size_t k = 0; k < 9; k++) // the second input begins without influence
            g_assert_cmpfloat(filter[(o * 9 + k) * 2 + 1], ==, 0);
    }
}

static void encoder_is_the_files(void)
{
    g_autofree char *path = encoder_path();
    g_autoptr(CzModelFile) file = cz_model_file_open(path, NULL);
    g_autoptr(CzEngineDevice) device = cz_device_open("reference", NULL);
    g_autoptr(CzStore) store = cz_store_new(device);
    g_assert_true(cz_unet_start(store, &cz_unet_default, path, 3, NULL));
    size_t n;
    g_autofree float *expand = read_tensor(store, "encoder.block.1.expand.weight", &n);
    g_autofree float *depthwise = read_tensor(store, "encoder.block.8.depthwise.weight", &n);
    g_autofree float *bias = read_tensor(store, "encoder.block.15.project.bias", &n);
    g_autofree float *wanted = g_new0(float, 1 << 20);
    cz_tensor_to_f32(cz_model_file_find(file, "block.1.expand.weight"), wanted);
    g_assert_cmpmem(expand, 96 * 16 * 4, wanted, 96 * 16 * 4);
    cz_tensor_to_f32(cz_model_file_find(file, "block.8.depthwise.weight"), wanted);
    g_assert_cmpmem(depthwise, 480 * 25 * 4, wanted, 480 * 25 * 4);
    cz_tensor_to_f32(cz_model_file_find(file, "block.15.project.bias"), wanted);
    g_assert_cmpmem(bias, 320 * 4, wanted, 320 * 4);
    Check check = {store, false};
    g_assert_true(cz_unet_each(&cz_unet_default, check_random, &check));
}

static void same_seed_gives_same_weights(void)
{
    g_autofree char *path = encoder_path();
    g_autoptr(CzEngineDevice) device = cz_device_open("reference", NULL);
    static const uint64_t seeds[] = {3, 3, 3, 4};
    g_autofree float *a = NULL, *b = NULL, *c = NULL, *d = NULL;
    float **data[] = {&a, &b, &c, &d};
    size_t n = 0;
    for (int i = 0; i < 4; i++) {
        g_autoptr(CzStore) store = cz_store_new(device);
        g_assert_true(cz_unet_start(store, &cz_unet_default, i == 2 ? path : NULL, seeds[i], NULL));
        *data[i] = read_tensor(store, "head.weight", &n);
    }
    g_assert_cmpmem(a, n * 4, b, n * 4);
    g_assert_cmpmem(a, n * 4, c, n * 4); // with an encoder's file or without
    g_assert_true(memcmp(a, d, n * 4) != 0);
}

static void what_cannot_start_says_why(void)
{
    g_autoptr(CzEngineDevice) device = cz_device_open("reference", NULL);
    g_autoptr(CzStore) store = cz_store_new(device);
    g_autoptr(GError) error = NULL;
    g_assert_false(cz_unet_start(store, &cz_unet_default, "/nowhere/x.safetensors", 3, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
    g_clear_error(&error);
    CzUnetParams params = cz_unet_default;
    params.widths[1] = -3;
    g_assert_false(cz_unet_start(store, &params, NULL, 3, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_MODEL);
    g_assert_nonnull(strstr(error->message, "128, -3, 64, 48"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define CASE(name) g_test_add_func("/engine/start/" #name, name)
    CASE(random_filters_have_the_stated_deviation);
    CASE(folded_stem_sees_grey_as_colour_stem_does);
    CASE(encoder_is_the_files);
    CASE(same_seed_gives_same_weights);
    CASE(what_cannot_start_says_why);
#undef CASE
    return g_test_run();
}
