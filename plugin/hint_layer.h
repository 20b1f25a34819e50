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

// Whether plugin_hint_layer_write() has made this layer.
bool plugin_hint_layer_is_ours(gint32 layer);

// Adds the layer to image, above the layer `above`, as part of the undo step that is open; one of
// ours that the dabs came from is replaced, an artist's is left as it is. Without dabs there is no
// layer then. layer: the new one, or -1. PLUGIN_ERROR_GIMP, CZ_ERROR_MEMORY.
bool plugin_hint_layer_write(const PluginDabs *dabs, const PluginTarget *target, gint32 image,
                             gint32 above, GError **error);
