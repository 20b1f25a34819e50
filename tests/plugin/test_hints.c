// SPDX-License-Identifier: LGPL-3.0-or-later
// A layer with dabs of color steers the result; what cannot be a hint gives a sentence.
#include <math.h>
#include <string.h>

#include "gimp_test.h"

const char test_name[] = "hints";

enum { WIDTH = 96, HEIGHT = 72 };

static const TestPicture picture = {GIMP_RGB, GIMP_PRECISION_U8_GAMMA, false, WIDTH, HEIGHT};

// A transparent layer of w x h at x, y, with a square of 8 of this color at left, top of it.
static gint32 add_hints(gint32 image, int x, int y, int w, int h, int left, int top, double red,
                        double blue)
{
    gint32 layer =
        gimp_layer_new(image, "hints", w, h, GIMP_RGBA_IMAGE, 100.0, GIMP_LAYER_MODE_NORMAL);
    gimp_image_insert_layer(image, layer, -1, 0);
    gimp_layer_set_offsets(layer, x, y);
    gimp_drawable_fill(layer, GIMP_FILL_TRANSPARENT);
    float pixels[4 * 8 * 8];
    for (int i = 0; i < 64; i++) {
        const float pixel[4] = {(float)red, 0.35f, (float)blue, 1.0f};
        memcpy(pixels + 4 * i, pixel, sizeof pixel);
    }
    GeglBuffer *buffer = gimp_drawable_get_buffer(layer);
    gegl_buffer_set(buffer, GEGL_RECTANGLE(left, top, 8, 8), 0, babl_format("R'G'B'A float"),
                    pixels, GEGL_AUTO_ROWSTRIDE);
    gegl_buffer_flush(buffer);
    g_object_unref(buffer);
    return layer;
}

// Mean a* of the result inside a dab of 8 x 8 pixels in the middle of the picture, with these hints
// (-1: none). Not at its rim, where the field, coarser than pixels, mixes it with what is around.
static float red_of_the_ramp(gint32 image, gint32 layer, gint32 hints, double reach)
{
    TestArguments arguments = test_arguments;
    gint32 result = -1;
    g_autofree char *error = NULL;
    arguments.output = 2;
    arguments.hints = hints;
    arguments.reach = reach;
    if (!test_colorize(image, layer, &arguments, &result, &error)) {
        g_test_message("the procedure failed: %s", error);
        g_test_fail();
        return NAN;
    }
    g_autofree float *lab = test_read(result, "CIE Lab float", NULL);
    gimp_image_delete(gimp_item_get_image(result));
    float sum = 0;
    for (int i = 0; i < 36; i++) {
        sum += lab[3 * ((9 + i / 6) * WIDTH + 45 + i % 6) + 1];
    }
    return sum / 36;
}

static void a_dab_colors_its_place(void)
{
    gint32 layer, image = test_image_new(&picture, &layer);
    float before = red_of_the_ramp(image, layer, -1, 0.5);
    gint32 red = add_hints(image, 0, 0, WIDTH, HEIGHT, 44, 8, 0.55, 0.35);
    float expected[3] = {0.55f, 0.35f, 0.35f};
    babl_process(babl_fish("R'G'B' float", "CIE Lab float"), expected, expected, 1);
    float after = red_of_the_ramp(image, layer, red, 0.5);
    g_test_message("a* %.2f becomes %.2f, the dab has %.2f", before, after, expected[1]);
    g_assert_cmpfloat(fabsf(before - expected[1]), >, 5);
    g_assert_cmpfloat(fabsf(after - expected[1]), <, 1);
    gimp_image_delete(image);
}

// The same place of the image, from a small layer elsewhere.
static void offsets_of_both_layers_count(void)
{
    gint32 layer, image = test_image_new(&picture, &layer);
    gint32 whole = add_hints(image, 0, 0, WIDTH, HEIGHT, 44, 8, 0.55, 0.35);
    gint32 part = add_hints(image, 40, 6, 20, 15, 4, 2, 0.55, 0.35);
    float expected = red_of_the_ramp(image, layer, whole, 0.5);
    g_assert_cmpfloat_with_epsilon(red_of_the_ramp(image, layer, part, 0.5), expected, 1e-4);
    gimp_layer_set_offsets(layer, 7, -5);
    gimp_layer_set_offsets(part, 47, 1);
    g_assert_cmpfloat_with_epsilon(red_of_the_ramp(image, layer, part, 0.5), expected, 1e-4);
    gimp_image_delete(image);
}

static void hints_far_off_and_empty_ones_change_nothing(void)
{
    gint32 layer, image = test_image_new(&picture, &layer);
    float before = red_of_the_ramp(image, layer, -1, 0.5);
    gint32 far = add_hints(image, 500, 500, 20, 20, 4, 4, 0.8, 0.1);
    g_assert_true(red_of_the_ramp(image, layer, far, 0.5) == before);
    gint32 empty =
        gimp_layer_new(image, "empty", 10, 10, GIMP_RGBA_IMAGE, 100.0, GIMP_LAYER_MODE_NORMAL);
    gimp_image_insert_layer(image, empty, -1, 0);
    gimp_drawable_fill(empty, GIMP_FILL_TRANSPARENT);
    g_assert_true(red_of_the_ramp(image, layer, empty, 0.5) == before);
    gimp_image_delete(image);
}

static void reach_reaches(void)
{
    gint32 layer, image = test_image_new(&picture, &layer);
    float before = red_of_the_ramp(image, layer, -1, 0.5);
    gint32 corner = add_hints(image, 0, 0, WIDTH, HEIGHT, 70, 10, 0.6, 0.3);
    float near = fabsf(red_of_the_ramp(image, layer, corner, 0) - before);
    float far = fabsf(red_of_the_ramp(image, layer, corner, 1) - before);
    g_test_message("changes a* by %.3f at reach 0, by %.3f at 1", near, far);
    g_assert_cmpfloat(far, >, near);
    gimp_image_delete(image);
}

static void expect_error(gint32 image, gint32 layer, gint32 hints, const char *words)
{
    TestArguments arguments = test_arguments;
    gint32 result = -1;
    g_autofree char *error = NULL;
    arguments.hints = hints;
    gimp_image_clean_all(image);
    g_assert_false(test_colorize(image, layer, &arguments, &result, &error));
    if (!error || !strstr(error, words)) {
        g_test_message("found the error '%s', expected in it '%s'", error ? error : "", words);
        g_test_fail();
    }
    g_assert_false(gimp_image_is_dirty(image));
}

static void what_is_no_hint_layer_is_refused(void)
{
    gint32 layer, image = test_image_new(&picture, &layer);
    gint32 other_layer, other = test_image_new(&picture, &other_layer);
    GimpRGB black = {0};
    gint32 channel = gimp_channel_new(image, "channel", WIDTH, HEIGHT, 50.0, &black);
    gimp_image_insert_channel(image, channel, -1, 0);
    gint32 opaque = gimp_layer_copy(layer);
    gimp_image_insert_layer(image, opaque, -1, 0);
    expect_error(image, layer, other_layer, "same image");
    expect_error(image, layer, layer, "another layer");
    expect_error(image, layer, channel, "must be a layer");
    expect_error(image, layer, opaque, "alpha channel");
    expect_error(image, layer, 123456, "");
    gimp_image_delete(other);
    gimp_image_delete(image);
}

void test_register(void)
{
#define ADD(claim) g_test_add_func("/plugin/hints/" #claim, claim)
    ADD(a_dab_colors_its_place);
    ADD(offsets_of_both_layers_count);
    ADD(hints_far_off_and_empty_ones_change_nothing);
    ADD(reach_reaches);
    ADD(what_is_no_hint_layer_is_refused);
}
