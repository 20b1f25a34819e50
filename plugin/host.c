// SPDX-License-Identifier: LGPL-3.0-or-later
// What GIMP offers around the pixels: set-up of its libraries, progress, errors.
#include "host.h"

#include <signal.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <glib/gi18n.h>
#include <libgimp/gimp.h>

// The plug-in reads and writes each tile once or twice, so that a large cache holds only what is
// not needed again; GIMP's preference would be half of the machine's memory.
static const guint64 TILE_CACHE_BYTES = (guint64)64 << 20;
static const gint64 PROGRESS_STEP_US = 100 * 1000;

GQuark plugin_error_quark(void)
{
    return g_quark_from_static_string("plugin-error-quark");
}

bool plugin_host_refused(const char *what, GError **error)
{
    const char *words = gimp_get_pdb_error();
    g_set_error(error, PLUGIN_ERROR, PLUGIN_ERROR_GIMP, "%s: %s", what,
                words && *words ? words : _("GIMP refused without a reason"));
    return false;
}

void plugin_host_init(void)
{
#ifdef __linux__
    // A computation would run on to its end after GIMP has died.
    prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
    // No GEGL operation is used, and loading them all takes longer than colouring a photograph.
    g_setenv("GEGL_PATH", "/nonexistent", TRUE);
    gegl_init(NULL, NULL);
    g_object_set(gegl_config(), "tile-cache-size", TILE_CACHE_BYTES, "threads", 1, NULL);
}

static bool report(void *user, double fraction)
{
    PluginProgress *progress = user;
    gint64 now_us = g_get_monotonic_time();
    if (now_us >= progress->next_us) {
        progress->next_us = now_us + PROGRESS_STEP_US;
        gimp_progress_update(progress->from + (progress->to - progress->from) * fraction);
    }
    return true;
}

void plugin_progress_start(PluginProgress *progress)
{
    *progress = (PluginProgress){0.0, 1.0, 0};
    gimp_progress_init(_("Colorizing the photograph"));
}

CzProgress plugin_progress_part(PluginProgress *progress, double from, double to)
{
    progress->from = from;
    progress->to = to;
    return (CzProgress){report, progress};
}

void plugin_progress_end(PluginProgress *progress)
{
    gimp_progress_update(1.0);
    gimp_progress_end();
}

void plugin_host_print_time(const char *part, gint64 start_us)
{
    if (g_getenv("COLORIZE_TIME")) {
        g_printerr("colorize-photo: %s %.3f s\n", part,
                   (double)(g_get_monotonic_time() - start_us) * 1e-6);
    }
}
