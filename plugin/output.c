// SPDX-License-Identifier: LGPL-3.0-or-later
// Where the colours go: a layer above, the layer itself, or a new image.
#include "output.h"

#include <glib/gi18n.h>
#include <libgimp/gimp.h>

#include <cz/memory.h>

#include "host.h"

static gint32 new_layer(gint32 image, const PluginPixels *pixels, const char *name,
                        GimpLayerMode mode)
{
    return gimp_layer_new(image, name, pixels->width, pixels->height,
                          pixels->alpha ? GIMP_RGBA_IMAGE : GIMP_RGB_IMAGE, 100.0, mode);
}

static gint32 new_image(const PluginTarget *target, const PluginPixels *pixels)
{
    gint32 image = gimp_image_new_with_precision(pixels->width, pixels->height, GIMP_RGB,
                                                 gimp_image_get_precision(target->image));
    if (image < 0) {
        return -1;
    }
    gimp_image_undo_disable(image);
    GimpColorProfile *profile = gimp_image_get_color_profile(plugin_target_source_image(target));
    if (profile) {
        gimp_image_set_color_profile(image, profile);
        g_object_unref(profile);
    }
    gdouble x_dpi, y_dpi;
    if (gimp_image_get_resolution(target->image, &x_dpi, &y_dpi)) {
        gimp_image_set_resolution(image, x_dpi, y_dpi);
        gimp_image_set_unit(image, gimp_image_get_unit(target->image));
    }
    return image;
}

bool plugin_output_init(PluginOutput *output, const PluginTarget *target, PluginPixels *pixels,
                        GError **error)
{
    *output = (PluginOutput){.target = target, .image = -1, .drawable = -1};
    GimpLayerMode mode = GIMP_LAYER_MODE_NORMAL;
    gint32 home = plugin_target_source_image(target);
    if (target->output == CZ_OUTPUT_IN_PLACE && target->scratch < 0) {
        plugin_pixels_write_to(pixels, gimp_drawable_get_shadow_buffer(target->layer),
                               target->space);
        return true;
    }
    if (target->output == CZ_OUTPUT_LAYER) {
        mode = GIMP_LAYER_MODE_LCH_COLOR;
    } else if (target->output == CZ_OUTPUT_IMAGE) {
        output->image = home = new_image(target, pixels);
    }
    g_autofree char *name = target->output == CZ_OUTPUT_IMAGE ? gimp_item_get_name(target->layer)
                                                              : g_strdup(_("Colorize"));
    output->drawable = home < 0 ? -1 : new_layer(home, pixels, name, mode);
    if (output->drawable < 0) {
        return plugin_host_refused(_("The result's layer cannot be made"), error);
    }
    plugin_pixels_write_to(pixels, gimp_drawable_get_buffer(output->drawable), target->space);
    return true;
}

static void get_mask(GeglBuffer *buffer, gint y, gint width, float *row)
{
    gegl_buffer_get(buffer, GEGL_RECTANGLE(0, y, width, 1), 1.0, babl_format("Y float"), row,
                    GEGL_AUTO_ROWSTRIDE, GEGL_ABYSS_NONE);
}

// mask *= the mask of the layer below, which has the same size.
static bool multiply_mask(gint32 mask, gint32 below, GError **error)
{
    gint width = gimp_drawable_width(mask), height = gimp_drawable_height(mask);
    float *rows = cz_memory_alloc((size_t)width * 2 * sizeof(float), "a row of the mask", error);
    if (!rows) {
        return false;
    }
    float *above = rows, *under = rows + width;
    GeglBuffer *dst = gimp_drawable_get_buffer(mask), *src = gimp_drawable_get_buffer(below);
    for (gint y = 0; y < height; y++) {
        get_mask(dst, y, width, above);
        get_mask(src, y, width, under);
        for (gint x = 0; x < width; x++) {
            above[x] *= under[x];
        }
        gegl_buffer_set(dst, GEGL_RECTANGLE(0, y, width, 1), 0, babl_format("Y float"), above,
                        GEGL_AUTO_ROWSTRIDE);
    }
    gegl_buffer_flush(dst);
    g_object_unref(dst);
    g_object_unref(src);
    cz_memory_free(rows);
    return true;
}

// The colour covers what is selected, and no more of the photograph than its own mask lets show. A
// mask, and not transparent pixels, so that the artist can still paint the colour in or out.
static bool add_mask(gint32 layer, const PluginTarget *target, GError **error)
{
    gint32 below = gimp_item_is_group(target->layer) || !gimp_layer_get_apply_mask(target->layer)
                       ? -1
                       : gimp_layer_get_mask(target->layer);
    if (!target->selected && below < 0) {
        return true;
    }
    gint32 mask = gimp_layer_create_mask(layer, target->selected ? GIMP_ADD_MASK_SELECTION
                                                                 : GIMP_ADD_MASK_WHITE);
    if (mask < 0 || !gimp_layer_add_mask(layer, mask)) {
        return plugin_host_refused(_("The color layer's mask cannot be made"), error);
    }
    gimp_layer_set_edit_mask(layer, FALSE);
    return below < 0 || multiply_mask(mask, below, error);
}

static bool commit_layer(PluginOutput *output, gint32 *result, GError **error)
{
    const PluginTarget *target = output->target;
    gint32 layer = output->drawable;
    if (target->scratch >= 0) {
        layer = gimp_layer_new_from_drawable(output->drawable, target->image);
        if (layer < 0) {
            return plugin_host_refused(_("The color layer cannot be made"), error);
        }
    }
    // Above a photograph that is hidden, color would fall on what lies below.
    gimp_item_set_visible(layer, gimp_item_get_visible(target->layer));
    gint x, y;
    gimp_drawable_offsets(target->layer, &x, &y);
    gimp_layer_set_offsets(layer, x, y);
    // Where the layer is now, the new one goes, which pushes it one down: directly above it.
    if (!gimp_image_insert_layer(target->image, layer, gimp_item_get_parent(target->layer),
                                 gimp_image_get_item_position(target->image, target->layer))) {
        if (target->scratch >= 0) {
            gimp_item_delete(layer);
        }
        return plugin_host_refused(_("The color layer cannot be added"), error);
    }
    output->committed = true;
    *result = layer;
    return add_mask(layer, target, error);
}

static bool commit_in_place(PluginOutput *output, gint32 *result, GError **error)
{
    gint32 layer = output->target->layer;
    if (output->drawable >= 0) {
        GeglBuffer *src = gimp_drawable_get_buffer(output->drawable);
        GeglBuffer *dst = gimp_drawable_get_shadow_buffer(layer);
        gegl_buffer_copy(src, NULL, GEGL_ABYSS_NONE, dst, NULL);
        gegl_buffer_flush(dst);
        g_object_unref(dst);
        g_object_unref(src);
    }
    if (!gimp_drawable_merge_shadow(layer, TRUE)) {
        return plugin_host_refused(_("The layer cannot be changed"), error);
    }
    output->committed = true;
    gimp_drawable_update(layer, 0, 0, gimp_drawable_width(layer), gimp_drawable_height(layer));
    *result = layer;
    return true;
}

static bool commit_image(PluginOutput *output, const PluginDabs *dabs, bool interactive,
                         gint32 *result, GError **error)
{
    if (!gimp_image_insert_layer(output->image, output->drawable, -1, 0)) {
        return plugin_host_refused(_("The result's layer cannot be added"), error);
    }
    if (!plugin_hint_layer_write(dabs, output->target, output->image, output->drawable, error)) {
        output->drawable = -1; // goes with its image
        return false;
    }
    gimp_image_undo_enable(output->image);
    gimp_image_clean_all(output->image);
    output->committed = true;
    *result = output->drawable;
    if (interactive) {
        gimp_display_new(output->image);
    }
    return true;
}

bool plugin_output_commit(PluginOutput *output, const PluginDabs *dabs, bool interactive,
                          gint32 *result, GError **error)
{
    const PluginTarget *target = output->target;
    if (target->output == CZ_OUTPUT_IMAGE) {
        return commit_image(output, dabs, interactive, result, error);
    }
    gimp_image_undo_group_start(target->image);
    bool ok = true;
    if (target->scratch >= 0 && !gimp_image_convert_rgb(target->image)) {
        ok = plugin_host_refused(_("The image cannot be converted to RGB"), error);
    } else if (target->output == CZ_OUTPUT_LAYER) {
        ok = commit_layer(output, result, error);
    } else {
        ok = commit_in_place(output, result, error);
    }
    ok = ok && plugin_hint_layer_write(dabs, target, target->image, *result, error);
    gimp_image_undo_group_end(target->image);
    return ok;
}

void plugin_output_clear(PluginOutput *output)
{
    const PluginTarget *target = output->target;
    if (!target) {
        return;
    }
    // A layer that is not in a layer stack does not go with its image; what lies in the scratch
    // image has been copied out of it.
    if (output->drawable >= 0 &&
        (!output->committed || (target->scratch >= 0 && output->image < 0))) {
        gimp_item_delete(output->drawable);
    }
    if (output->image >= 0 && !output->committed) {
        gimp_image_delete(output->image);
    }
    if (output->drawable < 0 && output->image < 0 && !output->committed &&
        target->output == CZ_OUTPUT_IN_PLACE) {
        gimp_drawable_free_shadow(target->layer);
    }
}
