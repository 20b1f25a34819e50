// SPDX-License-Identifier: LGPL-3.0-or-later
// Tests that run inside GIMP, as a plug-in: GLib's harness, its TAP into a file.
#include "gimp_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { N_ARGUMENTS = 12 };

const TestArguments test_arguments = {1.0, 0.0, 0, -1, 0.5, 0, 0, "auto", ""};

static void query(void)
{
    GimpParamDef run_mode = {GIMP_PDB_INT32, (char *)"run-mode", (char *)"ignored"};
    g_autofree char *name = g_strconcat("colorize-test-", test_name, NULL);
    gimp_install_procedure(name, "Tests the plug-in", "", "", "", "", NULL, NULL, GIMP_PLUGIN, 1, 0,
                           &run_mode, NULL);
}

static void run(const gchar *name, gint n_params, const GimpParam *params, gint *n_values,
                GimpParam **values)
{
    static GimpParam status = {.type = GIMP_PDB_STATUS};
    status.data.d_status = GIMP_PDB_EXECUTION_ERROR;
    *n_values = 1;
    *values = &status;
    // GIMP's own words go to stdout too.
    const char *path = g_getenv("COLORIZE_TEST_OUT");
    if (!path || !freopen(path, "w", stdout)) {
        return;
    }
    gegl_init(NULL, NULL);
    char *arguments[] = {g_strdup(test_name), g_strdup("--tap"), NULL}, **argv = arguments;
    int argc = 2;
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    test_register();
    g_test_run();
    fflush(stdout);
    status.data.d_status = GIMP_PDB_SUCCESS;
}

const GimpPlugInInfo PLUG_IN_INFO = {NULL, NULL, query, run};

MAIN()

// A ramp of all levels at the top, finer structure below, flat patches at the bottom.
static float grey_at(int x, int y, int width, int height)
{
    float ramp = (float)x / (float)(width - 1);
    if (y < height / 3) {
        return ramp;
    }
    if (y < 2 * height / 3) {
        float wave = 0.5f + 0.5f * sinf((float)x * 0.7f) * cosf((float)y * 0.45f);
        return ramp * 0.3f + wave * 0.7f;
    }
    return (float)((x / 8 * 5 + y / 8 * 3) % 17) / 16.0f;
}

static void fill(gint32 layer, int width, int height)
{
    GeglBuffer *buffer = gimp_drawable_get_buffer(layer);
    float *row = g_new(float, 4 * (size_t)width);
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            float v = grey_at(x, y, width, height);
            row[4 * x] = row[4 * x + 1] = row[4 * x + 2] = v;
            row[4 * x + 3] = CLAMP((float)(x - 8) * 2.0f / (float)width, 0.0f, 1.0f);
        }
        gegl_buffer_set(buffer, GEGL_RECTANGLE(0, y, width, 1), 0, babl_format("R'G'B'A float"),
                        row, GEGL_AUTO_ROWSTRIDE);
    }
    g_free(row);
    gegl_buffer_flush(buffer);
    g_object_unref(buffer);
}

gint32 test_image_new(const TestPicture *picture, gint32 *layer)
{
    bool grey = picture->type == GIMP_GRAY;
    gint32 image = gimp_image_new_with_precision(picture->width, picture->height,
                                                 grey ? GIMP_GRAY : GIMP_RGB, picture->precision);
    GimpImageType type = grey ? (picture->alpha ? GIMP_GRAYA_IMAGE : GIMP_GRAY_IMAGE)
                              : (picture->alpha ? GIMP_RGBA_IMAGE : GIMP_RGB_IMAGE);
    *layer = gimp_layer_new(image, "photograph", picture->width, picture->height, type, 100.0,
                            GIMP_LAYER_MODE_NORMAL);
    fill(*layer, picture->width, picture->height);
    gimp_image_insert_layer(image, *layer, -1, 0);
    if (picture->type == GIMP_INDEXED) {
        gimp_image_convert_indexed(image, GIMP_CONVERT_DITHER_NONE, GIMP_CONVERT_PALETTE_GENERATE,
                                   255, FALSE, FALSE, "");
    }
    gimp_image_clean_all(image);
    return image;
}

bool test_colorize(gint32 image, gint32 drawable, const TestArguments *arguments, gint32 *result,
                   char **error)
{
    const TestArguments *a = arguments;
    GimpParam params[N_ARGUMENTS] = {
        {GIMP_PDB_INT32, {.d_int32 = GIMP_RUN_NONINTERACTIVE}},
        {GIMP_PDB_IMAGE, {.d_image = image}},
        {GIMP_PDB_DRAWABLE, {.d_drawable = drawable}},
        {GIMP_PDB_FLOAT, {.d_float = a->strength}},
        {GIMP_PDB_FLOAT, {.d_float = a->warmth}},
        {GIMP_PDB_INT32, {.d_int32 = a->output}},
        {GIMP_PDB_DRAWABLE, {.d_drawable = a->hints}},
        {GIMP_PDB_FLOAT, {.d_float = a->reach}},
        {GIMP_PDB_INT32, {.d_int32 = a->tile_size}},
        {GIMP_PDB_INT32, {.d_int32 = a->keep_tone}},
        {GIMP_PDB_STRING, {.d_string = (char *)a->device}},
        {GIMP_PDB_STRING, {.d_string = (char *)a->weights}},
    };
    gint n_values;
    GimpParam *values =
        gimp_run_procedure2("plug-in-colorize-photo", &n_values, N_ARGUMENTS, params);
    bool ok = n_values == 2 && values[0].data.d_status == GIMP_PDB_SUCCESS;
    if (ok) {
        *result = values[1].data.d_drawable;
    } else if (error) {
        *error = g_strdup(n_values > 1 ? values[1].data.d_string : gimp_get_pdb_error());
    }
    gimp_destroy_params(values, n_values);
    return ok;
}

bool test_colorize_to(gint32 image, gint32 drawable, int output, gint32 *result)
{
    TestArguments arguments = test_arguments;
    arguments.output = output;
    g_autofree char *error = NULL;
    bool ok = test_colorize(image, drawable, &arguments, result, &error);
    if (!ok) {
        g_test_message("the procedure failed: %s", error);
        g_test_fail();
    }
    return ok;
}

const Babl *test_space(gint32 image)
{
    GimpColorProfile *profile = gimp_image_get_color_profile(image);
    const Babl *space = gimp_color_profile_get_space(
        profile, GIMP_COLOR_RENDERING_INTENT_RELATIVE_COLORIMETRIC, NULL);
    g_object_unref(profile);
    return space;
}

float *test_read(gint32 drawable, const char *format, const Babl *space)
{
    int width = gimp_drawable_width(drawable), height = gimp_drawable_height(drawable);
    const Babl *babl = babl_format(format);
    float *pixels =
        g_malloc((size_t)width * (size_t)height * (size_t)babl_format_get_bytes_per_pixel(babl));
    GeglBuffer *buffer = gimp_drawable_get_buffer(drawable);
    if (space) {
        const char *encoding = babl_format_get_encoding(gegl_buffer_get_format(buffer));
        gegl_buffer_set_format(buffer, babl_format_with_space(encoding, space));
    }
    gegl_buffer_get(buffer, GEGL_RECTANGLE(0, 0, width, height), 1.0, babl, pixels,
                    GEGL_AUTO_ROWSTRIDE, GEGL_ABYSS_NONE);
    g_object_unref(buffer);
    return pixels;
}

float *test_read_visible(gint32 image, const char *format)
{
    gint32 visible = gimp_layer_new_from_visible(image, image, "visible");
    float *pixels = test_read(visible, format, NULL);
    gimp_item_delete(visible);
    return pixels;
}

void test_lightness(const float *found, const float *expected, const float *alpha, size_t n_pixels,
                    double bound)
{
    double worst = -1.0;
    size_t at = 0;
    for (size_t i = 0; i < n_pixels; i++) {
        double difference = fabs((double)found[i] - (double)expected[i]);
        // NaN counts as the worst there is.
        if ((!alpha || alpha[4 * i + 3] > 0.0f) && !(difference <= worst)) {
            worst = difference;
            at = i;
        }
    }
    g_test_message("worst L* difference %.6f at pixel %zu: %.6f, expected %.6f; bound %g", worst,
                   at, (double)found[at], (double)expected[at], bound);
    if (!(worst >= 0.0 && worst <= bound)) {
        g_test_fail();
    }
}

double test_colourfulness(const float *rgba, size_t n_pixels)
{
    double sum = 0.0;
    for (size_t i = 0; i < n_pixels; i++) {
        const float *p = rgba + 4 * i;
        sum += fabs((double)p[0] - (double)p[1]) + fabs((double)p[1] - (double)p[2]);
    }
    return sum / (double)n_pixels;
}
