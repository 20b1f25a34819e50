// SPDX-License-Identifier: LGPL-3.0-or-later
// The GIMP plug-in's entry points: query and run.
#include <libintl.h>

#include <libgimp/gimp.h>

#include <cz/threads.h>

#include "host.h"
#include "places.h"
#include "procedure.h"

static void query(void)
{
    // "<Image>/Filters/Colors" is a message as a whole: GIMP 2.10 forgets a translated branch.
    gimp_plugin_domain_register(GETTEXT_PACKAGE, plugin_locale_folder());
    plugin_procedure_install();
}

static void run(const gchar *name, gint n_params, const GimpParam *params, gint *n_values,
                GimpParam **values)
{
    // libgimp sends them on after run() has returned, and frees nothing.
    static GimpParam returned[2];
    bindtextdomain(GETTEXT_PACKAGE, plugin_locale_folder());
    bind_textdomain_codeset(GETTEXT_PACKAGE, "UTF-8");
    textdomain(GETTEXT_PACKAGE);
    plugin_host_init();
    *n_values = plugin_procedure_run(n_params, params, returned);
    *values = returned;
}

// A plug-in that has not been installed takes the backends of its own build.
static void find_backends(void)
{
    if (plugin_in_build_tree()) {
        g_setenv("COLORIZE_MODULE_DIR", COLORIZE_BUILD_BACKENDS, FALSE);
    }
}

const GimpPlugInInfo PLUG_IN_INFO = {NULL, NULL, query, run};

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    find_backends();
    return gimp_main(&PLUG_IN_INFO, argc, argv);
}
