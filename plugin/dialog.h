// SPDX-License-Identifier: LGPL-3.0-or-later
// The dialog inside GIMP: which window it belongs to, what it may read, what it must ask.
#pragma once

#include <ui/dialog.h>

#include "colorize.h"

// settings: those to begin with, changed on UI_OK; prediction: zeroed, filled on UI_OK.
// UI_CANCELLED with error set: it could not be shown, or there is nothing to color.
UiAnswer plugin_dialog_run(gint32 image, gint32 drawable, CzSettings *settings,
                           PluginPrediction *prediction, GError **error);
