// SPDX-License-Identifier: LGPL-3.0-or-later
// Old photographs as they come: toned paper, text, hidden and protected layers.
#include <math.h>
#include <string.h>

#include "gimp_test.h"

const char test_name[] = "scans";

enum { WIDTH = 96, HEIGHT = 72, N_PIXELS = WIDTH * HEIGHT };

static const TestPicture rgb_float = {GIMP_RGB, GIMP_PRECISION_FLOAT_GAMMA, false, WIDTH, HEIGHT};
static const TestPicture rgba_u16 = {GIMP_RGB, GIMP_PRECISION_U16_GAMMA, true, WIDTH, HEIGHT};

// Sepia: strongest in the midtones, none in black and white, inside of the gamut everywhere.
static void tint_at(float l, float *a, float *b)
{
    float weight = 4 * l * (100 - l) / 1e4f;
    *a = 6 * weight;
    *b = 14 * weight;
}

static void tint(gint32 layer)
{
    g_autofree float *lab = test_read(layer, "CIE Lab float", NULL);
    for (size_t i = 0; i < N_PIXELS; i++) {
        tint_at(lab[3 * i], &lab[3 * i + 1], &lab[3 * i + 2]);
    }
    GeglBuffer *buffer = gimp_drawable_get_buffer(layer);
    gegl_buffer_set(buffer, GEGL_RECTANGLE(0, 0, WIDTH, HEIGHT), 0, babl_format("CIE Lab float"),
                    lab, GEGL_AUTO_ROWSTRIDE);
    gegl_buffer_flush(buffer);
    g_object_unref(buffer);
}

// The result as a new image, in Lab.
static float *colorized(gint32 image, gint32 layer, double strength, int keep_tone)
{
    TestArguments arguments = test_arguments;
    arguments.output = 2;
    arguments.strength = strength;
    arguments.keep_tone = keep_tone;
    gint32 result = -1;
    g_autofree char *error = NULL;
    if (!test_colorize(image, layer, &arguments, &result, &error)) {
        g_test_message("the procedure failed: %s", error);
        g_test_fail();
        return g_new0(float, 3 * N_PIXELS);
    }
    float *lab = test_read(result, "CIE Lab float", NULL);
    gimp_image_delete(gimp_item_get_image(result));
    return lab;
}

static double worst_distance(const float *lab, const float *other)
{
    double worst = 0;
    for (size_t i = 0; i < 3 * N_PIXELS; i += 3) {
        worst = fmax(worst, hypot((double)lab[i + 1] - (double)other[i + 1],
                                  (double)lab[i + 2] - (double)other[i + 2]));
    }
    return worst;
}

// Float RGB stores L* to 0.0001; slopes of the field are far below 100 a*b* for one of L*.
static void toned_scan_gets_the_colors_of_its_gray_version(void)
{
    gint32 layer, image = test_image_new(&rgb_float, &layer);
    g_autofree float *from_gray = colorized(image, layer, 1, 0);
    tint(layer);
    g_autofree float *from_sepia = colorized(image, layer, 1, 0);
    g_autofree float *none = g_new0(float, 3 * N_PIXELS);
    double distance = worst_distance(from_gray, from_sepia);
    g_test_message("worst distance in a*b* %.5f", distance);
    g_assert_cmpfloat(distance, <, 0.01);
    g_assert_cmpfloat(worst_distance(from_gray, none), >, 5);
    gimp_image_delete(image);
}

// The tint is a polynomial of second degree in L*, which the fit can have exactly.
static void kept_tone_is_that_of_the_paper(void)
{
    gint32 layer, image = test_image_new(&rgb_float, &layer);
    g_autofree float *untoned = colorized(image, layer, 0, 1);
    g_autofree float *none = g_new0(float, 3 * N_PIXELS);
    g_assert_cmpfloat(worst_distance(untoned, none), <, 0.05);
    tint(layer);
    g_autofree float *expected = test_read(layer, "CIE Lab float", NULL);
    g_autofree float *kept = colorized(image, layer, 0, 1);
    double distance = worst_distance(kept, expected);
    g_test_message("worst distance in a*b* %.5f", distance);
    g_assert_cmpfloat(distance, <, 0.05);
    gimp_image_delete(image);
}

static void text_stays_text(void)
{
    gint32 layer, result = -1, image = test_image_new(&rgb_float, &layer);
    gint32 text = gimp_text_layer_new(image, "1911", "Sans", 40, GIMP_UNIT_PIXEL);
    if (text < 0) {
        g_test_skip("GIMP finds no font");
        gimp_image_delete(image);
        return;
    }
    gimp_image_insert_layer(image, text, -1, 0);
    TestArguments in_place = test_arguments;
    in_place.output = 1;
    g_autofree char *error = NULL;
    g_assert_false(test_colorize(image, text, &in_place, &result, &error));
    g_assert_nonnull(strstr(error, "text layer"));
    g_assert_true(test_colorize_to(image, text, 0, &result));
    g_assert_true(gimp_item_is_text_layer(text));
    g_assert_cmpint(gimp_image_get_item_position(image, result), ==, 0);
    gimp_image_delete(image);
}

// Its color would fall on what is seen instead.
static void hidden_layer_gets_a_hidden_color_layer(void)
{
    for (int visible = 0; visible < 2; visible++) {
        gint32 layer, result = -1, image = test_image_new(&rgb_float, &layer);
        gimp_item_set_visible(layer, visible);
        g_assert_true(test_colorize_to(image, layer, 0, &result));
        g_assert_cmpint(gimp_item_get_visible(result), ==, visible);
        gimp_item_set_visible(result, TRUE);
        g_autofree float *rgba = test_read(result, "R'G'B'A float", NULL);
        g_assert_cmpfloat(test_colourfulness(rgba, N_PIXELS), >, 0.02);
        gimp_image_delete(image);
    }
}

static void alpha_stays_with_and_without_its_lock(void)
{
    for (int locked = 0; locked < 2; locked++) {
        gint32 layer, result = -1, image = test_image_new(&rgba_u16, &layer);
        gimp_layer_set_lock_alpha(layer, locked);
        g_autofree float *before = test_read(layer, "R'G'B'A float", NULL);
        g_assert_true(test_colorize_to(image, layer, 1, &result));
        g_autofree float *after = test_read(layer, "R'G'B'A float", NULL);
        g_assert_cmpfloat(test_colourfulness(after, N_PIXELS), >, 0.02);
        for (size_t i = 3; i < 4 * N_PIXELS; i += 4) {
            g_assert_cmpfloat(before[i], ==, after[i]);
        }
        gimp_image_delete(image);
    }
}

// What a photograph looks like in the composite is no matter of its own pixels.
static void opacity_mode_and_canvas_do_not_count(void)
{
    gint32 layer, plain = -1, result = -1, image = test_image_new(&rgb_float, &layer);
    g_assert_true(test_colorize_to(image, layer, 0, &plain));
    gimp_layer_set_opacity(layer, 30);
    gimp_layer_set_mode(layer, GIMP_LAYER_MODE_MULTIPLY);
    gimp_image_resize(image, WIDTH / 3, HEIGHT / 3, -20, -10);
    g_assert_true(test_colorize_to(image, layer, 0, &result));
    g_assert_cmpint(gimp_drawable_width(result), ==, WIDTH);
    g_autofree float *expected = test_read(plain, "R'G'B' float", NULL);
    g_autofree float *found = test_read(result, "R'G'B' float", NULL);
    g_assert_cmpmem(found, N_PIXELS * 12, expected, N_PIXELS * 12);
    gimp_image_delete(image);
}

void test_register(void)
{
#define ADD(claim) g_test_add_func("/plugin/scans/" #claim, claim)
    ADD(toned_scan_gets_the_colors_of_its_gray_version);
    ADD(kept_tone_is_that_of_the_paper);
    ADD(text_stays_text);
    ADD(hidden_layer_gets_a_hidden_color_layer);
    ADD(alpha_stays_with_and_without_its_lock);
    ADD(opacity_mode_and_canvas_do_not_count);
}
