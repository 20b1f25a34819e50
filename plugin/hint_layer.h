// SPDX-License-Identifier: LGPL-3.0-or-later
// The layer that keeps the dabs of the dialog: a disc for each, hidden, so that they are there
// again when the dialog is opened, and can be painted on.
#pragma once

#include <cz/hints.h>

#include "target.h"

// What the user has made of the dabs. layer: where they came from, or -1.
typedef struct {
    CzDab *dabs;
    size_t n_dabs;
    gint32 layer;
    bool edited; // else nothing is to be written
} PluginDabs;

// Whether this layer was made here.
bool plugin_hint_layer_is_ours(gint32 layer);

// For such a layer the photograph below it, which is meant when somebody wants it to be colored; any
// other drawable is given back as it is.
gint32 plugin_hint_layer_beneath(gint32 image, gint32 drawable);
// An empty one above target's layer, shown and active, to be painted on: an undo step of its own.
// -1 with PLUGIN_ERROR_LAYER (an image without colors), PLUGIN_ERROR_GIMP.
gint32 plugin_hint_layer_new(const PluginTarget *target, GError **error);

// Adds the layer to image, above the layer `above`, as part of the undo step that is open; one that
// this had made, and that the dabs came from, is replaced; what an artist has painted is left as it
// is. Without dabs there is no layer then. If nothing was edited, one of ours is only hidden. PLUGIN_ERROR_GIMP, CZ_ERROR_MEMORY.
bool plugin_hint_layer_write(const PluginDabs *dabs, const PluginTarget *target, gint32 image,
                             gint32 above, GError **error);
