// SPDX-License-Identifier: LGPL-3.0-or-later
// The layer that keeps the dabs of the dialog.
#include "hint_layer.h"

#include <math.h>
#include <string.h>

#include <glib/gi18n.h>
#include <libgimp/gimp.h>

#include <cz/color.h>
#include <cz/memory.h>

#include "drawable.h"
#include "host.h"

#define MARK "colorize-photo-hints"

// Large enough to be seen and touched up, small enough to lie on one thing.
static const double RADIUS_SHARE = 1.0 / 160; // of the shorter side
static const int LEAST_RADIUS = 3;

// What a layer of ours is for: dabs of the dialog, or an artist's brush. The latter's pixels are
// never replaced.
#define OF_DABS  "dabs"
#define TO_PAINT "paint"

static bool is_for(gint32 layer, const char *use)
{
    GimpParasite *parasite = gimp_item_get_parasite(layer, MARK);
    bool is = parasite && (!use || g_strcmp0(gimp_parasite_data(parasite), use) == 0);
    if (parasite) {
        gimp_parasite_free(parasite);
    }
    return is;
}

bool plugin_hint_layer_is_ours(gint32 layer)
{
    return is_for(layer, NULL);
}

// The disc's square of pixels, transparent around it.
static void paint(GeglBuffer *buffer, const CzDab *dab, int radius, float *rgba)
{
    const GeglRectangle *whole = gegl_buffer_get_extent(buffer);
    int side = 2 * radius + 1;
    int x = (int)(dab->x * (float)whole->width) - radius;
    int y = (int)(dab->y * (float)whole->height) - radius;
    const float lab[3] = {dab->l, dab->a, dab->b};
    float rgb[3];
    cz_lab_to_gamut_rgb(rgb, lab, 1);
    const GeglRectangle square = {x, y, side, side};
    const Babl *format = babl_format("R'G'B'A float");
    gegl_buffer_get(buffer, &square, 1.0, format, rgba, GEGL_AUTO_ROWSTRIDE, GEGL_ABYSS_NONE);
    for (int v = -radius; v <= radius; v++) {
        for (int u = -radius; u <= radius; u++) {
            float *pixel = rgba + 4 * ((v + radius) * side + u + radius);
            if (u * u + v * v > radius * radius) {
                continue;
            }
            pixel[0] = rgb[0], pixel[1] = rgb[1], pixel[2] = rgb[2];
            pixel[3] = dab->weight;
        }
    }
    gegl_buffer_set(buffer, &square, 0, format, rgba, GEGL_AUTO_ROWSTRIDE);
}

static bool paint_all(gint32 layer, const PluginDabs *dabs, const PluginTarget *target,
                      GError **error)
{
    int width = gimp_drawable_width(layer), height = gimp_drawable_height(layer);
    int radius = MAX(LEAST_RADIUS, (int)lround(MIN(width, height) * RADIUS_SHARE));
    size_t side = 2 * (size_t)radius + 1;
    float *rgba = cz_memory_alloc(side * side * 4 * sizeof(float), "a dab", error);
    if (!rgba) {
        return false;
    }
    PluginPixels pixels = {0};
    plugin_pixels_init(&pixels, layer, target->scratch >= 0 ? NULL : target->space);
    for (size_t i = 0; i < dabs->n_dabs; i++) {
        paint(pixels.src, &dabs->dabs[i], radius, rgba);
    }
    gegl_buffer_flush(pixels.src);
    plugin_pixels_clear(&pixels);
    cz_memory_free(rgba);
    return true;
}

static gint32 new_layer(const PluginTarget *target, gint32 image, gint32 above, const char *use)
{
    int width = gimp_drawable_width(target->layer), height = gimp_drawable_height(target->layer);
    gint x, y;
    gint32 layer = gimp_layer_new(image, _("Color hints"), width, height, GIMP_RGBA_IMAGE, 100.0,
                                  GIMP_LAYER_MODE_NORMAL);
    if (layer < 0) {
        return -1;
    }
    gimp_drawable_fill(layer, GIMP_FILL_TRANSPARENT);
    gimp_drawable_offsets(above, &x, &y);
    gimp_layer_set_offsets(layer, x, y);
    gimp_item_set_visible(layer, g_str_equal(use, TO_PAINT));
    if (!gimp_image_insert_layer(image, layer, gimp_item_get_parent(above),
                                 gimp_image_get_item_position(image, above))) {
        gimp_item_delete(layer);
        return -1;
    }
    GimpParasite *mark = gimp_parasite_new(MARK, GIMP_PARASITE_PERSISTENT | GIMP_PARASITE_UNDOABLE,
                                           (guint32)strlen(use) + 1, use);
    gimp_item_attach_parasite(layer, mark);
    gimp_parasite_free(mark);
    return layer;
}

gint32 plugin_hint_layer_new(const PluginTarget *target, GError **error)
{
    if (gimp_image_base_type(target->image) != GIMP_RGB) {
        g_set_error_literal(
            error, PLUGIN_ERROR, PLUGIN_ERROR_LAYER,
            _("There are no colors in this image to paint with: choose Image, Mode, "
              "RGB first, or click on the photograph here."));
        return -1;
    }
    gimp_image_undo_group_start(target->image);
    gint32 layer = new_layer(target, target->image, target->layer, TO_PAINT);
    if (layer >= 0) {
        gimp_image_set_active_layer(target->image, layer);
    }
    gimp_image_undo_group_end(target->image);
    gimp_displays_flush();
    if (layer < 0) {
        plugin_host_refused(_("The layer with the hints cannot be made"), error);
    }
    return layer;
}

gint32 plugin_hint_layer_beneath(gint32 image, gint32 drawable)
{
    if (!gimp_item_is_valid(drawable) || !gimp_item_is_layer(drawable) ||
        !plugin_hint_layer_is_ours(drawable)) {
        return drawable;
    }
    gint32 group = gimp_item_get_parent(drawable);
    gint n_layers = 0;
    g_autofree gint *layers = group >= 0 ? gimp_item_get_children(group, &n_layers)
                                         : gimp_image_get_layers(image, &n_layers);
    gint i = 0;
    while (i < n_layers && layers[i] != drawable) {
        i++;
    }
    while (i < n_layers && plugin_hint_layer_is_ours(layers[i])) {
        i++;
    }
    return i < n_layers ? layers[i] : drawable;
}

// Dots above a photograph are no part of the picture; hidden ones count all the same.
static void hide_ours(gint32 layer, gint32 image)
{
    if (gimp_item_is_valid(layer) && gimp_item_get_image(layer) == image &&
        plugin_hint_layer_is_ours(layer)) {
        gimp_item_set_visible(layer, FALSE);
    }
}

bool plugin_hint_layer_write(const PluginDabs *dabs, const PluginTarget *target, gint32 image,
                             gint32 above, GError **error)
{
    if (!dabs->edited) {
        hide_ours(dabs->layer, image);
        return true;
    }
    gint32 active = gimp_image_get_active_layer(image);
    gint32 layer = dabs->n_dabs == 0 ? -1 : new_layer(target, image, above, OF_DABS);
    if (dabs->n_dabs > 0 && layer < 0) {
        return plugin_host_refused(_("The layer with the hints cannot be made"), error);
    }
    bool ok = layer < 0 || paint_all(layer, dabs, target, error);
    gint32 old = dabs->layer;
    if (ok && gimp_item_is_valid(old) && gimp_item_get_image(old) == image &&
        is_for(old, OF_DABS)) {
        gimp_image_remove_layer(image, old);
    } else if (ok) {
        hide_ours(old, image);
    }
    if (gimp_item_is_valid(active)) {
        gimp_image_set_active_layer(image, active);
    }
    return ok;
}
