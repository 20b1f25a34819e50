// SPDX-License-Identifier: LGPL-3.0-or-later
// What GIMP offers around the pixels: set-up of its libraries, progress, errors.
#pragma once

#include <cz/backend.h>

#define PLUGIN_PROCEDURE "plug-in-colorize-photo"
#define PLUGIN_BINARY    "colorize-photo"

#define PLUGIN_ERROR (plugin_error_quark())

typedef enum {
    PLUGIN_ERROR_LAYER, // this layer cannot be coloured, or not so
    PLUGIN_ERROR_GIMP,  // GIMP has refused a step; its own words follow
} PluginErrorCode;

GQuark plugin_error_quark(void);
// "WHAT: GIMP's own words"; always returns FALSE.
bool plugin_host_refused(const char *what, GError **error);

// Call first in run(): GEGL without its operations, one thread, bounded cache; die with GIMP.
void plugin_host_init(void);

// A bar in GIMP's status line. The bar's Cancel button kills the process (gimp.md 2 of the
// project's notes; SIGKILL), so nothing may be half done while it is shown.
typedef struct {
    double from, to;
    gint64 next_us;
} PluginProgress;

void plugin_progress_start(PluginProgress *progress);
// What is reported next counts as this part of the whole. progress must outlive the result.
CzProgress plugin_progress_part(PluginProgress *progress, double from, double to);
void plugin_progress_end(PluginProgress *progress);

// COLORIZE_TIME=1 prints each part's time on stderr. start_us: when it began.
void plugin_host_print_time(const char *part, gint64 start_us);
