// SPDX-License-Identifier: LGPL-3.0-or-later
// What a host (GIMP's plug-in, a test) must offer to the dialog.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include <cz/hints.h>
#include <cz/settings.h>

G_BEGIN_DECLS

typedef struct {
    int32_t id; // what CzSettings.hints takes
    char *name;
} UiLayer;

void ui_layer_clear(UiLayer *layer); // its name
GArray *ui_layers_new(void);         // of UiLayer, which it clears itself

// Zeroed fields mean: nothing to say. Strings are borrowed while the dialog runs.
typedef struct {
    const char *name;      // of the photograph, for the title
    const char *display;   // X11 display of the host's window
    const char *wm_class;  // so that a task bar groups the dialog with the host's windows
    uint32_t user_time;    // of the click that has led here, so that the dialog may take the focus
    uint32_t window;       // X11 window that the dialog stays above; 0: none
    bool dark;             // theme
    const char *folder;    // for presets
    const char *procedure; // the PDB's name for what the dialog does, to be copied as a command
    const char *manual;    // URI of the manual's page
    // All of these are called on the main thread.
    // Those that may hold hints now (ui_layers_new, the caller's); NULL: none may.
    GArray *(*list_layers)(void *user);
    // Makes one to paint on; -1 with error. NULL: none is made.
    int32_t (*new_layer)(void *user, GError **error);
    // Another number whenever the layer's pixels or place may have changed. Asked a few times a
    // second; NULL: the layer is read anew when the dialog gets the focus, and else not.
    uint64_t (*stamp)(void *user, int32_t layer);
    // The dabs on a layer of the list, CZ_MAX_DABS at most; NULL: hints give nothing.
    bool (*gather)(void *user, int32_t layer, CzDab *dabs, size_t *n_dabs, GError **error);
    // Asked when the user confirms: may this be done? NULL: everything may. On FALSE the dialog
    // shows the sentence and stays.
    bool (*check)(void *user, const CzSettings *settings, GError **error);
    void *user;
} UiHost;

G_END_DECLS
