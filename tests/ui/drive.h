// SPDX-License-Identifier: LGPL-3.0-or-later
// Drives a dialog from within its own process: scripts run inside its main loop.
#pragma once

#include <gtk/gtk.h>

#include <ui/dialog.h>

#include "fake_host.h"
#include "preview.h"

typedef struct Run Run;

// One dialog: what it is opened on, and what is done in it.
struct Run {
    FakePhoto *photo;
    UiHost host; // user is the run
    CzSettings settings;
    void (*script)(Run *run);
    void *data; // the script's
    GtkWidget *window;
    UiPreview *preview;
    UiAnswer answer;
    UiOutcome outcome;
};

void run_init(Run *run, int32_t width, int32_t height, void (*script)(Run *run));
// Returns when the script, or what it has pressed, has ended the dialog.
void run_dialog(Run *run);
void run_clear(Run *run);

// In scripts. Conditions are waited for with patience, then fail.
void settle(int ms);
void wait_until(bool (*condition)(Run *run), Run *run);
bool is_coloured(Run *run);
bool is_idle(Run *run); // nothing is computed
bool has_message(Run *run);
GtkWidget *find(Run *run, const char *id); // by its name; ends the test if there is none
void click(Run *run, const char *id);
void cancel(Run *run);
void confirm(Run *run);
void set_strength(Run *run, double strength);
void press(Run *run, guint keyval, bool down);

// Colour channel 0 to 2 of a pixel of CAIRO_FORMAT_RGB24.
int channel(cairo_surface_t *surface, int x, int y, int c);
// The largest difference of the channels of one pixel, over columns x0 to x1.
int chroma_of(cairo_surface_t *surface, int x0, int x1);
// What the preview draws.
cairo_surface_t *drawn(Run *run);
