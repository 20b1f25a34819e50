// SPDX-License-Identifier: LGPL-3.0-or-later
// Color hints from a drawable of the image.
#include "hints.h"

#include <glib/gi18n.h>
#include <libgimp/gimp.h>

#include <cz/error.h>

static bool refuse(GError **error, const char *sentence)
{
    g_set_error_literal(error, CZ_ERROR, CZ_ERROR_ARGUMENT, sentence);
    return false;
}

bool plugin_hints_check(gint32 drawable, const PluginTarget *target, GError **error)
{
    if (!gimp_item_is_valid(drawable) || !gimp_item_is_layer(drawable)) {
        return refuse(error, _("The hints must be a layer."));
    }
    if (gimp_item_get_image(drawable) != target->image) {
        return refuse(error, _("The hints must be a layer of the same image."));
    }
    if (drawable == target->layer) {
        return refuse(error, _("The hints must be another layer than the photograph."));
    }
    if (!gimp_drawable_has_alpha(drawable)) {
        return refuse(error, _("The layer with the hints must have an alpha channel: what is not "
                               "transparent is a hint."));
    }
    return true;
}

#define THUMBNAIL 256

static uint64_t hash(uint64_t so_far, const guint8 *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        so_far = (so_far ^ bytes[i]) * 1099511628211u; // FNV-1a
    }
    return so_far;
}

uint64_t plugin_hints_stamp(gint32 drawable)
{
    gint place[2] = {0}, width = THUMBNAIL, height = THUMBNAIL, bpp = 0;
    if (!gimp_item_is_valid(drawable)) {
        return 0;
    }
    g_autofree guchar *pixels = gimp_drawable_get_thumbnail_data(drawable, &width, &height, &bpp);
    gimp_drawable_offsets(drawable, &place[0], &place[1]);
    uint64_t stamp = hash(14695981039346656037u, (const guint8 *)place, sizeof place);
    return pixels ? hash(stamp, pixels, (size_t)width * (size_t)height * (size_t)bpp) : stamp;
}

typedef struct {
    PluginPixels pixels; // of the hints
    int32_t x, y;        // of the photograph in them
    int32_t width;       // of the photograph
} Hints;

// Beyond the layer's edges everything is transparent.
static bool read_rows(void *user, int32_t y, int32_t n_rows, float *rgba, GError **error)
{
    const Hints *hints = user;
    gegl_buffer_get(hints->pixels.src, GEGL_RECTANGLE(hints->x, hints->y + y, hints->width, n_rows),
                    1.0, babl_format("R'G'B'A float"), rgba, GEGL_AUTO_ROWSTRIDE, GEGL_ABYSS_NONE);
    return true;
}

bool plugin_hints_gather(gint32 drawable, const PluginTarget *target, PluginPixels *pixels,
                         CzDab *dabs, size_t *n_dabs, GError **error)
{
    gint photo_x = 0, photo_y = 0, hints_x = 0, hints_y = 0;
    gimp_drawable_offsets(target->layer, &photo_x, &photo_y);
    gimp_drawable_offsets(drawable, &hints_x, &hints_y);
    Hints hints = {.x = photo_x - hints_x,
                   .y = photo_y - hints_y,
                   .width = gimp_drawable_width(target->layer)};
    // A converted copy has the profile of RGB; what the image itself has is grey or a palette.
    plugin_pixels_init(&hints.pixels, drawable, target->scratch >= 0 ? NULL : target->space);
    const CzPhoto photo = plugin_pixels_photo(pixels);
    const CzHintPicture picture = {read_rows, &hints};
    bool ok = cz_dabs_gather(&photo, &picture, NULL, dabs, n_dabs, error);
    plugin_pixels_clear(&hints.pixels);
    return ok;
}
