// SPDX-License-Identifier: LGPL-3.0-or-later
// Where the weights lie that came with the program.
#include <cz/colorizer.h>

#include <cz/error.h>

#include "colorizer/places.h"

#define FILE_NAME "photo.safetensors"

static bool in_build_tree(void)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    return self && g_str_has_prefix(self, CZ_BUILD_ROOT "/");
}

// The user's own choice is final. A build runs without being installed: with its source tree's
// weights. An installed program knows the installed ones alone.
char *cz_weights_bundled(GError **error)
{
    const char *chosen = g_getenv("COLORIZE_WEIGHTS");
    if (chosen && *chosen) {
        if (g_file_test(chosen, G_FILE_TEST_EXISTS))
            return g_strdup(chosen);
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO,
                    "the weights that COLORIZE_WEIGHTS names are not there: %s", chosen);
        return NULL;
    }
    const char *folder = in_build_tree() ? CZ_SOURCE_WEIGHTS_DIR : CZ_WEIGHTS_DIR;
    g_autofree char *path = g_build_filename(folder, FILE_NAME, NULL);
    if (g_file_test(path, G_FILE_TEST_EXISTS))
        return g_steal_pointer(&path);
    g_set_error(error, CZ_ERROR, CZ_ERROR_IO,
                "no weights found: %s is not there, and COLORIZE_WEIGHTS is not set", path);
    return NULL;
}
