// SPDX-License-Identifier: LGPL-3.0-or-later
// What the dialog is about to do, as a line of Script-Fu.
#pragma once

#include <cz/settings.h>

// For the active layer of the newest image; complete, so that it can be pasted into GIMP's console.
// The caller frees it.
char *ui_command(const char *procedure, const CzSettings *settings);
