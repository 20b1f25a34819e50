// SPDX-License-Identifier: LGPL-3.0-or-later
// Rows of a drawable as the engine wants them: encoded sRGB, floats, whatever GIMP holds.
#include "drawable.h"

#include <math.h>

#include <glib/gi18n.h>
#include <libgimp/gimp.h>

#include <cz/memory.h>

#include "host.h"

// GIMP 2.10 gives every buffer the space sRGB, whatever the image's profile says.
static void set_space(GeglBuffer *buffer, const Babl *space)
{
    if (space) {
        const char *encoding = babl_format_get_encoding(gegl_buffer_get_format(buffer));
        gegl_buffer_set_format(buffer, babl_format_with_space(encoding, space));
    }
}

static bool band_reserve(PluginPixels *pixels, int32_t n_rows, GError **error)
{
    size_t n_bytes = (size_t)pixels->width * (size_t)n_rows * 4 * sizeof(float);
    if (n_bytes <= pixels->band_bytes) {
        return true;
    }
    cz_memory_free(pixels->band);
    pixels->band_bytes = 0;
    pixels->band = cz_memory_alloc(n_bytes, "rows of the layer", error);
    if (!pixels->band) {
        return false;
    }
    pixels->band_bytes = n_bytes;
    return true;
}

static void get_rows(PluginPixels *pixels, int32_t y, int32_t n_rows, const char *format,
                     float *rows)
{
    gegl_buffer_get(pixels->src, GEGL_RECTANGLE(0, y, pixels->width, n_rows), 1.0,
                    babl_format(format), rows, GEGL_AUTO_ROWSTRIDE, GEGL_ABYSS_NONE);
}

// A float layer may hold infinities and NaN; one of them would spread over the whole prediction.
static void blank_not_finite(float *rgb, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        rgb[i] = isfinite(rgb[i]) ? rgb[i] : 0.0f;
    }
}

static bool read_rows(void *user, int32_t y, int32_t n_rows, float *rgb, GError **error)
{
    PluginPixels *pixels = user;
    get_rows(pixels, y, n_rows, "R'G'B' float", rgb);
    blank_not_finite(rgb, (size_t)pixels->width * (size_t)n_rows * 3);
    return true;
}

static bool write_rows(void *user, int32_t y, int32_t n_rows, const float *rgb, GError **error)
{
    PluginPixels *pixels = user;
    const float *rows = rgb;
    if (pixels->alpha) {
        if (!band_reserve(pixels, n_rows, error)) {
            return false;
        }
        get_rows(pixels, y, n_rows, "R'G'B'A float", pixels->band);
        size_t n_pixels = (size_t)pixels->width * (size_t)n_rows;
        for (size_t i = 0; i < n_pixels; i++) {
            pixels->band[4 * i] = rgb[3 * i];
            pixels->band[4 * i + 1] = rgb[3 * i + 1];
            pixels->band[4 * i + 2] = rgb[3 * i + 2];
        }
        rows = pixels->band;
    }
    gegl_buffer_set(pixels->dst, GEGL_RECTANGLE(0, y, pixels->width, n_rows), 0,
                    babl_format(pixels->alpha ? "R'G'B'A float" : "R'G'B' float"), rows,
                    GEGL_AUTO_ROWSTRIDE);
    return true;
}

void plugin_pixels_init(PluginPixels *pixels, gint32 drawable, const Babl *space)
{
    *pixels = (PluginPixels){
        .width = gimp_drawable_width(drawable),
        .height = gimp_drawable_height(drawable),
        .src = gimp_drawable_get_buffer(drawable),
        .alpha = gimp_drawable_has_alpha(drawable),
    };
    set_space(pixels->src, space);
}

void plugin_pixels_write_to(PluginPixels *pixels, GeglBuffer *buffer, const Babl *space)
{
    set_space(buffer, space);
    pixels->dst = buffer;
}

void plugin_pixels_clear(PluginPixels *pixels)
{
    if (pixels->dst) {
        gegl_buffer_flush(pixels->dst);
    }
    g_clear_object(&pixels->dst);
    g_clear_object(&pixels->src);
    cz_memory_free(pixels->band);
    pixels->band = NULL;
    pixels->band_bytes = 0;
}

CzPhoto plugin_pixels_photo(PluginPixels *pixels)
{
    return (CzPhoto){pixels->width, pixels->height, read_rows, write_rows, pixels};
}

// TRUE at the first pixel that is not fully transparent.
static bool find_visible(PluginPixels *pixels, bool *visible, GError **error)
{
    static const int32_t BAND = 64;
    *visible = !pixels->alpha;
    for (int32_t y = 0; y < pixels->height && !*visible; y += BAND) {
        int32_t n_rows = MIN(BAND, pixels->height - y);
        if (!band_reserve(pixels, n_rows, error)) {
            return false;
        }
        get_rows(pixels, y, n_rows, "R'G'B'A float", pixels->band);
        size_t n_pixels = (size_t)pixels->width * (size_t)n_rows;
        for (size_t i = 0; i < n_pixels && !*visible; i++) {
            *visible = pixels->band[4 * i + 3] > 0.0f;
        }
    }
    return true;
}

bool plugin_pixels_check_visible(PluginPixels *pixels, GError **error)
{
    bool visible;
    if (!find_visible(pixels, &visible, error)) {
        return false;
    }
    if (!visible) {
        g_set_error_literal(error, PLUGIN_ERROR, PLUGIN_ERROR_LAYER,
                            _("The layer is fully transparent: there is nothing to color."));
    }
    return visible;
}
