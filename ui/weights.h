// SPDX-License-Identifier: LGPL-3.0-or-later
// What weights files say about themselves.
#pragma once

#include <glib.h>

typedef struct {
    char *path;    // as CzSettings.weights has it: "" = bundled
    char *title;   // for a list
    char *details; // lines: training set, date
    char *licence; // "" if it says none
} UiWeights;

void ui_weights_free(UiWeights *weights); // accepts NULL
G_DEFINE_AUTOPTR_CLEANUP_FUNC(UiWeights, ui_weights_free)

// CZ_ERROR_IO, FORMAT, MODEL (not this network's).
UiWeights *ui_weights_read(const char *path, GError **error);
// The bundled ones, then those in the user's folder; none that cannot be read. Of UiWeights.
GPtrArray *ui_weights_list(void);
// Where the user's own lie: DATA/colorize. The caller frees.
char *ui_weights_folder(void);
