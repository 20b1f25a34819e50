// SPDX-License-Identifier: LGPL-3.0-or-later
// The user's settings: one table, from which PDB arguments, options, widgets, ranges and help come.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

G_BEGIN_DECLS

typedef enum { CZ_OUTPUT_LAYER, CZ_OUTPUT_IN_PLACE, CZ_OUTPUT_IMAGE } CzOutput;

#define CZ_LEAST_TILE 128

// a* and b* of the result: the field's times strength, then warmth, then the photograph's own tint
// if that is to be kept, then the gamut (lower chroma at the same hue). L* is never touched.
typedef struct {
    double strength;   // 0 to 2: factor on chroma
    double warmth;     // -1 to 1: a*b* += warmth * C*/2 * (cos, sin)(60 degrees), C* = |a*b*|
    int32_t output;    // CzOutput
    int32_t hints;     // drawable or -1 (plug-in only)
    double reach;      // 0 to 1
    int32_t tile_size; // 0 auto, -1 off, else the side of a tile in the photograph's pixels
    int32_t keep_tone; // 0, 1: adds the photograph's mean a*b* as a function (a cubic) of L*
    char device[32];
    char weights[4096]; // "" = bundled
} CzSettings;

typedef enum { CZ_SETTING_FLOAT, CZ_SETTING_INT, CZ_SETTING_DRAWABLE, CZ_SETTING_STRING } CzSettingType;

typedef struct {
    const char *key;   // PDB argument and option name: "tile-size"
    CzSettingType type;
    double min, max, initial;
    const char *initial_text; // strings
    size_t offset, size;      // in CzSettings
    const char *label, *help; // translatable (N_)
} CzSettingRow;

// In the order of the PDB procedure's arguments 3 to 11.
const CzSettingRow *cz_settings(size_t *n_rows);
void cz_settings_init(CzSettings *settings); // defaults

// CZ_ERROR_ARGUMENT: "strength is 3, allowed is 0 to 2", "warmth is not a number".
bool cz_settings_check(const CzSettings *settings, GError **error);
// From text, as options and preset files give it; C locale whatever the user's is.
bool cz_settings_parse(CzSettings *settings, const char *key, const char *value, GError **error);

// To and from a group of a key file, locale-free. A layer (hints) belongs to one image and stays
// out. Loading takes what is there and allowed, and leaves the rest of settings as it is.
void cz_settings_store(const CzSettings *settings, GKeyFile *file, const char *group);
void cz_settings_load(CzSettings *settings, GKeyFile *file, const char *group);

G_END_DECLS
