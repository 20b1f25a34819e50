// SPDX-License-Identifier: LGPL-3.0-or-later
// The table of settings, and what is done with it for every row alike.
#include <cz/settings.h>

#include <math.h>
#include <string.h>

#include <cz/error.h>

// Marks texts for translation; they are translated where they are shown. Not marked is the help of
// rows for which the dialog has words of its own: the PDB's documentation is English.
#define N_(text) text

#define FIELD(name) offsetof(CzSettings, name), sizeof(((CzSettings *)0)->name)

// clang-format off
static const CzSettingRow rows[] = {
    {"strength", CZ_SETTING_FLOAT, 0, 2, 1, NULL, FIELD(strength), N_("Strength"),
     N_("How strong the colors are: 0 is gray, 1 is as the network gives them")},
    {"warmth", CZ_SETTING_FLOAT, -1, 1, 0, NULL, FIELD(warmth), N_("Warmth"),
     N_("Shifts all colors: below 0 cooler, above 0 warmer; grays stay gray")},
    {"output", CZ_SETTING_INT, 0, 2, CZ_OUTPUT_LAYER, NULL, FIELD(output), N_("Output"),
     "0: a color layer above, 1: in place, 2: a new image"},
    {"hints", CZ_SETTING_DRAWABLE, -1, G_MAXINT32, -1, NULL, FIELD(hints), N_("Hint layer"),
     "A layer with dabs of known color: what is not transparent is a hint; -1: none"},
    {"reach", CZ_SETTING_FLOAT, 0, 1, 0.3, NULL, FIELD(reach), N_("Reach"),
     N_("How far a hint reaches: 0 this object, 1 all that looks like it")},
    {"tile-size", CZ_SETTING_INT, -1, 65536, 0, NULL, FIELD(tile_size), N_("Tile size"),
     "0: automatic, -1: the whole photograph at once, else pixels"},
    {"keep-tone", CZ_SETTING_INT, 0, 1, 0, NULL, FIELD(keep_tone), N_("Keep tone"),
     "1: add the tint that the photograph has, of sepia or old paper"},
    {"device", CZ_SETTING_STRING, 0, 0, 0, "auto", FIELD(device), N_("Device"),
     "auto, cpu, cuda or cuda:N"},
    {"weights", CZ_SETTING_STRING, 0, 0, 0, "", FIELD(weights), N_("Weights"),
     "A safetensors file; empty: those that came with the program"},
};
// clang-format on

const CzSettingRow *cz_settings(size_t *n_rows)
{
    if (n_rows)
        *n_rows = G_N_ELEMENTS(rows);
    return rows;
}

static double number_get(const CzSettings *settings, const CzSettingRow *row)
{
    const char *at = (const char *)settings + row->offset;
    if (row->type == CZ_SETTING_FLOAT)
        return *(const double *)at;
    return *(const int32_t *)at;
}

static void number_set(CzSettings *settings, const CzSettingRow *row, double number)
{
    char *at = (char *)settings + row->offset;
    if (row->type == CZ_SETTING_FLOAT)
        *(double *)at = number;
    else
        *(int32_t *)at = (int32_t)number;
}

void cz_settings_init(CzSettings *settings)
{
    memset(settings, 0, sizeof *settings);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (rows[i].type == CZ_SETTING_STRING)
            g_strlcpy((char *)settings + rows[i].offset, rows[i].initial_text, rows[i].size);
        else
            number_set(settings, &rows[i], rows[i].initial);
    }
}

static bool refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool refuse(GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (error)
        *error = g_error_new_valist(CZ_ERROR, CZ_ERROR_ARGUMENT, format, arguments);
    va_end(arguments);
    return false;
}

typedef char Text[G_ASCII_DTOSTR_BUF_SIZE];

// With a point whatever the user's locale is.
static const char *format_number(Text text, double number)
{
    return g_ascii_formatd(text, sizeof(Text), "%g", number);
}

// Between "off", "automatic" and the least tile there is nothing to choose.
static bool is_tile_too_small(const CzSettingRow *row, double number)
{
    return row->offset == offsetof(CzSettings, tile_size) && number > 0 && number < CZ_LEAST_TILE;
}

static bool check_number(const CzSettingRow *row, double number, GError **error)
{
    Text found, min, max;
    if (isnan(number))
        return refuse(error, "%s is not a number", row->key);
    format_number(found, number);
    if (number < row->min || number > row->max)
        return refuse(error, "%s is %s, allowed is %s to %s", row->key, found,
                      format_number(min, row->min), format_number(max, row->max));
    if (is_tile_too_small(row, number))
        return refuse(error, "%s is %s, the smallest tile has %d pixels", row->key, found,
                      CZ_LEAST_TILE);
    return true;
}

static bool check_text(const CzSettingRow *row, const char *text, size_t length, GError **error)
{
    if (length >= row->size)
        return refuse(error, "%s is too long: allowed are %zu bytes", row->key, row->size - 1);
    if (!g_utf8_validate(text, (gssize)length, NULL))
        return refuse(error, "%s is not valid UTF-8 text", row->key);
    return true;
}

bool cz_settings_check(const CzSettings *settings, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const CzSettingRow *row = &rows[i];
        const char *text = (const char *)settings + row->offset;
        bool good = row->type == CZ_SETTING_STRING
                        ? check_text(row, text, strnlen(text, row->size), error)
                        : check_number(row, number_get(settings, row), error);
        if (!good)
            return false;
    }
    return true;
}

static bool parse_number(const CzSettingRow *row, const char *text, double *number, GError **error)
{
    char *end;
    *number = g_ascii_strtod(text, &end);
    if (end == text || *end != '\0' || isnan(*number))
        return refuse(error, "%s is not a number: '%.64s'", row->key, text);
    if (row->type != CZ_SETTING_FLOAT && *number != floor(*number))
        return refuse(error, "%s is not a whole number: '%.64s'", row->key, text);
    return check_number(row, *number, error);
}

bool cz_settings_parse(CzSettings *settings, const char *key, const char *value, GError **error)
{
    const CzSettingRow *row = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(rows) && !row; i++)
        if (g_str_equal(rows[i].key, key))
            row = &rows[i];
    if (!row)
        return refuse(error, "there is no setting '%.64s'", key);
    if (row->type == CZ_SETTING_STRING) {
        if (!check_text(row, value, strlen(value), error))
            return false;
        g_strlcpy((char *)settings + row->offset, value, row->size);
        return true;
    }
    double number;
    if (!parse_number(row, value, &number, error))
        return false;
    number_set(settings, row, number);
    return true;
}

void cz_settings_store(const CzSettings *settings, GKeyFile *file, const char *group)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        const CzSettingRow *row = &rows[i];
        char text[G_ASCII_DTOSTR_BUF_SIZE];
        if (row->type == CZ_SETTING_STRING)
            g_key_file_set_string(file, group, row->key, (const char *)settings + row->offset);
        else if (row->type != CZ_SETTING_DRAWABLE)
            g_key_file_set_value(file, group, row->key,
                                 g_ascii_dtostr(text, sizeof text, number_get(settings, row)));
    }
}

void cz_settings_load(CzSettings *settings, GKeyFile *file, const char *group)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *value = g_key_file_get_string(file, group, rows[i].key, NULL);
        if (value && rows[i].type != CZ_SETTING_DRAWABLE)
            cz_settings_parse(settings, rows[i].key, value, NULL);
    }
}
