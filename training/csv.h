// SPDX-License-Identifier: LGPL-3.0-or-later
// CSV files that grow in rows and, now and then, in columns.
#pragma once

#include "append.h"

typedef struct {
    const char *name; // the column's; no comma, no line end
    double value;
} TrainCell;

typedef struct {
    TrainAppend file;
    GPtrArray *names; // of its header; owned
} TrainCsv;

// Keeps the header and keep_lines - 1 rows of what is there (TRAIN_KEEP_ALL: every row).
// CZ_ERROR_IO.
bool train_csv_open(TrainCsv *csv, const char *path, int64_t keep_lines, GError **error);
void train_csv_close(TrainCsv *csv); // accepts a zeroed one
// A row. Names that the header does not have become columns at its end (the file is then written
// anew, older rows empty there); columns without a cell stay empty. Failures as train_append().
void train_csv_row(TrainCsv *csv, const TrainCell *cells, size_t n_cells);

// A whole file in memory, for plots: rows in order, NAN where a cell is empty or no number.
typedef struct {
    char **names; // NULL-terminated
    size_t n_columns, n_rows;
    double *values; // row after row
} TrainTable;
// CZ_ERROR_IO, MEMORY.
bool train_table_read(TrainTable *table, const char *path, GError **error);
void train_table_clear(TrainTable *table); // accepts a zeroed one
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TrainTable, train_table_clear)
