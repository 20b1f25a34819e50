// SPDX-License-Identifier: LGPL-3.0-or-later
// Tests that run inside GIMP, as a plug-in: GLib's harness, its TAP into a file.
//
// A test file defines test_name and test_register(); run-in-gimp starts GIMP with it.
#pragma once

#include <stdbool.h>

#include <libgimp/gimp.h>

extern const char test_name[]; // of the procedure: colorize-test-NAME
void test_register(void);      // g_test_add_*

typedef struct {
    GimpImageBaseType type;
    GimpPrecision precision;
    bool alpha; // from fully transparent at the left to opaque
    int width, height;
} TestPicture;

// All lightnesses from black to white, smooth and in steps; the layer is the only one.
gint32 test_image_new(const TestPicture *picture, gint32 *layer);

// Arguments 3 to 11 of the procedure.
typedef struct {
    double strength, warmth;
    int output, hints;
    double reach;
    int tile_size, keep_tone;
    const char *device, *weights;
} TestArguments;
extern const TestArguments test_arguments; // the defaults

// Calls the procedure non-interactively. FALSE if it failed; error (may be NULL) is then what it
// said, the caller frees it.
bool test_colorize(gint32 image, gint32 drawable, const TestArguments *arguments, gint32 *result,
                   char **error);
// The same with the defaults and this output; lets the test fail with the error's words.
bool test_colorize_to(gint32 image, gint32 drawable, int output, gint32 *result);

// All pixels in a babl format of floats; the caller frees. space: NULL, or what the numbers mean.
float *test_read(gint32 drawable, const char *format, const Babl *space);
float *test_read_visible(gint32 image, const char *format); // the composite of all layers
const Babl *test_space(gint32 image);                       // of the image's profile

// Compares lightness where alpha > 0 (alpha: R'G'B'A float of the same size, or NULL).
void test_lightness(const float *found, const float *expected, const float *alpha, size_t n_pixels,
                    double bound);
// Mean distance of the channels from each other: a grey picture has 0.
double test_colourfulness(const float *rgba, size_t n_pixels);
