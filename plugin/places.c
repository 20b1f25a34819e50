// SPDX-License-Identifier: LGPL-3.0-or-later
// Where the plug-in's own files are: in its build tree, or where they were installed.
#include "places.h"

#include <glib.h>

#include "host.h"

#define MANUAL "manual.html"

bool plugin_in_build_tree(void)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    return g_strcmp0(self, COLORIZE_BUILD_ROOT "/plugin/" PLUGIN_BINARY "/" PLUGIN_BINARY) == 0;
}

const char *plugin_locale_folder(void)
{
    return plugin_in_build_tree() ? COLORIZE_BUILD_ROOT "/po" : COLORIZE_LOCALE_DIR;
}

char *plugin_manual_uri(void)
{
    const char *folder = plugin_in_build_tree() ? COLORIZE_SOURCE_ROOT "/data" : COLORIZE_MANUAL_DIR;
    g_autofree char *path = g_build_filename(folder, MANUAL, NULL);
    return g_file_test(path, G_FILE_TEST_IS_REGULAR) ? g_filename_to_uri(path, NULL, NULL) : NULL;
}
