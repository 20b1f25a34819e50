// SPDX-License-Identifier: LGPL-3.0-or-later
// One layer, coloured: from ids and settings to the drawable that holds the colour.
#pragma once

#include <cz/colorizer.h>

#include <gegl.h>

#include "hint_layer.h"

// What has been opened and predicted already, by the dialog. Zeroed: nothing yet.
typedef struct {
    CzColorizer *colorizer;
    CzChroma *chroma;
    const Babl *space; // as which the photograph's numbers were taken
    PluginDabs dabs;   // instead of the hint layer's, if edited; its array is owned
} PluginPrediction;

void plugin_prediction_clear(PluginPrediction *prediction);

// settings have been checked; so has been, by the dialog, what prediction was made with. The image
// is touched only when everything has been computed, in one undo step. PLUGIN_ERROR_*, and all of
// the engine's.
bool plugin_colorize(gint32 image, gint32 drawable, const CzSettings *settings,
                     PluginPrediction *prediction, bool interactive, gint32 *result,
                     GError **error);
