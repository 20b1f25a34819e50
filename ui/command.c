// SPDX-License-Identifier: LGPL-3.0-or-later
// What the dialog is about to do, as a line of Script-Fu.
#include "command.h"

#include <string.h>

static void append_string(GString *command, const char *text)
{
    g_string_append(command, " \"");
    for (; *text; text++) {
        if (strchr("\"\\", *text))
            g_string_append_c(command, '\\');
        g_string_append_c(command, *text);
    }
    g_string_append_c(command, '"');
}

static void append_setting(GString *command, const CzSettingRow *row, const CzSettings *settings)
{
    const char *field = (const char *)settings + row->offset;
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    switch (row->type) {
    case CZ_SETTING_FLOAT:
        g_string_append_printf(command, " %s",
                               g_ascii_formatd(text, sizeof text, "%.6g", *(const double *)field));
        break;
    case CZ_SETTING_INT:
        g_string_append_printf(command, " %d", *(const int32_t *)field);
        break;
    case CZ_SETTING_DRAWABLE: // a number that GIMP gives anew each time
        g_string_append(command, " -1");
        break;
    case CZ_SETTING_STRING:
        append_string(command, field);
        break;
    }
}

char *ui_command(const char *procedure, const CzSettings *settings)
{
    GString *command = g_string_new("(let* ((image (aref (cadr (gimp-image-list)) 0))\n"
                                    "       (layer (car (gimp-image-get-active-layer image))))\n");
    g_string_append_printf(command, "  (%s RUN-NONINTERACTIVE image layer", procedure);
    size_t n_rows;
    const CzSettingRow *rows = cz_settings(&n_rows);
    for (size_t i = 0; i < n_rows; i++)
        append_setting(command, &rows[i], settings);
    g_string_append(command, ")\n  (gimp-displays-flush))\n");
    return g_string_free(command, FALSE);
}
