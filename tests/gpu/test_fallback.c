// SPDX-License-Identifier: LGPL-3.0-or-later
// A photograph is colored whatever the GPU does: the double loses the device, runs out of memory,
// or fails at one call after another, and the CPU completes; the user is told once.
#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include <cz/colorizer.h>
#include <cz/error.h>
#include <cz/model.h>

#include "double.h"

int cuInit(unsigned flags); // of the driver's double

enum { WIDTH = 64, HEIGHT = 48, N = 3 * WIDTH * HEIGHT };

static float photo_rows[N];

static bool read_rows(void *user, int32_t y, int32_t n_rows, float *rgb, GError **error)
{
    memcpy(rgb, photo_rows + (size_t)y * WIDTH * 3, (size_t)n_rows * WIDTH * 3 * sizeof *rgb);
    return true;
}

static void make_photo(void)
{
    for (int i = 0; i < N; i++) {
        float x = (float)(i / 3 % WIDTH), y = (float)(i / 3 / WIDTH);
        photo_rows[i] = 0.5f + 0.3f * sinf(0.2f * x) * cosf(0.15f * y) + (x > 40 ? 0.1f : -0.1f);
    }
}

static const CzPhoto photo = {WIDTH, HEIGHT, read_rows, NULL, NULL};

static CzColorizer *open_on(const char *device, CzDtype precision)
{
    g_autoptr(GError) error = NULL;
    const CzColorizerOptions options = {.device = device, .precision = precision};
    CzColorizer *colorizer = cz_colorizer_new(&options, &error);
    g_assert_no_error(error);
    return colorizer;
}

static CzChroma *predict(CzColorizer *colorizer)
{
    g_autoptr(GError) error = NULL;
    CzChroma *chroma = cz_colorizer_predict(colorizer, &photo, 0, NULL, &error);
    g_assert_no_error(error);
    return chroma;
}

// The largest difference in a* or b*.
static double distance(const CzChroma *a, const CzChroma *b)
{
    const CzField *fa = cz_chroma_field(a), *fb = cz_chroma_field(b);
    size_t n = 2 * (size_t)fa->width * (size_t)fa->height;
    double most = 0;
    g_assert_cmpint(fa->width, ==, fb->width);
    g_assert_cmpint(fa->height, ==, fb->height);
    for (size_t i = 0; i < n; i++)
        most = MAX(most, fabs((double)fa->c[i] - (double)fb->c[i]));
    return most;
}

static CzChroma *right_chroma; // by the CPU

static void begin_again(void)
{
    double_cudnn_reset();
    double_reset();
    cuInit(0);
}

static void expect_clean(const char *what)
{
    if (double_complaints() > 0 || double_cudnn_leaks() > 0)
        g_test_fail_printf("%s: %u of cuDNN's left; %s", what, double_cudnn_leaks(),
                           double_complaint_text());
}

static void the_bundled_weights_agree(void)
{
    static const struct {
        CzDtype dtype;
        double bound;
    } rows[] = {{CZ_F32, 0.01}, {CZ_F16, 0.5}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(CzColorizer) colorizer = open_on("cuda", rows[i].dtype);
        g_autoptr(CzChroma) chroma = predict(colorizer);
        double found = distance(right_chroma, chroma);
        g_test_message("%s: max |dab| to the CPU in F32 %.2g", cz_dtype_name(rows[i].dtype), found);
        g_assert_cmpfloat(found, <=, rows[i].bound);
        g_assert_cmpfloat(found, >, 0);
        g_assert_cmpstr(cz_colorizer_device(colorizer)->id, ==, "cuda:0");
        g_assert_null(cz_colorizer_notice(colorizer));
    }
    expect_clean("bundled");
}

static void expect_fallback(CzColorizer *colorizer, const char *word)
{
    g_autoptr(CzChroma) chroma = predict(colorizer);
    g_autofree char *notice = cz_colorizer_notice(colorizer);
    g_assert_cmpstr(cz_colorizer_device(colorizer)->id, ==, "cpu");
    g_assert_cmpfloat(distance(right_chroma, chroma), ==, 0);
    g_assert_true(notice && strstr(notice, "cuda:0") && strstr(notice, word));
    g_test_message("%s", notice ? notice : "no notice");
    g_assert_null(cz_colorizer_notice(colorizer)); // once
    g_autoptr(CzChroma) again = predict(colorizer);
    g_assert_cmpfloat(distance(right_chroma, again), ==, 0);
    g_assert_null(cz_colorizer_notice(colorizer));
}

static void a_lost_device_is_left(void)
{
    g_autoptr(CzColorizer) colorizer = open_on(NULL, CZ_F32);
    g_autoptr(CzChroma) first = predict(colorizer);
    g_assert_cmpstr(cz_colorizer_device(colorizer)->id, ==, "cuda:0");
    double_lose_device(5, 719);
    expect_fallback(colorizer, "CUDA_ERROR_LAUNCH_FAILED");
    expect_clean("lost");
    begin_again();
}

static void memory_that_is_out_is_left(void)
{
    // Enough to open, not enough for the weights and the plan.
    double_set_memory((size_t)24 << 20);
    g_autoptr(CzColorizer) colorizer = open_on("cuda", CZ_F32);
    expect_fallback(colorizer, "out of memory");
    expect_clean("memory");
    // Not even enough to hold the weights.
    double_set_memory((size_t)17 << 20);
    g_autoptr(CzColorizer) other = open_on(NULL, CZ_F32);
    expect_fallback(other, "out of memory");
    begin_again();
}

// The bundled weights with one layer a million times as large: F16 overflows behind it, F32 does
// not.
static char *write_loud_weights(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *bundled = cz_weights_bundled(&error);
    g_autoptr(CzModelFile) file = cz_model_file_open(bundled, &error);
    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    g_assert_no_error(error);
    for (size_t i = 0; i < cz_model_file_n_tensors(file); i++) {
        const CzTensor *tensor = cz_model_file_tensor(file, i);
        g_autofree float *data = g_new(float, tensor->n_elements);
        cz_tensor_to_f32(tensor, data);
        if (g_str_equal(tensor->name, "up.3.second.weight"))
            for (size_t k = 0; k < tensor->n_elements; k++)
                data[k] *= 1e6f;
        g_assert_true(cz_model_writer_add(writer, tensor->name, tensor->rank, tensor->dims, data,
                                          CZ_F32, &error));
    }
    for (const char *const *key = cz_model_file_meta_keys(file); *key; key++)
        cz_model_writer_meta(writer, *key, cz_model_file_meta(file, *key));
    char *path = g_build_filename(g_get_user_cache_dir(), "loud.safetensors", NULL);
    g_assert_true(cz_model_writer_commit(writer, path, &error));
    g_assert_no_error(error);
    return path;
}

static void numbers_that_f16_does_not_hold_are_computed_in_f32(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *weights = write_loud_weights();
    const CzColorizerOptions options = {.weights = weights, .device = "cuda", .precision = CZ_F16};
    g_autoptr(CzColorizer) colorizer = cz_colorizer_new(&options, &error);
    g_assert_no_error(error);
    g_autoptr(CzChroma) chroma = predict(colorizer);
    g_autofree char *notice = cz_colorizer_notice(colorizer);
    g_assert_nonnull(chroma);
    g_assert_true(notice && strstr(notice, "F32 instead of F16"));
    g_assert_cmpstr(cz_colorizer_device(colorizer)->id, ==, "cuda:0");
    g_unlink(weights);
}

typedef struct {
    bool struck, left;
} Fault;

static Fault fail_call(unsigned n)
{
    g_autoptr(CzColorizer) colorizer = open_on(NULL, CZ_F32);
    double_fail_call(NULL, n, n % 2 ? 999 : 2);
    g_autoptr(CzChroma) chroma = predict(colorizer);
    Fault fault = {.struck = double_failed(),
                   .left = g_str_equal(cz_colorizer_device(colorizer)->id, "cpu")};
    g_autofree char *notice = cz_colorizer_notice(colorizer);
    g_assert_true(fault.left == (notice != NULL));
    if (chroma)
        g_assert_cmpfloat(distance(right_chroma, chroma), <=, 0.01);
    double_fail_call(NULL, 0, 0);
    return fault;
}

// Calls of one prediction on a device that is open already, each answers an error: every 31st, with
// COLORIZE_SLOW=1 every one.
static void calls_may_fail_in_the_midst(void)
{
    unsigned n_struck = 0, n_left = 0, step = g_getenv("COLORIZE_SLOW") ? 1 : 31;
    for (unsigned n = 1;; n += step) {
        g_autofree char *what = g_strdup_printf("call %u", n);
        Fault fault = fail_call(n);
        expect_clean(what);
        n_struck += fault.struck;
        n_left += fault.left;
        if (!fault.struck)
            break;
    }
    g_test_message("%u calls failed, %u times the CPU took over", n_struck, n_left);
    g_assert_cmpuint(n_struck, >, 2);
    g_assert_cmpuint(n_left, >, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    make_photo();
    g_autofree char *folder = g_dir_make_tmp("colorize-fallback-XXXXXX", NULL);
    g_setenv("XDG_CACHE_HOME", folder, TRUE);
    g_autoptr(CzColorizer) cpu = open_on("cpu", CZ_F32);
    right_chroma = predict(cpu);
#define CASE(name) g_test_add_func("/gpu/fallback/" #name, name)
    CASE(the_bundled_weights_agree);
    CASE(a_lost_device_is_left);
    CASE(memory_that_is_out_is_left);
    CASE(numbers_that_f16_does_not_hold_are_computed_in_f32);
    CASE(calls_may_fail_in_the_midst);
    int status = g_test_run();
    cz_chroma_free(right_chroma);
    return status;
}
