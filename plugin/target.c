// SPDX-License-Identifier: LGPL-3.0-or-later
// The layer that is to be coloured: what may be done with it, and where its RGB pixels are.
#include "target.h"

#include <glib/gi18n.h>
#include <libgimp/gimp.h>

#include <cz/error.h>

#include "host.h"

static bool refuse(GError **error, const char *sentence)
{
    g_set_error_literal(error, PLUGIN_ERROR, PLUGIN_ERROR_LAYER, sentence);
    return false;
}

// Script-Fu passes any number as an id, and most calls of libgimp do not check it.
static bool check_ids(gint32 image, gint32 drawable, GError **error)
{
    if (!gimp_image_is_valid(image)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "there is no image with id %d", image);
        return false;
    }
    if (!gimp_item_is_valid(drawable)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "there is no drawable with id %d",
                    drawable);
        return false;
    }
    if (!gimp_item_is_drawable(drawable)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "item %d is not a drawable", drawable);
        return false;
    }
    if (gimp_item_get_image(drawable) != image) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "drawable %d does not belong to image %d",
                    drawable, image);
        return false;
    }
    return true;
}

// The lock of a group holds for what is in it.
static bool content_locked(gint32 item)
{
    for (; item >= 0; item = gimp_item_get_parent(item)) {
        if (gimp_item_get_lock_content(item)) {
            return true;
        }
    }
    return false;
}

static bool check_in_place(gint32 layer, GError **error)
{
    if (gimp_item_is_group(layer)) {
        return refuse(
            error, _("A layer group has no pixels of its own: choose the output \"new layer\" or "
                     "\"new image\", or a layer inside the group."));
    }
    if (gimp_item_is_text_layer(layer)) {
        return refuse(
            error,
            _("A text layer would turn into plain pixels: choose the output \"new layer\"."));
    }
    if (content_locked(layer)) {
        return refuse(
            error,
            _("The layer's pixels are locked: unlock them, or choose the output \"new layer\"."));
    }
    return true;
}

static bool resolve(PluginTarget *target, gint32 drawable, GError **error)
{
    target->layer = gimp_item_is_layer_mask(drawable) ? gimp_layer_from_mask(drawable) : drawable;
    if (!gimp_item_is_layer(target->layer)) {
        return refuse(error, _("This is a channel: choose a layer."));
    }
    if (gimp_image_get_floating_sel(target->image) >= 0) {
        return refuse(error,
                      _("There is a floating selection: anchor it or make it a layer first."));
    }
    if (target->output == CZ_OUTPUT_IN_PLACE && !check_in_place(target->layer, error)) {
        return false;
    }
    if (target->output != CZ_OUTPUT_IMAGE && !gimp_selection_is_empty(target->image)) {
        gint x, y, width, height;
        if (!gimp_drawable_mask_intersect(target->layer, &x, &y, &width, &height)) {
            return refuse(error, _("The selection does not touch the layer."));
        }
        target->selected = true;
    }
    return true;
}

static bool make_scratch(PluginTarget *target, GError **error)
{
    bool grey = gimp_image_base_type(target->image) == GIMP_GRAY;
    gint width = gimp_drawable_width(target->layer), height = gimp_drawable_height(target->layer);
    // A palette's colours are exact in RGB; a grey profile takes part in GIMP's conversion.
    target->scratch = gimp_image_new_with_precision(width, height, grey ? GIMP_GRAY : GIMP_RGB,
                                                    gimp_image_get_precision(target->image));
    if (target->scratch < 0) {
        return plugin_host_refused(_("The layer cannot be copied"), error);
    }
    gimp_image_undo_disable(target->scratch);
    GimpColorProfile *profile = gimp_image_get_color_profile(target->image);
    if (profile) {
        gimp_image_set_color_profile(target->scratch, profile);
        g_object_unref(profile);
    }
    gint32 copy = gimp_layer_new_from_drawable(target->layer, target->scratch);
    if (copy < 0 || !gimp_image_insert_layer(target->scratch, copy, -1, 0)) {
        return plugin_host_refused(_("The layer cannot be copied"), error);
    }
    if (grey && !gimp_image_convert_rgb(target->scratch)) {
        return plugin_host_refused(_("The layer cannot be converted to RGB"), error);
    }
    target->source = copy;
    return true;
}

// What artists see of a layer that is written to is judged through the image's profile. A colour
// layer is different: GIMP 2.10 blends it with the numbers as they are.
static bool find_space(PluginTarget *target, GError **error)
{
    GimpColorProfile *profile = gimp_image_get_color_profile(plugin_target_source_image(target));
    if (!profile) {
        return true;
    }
    if (target->output != CZ_OUTPUT_LAYER && gimp_color_profile_is_rgb(profile)) {
        target->space = gimp_color_profile_get_space(
            profile, GIMP_COLOR_RENDERING_INTENT_RELATIVE_COLORIMETRIC, error);
        if (!target->space) {
            g_prefix_error(error, "%s: ", _("The image's color profile cannot be used"));
        }
    }
    bool ok =
        target->space || target->output == CZ_OUTPUT_LAYER || !gimp_color_profile_is_rgb(profile);
    g_object_unref(profile);
    return ok;
}

bool plugin_target_check(gint32 image, gint32 drawable, CzOutput output, GError **error)
{
    PluginTarget target = {.image = image, .output = output};
    return check_ids(image, drawable, error) && resolve(&target, drawable, error);
}

bool plugin_target_init(PluginTarget *target, gint32 image, gint32 drawable, CzOutput output,
                        GError **error)
{
    *target = (PluginTarget){.image = image, .layer = drawable, .output = output, .scratch = -1};
    if (!check_ids(image, drawable, error) || !resolve(target, drawable, error)) {
        return false;
    }
    target->source = target->layer;
    if (gimp_image_base_type(image) != GIMP_RGB && !make_scratch(target, error)) {
        return false;
    }
    return find_space(target, error);
}

void plugin_target_clear(PluginTarget *target)
{
    if (target->scratch >= 0) {
        gimp_image_delete(target->scratch);
        target->scratch = -1;
    }
}

gint32 plugin_target_source_image(const PluginTarget *target)
{
    return target->scratch >= 0 ? target->scratch : target->image;
}
