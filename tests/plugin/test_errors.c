// SPDX-License-Identifier: LGPL-3.0-or-later
// What cannot be done gives a sentence and leaves the image as it was; the signature is frozen.
#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include "gimp_test.h"

const char test_name[] = "errors";

static const TestPicture picture = {GIMP_RGB, GIMP_PRECISION_U8_GAMMA, true, 48, 32};

// The call fails with these words, and nothing in the image has changed.
static void expect_error(gint32 image, gint32 drawable, TestArguments arguments, const char *words)
{
    bool there = gimp_image_is_valid(image);
    gint n_before = 0, n_after = 0;
    if (there) {
        g_free(gimp_image_get_layers(image, &n_before));
        gimp_image_clean_all(image);
    }
    gint32 result = -1;
    g_autofree char *error = NULL;
    bool ok = test_colorize(image, drawable, &arguments, &result, &error);
    g_assert_false(ok);
    if (!ok && (!error || !strstr(error, words))) {
        g_test_message("found the error '%s', expected in it '%s'", error ? error : "", words);
        g_test_fail();
    }
    if (there) {
        g_free(gimp_image_get_layers(image, &n_after));
        g_assert_cmpint(n_after, ==, n_before);
        g_assert_false(gimp_image_is_dirty(image));
    }
}

static void expect_argument_error(TestArguments arguments, const char *words)
{
    gint32 layer, image = test_image_new(&picture, &layer);
    expect_error(image, layer, arguments, words);
    gimp_image_delete(image);
}

// The defaults with one other value.
#define WITH(field, value)                      \
    ({                                          \
        TestArguments changed = test_arguments; \
        changed.field = (value);                \
        changed;                                \
    })

static void numbers_out_of_range_are_refused(void)
{
    expect_argument_error(WITH(strength, 2.5), "strength");
    expect_argument_error(WITH(strength, -0.1), "strength");
    expect_argument_error(WITH(strength, (double)NAN), "strength");
    expect_argument_error(WITH(strength, (double)INFINITY), "strength");
    expect_argument_error(WITH(warmth, (double)NAN), "warmth");
    expect_argument_error(WITH(warmth, 1.5), "warmth");
    expect_argument_error(WITH(reach, 1.5), "reach");
    expect_argument_error(WITH(output, 3), "output");
    expect_argument_error(WITH(output, -1), "output");
    expect_argument_error(WITH(tile_size, -2), "tile-size");
    expect_argument_error(WITH(tile_size, 100), "smallest tile");
    expect_argument_error(WITH(keep_tone, 2), "keep-tone");
}

static void unknown_device_is_refused(void)
{
    expect_argument_error(WITH(device, "toaster"), "toaster");
    expect_argument_error(WITH(device, "cpu-with-a-name-that-is-longer-than-any-device-can-have"),
                          "device");
}

static void unusable_weights_are_refused(void)
{
    expect_argument_error(WITH(weights, "/nonexistent/weights.safetensors"),
                          "/nonexistent/weights.safetensors");
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "colorize-test-XXXXXX", NULL);
    int fd = g_mkstemp(path);
    g_assert_cmpint(fd, >=, 0);
    g_close(fd, NULL);
    g_file_set_contents(path, "This is a text file, and no model at all.\n", -1, NULL);
    expect_argument_error(WITH(weights, path), path);
    g_file_set_contents(path, "", 0, NULL);
    expect_argument_error(WITH(weights, path), path);
    g_unlink(path);
}

static void ids_that_are_none_are_refused(void)
{
    gint32 layer, image = test_image_new(&picture, &layer);
    gint32 other_layer, other = test_image_new(&picture, &other_layer);
    expect_error(image, -1, test_arguments, "");
    expect_error(image, 0, test_arguments, "");
    expect_error(image, 123456, test_arguments, "");
    expect_error(-1, layer, test_arguments, "");
    expect_error(0, layer, test_arguments, "");
    expect_error(image, other_layer, test_arguments, "belong");
    gimp_image_delete(other);
    gimp_image_delete(image);
}

static void transparent_layer_is_refused(void)
{
    gint32 layer, image = test_image_new(&picture, &layer);
    gimp_drawable_fill(layer, GIMP_FILL_TRANSPARENT);
    for (int output = 0; output < 3; output++) {
        expect_error(image, layer, WITH(output, output), "transparent");
    }
    gimp_image_convert_grayscale(image);
    expect_error(image, layer, test_arguments, "transparent");
    g_assert_cmpint(gimp_image_base_type(image), ==, GIMP_GRAY);
    gimp_image_delete(image);
}

static void locked_pixels_are_refused_in_place(void)
{
    gint32 layer, image = test_image_new(&picture, &layer), result = -1;
    gimp_item_set_lock_content(layer, TRUE);
    expect_error(image, layer, WITH(output, 1), "locked");
    g_assert_true(test_colorize_to(image, layer, 0, &result));
    gimp_item_set_lock_content(layer, FALSE);

    gint32 group = gimp_layer_group_new(image), inner = gimp_layer_copy(layer);
    gimp_image_insert_layer(image, group, -1, 0);
    gimp_image_insert_layer(image, inner, group, 0);
    gimp_item_set_lock_content(group, TRUE);
    expect_error(image, inner, WITH(output, 1), "locked");
    gimp_image_delete(image);
}

static void groups_and_channels_are_refused(void)
{
    gint32 layer, image = test_image_new(&picture, &layer);
    gint32 group = gimp_layer_group_new(image), inner = gimp_layer_copy(layer);
    gimp_image_insert_layer(image, group, -1, 0);
    gimp_image_insert_layer(image, inner, group, 0);
    expect_error(image, group, WITH(output, 1), "group");

    GimpRGB black = {0};
    gint32 channel = gimp_channel_new(image, "channel", 48, 32, 50.0, &black);
    gimp_image_insert_channel(image, channel, -1, 0);
    expect_error(image, channel, test_arguments, "channel");
    gimp_image_delete(image);
}

static void empty_group_is_refused(void)
{
    gint32 layer, image = test_image_new(&picture, &layer);
    gint32 group = gimp_layer_group_new(image);
    gimp_image_insert_layer(image, group, -1, 0);
    expect_error(image, group, test_arguments, "transparent");
    gimp_image_delete(image);
}

static void floating_selection_is_refused(void)
{
    gint32 layer, image = test_image_new(&picture, &layer);
    gimp_image_select_rectangle(image, GIMP_CHANNEL_OP_REPLACE, 20, 10, 20, 15);
    gint32 floating = gimp_selection_float(image, layer, 3, 3);
    expect_error(image, floating, test_arguments, "floating");
    expect_error(image, layer, test_arguments, "floating");
    gimp_image_delete(image);
}

static void selection_off_the_layer_is_refused(void)
{
    gint32 layer, image = test_image_new(&picture, &layer);
    gimp_layer_set_offsets(layer, 30, 0);
    gimp_image_select_rectangle(image, GIMP_CHANNEL_OP_REPLACE, 0, 0, 10, 10);
    expect_error(image, layer, WITH(output, 0), "selection");
    expect_error(image, layer, WITH(output, 1), "selection");
    gimp_image_delete(image);
}

static void signature_is_frozen(void)
{
    static const struct {
        const char *name;
        GimpPDBArgType type;
    } frozen[] = {
        {"run-mode", GIMP_PDB_INT32},  {"image", GIMP_PDB_IMAGE},   {"drawable", GIMP_PDB_DRAWABLE},
        {"strength", GIMP_PDB_FLOAT},  {"warmth", GIMP_PDB_FLOAT},  {"output", GIMP_PDB_INT32},
        {"hints", GIMP_PDB_DRAWABLE},  {"reach", GIMP_PDB_FLOAT},   {"tile-size", GIMP_PDB_INT32},
        {"keep-tone", GIMP_PDB_INT32}, {"device", GIMP_PDB_STRING}, {"weights", GIMP_PDB_STRING},
    };
    gchar *blurb, *help, *author, *copyright, *date;
    GimpPDBProcType type;
    gint n_params, n_values;
    GimpParamDef *params, *values;
    gboolean found =
        gimp_procedural_db_proc_info("plug-in-colorize-photo", &blurb, &help, &author, &copyright,
                                     &date, &type, &n_params, &n_values, &params, &values);
    g_assert_true(found);
    if (!found) {
        return;
    }
    g_assert_cmpint(n_params, ==, G_N_ELEMENTS(frozen));
    for (gint i = 0; i < MIN(n_params, (gint)G_N_ELEMENTS(frozen)); i++) {
        g_assert_cmpstr(params[i].name, ==, frozen[i].name);
        g_assert_cmpint(params[i].type, ==, frozen[i].type);
    }
    g_assert_cmpint(n_values, ==, 1);
    g_assert_cmpint(values[0].type, ==, GIMP_PDB_DRAWABLE);
    gimp_destroy_paramdefs(params, n_params);
    gimp_destroy_paramdefs(values, n_values);
}

void test_register(void)
{
#define ADD(claim) g_test_add_func("/plugin/errors/" #claim, claim)
    ADD(numbers_out_of_range_are_refused);
    ADD(unknown_device_is_refused);
    ADD(unusable_weights_are_refused);
    ADD(ids_that_are_none_are_refused);
    ADD(transparent_layer_is_refused);
    ADD(locked_pixels_are_refused_in_place);
    ADD(groups_and_channels_are_refused);
    ADD(empty_group_is_refused);
    ADD(floating_selection_is_refused);
    ADD(selection_off_the_layer_is_refused);
    ADD(signature_is_frozen);
}
