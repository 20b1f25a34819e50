// SPDX-License-Identifier: LGPL-3.0-or-later
// Invented pictures as files of every kind, written with libvips.
#pragma once

#include <math.h>
#include <stdarg.h>

#include <glib.h>

#include <vips/vips.h>

typedef enum { LOOK_COLOUR, LOOK_GREY, LOOK_SEPIA, LOOK_FLAT } Look;

// Smooth, so that JPEG and scaling keep it: red grows to the right, green downwards, blue waves.
static inline void look_pixel(Look look, double u, double v, int number, double *rgb)
{
    double light = 40 + 170 * (0.5 + 0.5 * sin(5 * u + number)) * (0.4 + 0.6 * v);

    switch (look) {
    case LOOK_COLOUR:
        rgb[0] = 30 + 200 * u;
        rgb[1] = 30 + 200 * v;
        rgb[2] = 128 + 100 * sin(6 * u + 4 * v + number);
        break;
    case LOOK_GREY:
        rgb[0] = rgb[1] = rgb[2] = light;
        break;
    case LOOK_SEPIA:
        rgb[0] = light;
        rgb[1] = light * 0.80;
        rgb[2] = light * 0.58;
        break;
    case LOOK_FLAT:
        rgb[0] = 190, rgb[1] = 100, rgb[2] = 60;
        break;
    }
}

// 8 bit sRGB; number makes different pictures of the same look. The caller unrefs.
static inline VipsImage *make_image(Look look, int width, int height, int number)
{
    uint8_t *bytes = g_malloc((size_t)width * (size_t)height * 3);
    VipsImage *image, *copy;

    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            double rgb[3];

            look_pixel(look, (x + 0.5) / width, (y + 0.5) / height, number, rgb);
            for (int c = 0; c < 3; c++)
                bytes[((size_t)y * (size_t)width + (size_t)x) * 3 + (size_t)c] =
                    (uint8_t)lrint(rgb[c]);
        }
    image = vips_image_new_from_memory_copy(bytes, (size_t)width * (size_t)height * 3, width,
                                            height, 3, VIPS_FORMAT_UCHAR);
    g_free(bytes);
    g_assert_cmpint(vips_copy(image, &copy, "interpretation", VIPS_INTERPRETATION_sRGB, NULL), ==,
                    0);
    g_object_unref(image);
    return copy;
}

// Writes and unrefs; the name's end says the format. No chroma subsampling.
static inline void write_image(VipsImage *image, const char *path)
{
    int failed = g_str_has_suffix(path, ".jpg")
                     ? vips_jpegsave(image, path, "Q", 95, "no_subsample", TRUE, NULL)
                     : vips_image_write_to_file(image, path, NULL);

    if (failed) {
        g_test_message("%s: %s", path, vips_error_buffer());
        g_test_fail();
    }
    g_object_unref(image);
}
