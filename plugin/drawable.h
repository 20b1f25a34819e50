// SPDX-License-Identifier: LGPL-3.0-or-later
// Rows of a drawable as the engine wants them: encoded sRGB, floats, whatever GIMP holds.
#pragma once

#include <cz/colorizer.h>

#include <gegl.h>

// One drawable's pixels as a CzPhoto. Main thread only: libgimp and its buffers know no other.
typedef struct {
    int32_t width, height;
    GeglBuffer *src; // read
    GeglBuffer *dst; // written; NULL until plugin_pixels_write_to()
    bool alpha;      // of src; dst has it then too
    float *band;     // rows with alpha
    size_t band_bytes;
} PluginPixels;

// space: what the numbers of drawable mean (from the image's profile), NULL = sRGB, as GIMP's layer
// modes take them. Clear with plugin_pixels_clear().
void plugin_pixels_init(PluginPixels *pixels, gint32 drawable, const Babl *space);
// buffer becomes pixels' own. It has the size of src, and alpha if src has it.
void plugin_pixels_write_to(PluginPixels *pixels, GeglBuffer *buffer, const Babl *space);
// Flushes what was written: call it before GIMP is asked to do something with it.
void plugin_pixels_clear(PluginPixels *pixels); // accepts a zeroed one

// Rows for the engine; borrows pixels. Alpha goes from src to dst as it is.
CzPhoto plugin_pixels_photo(PluginPixels *pixels);

// FALSE with PLUGIN_ERROR_LAYER if all pixels are fully transparent.
bool plugin_pixels_check_visible(PluginPixels *pixels, GError **error);
