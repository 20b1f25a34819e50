// SPDX-License-Identifier: LGPL-3.0-or-later
// Settings under a name, in a file of the host's folder. Device and weights are part of them.
#pragma once

#include <cz/settings.h>

// Read anew each time: another dialog may have written it meanwhile.
char **ui_presets_names(const char *folder); // in order; the caller frees them with g_strfreev
// FALSE: there is none of that name. What the preset does not say is its initial value.
bool ui_presets_load(const char *folder, const char *name, CzSettings *settings);
// CZ_ERROR_IO with a sentence; the old file is as it was then. settings NULL: deletes it.
bool ui_presets_save(const char *folder, const char *name, const CzSettings *settings,
                     GError **error);
