// SPDX-License-Identifier: LGPL-3.0-or-later
// The field against its formula in double, and what it is there for.
#include <cz/field.h>

#include <math.h>
#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/resample.h>
#include <cz/rng.h>

static void fill_random(CzField *field, int32_t w, int32_t h)
{
    g_assert_true(cz_field_init(field, w, h, NULL));
    CzRng rng = cz_rng(17, 0);
    for (int32_t i = 0; i < w * h; i++) {
        field->l[i] = 100 * cz_rng_uniform(&rng);
        field->c[2 * i] = 20 * cz_rng_normal(&rng);
        field->c[2 * i + 1] = 20 * cz_rng_normal(&rng);
    }
}

static double slope_at(const CzField *field, int32_t x, int32_t y, int channel, double epsilon)
{
    double l = 0, c = 0, ll = 0, lc = 0;
    for (int k = 0; k < 9; k++) {
        int32_t i = CLAMP(y + k / 3 - 1, 0, field->height - 1);
        int32_t j = CLAMP(x + k % 3 - 1, 0, field->width - 1);
        double light = field->l[i * field->width + j];
        double chroma = field->c[2 * (i * field->width + j) + channel];
        l += light / 9, c += chroma / 9, ll += light * light / 9, lc += light * chroma / 9;
    }
    return (lc - l * c) / (ll - l * l + epsilon);
}

static void check_slopes(int32_t w, int32_t h)
{
    CzField field;
    fill_random(&field, w, h);
    cz_field_slopes(&field, CZ_FIELD_EPSILON);
    double worst = 0;
    for (int32_t i = 0; i < 2 * w * h; i++) {
        double expected = slope_at(&field, i / 2 % w, i / 2 / w, i % 2, CZ_FIELD_EPSILON);
        worst = MAX(worst, fabs(expected - field.s[i]));
    }
    g_test_message("slopes of %d x %d: most %.3g", w, h, worst);
    g_assert_cmpfloat(worst, <, 1e-5);
    cz_field_clear(&field);
}

static void test_slopes(void)
{
    check_slopes(31, 23);
    check_slopes(1, 1);
    check_slopes(1, 9);
    check_slopes(2, 1);
}

// The five maps at a place of the photograph, in double.
static double sample(const CzField *field, const float *map, int channels, int channel, double x,
                     double y)
{
    x = CLAMP(x, 0, field->width - 1), y = CLAMP(y, 0, field->height - 1);
    double sum = 0;
    for (int k = 0; k < 4; k++) {
        int32_t i = (int32_t)y + k / 2, j = (int32_t)x + k % 2;
        double wy = k / 2 ? y - floor(y) : 1 - (y - floor(y));
        double wx = k % 2 ? x - floor(x) : 1 - (x - floor(x));
        if (wx * wy > 0)
            sum += wx * wy * map[((size_t)i * field->width + j) * channels + channel];
    }
    return sum;
}

static void check_sample(int32_t w, int32_t h, int32_t photo_w, int32_t photo_h)
{
    CzField field;
    fill_random(&field, w, h);
    cz_field_slopes(&field, CZ_FIELD_EPSILON);
    size_t n = (size_t)photo_w * photo_h;
    g_autofree float *lightness = g_new(float, n), *ab = g_new(float, 2 * n);
    CzRng rng = cz_rng(23, 0);
    for (size_t i = 0; i < n; i++)
        lightness[i] = 100 * cz_rng_uniform(&rng);
    cz_field_sample(&field, photo_w, photo_h, 0, photo_h, lightness, ab);
    double worst = 0;
    for (size_t i = 0; i < 2 * n; i++) {
        size_t pixel = i / 2;
        double x = (pixel % photo_w + 0.5) * w / photo_w - 0.5;
        double y = (pixel / photo_w + 0.5) * h / photo_h - 0.5;
        double expected = sample(&field, field.c, 2, i % 2, x, y) +
                          sample(&field, field.s, 2, i % 2, x, y) *
                              (lightness[pixel] - sample(&field, field.l, 1, 0, x, y));
        worst = MAX(worst, fabs(expected - ab[i]));
    }
    g_test_message("%d x %d on %d x %d: most %.3g", w, h, photo_w, photo_h, worst);
    g_assert_cmpfloat(worst, <, 1e-3); // values to 200, weights of 1e-7 times the width
    cz_field_clear(&field);
}

static void test_sample(void)
{
    check_sample(12, 9, 97, 61);
    check_sample(12, 9, 12, 9);
    check_sample(1, 1, 5, 7);
    check_sample(1, 6, 3, 50);
    check_sample(48, 32, 20, 11); // the photograph smaller than the field
    check_sample(96, 64, 1301, 41);
    check_sample(7, 5, 1, 1);
}

static void test_own_size(void)
{
    CzField field;
    fill_random(&field, 37, 21);
    cz_field_slopes(&field, CZ_FIELD_EPSILON);
    g_autofree float *ab = g_new(float, 2 * 37 * 21);
    cz_field_sample(&field, 37, 21, 0, 21, field.l, ab);
    g_assert_cmpmem(ab, 2 * 37 * 21 * sizeof(float), field.c, 2 * 37 * 21 * sizeof(float));
    cz_field_clear(&field);
}

static void test_strips(void)
{
    CzField field;
    fill_random(&field, 40, 30);
    cz_field_slopes(&field, CZ_FIELD_EPSILON);
    int32_t w = 517, h = 300;
    g_autofree float *lightness = g_new0(float, w *h), *ab = g_new(float, 2 * w * h);
    g_autofree float *strips = g_new(float, 2 * w * h);
    cz_field_sample(&field, w, h, 0, h, lightness, ab);
    for (int32_t y = 0, step = 1; y < h; y += step, step = step * 5 % 17)
        cz_field_sample(&field, w, h, y, MIN(step, h - y), lightness + y * w, strips + 2 * y * w);
    g_assert_cmpmem(ab, 2 * w * h * sizeof(float), strips, 2 * w * h * sizeof(float));
    cz_field_clear(&field);
}

// Where a* and b* are linear in L*, the field must give the fine picture back from the coarse one,
// textures and edges included; bilinear enlargement is far off.
static void test_linear_relation(void)
{
    enum { W = 240, H = 160, FACTOR = 8, FW = W / FACTOR, FH = H / FACTOR };
    g_autofree float *lightness = g_new(float, W *H), *ab = g_new(float, 2 * W * H);
    CzRng rng = cz_rng(29, 0);
    for (int i = 0; i < W * H; i++) {
        float edge = (i % W) / 31 % 2 ? 70 : 30;
        lightness[i] = edge + 3 * cz_rng_normal(&rng);
    }
    CzField field;
    g_assert_true(cz_field_init(&field, FW, FH, NULL));
    g_assert_true(cz_resize_image(field.l, FW, FH, lightness, W, H, 1, NULL));
    for (int i = 0; i < FW * FH; i++) {
        field.c[2 * i] = 0.5f * field.l[i] - 10;
        field.c[2 * i + 1] = -0.3f * field.l[i] + 4;
    }
    for (int pass = 0; pass < 2; pass++) {
        cz_field_slopes(&field, pass ? 1e9f : 1e-6f); // no slopes in the second pass
        cz_field_sample(&field, W, H, 0, H, lightness, ab);
        double worst = 0;
        for (int i = 0; i < W * H; i++)
            worst = MAX(worst, hypot(ab[2 * i] - (0.5 * lightness[i] - 10),
                                     ab[2 * i + 1] - (-0.3 * lightness[i] + 4)));
        g_test_message("%s slopes: most %.3g", pass ? "without" : "with", worst);
        if (pass)
            g_assert_cmpfloat(worst, >, 5);
        else
            g_assert_cmpfloat(worst, <, 2e-3); // epsilon beside a variance of 1e-2 and more
    }
    cz_field_clear(&field);
}

// Two objects, one dark and one light, each of one color, that meet at the border.
static void two_objects(CzField *field, int32_t w, int32_t h)
{
    g_assert_true(cz_field_init(field, w, h, NULL));
    for (int32_t i = 0; i < w * h; i++) {
        bool dark = i % w < w / 2;
        field->l[i] = dark ? 20 : 80;
        field->c[2 * i] = dark ? 10 : -5;
        field->c[2 * i + 1] = dark ? -20 : 30;
    }
}

static void test_border(void)
{
    enum { W = 40, H = 30, BORDER = 5 };
    CzField field, expected;
    two_objects(&field, W, H);
    two_objects(&expected, W, H);
    for (int32_t y = 0; y < H; y++)
        for (int32_t x = 0; x < W; x++)
            if (x < BORDER || x >= W - BORDER || y < BORDER || y >= H - BORDER)
                field.c[2 * (y * W + x)] = field.c[2 * (y * W + x) + 1] = NAN;
    cz_field_mend_border(&field, BORDER);
    for (int32_t i = 0; i < 2 * W * H; i++)
        g_assert_cmpfloat_with_epsilon(field.c[i], expected.c[i], 2e-3);
    cz_field_clear(&field);
    two_objects(&field, 4 * BORDER - 1, H);
    field.c[0] = 77;
    cz_field_mend_border(&field, BORDER);
    g_assert_cmpfloat(field.c[0], ==, 77);
    cz_field_clear(&field);
    cz_field_clear(&expected);
}

static void test_errors(void)
{
    CzField field;
    g_autoptr(GError) error = NULL;
    g_assert_false(cz_field_init(&field, 0, 4, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_SHAPE);
    g_clear_error(&error);
    cz_field_clear(&field);
    cz_fault_arm(CZ_FAULT_MEMORY, 1);
    g_assert_false(cz_field_init(&field, 4, 4, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_MEMORY);
    cz_fault_arm(CZ_FAULT_MEMORY, 0);
    cz_field_clear(&field);
    g_assert_cmpuint(cz_memory_now(), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/engine/field/slopes_match_the_formula", test_slopes);
    g_test_add_func("/engine/field/samples_match_the_formula", test_sample);
    g_test_add_func("/engine/field/own_size_gives_its_chroma_back", test_own_size);
    g_test_add_func("/engine/field/strips_are_the_whole", test_strips);
    g_test_add_func("/engine/field/linear_relations_come_back_exactly", test_linear_relation);
    g_test_add_func("/engine/field/border_takes_the_color_of_its_like", test_border);
    g_test_add_func("/engine/field/errors_leave_nothing_behind", test_errors);
    return g_test_run();
}
