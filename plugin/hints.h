// SPDX-License-Identifier: LGPL-3.0-or-later
// Color hints from a drawable of the image.
#pragma once

#include <cz/hints.h>

#include "drawable.h"
#include "target.h"

// Whether the drawable can give hints for this target: a layer with transparency of the same image,
// and not the photograph itself. CZ_ERROR_ARGUMENT.
bool plugin_hints_check(gint32 drawable, const PluginTarget *target, GError **error);

// A number that is another one when the layer's pixels or its place have changed; what a few pixels
// of little alpha do in a large layer may be missed. Cheap: GIMP's thumbnail of it is looked at.
uint64_t plugin_hints_stamp(gint32 drawable);

// Its dabs, where it lies over the photograph. dabs: CZ_MAX_DABS (out).
bool plugin_hints_gather(gint32 drawable, const PluginTarget *target, PluginPixels *pixels,
                         CzDab *dabs, size_t *n_dabs, GError **error);
