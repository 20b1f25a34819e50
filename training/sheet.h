// SPDX-License-Identifier: LGPL-3.0-or-later
// Sample sheets: the same photographs in labelled rows (grey, output, truth), as a PNG.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

typedef struct TrainSheet TrainSheet;

// n_rows rows (labels, borrowed until saved) of n_pictures cells of cell x cell pixels; more than
// six pictures wrap into blocks of rows.
TrainSheet *train_sheet_new(int n_rows, const char *const *labels, int n_pictures, int32_t cell,
                            GError **error);
void train_sheet_free(TrainSheet *sheet); // accepts NULL
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TrainSheet, train_sheet_free)

// 8-bit RGB of any size; scaled down to the cell if larger, centred.
void train_sheet_put(TrainSheet *sheet, int row, int picture, const uint8_t *rgb, int32_t width,
                     int32_t height);
bool train_sheet_save(TrainSheet *sheet, const char *path, GError **error);
