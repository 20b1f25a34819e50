// SPDX-License-Identifier: LGPL-3.0-or-later
// The dialog: a preview in colour at once, the settings beside it.
#pragma once

#include <cz/colorizer.h>

#include <ui/host.h>

G_BEGIN_DECLS

// GTK for this host: X11 (GIMP 2.10 is an X11 program, and a Wayland window cannot stay above
// it), display, theme. Once per process, before all else. CZ_ERROR_IO: there is no display.
bool ui_init(const UiHost *host, GError **error);

typedef enum { UI_CANCELLED, UI_OK } UiAnswer;

// What the preview has shown, for cz_chroma_apply without another inference. The caller's.
typedef struct {
    CzColorizer *colorizer;
    CzChroma *chroma; // with the dabs in it
    CzDab *dabs;
    size_t n_dabs;
    bool dabs_edited; // they are not (only) those of the layer that the settings name
} UiOutcome;

void ui_outcome_clear(UiOutcome *outcome); // accepts a zeroed one

// Runs until the user has answered. photo is read on the calling thread only, from its main loop
// (the default context), and never written. settings: those to begin with; changed only on UI_OK.
// outcome is filled on UI_OK, zeroed otherwise. UI_CANCELLED with error set: CZ_ERROR_MEMORY.
UiAnswer ui_dialog_run(const UiHost *host, const CzPhoto *photo, CzSettings *settings,
                       UiOutcome *outcome, GError **error);

G_END_DECLS
