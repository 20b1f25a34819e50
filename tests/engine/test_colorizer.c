// SPDX-License-Identifier: LGPL-3.0-or-later
// The facade with random weights: lightness, sizes, strips, cancelling, errors of the host.
#include <cz/colorizer.h>

#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include <cz/color.h>
#include <cz/error.h>
#include <cz/memory.h>
#include <cz/resample.h>
#include <cz/rng.h>
#include <cz/unet.h>

#include "colorizer/reduce.h"
#include "weights.h"

static char *folder;
static CzColorizer *shared; // one for all tests that do not need their own

// ---- weights ------------------------------------------------------------------------------------

static CzColorizer *open_weights(const char *path, GError **error)
{
    const CzColorizerOptions options = {.weights = path, .device = NULL, .threads = 2};
    return cz_colorizer_new(&options, error);
}

// ---- photographs in memory ----------------------------------------------------------------------

typedef struct {
    CzPhoto photo;
    float *rgb, *out;
    GThread *caller;
    int n_reads, fail_read, n_writes, fail_write; // fail at the n-th, from 1
    int n_rows_most;
    bool wrong_thread;
} Picture;

static bool fail_now(int at, GError **error)
{
    g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "the disk says no at %d", at);
    return false;
}

static bool read_rows(void *user, int32_t y, int32_t n_rows, float *rgb, GError **error)
{
    Picture *picture = user;
    size_t stride = 3 * (size_t)picture->photo.width;
    picture->wrong_thread |= g_thread_self() != picture->caller;
    picture->n_rows_most = MAX(picture->n_rows_most, n_rows);
    if (++picture->n_reads == picture->fail_read)
        return fail_now(picture->n_reads, error);
    memcpy(rgb, picture->rgb + y * stride, n_rows * stride * sizeof(float));
    return true;
}

static bool write_rows(void *user, int32_t y, int32_t n_rows, const float *rgb, GError **error)
{
    Picture *picture = user;
    size_t stride = 3 * (size_t)picture->photo.width;
    picture->wrong_thread |= g_thread_self() != picture->caller;
    if (++picture->n_writes == picture->fail_write)
        return fail_now(picture->n_writes, error);
    memcpy(picture->out + y * stride, rgb, n_rows * stride * sizeof(float));
    return true;
}

static size_t picture_floats(const Picture *picture)
{
    return 3 * (size_t)picture->photo.width * picture->photo.height;
}

// Smooth structure with some noise; grey, or slightly toned as old prints are.
static Picture *picture_new(int32_t width, int32_t height, bool toned)
{
    Picture *picture = g_new0(Picture, 1);
    picture->photo = (CzPhoto){width, height, read_rows, write_rows, picture};
    picture->caller = g_thread_self();
    size_t n = picture_floats(picture);
    picture->rgb = g_new(float, n);
    picture->out = g_new(float, n);
    for (size_t i = 0; i < n; i++)
        picture->out[i] = NAN;
    CzRng rng = cz_rng(3, 0);
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++) {
            float v = 0.5f + 0.35f * sinf(x * 0.13f) * cosf(y * 0.07f);
            v += 0.05f * cz_rng_normal(&rng);
            v = CLAMP(v, 0, 1);
            float *pixel = picture->rgb + 3 * ((size_t)y * width + x);
            pixel[0] = v;
            pixel[1] = toned ? 0.95f * v : v;
            pixel[2] = toned ? 0.85f * v : v;
        }
    return picture;
}

static void picture_free(Picture *picture)
{
    g_free(picture->rgb);
    g_free(picture->out);
    g_free(picture);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Picture, picture_free)

static CzSettings settings_of(double strength)
{
    CzSettings settings;
    cz_settings_init(&settings);
    settings.strength = strength;
    return settings;
}

static void colorize_as(CzColorizer *colorizer, Picture *picture, CzSettings settings)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CzChroma) chroma = cz_colorizer_predict(colorizer, &picture->photo, 0, NULL, &error);
    g_assert_no_error(error);
    if (chroma)
        cz_chroma_apply(chroma, colorizer, &settings, &picture->photo, NULL, &error);
    g_assert_no_error(error);
    g_assert_false(picture->wrong_thread);
}

static void colorize(CzColorizer *colorizer, Picture *picture, double strength)
{
    colorize_as(colorizer, picture, settings_of(strength));
}

static float worst_lightness(const Picture *picture, float *most_chroma)
{
    float worst = 0;
    *most_chroma = 0;
    for (size_t i = 0; i < picture_floats(picture); i += 3) {
        float before[3], after[3];
        cz_rgb_to_lab(before, picture->rgb + i, 1);
        cz_rgb_to_lab(after, picture->out + i, 1);
        float error = fabsf(after[0] - before[0]);
        worst = error <= worst ? worst : error; // keeps NaN
        *most_chroma = MAX(*most_chroma, hypotf(after[1], after[2]));
        for (int c = 0; c < 3; c++)
            if (!(picture->out[i + c] >= -1e-5f && picture->out[i + c] <= 1 + 1e-5f))
                g_test_fail_printf("value %zu is %.9g at L* %.9g", i + c, picture->out[i + c],
                                   before[0]);
    }
    return worst;
}

// ---- what it does -------------------------------------------------------------------------------

static void check_size(int32_t width, int32_t height)
{
    g_autoptr(Picture) picture = picture_new(width, height, true);
    float chroma;
    colorize(shared, picture, 1);
    float worst = worst_lightness(picture, &chroma);
    g_test_message("%d x %d: L* off by %.2g, chroma up to %.1f", width, height, worst, chroma);
    if (!(worst < 1e-4f))
        g_test_fail_printf("%d x %d: L* off by %g > 1e-4", width, height, worst);
    if (width * height > 100)
        g_assert_cmpfloat(chroma, >, 1);
}

static void test_sizes(void)
{
    check_size(1, 1);
    check_size(1, 500);
    check_size(500, 1);
    check_size(2, 3);
    check_size(33, 47);
    check_size(65, 64);
    check_size(301, 203);
}

static void test_strength_zero(void)
{
    g_autoptr(Picture) picture = picture_new(90, 70, true);
    float chroma;
    colorize(shared, picture, 0);
    g_assert_cmpfloat(worst_lightness(picture, &chroma), <, 1e-4f);
    for (size_t i = 0; i < picture_floats(picture); i += 3)
        g_assert_true(picture->out[i] == picture->out[i + 1] &&
                      picture->out[i] == picture->out[i + 2]);
}

static void test_strength_scales(void)
{
    g_autoptr(Picture) weak = picture_new(90, 70, false), strong = picture_new(90, 70, false);
    float chroma_weak, chroma_strong;
    colorize(shared, weak, 0.01);
    colorize(shared, strong, 0.02);
    g_assert_cmpfloat(worst_lightness(weak, &chroma_weak), <, 1e-4f);
    g_assert_cmpfloat(worst_lightness(strong, &chroma_strong), <, 1e-4f);
    g_assert_cmpfloat_with_epsilon(chroma_strong / chroma_weak, 2, 0.02);
}

static void test_deterministic(void)
{
    g_autoptr(Picture) first = picture_new(211, 137, false), second = picture_new(211, 137, false);
    g_autofree char *path = g_build_filename(folder, "small.safetensors", NULL);
    g_autoptr(CzColorizer) other = open_weights(path, NULL);
    colorize(shared, first, 1.3);
    colorize(other, second, 1.3);
    size_t n_bytes = picture_floats(first) * sizeof(float);
    g_assert_cmpmem(first->out, n_bytes, second->out, n_bytes);
    colorize(shared, second, 1.3);
    g_assert_cmpmem(first->out, n_bytes, second->out, n_bytes);
}

static void test_toning_does_not_matter(void)
{
    g_autoptr(Picture) toned = picture_new(80, 60, true), grey = picture_new(80, 60, false);
    for (size_t i = 0; i < picture_floats(grey); i += 3) {
        float lab[3];
        cz_rgb_to_lab(lab, toned->rgb + i, 1);
        lab[1] = lab[2] = 0;
        cz_lab_to_rgb(grey->rgb + i, lab, 1);
    }
    colorize(shared, toned, 1);
    colorize(shared, grey, 1);
    float worst = 0;
    for (size_t i = 0; i < picture_floats(grey); i++)
        worst = MAX(worst, fabsf(toned->out[i] - grey->out[i]));
    g_test_message("toned against grey: most %g", worst);
    g_assert_cmpfloat(worst, <, 1e-3f);
}

// Strength 0 leaves the tint alone: the print comes out as it went in.
static void test_keep_tone(void)
{
    g_autoptr(Picture) picture = picture_new(90, 70, true);
    CzSettings settings = settings_of(0);
    float worst = 0;
    settings.keep_tone = 1;
    colorize_as(shared, picture, settings);
    for (size_t i = 0; i < picture_floats(picture); i++)
        worst = MAX(worst, fabsf(picture->out[i] - picture->rgb[i]));
    // The cubic bends a little away from the print near black, where a* and b* end.
    g_test_message("the kept tone is off by %.2g at most", worst);
    g_assert_cmpfloat(worst, <, 0.02);
}

static void test_warmth(void)
{
    double mean_b[3] = {0};
    g_autoptr(Picture) picture = picture_new(90, 70, false);
    for (int k = 0; k < 3; k++) {
        CzSettings settings = settings_of(1);
        float most;
        settings.warmth = k - 1;
        colorize_as(shared, picture, settings);
        g_assert_cmpfloat(worst_lightness(picture, &most), <, 1e-4f);
        cz_rgb_to_lab(picture->out, picture->out, picture_floats(picture) / 3);
        for (size_t i = 0; i < picture_floats(picture); i += 3)
            mean_b[k] += picture->out[i + 2];
    }
    g_assert_true(mean_b[0] < mean_b[1] && mean_b[1] < mean_b[2]);
}

static void test_strips(void)
{
    g_autoptr(Picture) picture = picture_new(1301, 340, true); // several bands
    g_autoptr(GError) error = NULL;
    g_autoptr(CzChroma) chroma = cz_colorizer_predict(shared, &picture->photo, 0, NULL, &error);
    g_assert_no_error(error);
    CzSettings settings = settings_of(1.5);
    g_assert_true(cz_chroma_apply(chroma, shared, &settings, &picture->photo, NULL, &error));
    g_assert_cmpint(picture->n_reads, >, 2);
    size_t stride = 3 * (size_t)picture->photo.width, n = picture_floats(picture);
    g_autofree float *rows = g_memdup2(picture->rgb, n * sizeof(float));
    int32_t y = 0;
    for (int32_t step = 1; y < 340; y += step, step = step * 5 % 67)
        cz_chroma_apply_rows(chroma, &settings, y, MIN(step, 340 - y), rows + y * stride,
                             rows + y * stride);
    g_assert_cmpmem(rows, n * sizeof(float), picture->out, n * sizeof(float));
}

static void test_parts(void)
{
    g_autoptr(Picture) picture = picture_new(301, 200, true);
    g_autoptr(CzChroma) chroma = cz_colorizer_predict(shared, &picture->photo, 0, NULL, NULL);
    CzSettings settings = settings_of(1.5);
    g_assert_true(cz_chroma_apply(chroma, shared, &settings, &picture->photo, NULL, NULL));
    enum { X = 37, Y = 51, W = 140, H = 90 };
    const CzPart part = {301, 200, X, Y, W, H};
    g_autofree float *rgb = g_new(float, 3 * W * H);
    for (int y = 0; y < H; y++)
        memcpy(rgb + 3 * W * y, picture->rgb + 3 * (301 * (Y + y) + X), 3 * W * sizeof(float));
    cz_chroma_apply_part(chroma, &settings, &part, rgb, rgb);
    float worst = 0;
    for (int y = 0; y < H; y++)
        for (int i = 0; i < 3 * W; i++)
            worst =
                fmaxf(worst, fabsf(rgb[3 * W * y + i] - picture->out[3 * (301 * (Y + y) + X) + i]));
    g_test_message("largest difference %g, bound 1e-5", worst);
    g_assert_cmpfloat(worst, <, 1e-5);
}

// Counted anew: pixels that apply changed against the field's own color; the edge may be told
// either way.
static void test_count_reduced(void)
{
    enum { W = 301, H = 200 };
    g_autoptr(Picture) picture = picture_new(W, H, true);
    g_autoptr(CzChroma) chroma = cz_colorizer_predict(shared, &picture->photo, 0, NULL, NULL);
    const CzPart whole = {W, H, 0, 0, W, H};
    CzSettings settings = settings_of(0.3);
    size_t counted = cz_chroma_count_reduced(chroma, &settings, &whole, picture->rgb), moved = 0;
    g_assert_true(cz_chroma_apply(chroma, shared, &settings, &picture->photo, NULL, NULL));
    g_autofree float *lightness = g_new(float, W *H), *ab = g_new(float, 2 * W * H);
    cz_rgb_to_lightness(lightness, picture->rgb, W * H);
    cz_field_sample(cz_chroma_field(chroma), W, H, 0, H, lightness, ab);
    for (size_t i = 0; i < W * H; i++) {
        float wish[3] = {lightness[i], 0.3f * ab[2 * i], 0.3f * ab[2 * i + 1]}, most = 0;
        cz_lab_to_rgb(wish, wish, 1);
        for (int k = 0; k < 3; k++)
            most = fmaxf(most, fabsf(wish[k] - picture->out[3 * i + k]));
        moved += most > 1e-4f;
    }
    g_assert_cmpuint(counted, >, 100);
    g_assert_cmpuint(MAX(counted, moved) - MIN(counted, moved), <=, counted / 20);
}

static void test_field(void)
{
    g_autoptr(Picture) picture = picture_new(301, 200, false);
    g_autoptr(CzChroma) chroma = cz_colorizer_predict(shared, &picture->photo, 0, NULL, NULL);
    const CzField *field = cz_chroma_field(chroma);
    g_assert_true(field->width == 72 && field->height == 48); // half of 144 x 96
    g_autofree float *lightness = g_new(float, 301 * 200), *small_l = g_new(float, 72 * 48);
    cz_rgb_to_lightness(lightness, picture->rgb, 301 * 200);
    g_assert_true(cz_resize_image(small_l, 72, 48, lightness, 301, 200, 1, NULL));
    float worst = 0;
    for (int i = 0; i < 72 * 48; i++)
        worst = MAX(worst, fabsf(small_l[i] - field->l[i]));
    g_assert_cmpfloat(worst, <, 1e-4f);
}

static void test_not_a_number_stays_alone(void)
{
    g_autoptr(Picture) clean = picture_new(120, 90, false), dirty = picture_new(120, 90, false);
    size_t at = 3 * (45 * 120 + 60);
    for (int c = 0; c < 3; c++) {
        clean->rgb[at + c] = 0; // what the network takes a NaN for
        dirty->rgb[at + c] = NAN;
    }
    colorize(shared, clean, 1);
    colorize(shared, dirty, 1);
    for (size_t i = 0; i < picture_floats(clean); i++)
        if (i < at || i >= at + 3)
            g_assert_true(clean->out[i] == dirty->out[i]);
}

static void test_working_size(void)
{
    static const int32_t cases[][5] = {
        // photo, size, expected
        {6000, 4000, 192, 288, 192},  {4000, 6000, 192, 192, 288}, {150, 100, 192, 150, 100},
        {60, 40, 192, 96, 64},        {1, 1, 192, 64, 64},         {1, 500, 192, 64, 512},
        {100000, 100, 192, 800, 100}, {60, 40, 32, 48, 32},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        int32_t w, h;
        cz_working_size(cases[i][0], cases[i][1], cases[i][2], &w, &h);
        if (w != cases[i][3] || h != cases[i][4])
            g_test_fail_printf("case %zu: %d x %d", i, w, h);
    }
}

// ---- what can go wrong --------------------------------------------------------------------------

typedef struct {
    int n, stop;
    double last;
    bool backwards, wrong_thread;
    GThread *caller;
} Telling;

static bool report(void *user, double fraction)
{
    Telling *telling = user;
    telling->backwards |= fraction < telling->last || fraction > 1;
    telling->last = fraction;
    telling->wrong_thread |= g_thread_self() != telling->caller;
    return ++telling->n != telling->stop;
}

// The whole way with progress; FALSE and the error if it stopped.
static bool colorize_told(Picture *picture, Telling *telling, GError **error)
{
    const CzProgress progress = {report, telling};
    CzSettings settings = settings_of(1);
    g_autoptr(CzChroma) chroma = cz_colorizer_predict(shared, &picture->photo, 0, &progress, error);
    telling->last = 0;
    return chroma && cz_chroma_apply(chroma, shared, &settings, &picture->photo, &progress, error);
}

static void test_cancel(void)
{
    g_autoptr(Picture) picture = picture_new(1301, 340, false);
    Telling all = {.caller = g_thread_self()};
    g_assert_true(colorize_told(picture, &all, NULL));
    g_assert_false(all.backwards || all.wrong_thread);
    size_t before = cz_memory_now();
    int stop = 1; // how often a device reports depends on time
    for (; stop < 1000; stop++) {
        g_autoptr(GError) error = NULL;
        Telling telling = {.stop = stop, .caller = g_thread_self()};
        if (colorize_told(picture, &telling, &error))
            break;
        g_assert_error(error, CZ_ERROR, CZ_ERROR_CANCELLED);
        g_assert_cmpint(telling.n, ==, stop);
    }
    g_test_message("cancelled at each of %d calls", stop - 1);
    g_assert_cmpint(stop, >, 7);
    g_assert_cmpuint(cz_memory_now(), ==, before);
}

static void test_host_errors(void)
{
    for (int way = 0; way < 2; way++) {
        int n_failed = 0;
        for (int at = 1; at < 100; at++) {
            g_autoptr(Picture) picture = picture_new(1301, 340, false);
            g_autoptr(GError) error = NULL;
            Telling telling = {.caller = g_thread_self()};
            *(way ? &picture->fail_write : &picture->fail_read) = at;
            if (colorize_told(picture, &telling, &error))
                break;
            n_failed++;
            g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
            g_assert_true(error && strstr(error->message, "the disk says no"));
        }
        g_assert_cmpint(n_failed, >=, way ? 2 : 4);
    }
}

static void test_memory(void)
{
    g_autoptr(Picture) picture = picture_new(150, 130, false);
    size_t before = cz_memory_now();
    unsigned long n = 1;
    for (;; n++) {
        g_autoptr(GError) error = NULL;
        Telling telling = {.caller = g_thread_self()};
        cz_fault_arm(CZ_FAULT_MEMORY, n);
        bool good = colorize_told(picture, &telling, &error);
        bool met = cz_fault_arm(CZ_FAULT_MEMORY, 0) >= n;
        if (!met)
            break;
        if (!good)
            g_assert_error(error, CZ_ERROR, CZ_ERROR_MEMORY);
        if (n > 1000)
            break;
    }
    g_test_message("failed at each of %lu allocations", n - 1);
    g_assert_cmpuint(n, >, 8);
    g_autoptr(GError) error = NULL;
    Telling telling = {.caller = g_thread_self()};
    g_assert_true(colorize_told(picture, &telling, &error));
    g_test_message("%zu bytes before, %zu after (plans are kept)", before, cz_memory_now());
}

static void test_settings_are_checked(void)
{
    g_autoptr(Picture) picture = picture_new(40, 40, false);
    g_autoptr(CzChroma) chroma = cz_colorizer_predict(shared, &picture->photo, 0, NULL, NULL);
    g_autoptr(GError) error = NULL;
    CzSettings settings = settings_of(NAN);
    g_assert_false(cz_chroma_apply(chroma, shared, &settings, &picture->photo, NULL, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT);
    g_assert_cmpint(picture->n_writes, ==, 0);
}

static void refused(const char *path, const char *device, CzErrorCode code, const char *words)
{
    g_autoptr(GError) error = NULL;
    const CzColorizerOptions options = {.weights = path, .device = device};
    g_autoptr(CzColorizer) colorizer = cz_colorizer_new(&options, &error);
    g_assert_null(colorizer);
    g_assert_error(error, CZ_ERROR, (int)code);
    if (error && !strstr(error->message, words))
        g_test_fail_printf("expected '%s' in '%s'", words, error->message);
}

static void test_weights_refused(void)
{
    static const CzUnetParams hinted = {4, {8, 8, 8, 8}, 0};
    g_autofree char *good = g_build_filename(folder, "small.safetensors", NULL);
    g_autofree char *none = g_build_filename(folder, "none.safetensors", NULL);
    g_autofree char *white = test_weights_write(folder, "white.safetensors", &test_weights_small,
                                                "colorize.white", "d75");
    g_autofree char *sizes = test_weights_write(folder, "sizes.safetensors", &test_weights_small,
                                                "colorize.working_sizes", "96,9999");
    g_autofree char *inputs = test_weights_write(folder, "inputs.safetensors", &hinted, NULL, NULL);
    refused(none, NULL, CZ_ERROR_IO, "none.safetensors");
    refused(folder, NULL, CZ_ERROR_IO, folder);
    refused(white, NULL, CZ_ERROR_MODEL, "'d50' or 'd65'");
    refused(sizes, NULL, CZ_ERROR_MODEL, "colorize.working_sizes");
    refused(inputs, NULL, CZ_ERROR_MODEL, "1 input channel, found 4");
    refused(good, "abacus", CZ_ERROR_BACKEND, "abacus");
}

static void test_d65_weights(void)
{
    g_autofree char *path =
        test_weights_write(folder, "d65.safetensors", &test_weights_small, "colorize.white", "d65");
    g_autoptr(CzColorizer) foreign = open_weights(path, NULL);
    g_autoptr(Picture) picture = picture_new(100, 80, false);
    g_autoptr(CzChroma) ours = cz_colorizer_predict(shared, &picture->photo, 0, NULL, NULL);
    g_autoptr(CzChroma) theirs = cz_colorizer_predict(foreign, &picture->photo, 0, NULL, NULL);
    const CzField *from = cz_chroma_field(ours), *to = cz_chroma_field(theirs);
    size_t i = (size_t)(from->height / 2) * from->width + from->width / 2; // not on the border
    float lab[3] = {from->l[i], from->c[2 * i], from->c[2 * i + 1]};
    cz_lab_d65_to_d50(lab, 1);
    g_assert_cmpfloat_with_epsilon(to->c[2 * i], lab[1], 1e-3);
    g_assert_cmpfloat_with_epsilon(to->c[2 * i + 1], lab[2], 1e-3);
}

static void test_bundled(void)
{
    g_autofree char *good = g_build_filename(folder, "small.safetensors", NULL);
    g_autofree char *none = g_build_filename(folder, "none.safetensors", NULL);
    g_autoptr(GError) error = NULL;
    g_setenv("COLORIZE_WEIGHTS", good, TRUE);
    g_autofree char *found = cz_weights_bundled(&error);
    g_assert_cmpstr(found, ==, good);
    g_setenv("COLORIZE_WEIGHTS", none, TRUE);
    g_assert_null(cz_weights_bundled(&error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
    g_unsetenv("COLORIZE_WEIGHTS");
    g_clear_error(&error);
    g_autofree char *bundled = cz_weights_bundled(&error);
    if (!bundled)
        g_assert_true(error && strstr(error->message, "photo.safetensors"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_autoptr(GError) error = NULL;
    folder = g_dir_make_tmp("colorizer-XXXXXX", NULL);
    g_autofree char *path =
        test_weights_write(folder, "small.safetensors", &test_weights_small, NULL, NULL);
    shared = open_weights(path, &error);
    if (!shared)
        g_error("%s", error->message);
#define CASE(claim, function) g_test_add_func("/engine/colorizer/" claim, function)
    CASE("working_sizes_are_bounded", test_working_size);
    CASE("any_size_keeps_lightness", test_sizes);
    CASE("strength_0_is_grey_of_same_lightness", test_strength_zero);
    CASE("strength_scales_chroma", test_strength_scales);
    CASE("same_pixels_every_time", test_deterministic);
    CASE("toning_of_the_print_does_not_matter", test_toning_does_not_matter);
    CASE("the_tone_of_the_print_is_kept_if_wished", test_keep_tone);
    CASE("warmth_shifts_and_keeps_lightness", test_warmth);
    CASE("strips_of_any_height_are_the_whole", test_strips);
    CASE("parts_are_the_whole", test_parts);
    CASE("what_the_gamut_reduces_is_counted", test_count_reduced);
    CASE("field_lightness_is_the_area_mean", test_field);
    CASE("a_lost_pixel_spreads_nowhere", test_not_a_number_stays_alone);
    CASE("cancel_at_every_report", test_cancel);
    CASE("errors_of_the_host_come_through", test_host_errors);
    CASE("every_allocation_may_fail", test_memory);
    CASE("settings_are_checked_before_any_row", test_settings_are_checked);
    CASE("unfit_weights_and_devices_are_refused", test_weights_refused);
    CASE("d65_weights_are_served", test_d65_weights);
    CASE("bundled_weights_are_found_or_named", test_bundled);
    int result = g_test_run();
    cz_colorizer_free(shared);
    g_autofree char *remove = g_strdup_printf("rm -rf '%s'", folder);
    return system(remove) == 0 ? result : 1;
}
