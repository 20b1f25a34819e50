// SPDX-License-Identifier: LGPL-3.0-or-later
// What weights files say about themselves.
#include "weights.h"

#include <glib/gi18n-lib.h>

#include <cz/colorizer.h>
#include <cz/generator.h>
#include <cz/model.h>

void ui_weights_free(UiWeights *weights)
{
    if (!weights)
        return;
    g_free(weights->path);
    g_free(weights->title);
    g_free(weights->details);
    g_free(weights->licence);
    g_free(weights);
}

static void add_line(GString *lines, const char *format, const char *value)
{
    if (!value || !g_utf8_validate(value, -1, NULL))
        return;
    if (lines->len)
        g_string_append_c(lines, '\n');
    g_string_append_printf(lines, format, value);
}

static char *title_of(const CzModelFile *file, bool bundled)
{
    g_autofree char *name = g_path_get_basename(cz_model_file_path(file));
    g_autofree char *shown = g_filename_display_name(name);
    const char *title = cz_model_file_meta(file, "colorize.title");
    if (!title || !*title || !g_utf8_validate(title, -1, NULL))
        title = shown;
    if (bundled)
        return g_strdup_printf(_("%s (bundled)"), title);
    return g_strdup_printf(_("%s (%s)"), title, shown);
}

UiWeights *ui_weights_read(const char *path, GError **error)
{
    g_autofree char *bundled = *path ? NULL : cz_weights_bundled(error);
    if (!*path && !bundled)
        return NULL;
    g_autoptr(CzModelFile) file = cz_model_file_open(bundled ? bundled : path, error);
    CzGeneratorParams params;
    if (!file || !cz_generator_read(&params, file, error))
        return NULL;
    GString *lines = g_string_new(NULL);
    add_line(lines, _("Trained on %s"), cz_model_file_meta(file, "colorize.training_set"));
    add_line(lines, _("Date: %s"), cz_model_file_meta(file, "colorize.date"));
    GString *licence = g_string_new(NULL);
    add_line(licence, _("License: %s"), cz_model_file_meta(file, "colorize.licence"));
    UiWeights *weights = g_new0(UiWeights, 1);
    weights->path = g_strdup(path);
    weights->title = title_of(file, bundled != NULL);
    weights->details = g_string_free(lines, FALSE);
    weights->licence = g_string_free(licence, FALSE);
    return weights;
}

char *ui_weights_folder(void)
{
    return g_build_filename(g_get_user_data_dir(), "colorize", NULL);
}

static void add(GPtrArray *list, const char *path)
{
    UiWeights *weights = ui_weights_read(path, NULL);
    if (weights)
        g_ptr_array_add(list, weights);
}

GPtrArray *ui_weights_list(void)
{
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)ui_weights_free);
    add(list, "");
    g_autofree char *folder = ui_weights_folder();
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        if (!g_str_has_suffix(name, ".safetensors"))
            continue;
        g_autofree char *path = g_build_filename(folder, name, NULL);
        add(list, path);
    }
    return list;
}
