// SPDX-License-Identifier: LGPL-3.0-or-later
// One layer, coloured: from ids and settings to the drawable that holds the colour.
#pragma once

#include <cz/settings.h>

// settings have been checked. The image is touched only when everything has been computed, in one
// undo step. PLUGIN_ERROR_*, and all of the engine's.
bool plugin_colorize(gint32 image, gint32 drawable, const CzSettings *settings, bool interactive,
                     gint32 *result, GError **error);
