// SPDX-License-Identifier: LGPL-3.0-or-later
// The layer that is to be coloured: what may be done with it, and where its RGB pixels are.
#pragma once

#include <cz/settings.h>

#include <gegl.h>

typedef struct {
    gint32 image;
    gint32 layer; // a layer or a layer group
    CzOutput output;
    // A grey or indexed image must become RGB before a colour can be put into it. So that nothing
    // of it changes before the result is there, the network is shown a copy, converted as GIMP will
    // convert the image itself, in an image of its own.
    gint32 scratch;    // that image, or -1
    gint32 source;     // the drawable to read from: layer, or its copy in scratch
    const Babl *space; // what the numbers mean, from the profile; NULL: sRGB
    bool selected;     // there is a selection, and it touches the layer
} PluginTarget;

// Whether plugin_target_init() would refuse the layer or the output; quick.
bool plugin_target_check(gint32 image, gint32 drawable, CzOutput output, GError **error);

// drawable: as GIMP hands it over (a layer mask that is being edited stands for its layer).
// PLUGIN_ERROR_LAYER, CZ_ERROR_ARGUMENT (ids that are none). Clear it on failure too.
bool plugin_target_init(PluginTarget *target, gint32 image, gint32 drawable, CzOutput output,
                        GError **error);
void plugin_target_clear(PluginTarget *target);

// The image that source belongs to.
gint32 plugin_target_source_image(const PluginTarget *target);
