// SPDX-License-Identifier: LGPL-3.0-or-later
// Area means and bilinear enlargement against their definitions in double.
#include <cz/resample.h>

#include <math.h>
#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/rng.h>

typedef struct {
    int32_t src_w, src_h, dst_w, dst_h;
    int channels;
} Case;

static float *random_image(int32_t w, int32_t h, int channels)
{
    size_t n = (size_t)w * h * channels;
    float *image = g_new(float, n);
    CzRng rng = cz_rng(11, 0);
    for (size_t i = 0; i < n; i++)
        image[i] = 100 * cz_rng_uniform(&rng);
    return image;
}

// How much of source pixel i lies in target pixel x, in source pixels.
static double overlap(int32_t i, int32_t x, int32_t n_src, int32_t n_dst)
{
    double begin = (double)x * n_src / n_dst, end = (double)(x + 1) * n_src / n_dst;
    return MAX(0, MIN(end, i + 1.0) - MAX(begin, (double)i));
}

static double area_mean(const float *src, const Case *c, int32_t x, int32_t y, int channel)
{
    double sum = 0, weight = 0;
    for (int32_t i = 0; i < c->src_h; i++) {
        double wy = overlap(i, y, c->src_h, c->dst_h);
        for (int32_t j = 0; wy > 0 && j < c->src_w; j++) {
            double w = wy * overlap(j, x, c->src_w, c->dst_w);
            sum += w * src[((size_t)i * c->src_w + j) * c->channels + channel];
            weight += w;
        }
    }
    return sum / weight;
}

static double bilinear(const float *src, const Case *c, int32_t x, int32_t y, int channel)
{
    double sx = CLAMP((x + 0.5) * c->src_w / c->dst_w - 0.5, 0, c->src_w - 1);
    double sy = CLAMP((y + 0.5) * c->src_h / c->dst_h - 0.5, 0, c->src_h - 1);
    int32_t x0 = (int32_t)floor(sx), y0 = (int32_t)floor(sy);
    double sum = 0;
    for (int k = 0; k < 4; k++) {
        int32_t i = MIN(y0 + k / 2, c->src_h - 1), j = MIN(x0 + k % 2, c->src_w - 1);
        double wx = k % 2 ? sx - x0 : 1 - (sx - x0), wy = k / 2 ? sy - y0 : 1 - (sy - y0);
        sum += wx * wy * src[((size_t)i * c->src_w + j) * c->channels + channel];
    }
    return sum;
}

typedef double (*Formula)(const float *src, const Case *c, int32_t x, int32_t y, int channel);

static void compare(const float *dst, const float *src, const Case *c, Formula formula,
                    double bound)
{
    double worst = 0, found = 0, expected = 0;
    size_t at = 0, n = (size_t)c->dst_w * c->dst_h * c->channels;
    for (size_t i = 0; i < n; i++) {
        size_t pixel = i / c->channels;
        double value = formula(src, c, (int32_t)(pixel % c->dst_w), (int32_t)(pixel / c->dst_w),
                               (int)(i % c->channels));
        if (fabs(value - dst[i]) <= worst)
            continue;
        worst = fabs(value - dst[i]), found = dst[i], expected = value, at = i;
    }
    g_test_message("%d x %d to %d x %d, %d channels: most %.3g (at %zu: %.9g, expected %.9g)",
                   c->src_w, c->src_h, c->dst_w, c->dst_h, c->channels, worst, at, found, expected);
    if (!(worst <= bound))
        g_test_fail_printf("%.3g > %.3g", worst, bound);
}

static void test_area(void)
{
    static const Case cases[] = {{12, 8, 4, 2, 1},    {13, 7, 5, 3, 1},    {97, 61, 10, 7, 3},
                                 {100, 1, 7, 1, 2},   {1, 100, 1, 9, 1},   {1, 1, 1, 1, 3},
                                 {31, 17, 31, 17, 2}, {200, 300, 1, 1, 1}, {640, 427, 96, 64, 1},
                                 {7, 5, 14, 10, 1},   {5, 3, 7, 4, 2}};
    for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
        const Case *c = &cases[k];
        g_autofree float *src = random_image(c->src_w, c->src_h, c->channels);
        g_autoptr(GError) error = NULL;
        g_autoptr(CzAreaScaler) scaler =
            cz_area_scaler_new(c->src_w, c->src_h, c->dst_w, c->dst_h, c->channels, &error);
        g_assert_no_error(error);
        // Strips of changing height.
        for (int32_t y = 0, step = 1; y < c->src_h; y += step, step = step * 3 % 11)
            cz_area_scaler_push(scaler, src + (size_t)y * c->src_w * c->channels,
                                MIN(step, c->src_h - y));
        // Columns are summed in float: rows a mean has, times half an epsilon, times values to 100.
        double rows = ceil((double)c->src_h / c->dst_h) + 1;
        compare(cz_area_scaler_result(scaler), src, c, area_mean, 100 * rows * 0x1p-24);
    }
}

static void test_area_same_size_is_a_copy(void)
{
    g_autofree float *src = random_image(53, 29, 3), *dst = g_new(float, 53 * 29 * 3);
    g_assert_true(cz_resize_image(dst, 53, 29, src, 53, 29, 3, NULL));
    g_assert_cmpmem(dst, 53 * 29 * 3 * sizeof(float), src, 53 * 29 * 3 * sizeof(float));
}

static void test_bilinear(void)
{
    static const Case cases[] = {{4, 3, 16, 12, 1},  {5, 7, 13, 22, 2},   {1, 1, 9, 6, 3},
                                 {1, 4, 3, 9, 1},    {30, 20, 31, 21, 2}, {20, 20, 7, 9, 1},
                                 {48, 36, 49, 36, 1}};
    for (size_t k = 0; k < G_N_ELEMENTS(cases); k++) {
        const Case *c = &cases[k];
        g_autofree float *src = random_image(c->src_w, c->src_h, c->channels);
        g_autofree float *dst = g_new(float, (size_t)c->dst_w * c->dst_h * c->channels);
        cz_resize_bilinear(dst, c->dst_w, c->dst_h, src, c->src_w, c->src_h, c->channels);
        compare(dst, src, c, bilinear, 100 * 6 * 0x1p-24);
    }
}

// One side grows, the other shrinks: each by its own rule, one after the other.
static void test_mixed(void)
{
    g_autofree float *src = random_image(40, 5, 2);
    g_autofree float *narrow = g_new(float, 7 * 5 * 2), *expected = g_new(float, 7 * 12 * 2);
    g_autofree float *dst = g_new(float, 7 * 12 * 2);
    g_assert_true(cz_resize_image(narrow, 7, 5, src, 40, 5, 2, NULL));
    cz_resize_bilinear(expected, 7, 12, narrow, 7, 5, 2);
    g_assert_true(cz_resize_image(dst, 7, 12, src, 40, 5, 2, NULL));
    g_assert_cmpmem(dst, 7 * 12 * 2 * sizeof(float), expected, 7 * 12 * 2 * sizeof(float));
    const Case c = {40, 5, 7, 5, 2};
    compare(narrow, src, &c, area_mean, 100 * 2 * 0x1p-24);
}

static void test_fit(void)
{
    static const int32_t cases[][5] = {
        {6000, 4000, 192, 288, 192}, {4000, 6000, 192, 192, 288},
        {100, 100, 7, 7, 7},         {3, 1, 1, 3, 1},
        {1000, 1, 192, 192000, 192}, {1001, 1000, 1, 1, 1},
        {640, 427, 96, 144, 96},     {1, 2147483647, 2, 2, 2147483647}};
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        int32_t w, h;
        cz_fit_short_side(cases[i][0], cases[i][1], cases[i][2], &w, &h);
        if (w != cases[i][3] || h != cases[i][4])
            g_test_fail_printf("case %zu: %d x %d", i, w, h);
    }
}

static void test_errors(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(cz_area_scaler_new(0, 5, 1, 1, 1, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_SHAPE);
    g_clear_error(&error);
    for (unsigned long n = 1; n <= 2; n++) {
        cz_fault_arm(CZ_FAULT_MEMORY, n);
        g_assert_null(cz_area_scaler_new(50, 50, 5, 5, 1, &error));
        g_assert_error(error, CZ_ERROR, CZ_ERROR_MEMORY);
        g_clear_error(&error);
    }
    cz_fault_arm(CZ_FAULT_MEMORY, 0);
    g_assert_cmpuint(cz_memory_now(), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/engine/resample/area_means_match_the_definition", test_area);
    g_test_add_func("/engine/resample/same_size_is_a_copy", test_area_same_size_is_a_copy);
    g_test_add_func("/engine/resample/bilinear_matches_the_definition", test_bilinear);
    g_test_add_func("/engine/resample/each_side_has_its_own_rule", test_mixed);
    g_test_add_func("/engine/resample/short_side_fits", test_fit);
    g_test_add_func("/engine/resample/errors_leave_nothing_behind", test_errors);
    return g_test_run();
}
