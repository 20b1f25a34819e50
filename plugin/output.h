// SPDX-License-Identifier: LGPL-3.0-or-later
// Where the colours go: a layer above, the layer itself, or a new image.
#pragma once

#include "drawable.h"
#include "hint_layer.h"
#include "target.h"

// Made before the colours are computed, outside of the image's undo history and its layer stack;
// plugin_output_commit() then changes the image in one short undo step.
typedef struct {
    const PluginTarget *target;
    gint32 image; // new image (not committed), or -1
    gint32
        drawable; // a layer that is written to, not yet in the image; -1: the shadow of the target
    bool committed;
} PluginOutput;

// pixels are told where to write. target must outlive output. Clear it on failure too.
bool plugin_output_init(PluginOutput *output, const PluginTarget *target, PluginPixels *pixels,
                        GError **error);

// pixels must have been cleared (flushed). dabs: written to a layer in the same undo step. result:
// the drawable that holds the colour.
bool plugin_output_commit(PluginOutput *output, const PluginDabs *dabs, bool interactive,
                          gint32 *result, GError **error);

// Takes back everything that has not been committed. Accepts a zeroed output.
void plugin_output_clear(PluginOutput *output);
