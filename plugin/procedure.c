// SPDX-License-Identifier: LGPL-3.0-or-later
// The PDB procedure: its arguments, generated from the settings table, and its last values.
#include "procedure.h"

#include <string.h>

#include <glib/gi18n.h>

#include <cz/error.h>
#include <cz/settings.h>

#include "colorize.h"
#ifdef PLUGIN_DIALOG
#include "dialog.h"
#endif
#include "host.h"

#define LAST_VALUES "last"

enum { ARG_RUN_MODE, ARG_IMAGE, ARG_DRAWABLE, N_FIXED_ARGS };

static GimpPDBArgType arg_type(CzSettingType type)
{
    switch (type) {
    case CZ_SETTING_FLOAT:
        return GIMP_PDB_FLOAT;
    case CZ_SETTING_INT:
        return GIMP_PDB_INT32;
    case CZ_SETTING_DRAWABLE:
        return GIMP_PDB_DRAWABLE;
    case CZ_SETTING_STRING:
        return GIMP_PDB_STRING;
    }
    g_return_val_if_reached(GIMP_PDB_INT32);
}

// libgimp only reads them.
static GimpParamDef param_def(GimpPDBArgType type, const char *name, const char *help)
{
    return (GimpParamDef){type, (char *)name, (char *)help};
}

void plugin_procedure_install(void)
{
    const GimpParamDef returned =
        param_def(GIMP_PDB_DRAWABLE, "result", "The drawable that holds the color");
    size_t n_rows;
    const CzSettingRow *rows = cz_settings(&n_rows);
    g_autofree GimpParamDef *args = g_new0(GimpParamDef, N_FIXED_ARGS + n_rows);
    args[ARG_RUN_MODE] = param_def(GIMP_PDB_INT32, "run-mode",
                                   "The run mode { RUN-INTERACTIVE (0), RUN-NONINTERACTIVE (1), "
                                   "RUN-WITH-LAST-VALS (2) }");
    args[ARG_IMAGE] = param_def(GIMP_PDB_IMAGE, "image", "The image");
    args[ARG_DRAWABLE] = param_def(GIMP_PDB_DRAWABLE, "drawable",
                                   "The layer that holds the black-and-white photograph");
    for (size_t i = 0; i < n_rows; i++) {
        args[N_FIXED_ARGS + i] = param_def(arg_type(rows[i].type), rows[i].key, rows[i].help);
    }
    gimp_install_procedure(
        PLUGIN_PROCEDURE, N_("Color a black-and-white photograph with a neural network"),
        N_("Gives a black-and-white photograph plausible colors. The lightness of the photograph "
           "is kept exactly. By default the colors become a new layer in the mode LCh Color "
           "above the untouched photograph. Gray and indexed images become RGB. Nothing is sent "
           "anywhere."),
        "The Colorize authors", "LGPL-3.0-or-later", "2025", N_("_Colorize…"),
        "RGB*, GRAY*, INDEXED*", GIMP_PLUGIN, (gint)(N_FIXED_ARGS + n_rows), 1, args, &returned);
    gimp_plugin_menu_register(PLUGIN_PROCEDURE, N_("<Image>/Filters/Colors"));
}

static bool read_string(const CzSettingRow *row, const char *text, char *field, GError **error)
{
    if (g_strlcpy(field, text ? text : "", row->size) >= row->size) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                    "%s is too long: %zu bytes, allowed are %zu", row->key, strlen(text),
                    row->size - 1);
        return false;
    }
    return true;
}

static bool read_settings(CzSettings *settings, const GimpParam *params, GError **error)
{
    size_t n_rows;
    const CzSettingRow *rows = cz_settings(&n_rows);
    for (size_t i = 0; i < n_rows; i++) {
        const GimpParam *param = &params[N_FIXED_ARGS + i];
        char *field = (char *)settings + rows[i].offset;
        switch (rows[i].type) {
        case CZ_SETTING_FLOAT:
            *(double *)field = param->data.d_float;
            break;
        case CZ_SETTING_INT:
            *(int32_t *)field = param->data.d_int32;
            break;
        case CZ_SETTING_DRAWABLE:
            *(int32_t *)field = param->data.d_drawable;
            break;
        case CZ_SETTING_STRING:
            if (!read_string(&rows[i], param->data.d_string, field, error)) {
                return false;
            }
            break;
        }
    }
    return true;
}

// GIMP's own memory of them ends with it.
static char *last_values_path(void)
{
    return g_build_filename(gimp_directory(), "colorize-photo.conf", NULL);
}

static void load_last_values(CzSettings *settings)
{
    g_autofree char *path = last_values_path();
    g_autoptr(GKeyFile) file = g_key_file_new();
    if (g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, NULL)) {
        cz_settings_load(settings, file, LAST_VALUES);
    }
}

static void store_last_values(const CzSettings *settings)
{
    g_autofree char *path = last_values_path();
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) error = NULL;
    cz_settings_store(settings, file, LAST_VALUES);
    // The photograph has its colors all the same.
    if (!g_key_file_save_to_file(file, path, &error)) {
        g_message(_("The settings cannot be kept: %s"), error->message);
    }
}

// Settings come from the dialog where there is one, and are the last ones where there is none.
static bool ask(gint32 image, gint32 drawable, CzSettings *settings, PluginPrediction *prediction,
                bool *cancelled, GError **error)
{
#ifdef PLUGIN_DIALOG
    GError *cause = NULL;
    *cancelled = plugin_dialog_run(image, drawable, settings, prediction, &cause) == UI_CANCELLED;
    if (cause) {
        g_propagate_error(error, cause);
        return false;
    }
#endif
    return true;
}

static bool get_settings(gint n_params, const GimpParam *params, CzSettings *settings,
                         GError **error)
{
    size_t n_rows;
    cz_settings(&n_rows);
    cz_settings_init(settings);
    // The menu and "Repeat" give the fixed arguments only, Script-Fu gives all of them always.
    if (params[ARG_RUN_MODE].data.d_int32 != GIMP_RUN_NONINTERACTIVE) {
        load_last_values(settings);
    } else if (n_params != (gint)(N_FIXED_ARGS + n_rows)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "%zu arguments are expected, found %d",
                    N_FIXED_ARGS + n_rows, n_params);
        return false;
    } else if (!read_settings(settings, params, error)) {
        return false;
    }
    return cz_settings_check(settings, error);
}

static bool run(gint n_params, const GimpParam *params, bool *cancelled, gint32 *result,
                GError **error)
{
    GimpRunMode mode = (GimpRunMode)params[ARG_RUN_MODE].data.d_int32;
    gint32 image = params[ARG_IMAGE].data.d_image;
    gint32 drawable = params[ARG_DRAWABLE].data.d_drawable;
    CzSettings settings;
    PluginPrediction prediction = {0};
    if (mode != GIMP_RUN_NONINTERACTIVE) {
        drawable = plugin_hint_layer_beneath(image, drawable);
    }
    if (!get_settings(n_params, params, &settings, error) ||
        (mode == GIMP_RUN_INTERACTIVE &&
         !ask(image, drawable, &settings, &prediction, cancelled, error)) ||
        *cancelled) {
        return false;
    }
    bool interactive = mode != GIMP_RUN_NONINTERACTIVE;
    bool ok = plugin_colorize(image, drawable, &settings, &prediction, interactive, result, error);
    plugin_prediction_clear(&prediction);
    if (ok && interactive) {
        store_last_values(&settings);
    }
    return ok;
}

gint plugin_procedure_run(gint n_params, const GimpParam *params, GimpParam *values)
{
    values[0].type = GIMP_PDB_STATUS;
    values[0].data.d_status = GIMP_PDB_CALLING_ERROR;
    if (n_params < N_FIXED_ARGS) {
        return 1;
    }
    GError *error = NULL;
    gint32 result = -1;
    bool cancelled = false;
    if (run(n_params, params, &cancelled, &result, &error)) {
        values[0].data.d_status = GIMP_PDB_SUCCESS;
        values[1].type = GIMP_PDB_DRAWABLE;
        values[1].data.d_drawable = result;
        return 2;
    }
    if (cancelled && !error) {
        values[0].data.d_status = GIMP_PDB_CANCEL;
        return 1;
    }
    if (!g_error_matches(error, CZ_ERROR, CZ_ERROR_ARGUMENT)) {
        values[0].data.d_status = GIMP_PDB_EXECUTION_ERROR;
    }
    values[1].type = GIMP_PDB_STRING;
    values[1].data.d_string = error->message;
    return 2;
}
