// SPDX-License-Identifier: LGPL-3.0-or-later
// Every precision, mode, alpha and output: colour comes, lightness and alpha stay.
#include <math.h>

#include "gimp_test.h"

const char test_name[] = "pixels";

enum { WIDTH = 96, HEIGHT = 72, N_PIXELS = WIDTH * HEIGHT };

// Rounding is the only change of L*. The worst that it can do: half a step of the type where the
// curve from numbers to L* is steepest. u8 gamma 0.256, u8 linear 1.77 (0.5/255 * 903.3), 16 bit
// 1/257 of them, half a relative 2^-12. Float is babl's own precision.
typedef struct {
    const char *name;
    GimpPrecision precision;
    double bound;
} Precision;

static const Precision precisions[] = {
    {"u8-gamma", GIMP_PRECISION_U8_GAMMA, 0.256},
    {"u8-linear", GIMP_PRECISION_U8_LINEAR, 1.78},
    {"u16-gamma", GIMP_PRECISION_U16_GAMMA, 0.001},
    {"u16-linear", GIMP_PRECISION_U16_LINEAR, 0.007},
    {"u32-gamma", GIMP_PRECISION_U32_GAMMA, 1e-4},
    {"u32-linear", GIMP_PRECISION_U32_LINEAR, 1e-4},
    {"half-gamma", GIMP_PRECISION_HALF_GAMMA, 0.03},
    {"half-linear", GIMP_PRECISION_HALF_LINEAR, 0.03},
    {"float-gamma", GIMP_PRECISION_FLOAT_GAMMA, 1e-4},
    {"float-linear", GIMP_PRECISION_FLOAT_LINEAR, 1e-4},
    {"double-gamma", GIMP_PRECISION_DOUBLE_GAMMA, 1e-4},
    {"double-linear", GIMP_PRECISION_DOUBLE_LINEAR, 1e-4},
};
static const char *const modes[] = {"rgb", "grey", "indexed"};
static const char *const outputs[] = {"layer", "in-place", "image"};

typedef struct {
    TestPicture picture;
    double bound;
    int output;
} Case;

static void compare(const Case *c, gint32 image, gint32 layer, gint32 result, gint32 reference)
{
    gint32 before = gimp_image_get_active_drawable(reference);
    g_autofree float *rgba = test_read(before, "R'G'B'A float", NULL);
    g_autofree float *coloured = c->output == 0 ? test_read_visible(image, "R'G'B'A float")
                                                : test_read(result, "R'G'B'A float", NULL);
    g_autofree float *found = c->output == 0 ? test_read_visible(image, "CIE L float")
                                             : test_read(result, "CIE L float", NULL);
    g_autofree float *expected = c->output == 0 ? NULL : test_read(before, "CIE L float", NULL);
    if (c->output == 0) {
        expected = test_read_visible(reference, "CIE L float");
    }
    test_lightness(found, expected, rgba, N_PIXELS, c->bound);
    g_assert_cmpfloat(test_colourfulness(coloured, N_PIXELS), >, 0.02);

    g_autofree float *result_rgba = test_read(result, "R'G'B'A float", NULL);
    for (size_t i = 0; i < N_PIXELS; i++) {
        if (fabsf(result_rgba[4 * i + 3] - rgba[4 * i + 3]) > 1e-7f) {
            g_test_message("alpha of pixel %zu: %g, expected %g", i, (double)result_rgba[4 * i + 3],
                           (double)rgba[4 * i + 3]);
            g_test_fail();
            break;
        }
    }
    g_assert_cmpint(gimp_image_get_precision(gimp_item_get_image(result)), ==,
                    c->picture.precision);
    g_assert_cmpint(gimp_drawable_has_alpha(result), ==, c->picture.alpha);
    g_assert_cmpint(result == layer, ==, c->output == 1);
    g_assert_cmpint(gimp_item_get_image(result) == image, ==, c->output != 2);
}

static void check_case(gconstpointer data)
{
    const Case *c = data;
    gint32 layer, result = -1;
    gint32 image = test_image_new(&c->picture, &layer);
    // Lightness counts after GIMP's own conversion.
    gint32 reference = gimp_image_duplicate(image);
    if (c->picture.type != GIMP_RGB) {
        gimp_image_convert_rgb(reference);
    }
    if (test_colorize_to(image, layer, c->output, &result)) {
        compare(c, image, layer, result, reference);
        if (c->output == 2) {
            g_assert_false(gimp_image_is_dirty(image));
            g_assert_cmpint(gimp_image_base_type(image), ==, c->picture.type);
            gimp_image_delete(gimp_item_get_image(result));
        }
    }
    gimp_image_delete(reference);
    gimp_image_delete(image);
}

static void add(const Precision *precision, GimpImageBaseType type, bool alpha, int output)
{
    Case *c = g_new(Case, 1);
    *c = (Case){{type, precision->precision, alpha, WIDTH, HEIGHT}, precision->bound, output};
    g_autofree char *path =
        g_strdup_printf("/plugin/pixels/lightness_stays/%s/%s/%s/%s", precision->name, modes[type],
                        alpha ? "alpha" : "opaque", outputs[output]);
    g_test_add_data_func_full(path, c, check_case, g_free);
}

void test_register(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(precisions); i++) {
        GimpPrecision precision = precisions[i].precision;
        // The two widest types take float's way through the plug-in: one variant of them is enough.
        bool widest = g_str_has_prefix(precisions[i].name, "u32") ||
                      g_str_has_prefix(precisions[i].name, "double");
        for (int variant = 0; variant < 6; variant++) {
            bool alpha = variant % 2;
            int output = variant / 2;
            if (!widest || alpha) {
                add(&precisions[i], GIMP_RGB, alpha, output);
            }
            if (!widest) {
                add(&precisions[i], GIMP_GRAY, alpha, output);
            }
            // GIMP has palettes in 8 bit only.
            if (precision == GIMP_PRECISION_U8_GAMMA) {
                add(&precisions[i], GIMP_INDEXED, alpha, output);
            }
        }
    }
}
