// SPDX-License-Identifier: LGPL-3.0-or-later
// Color hints from a drawable of the image.
#pragma once

#include <cz/hints.h>

#include "drawable.h"
#include "target.h"

// Whether the drawable can give hints for this target: a layer with transparency of the same image,
// and not the photograph itself. CZ_ERROR_ARGUMENT.
bool plugin_hints_check(gint32 drawable, const PluginTarget *target, GError **error);

// Its dabs, where it lies over the photograph. dabs: CZ_MAX_DABS (out).
bool plugin_hints_gather(gint32 drawable, const PluginTarget *target, PluginPixels *pixels,
                         CzDab *dabs, size_t *n_dabs, GError **error);
