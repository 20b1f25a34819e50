// SPDX-License-Identifier: LGPL-3.0-or-later
// Where the weights lie that came with the program.
#include <cz/colorizer.h>

#include <cz/error.h>

#include "colorizer/places.h"

#define FILE_NAME "photo.safetensors"

// The user's own choice is final; then the source tree that this was built from, so that a build
// runs without being installed; then where the weights are installed.
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
    g_autofree char *source = g_build_filename(CZ_SOURCE_WEIGHTS_DIR, FILE_NAME, NULL);
    g_autofree char *installed = g_build_filename(CZ_WEIGHTS_DIR, FILE_NAME, NULL);
    if (g_file_test(source, G_FILE_TEST_EXISTS))
        return g_steal_pointer(&source);
    if (g_file_test(installed, G_FILE_TEST_EXISTS))
        return g_steal_pointer(&installed);
    g_set_error(error, CZ_ERROR, CZ_ERROR_IO,
                "no weights found: neither %s nor %s is there, and COLORIZE_WEIGHTS is not set",
                installed, source);
    return NULL;
}
