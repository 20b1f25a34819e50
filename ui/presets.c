// SPDX-License-Identifier: LGPL-3.0-or-later
// Settings under a name.
#include "presets.h"

#include <stdlib.h>
#include <string.h>

#include <glib/gi18n-lib.h>

#include <cz/error.h>

#define FILE_NAME "colorize-photo-presets.conf"

static char *path_in(const char *folder)
{
    return g_build_filename(folder, FILE_NAME, NULL);
}

// A file that is missing is an empty one. FALSE: it is there and cannot be read.
static bool read_file(GKeyFile *file, const char *path, GError **error)
{
    g_autoptr(GError) cause = NULL;
    if (g_key_file_load_from_file(file, path, G_KEY_FILE_KEEP_COMMENTS, &cause) ||
        g_error_matches(cause, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        return true;
    g_set_error(error, CZ_ERROR, CZ_ERROR_IO, _("%s cannot be read: %s"), path, cause->message);
    return false;
}

static int by_name(const void *a, const void *b)
{
    return g_utf8_collate(*(const char *const *)a, *(const char *const *)b);
}

char **ui_presets_names(const char *folder)
{
    g_autofree char *path = path_in(folder);
    g_autoptr(GKeyFile) file = g_key_file_new();
    read_file(file, path, NULL);
    gsize n_names;
    char **names = g_key_file_get_groups(file, &n_names);
    qsort(names, n_names, sizeof *names, by_name);
    return names;
}

bool ui_presets_load(const char *folder, const char *name, CzSettings *settings)
{
    g_autofree char *path = path_in(folder);
    g_autoptr(GKeyFile) file = g_key_file_new();
    if (!read_file(file, path, NULL) || !g_key_file_has_group(file, name))
        return false;
    cz_settings_init(settings);
    cz_settings_load(settings, file, name);
    return true;
}

// What a key file takes for a group's name, which is less than users type.
static bool check_name(const char *name, GError **error)
{
    if (*name && g_utf8_validate(name, -1, NULL) && !strpbrk(name, "[]\n\r\t"))
        return true;
    g_set_error_literal(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                        _("A preset needs a name without brackets."));
    return false;
}

bool ui_presets_save(const char *folder, const char *name, const CzSettings *settings,
                     GError **error)
{
    g_autofree char *path = path_in(folder);
    g_autoptr(GKeyFile) file = g_key_file_new();
    if (!check_name(name, error) || !read_file(file, path, error))
        return false;
    g_key_file_remove_group(file, name, NULL);
    if (settings)
        cz_settings_store(settings, file, name);
    g_autoptr(GError) cause = NULL;
    if (g_key_file_save_to_file(file, path, &cause))
        return true;
    g_set_error(error, CZ_ERROR, CZ_ERROR_IO, _("%s cannot be written: %s"), path, cause->message);
    return false;
}
