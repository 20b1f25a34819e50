// SPDX-License-Identifier: LGPL-3.0-or-later
#include "cache.h"

#include <string.h>

#include <glib/gstdio.h>

enum { MAX_BYTES = 4 * 1024 * 1024 }; // a file that is larger is not ours

static char *cache_path(const CacheFile *file)
{
    return g_build_filename(g_get_user_cache_dir(), "colorize", file->name, NULL);
}

// The lines below the header; empty if there is no sound file.
static GPtrArray *read_lines(const CacheFile *file)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *path = cache_path(file);
    g_autofree char *text = NULL;
    GStatBuf status;
    gsize size;
    // The size first: the file may be anything.
    if (g_stat(path, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > MAX_BYTES ||
        !g_file_get_contents(path, &text, &size, NULL) || strlen(text) != size ||
        !g_utf8_validate(text, -1, NULL))
        return lines;
    g_auto(GStrv) found = g_strsplit(text, "\n", -1);
    if (g_strcmp0(found[0], file->header) != 0)
        return lines;
    for (char **line = found + 1; *line; line++)
        if (**line)
            g_ptr_array_add(lines, g_strdup(*line));
    return lines;
}

char *cache_find(const CacheFile *file, const char *key)
{
    g_autoptr(GPtrArray) lines = read_lines(file);
    g_autofree char *escaped = g_strescape(key, NULL);
    size_t n = strlen(escaped);
    for (guint i = lines->len; i-- > 0;) {
        const char *line = lines->pdata[i];
        if (strncmp(line, escaped, n) == 0 && line[n] == '\t')
            return g_strcompress(line + n + 1);
    }
    return NULL;
}

// Whether one of the values is for this line's key.
static bool is_replaced(GHashTable *values, const char *line)
{
    const char *end = strchr(line, '\t');
    g_autofree char *escaped = end ? g_strndup(line, (gsize)(end - line)) : g_strdup(line);
    g_autofree char *key = g_strcompress(escaped);
    return !end || g_hash_table_contains(values, key);
}

void cache_keep(const CacheFile *file, GHashTable *values)
{
    g_autoptr(GPtrArray) lines = read_lines(file);
    g_autofree char *path = cache_path(file);
    g_autofree char *folder = g_path_get_dirname(path);
    g_autoptr(GString) text = g_string_new(file->header);
    g_string_append_c(text, '\n');
    guint n_new = g_hash_table_size(values);
    guint n_kept = file->max_lines > n_new ? file->max_lines - n_new : 0;
    for (guint i = lines->len > n_kept ? lines->len - n_kept : 0; i < lines->len; i++)
        if (!is_replaced(values, lines->pdata[i]))
            g_string_append_printf(text, "%s\n", (char *)lines->pdata[i]);
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, values);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        g_autofree char *escaped_key = g_strescape(key, NULL);
        g_autofree char *escaped_value = g_strescape(value, NULL);
        g_string_append_printf(text, "%s\t%s\n", escaped_key, escaped_value);
    }
    if (g_mkdir_with_parents(folder, 0700) == 0)
        g_file_set_contents_full(path, text->str, (gssize)text->len, G_FILE_SET_CONTENTS_CONSISTENT,
                                 0600, NULL);
}
