// SPDX-License-Identifier: LGPL-3.0-or-later
// Errors of the engine: one domain, few codes, sentences that say what, where, expected and found.
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define CZ_ERROR (cz_error_quark())

typedef enum {
    CZ_ERROR_IO,        // a file cannot be opened, read, written or renamed
    CZ_ERROR_FORMAT,    // a file is broken: not what its format demands
    CZ_ERROR_MODEL,     // a sound file with the wrong tensors or metadata
    CZ_ERROR_SHAPE,     // shapes or dtypes that do not fit together
    CZ_ERROR_BACKEND,   // a device or its library refuses
    CZ_ERROR_MEMORY,    // out of memory
    CZ_ERROR_NUMERIC,   // not a number where a number is due
    CZ_ERROR_RECIPE,    // a recipe or set file says something impossible
    CZ_ERROR_ARGUMENT,  // a value given by the user is out of its range
    CZ_ERROR_CANCELLED, // the progress callback asked to stop
} CzErrorCode;

GQuark cz_error_quark(void);

G_END_DECLS
