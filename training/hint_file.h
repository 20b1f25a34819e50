// SPDX-License-Identifier: LGPL-3.0-or-later
// Color hints from a picture file with transparency.
#pragma once

#include <cz/hints.h>

// The dabs of the file at path for this photograph: pixels with alpha above 0 are hints. dabs:
// CZ_MAX_DABS (out). The file is read row by row. CZ_ERROR_IO, FORMAT (no picture, without
// transparency, of another size), MEMORY.
bool train_hint_file_gather(const char *path, const CzPhoto *photo, CzDab *dabs, size_t *n_dabs,
                            GError **error);
