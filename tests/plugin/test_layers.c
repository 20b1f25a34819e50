// SPDX-License-Identifier: LGPL-3.0-or-later
// Where the colour goes: stack, offsets, groups, selections, masks, profiles, new images.
#include <math.h>
#include <string.h>

#include "gimp_test.h"

const char test_name[] = "layers";

enum { WIDTH = 96, HEIGHT = 72, N_PIXELS = WIDTH * HEIGHT };

static const TestPicture rgb_float = {GIMP_RGB, GIMP_PRECISION_FLOAT_GAMMA, false, WIDTH, HEIGHT};
static const TestPicture rgb_u16 = {GIMP_RGB, GIMP_PRECISION_U16_GAMMA, false, WIDTH, HEIGHT};
static const TestPicture grey_u8 = {GIMP_GRAY, GIMP_PRECISION_U8_GAMMA, true, WIDTH, HEIGHT};

static void new_layer_lies_above_with_mode_and_offsets(void)
{
    gint32 layer, result = -1;
    gint32 image = test_image_new(&rgb_float, &layer);
    gint32 top = gimp_layer_copy(layer);
    gimp_image_insert_layer(image, top, -1, 0);
    gimp_layer_set_offsets(layer, 13, -7);
    g_autofree float *before = test_read(layer, "R'G'B' float", NULL);
    if (test_colorize_to(image, layer, 0, &result)) {
        gint x, y;
        gimp_drawable_offsets(result, &x, &y);
        g_assert_cmpint(x, ==, 13);
        g_assert_cmpint(y, ==, -7);
        g_assert_cmpint(gimp_layer_get_mode(result), ==, GIMP_LAYER_MODE_LCH_COLOR);
        g_assert_cmpint(gimp_image_get_item_position(image, top), ==, 0);
        g_assert_cmpint(gimp_image_get_item_position(image, result), ==, 1);
        g_assert_cmpint(gimp_image_get_item_position(image, layer), ==, 2);
        g_autofree char *name = gimp_item_get_name(result);
        g_assert_cmpstr(name, ==, "Colorize");
        g_autofree float *after = test_read(layer, "R'G'B' float", NULL);
        g_assert_cmpmem(before, N_PIXELS * 12, after, N_PIXELS * 12);
    }
    gimp_image_delete(image);
}

static void new_layer_stays_in_the_group(void)
{
    gint32 layer, result = -1;
    gint32 image = test_image_new(&grey_u8, &layer);
    gint32 group = gimp_layer_group_new(image), inner = gimp_layer_copy(layer);
    gimp_image_insert_layer(image, group, -1, 0);
    gimp_image_insert_layer(image, inner, group, 0);
    if (test_colorize_to(image, inner, 0, &result)) {
        g_assert_cmpint(gimp_item_get_parent(result), ==, group);
        g_assert_cmpint(gimp_image_get_item_position(image, result), ==, 0);
    }
    gimp_image_delete(image);
}

static void group_gets_a_layer_above(void)
{
    gint32 layer, result = -1;
    gint32 image = test_image_new(&grey_u8, &layer);
    gint32 group = gimp_layer_group_new(image), inner = gimp_layer_copy(layer);
    gimp_image_insert_layer(image, group, -1, 0);
    gimp_image_insert_layer(image, inner, group, 0);
    gimp_layer_set_offsets(inner, 5, 6);
    if (test_colorize_to(image, group, 0, &result)) {
        g_assert_cmpint(gimp_item_get_parent(result), ==, -1);
        g_assert_cmpint(gimp_image_get_item_position(image, result), ==, 0);
        gint x, y;
        gimp_drawable_offsets(result, &x, &y);
        g_assert_cmpint(x, ==, 5);
        g_assert_cmpint(y, ==, 6);
    }
    gimp_image_delete(image);
}

static void select_rectangle(gint32 image, int feather)
{
    gimp_context_push();
    gimp_context_set_antialias(FALSE);
    gimp_context_set_feather(feather > 0);
    gimp_context_set_feather_radius(feather, feather);
    gimp_image_select_rectangle(image, GIMP_CHANNEL_OP_REPLACE, 24, 16, 48, 40);
    gimp_context_pop();
}

// In place through a feathered selection: old + coverage * (new - old), in the space of the
// numbers.
static void selection_limits_what_changes_in_place(void)
{
    gint32 layer, result = -1, all = -1;
    gint32 image = test_image_new(&rgb_float, &layer);
    gint32 whole = gimp_image_duplicate(image);
    g_autofree float *before = test_read(layer, "R'G'B'A float", NULL);
    select_rectangle(image, 8);
    g_autofree float *mask = test_read(gimp_image_get_selection(image), "Y float", NULL);
    if (test_colorize_to(image, layer, 1, &result) &&
        test_colorize_to(whole, gimp_image_get_active_drawable(whole), 1, &all)) {
        g_autofree float *after = test_read(layer, "R'G'B'A float", NULL);
        g_autofree float *target = test_read(all, "R'G'B'A float", NULL);
        size_t n_between = 0;
        for (size_t i = 0; i < N_PIXELS; i++) {
            n_between += mask[i] > 0.1f && mask[i] < 0.9f;
            for (size_t k = 4 * i; k < 4 * i + 3; k++) {
                if (mask[i] == 0.0f) {
                    g_assert_cmpfloat(after[k], ==, before[k]);
                } else if (mask[i] == 1.0f) {
                    g_assert_cmpfloat_with_epsilon(after[k], target[k], 1e-5);
                } else {
                    g_assert_cmpfloat(after[k], >=, fminf(before[k], target[k]) - 1e-5f);
                    g_assert_cmpfloat(after[k], <=, fmaxf(before[k], target[k]) + 1e-5f);
                }
            }
        }
        g_assert_cmpint(n_between, >, 100);
        g_assert_cmpfloat(test_colourfulness(target, N_PIXELS), >, 0.02);
        g_assert_false(gimp_selection_is_empty(image));
    }
    gimp_image_delete(whole);
    gimp_image_delete(image);
}

static void selection_becomes_the_mask_of_the_new_layer(void)
{
    gint32 layer, result = -1;
    gint32 image = test_image_new(&rgb_float, &layer);
    select_rectangle(image, 8);
    g_autofree float *expected = test_read(gimp_image_get_selection(image), "Y float", NULL);
    if (test_colorize_to(image, layer, 0, &result)) {
        gint32 mask = gimp_layer_get_mask(result);
        g_assert_cmpint(mask, >=, 0);
        g_assert_false(gimp_layer_get_edit_mask(result));
        if (mask >= 0) {
            g_autofree float *found = test_read(mask, "Y float", NULL);
            for (size_t i = 0; i < N_PIXELS; i++) {
                g_assert_cmpfloat_with_epsilon(found[i], expected[i], 1e-6);
            }
        }
    }
    gimp_image_delete(image);
}

// A layer that shows half of itself: the colour must not fall on what lies below.
static void mask_of_the_layer_holds_for_its_colour(void)
{
    gint32 layer, result = -1;
    gint32 image = test_image_new(&rgb_float, &layer);
    gint32 mask = gimp_layer_create_mask(layer, GIMP_ADD_MASK_COPY);
    gimp_layer_add_mask(layer, mask);
    g_autofree float *expected = test_read(mask, "Y float", NULL);
    // The mask is now what is being edited, so that GIMP hands it over as the drawable.
    gint32 active = gimp_image_get_active_drawable(image);
    g_assert_cmpint(active, ==, mask);
    if (test_colorize_to(image, active, 0, &result)) {
        gint32 above = gimp_layer_get_mask(result);
        g_assert_cmpint(above, >=, 0);
        if (above >= 0) {
            g_autofree float *found = test_read(above, "Y float", NULL);
            for (size_t i = 0; i < N_PIXELS; i++) {
                g_assert_cmpfloat_with_epsilon(found[i], expected[i], 1e-6);
            }
        }
    }
    gimp_image_delete(image);
}

static void set_profile(gint32 image, bool srgb_curve)
{
    GimpColorProfile *profile = gimp_color_profile_new_rgb_adobe();
    if (srgb_curve) {
        GimpColorProfile *adobe = profile;
        profile = gimp_color_profile_new_srgb_trc_from_color_profile(adobe);
        g_object_unref(adobe);
    }
    gimp_image_set_color_profile(image, profile);
    g_object_unref(profile);
}

typedef struct {
    int output;
    bool srgb_curve;
    double bound;
} ProfileCase;

// babl's power curve of Adobe RGB is an approximation: the numbers 0 to 400 of 65535 come back from
// a conversion and its inverse up to 280 off, hence the wider bound.
static const ProfileCase profile_cases[] = {
    {1, true, 0.0015}, {2, true, 0.0015}, {1, false, 0.03}, {2, false, 0.03}};

static void lightness_is_that_of_the_profile(gconstpointer data)
{
    const ProfileCase *c = data;
    gint32 layer, result = -1;
    gint32 image = test_image_new(&rgb_u16, &layer);
    set_profile(image, c->srgb_curve);
    const Babl *space = test_space(image);
    g_autofree float *expected = test_read(layer, "CIE L float", space);
    if (test_colorize_to(image, layer, c->output, &result)) {
        gint32 home = gimp_item_get_image(result);
        g_autofree float *found = test_read(result, "CIE L float", test_space(home));
        g_autofree float *rgba = test_read(result, "R'G'B'A float", NULL);
        test_lightness(found, expected, NULL, N_PIXELS, c->bound);
        g_assert_cmpfloat(test_colourfulness(rgba, N_PIXELS), >, 0.02);
        if (home != image) {
            gimp_image_delete(home);
        }
    }
    gimp_image_delete(image);
}

// GIMP's layer modes know nothing of profiles: there the numbers count as sRGB.
static void colour_layer_keeps_lightness_under_a_profile(void)
{
    gint32 layer, result = -1;
    gint32 image = test_image_new(&rgb_u16, &layer);
    set_profile(image, false);
    g_autofree float *expected = test_read_visible(image, "CIE L float");
    if (test_colorize_to(image, layer, 0, &result)) {
        g_autofree float *found = test_read_visible(image, "CIE L float");
        test_lightness(found, expected, NULL, N_PIXELS, 0.001);
    }
    gimp_image_delete(image);
}

static void new_image_has_profile_and_resolution(void)
{
    gint32 layer, result = -1;
    gint32 image = test_image_new(&rgb_u16, &layer);
    set_profile(image, false);
    gimp_image_set_resolution(image, 600.0, 300.0);
    gimp_image_set_unit(image, GIMP_UNIT_MM);
    gimp_image_clean_all(image);
    if (test_colorize_to(image, layer, 2, &result)) {
        gint32 home = gimp_item_get_image(result);
        gdouble x, y;
        gimp_image_get_resolution(home, &x, &y);
        g_assert_cmpfloat(x, ==, 600.0);
        g_assert_cmpfloat(y, ==, 300.0);
        g_assert_cmpint(gimp_image_get_unit(home), ==, GIMP_UNIT_MM);
        GimpColorProfile *found = gimp_image_get_color_profile(home);
        GimpColorProfile *expected = gimp_image_get_color_profile(image);
        g_assert_true(found && gimp_color_profile_is_equal(found, expected));
        g_clear_object(&found);
        g_clear_object(&expected);
        g_assert_false(gimp_image_is_dirty(image));
        gimp_image_delete(home);
    }
    gimp_image_delete(image);
}

static void tiny_layers_are_coloured(gconstpointer data)
{
    int side = GPOINTER_TO_INT(data);
    gint32 layer, result = -1;
    gint32 image = gimp_image_new(side, 1, GIMP_RGB);
    layer = gimp_layer_new(image, "tiny", side, 1, GIMP_RGB_IMAGE, 100.0, GIMP_LAYER_MODE_NORMAL);
    gimp_drawable_fill(layer, GIMP_FILL_WHITE);
    gimp_image_insert_layer(image, layer, -1, 0);
    test_colorize_to(image, layer, 0, &result);
    gimp_image_delete(image);
}

static void same_input_gives_same_pixels(void)
{
    gint32 layer, first = -1, second = -1;
    gint32 image = test_image_new(&rgb_float, &layer);
    if (test_colorize_to(image, layer, 0, &first) && test_colorize_to(image, layer, 0, &second)) {
        g_autofree float *a = test_read(first, "R'G'B' float", NULL);
        g_autofree float *b = test_read(second, "R'G'B' float", NULL);
        g_assert_cmpmem(a, N_PIXELS * 12, b, N_PIXELS * 12);
    }
    gimp_image_delete(image);
}

// Every setting moves a* and b* only.
static void settings_change_colors_and_not_lightness(void)
{
    gint32 layer, plain = -1, changed = -1;
    gint32 image = test_image_new(&rgb_float, &layer);
    g_autofree float *expected = test_read(layer, "CIE L float", NULL);
    TestArguments arguments = test_arguments;
    arguments.strength = 1.7;
    arguments.warmth = 0.8;
    arguments.keep_tone = 1;
    arguments.output = 2;
    bool ok = test_colorize_to(image, layer, 2, &plain) &&
              test_colorize(image, layer, &arguments, &changed, NULL);
    g_assert_true(ok);
    if (ok) {
        g_autofree float *found = test_read(changed, "CIE L float", NULL);
        g_autofree float *before = test_read(plain, "R'G'B'A float", NULL);
        g_autofree float *after = test_read(changed, "R'G'B'A float", NULL);
        test_lightness(found, expected, NULL, N_PIXELS, 1e-4);
        double difference = 0;
        for (size_t i = 0; i < 4 * N_PIXELS; i++) {
            difference += fabs((double)after[i] - (double)before[i]) / (4 * N_PIXELS);
        }
        g_assert_cmpfloat(difference, >, 0.01);
        gimp_image_delete(gimp_item_get_image(plain));
        gimp_image_delete(gimp_item_get_image(changed));
    }
    gimp_image_delete(image);
}

static void strength_zero_gives_grey(void)
{
    gint32 layer, result = -1;
    gint32 image = test_image_new(&rgb_float, &layer);
    TestArguments arguments = test_arguments;
    arguments.strength = 0.0;
    bool ok = test_colorize(image, layer, &arguments, &result, NULL);
    g_assert_true(ok);
    if (ok) {
        g_autofree float *rgba = test_read(result, "R'G'B'A float", NULL);
        g_assert_cmpfloat(test_colourfulness(rgba, N_PIXELS), <, 1e-4);
    }
    gimp_image_delete(image);
}

void test_register(void)
{
#define ADD(claim) g_test_add_func("/plugin/layers/" #claim, claim)
    ADD(new_layer_lies_above_with_mode_and_offsets);
    ADD(new_layer_stays_in_the_group);
    ADD(group_gets_a_layer_above);
    ADD(selection_limits_what_changes_in_place);
    ADD(selection_becomes_the_mask_of_the_new_layer);
    ADD(mask_of_the_layer_holds_for_its_colour);
    for (size_t i = 0; i < G_N_ELEMENTS(profile_cases); i++) {
        const ProfileCase *c = &profile_cases[i];
        g_autofree char *path = g_strdup_printf(
            "/plugin/layers/lightness_is_that_of_the_profile/%s/%s",
            c->srgb_curve ? "srgb-curve" : "adobe", c->output == 1 ? "in-place" : "image");
        g_test_add_data_func(path, c, lightness_is_that_of_the_profile);
    }
    ADD(colour_layer_keeps_lightness_under_a_profile);
    ADD(new_image_has_profile_and_resolution);
    g_test_add_data_func("/plugin/layers/tiny_layers_are_coloured/1x1", GINT_TO_POINTER(1),
                         tiny_layers_are_coloured);
    g_test_add_data_func("/plugin/layers/tiny_layers_are_coloured/300x1", GINT_TO_POINTER(300),
                         tiny_layers_are_coloured);
    ADD(same_input_gives_same_pixels);
    ADD(settings_change_colors_and_not_lightness);
    ADD(strength_zero_gives_grey);
}
