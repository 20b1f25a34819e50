// SPDX-License-Identifier: LGPL-3.0-or-later
// What evaluate tells: the rows of figures as text and as JSON.
#pragma once

#include "scores.h"

// One row; those of the grey and the true pictures frame those of the weights.
typedef struct {
    char *label;         // in the table; owned
    const char *weights; // "grey", "truth", or the file's name
    double strength;     // of weights
    TrainScores scores;
    TrainHints hints;       // n = 0: not asked for
    TrainFrontier frontier; // n = 0: not asked for
} TrainRow;

void train_table_print(const TrainRow *rows, size_t n_rows);
// size: of the pictures, in pixels. CZ_ERROR_IO.
bool train_table_write(const char *path, const TrainRow *rows, size_t n_rows, int size,
                        GError **error);
