// SPDX-License-Identifier: LGPL-3.0-or-later
// Reading, extending and widening of CSV files.
#include "csv.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/model.h>

// The text and its lines, without their ends; half a line at the end counts.
static char **read_lines(const char *path, GError **error)
{
    g_autoptr(GError) local = NULL;
    g_autofree char *text = NULL;
    // A device would go on for ever.
    if (g_file_test(path, G_FILE_TEST_EXISTS) && !g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot read %s: it is no regular file", path);
        return NULL;
    }
    if (!g_file_get_contents(path, &text, NULL, &local)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot read %s: %s", path, local->message);
        return NULL;
    }
    return g_strsplit(text, "\n", -1);
}

// ---- rows ---------------------------------------------------------------------------------------

static void read_header(TrainCsv *csv)
{
    g_auto(GStrv) lines = csv->file.lines > 0 ? read_lines(csv->file.path, NULL) : NULL;
    g_auto(GStrv) names = lines && lines[0] ? g_strsplit(lines[0], ",", -1) : NULL;
    for (char **name = names; name && *name; name++)
        g_ptr_array_add(csv->names, g_strdup(*name));
}

bool train_csv_open(TrainCsv *csv, const char *path, int64_t keep_lines, GError **error)
{
    csv->names = g_ptr_array_new_with_free_func(g_free);
    if (!train_append_open(&csv->file, path, TRAIN_KEEP_ALL, keep_lines, error))
        return false;
    read_header(csv);
    return true;
}

void train_csv_close(TrainCsv *csv)
{
    train_append_close(&csv->file);
    g_clear_pointer(&csv->names, g_ptr_array_unref);
}

static bool has(const TrainCsv *csv, const char *name)
{
    return g_ptr_array_find_with_equal_func(csv->names, name, g_str_equal, NULL);
}

static void put_header(const TrainCsv *csv, GString *text)
{
    for (guint i = 0; i < csv->names->len; i++)
        g_string_append_printf(text, "%s%s", i ? "," : "",
                               (const char *)g_ptr_array_index(csv->names, i));
    g_string_append_c(text, '\n');
}

// The file with n_new columns more.
static bool widen(TrainCsv *csv, guint n_new)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_auto(GStrv) lines = read_lines(csv->file.path, NULL);
    g_autofree char *path = g_strdup(csv->file.path);
    put_header(csv, text);
    for (char **line = lines ? lines + 1 : NULL; line && *line && **line; line++) {
        g_string_append(text, *line);
        for (guint i = 0; i < n_new; i++)
            g_string_append_c(text, ',');
        g_string_append_c(text, '\n');
    }
    if (!lines || !cz_file_replace(path, text->str, text->len, NULL))
        return false;
    train_append_close(&csv->file);
    return train_append_open(&csv->file, path, TRAIN_KEEP_ALL, TRAIN_KEEP_ALL, NULL);
}

// Where that fails (a full disk), the new columns wait for the next row.
static void add_columns(TrainCsv *csv, const TrainCell *cells, size_t n_cells)
{
    guint before = csv->names->len;
    for (size_t i = 0; i < n_cells; i++)
        if (!has(csv, cells[i].name))
            g_ptr_array_add(csv->names, g_strdup(cells[i].name));
    guint n_new = csv->names->len - before;
    if (n_new > 0 && csv->file.lines > 0 && !widen(csv, n_new))
        g_ptr_array_set_size(csv->names, (gint)before);
}

static void put_number(GString *text, double value)
{
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    bool whole = value == floor(value) && fabs(value) < 1e15;
    g_string_append(text, g_ascii_formatd(number, sizeof number, whole ? "%.15g" : "%.6g", value));
}

void train_csv_row(TrainCsv *csv, const TrainCell *cells, size_t n_cells)
{
    g_autoptr(GString) text = g_string_new(NULL);
    add_columns(csv, cells, n_cells);
    if (csv->file.lines == 0)
        put_header(csv, text);
    for (guint i = 0; i < csv->names->len; i++) {
        const char *name = g_ptr_array_index(csv->names, i);
        if (i > 0)
            g_string_append_c(text, ',');
        for (size_t k = 0; k < n_cells; k++)
            if (g_str_equal(cells[k].name, name)) {
                put_number(text, cells[k].value);
                break;
            }
    }
    g_string_append_c(text, '\n');
    train_append(&csv->file, text->str, text->len);
}

// ---- whole files --------------------------------------------------------------------------------

static void read_row(const char *line, double *row, size_t n_columns)
{
    for (size_t i = 0; i < n_columns; i++) {
        char *end = NULL;
        double value = line ? g_ascii_strtod(line, &end) : NAN;
        row[i] = end && end != line ? value : NAN;
        line = line ? strchr(line, ',') : NULL;
        line = line ? line + 1 : NULL;
    }
}

bool train_table_read(TrainTable *table, const char *path, GError **error)
{
    g_auto(GStrv) lines = read_lines(path, error);
    *table = (TrainTable){.n_rows = 0};
    if (!lines)
        return false;
    size_t n_lines = g_strv_length(lines);
    while (n_lines > 0 && !*lines[n_lines - 1])
        n_lines--;
    table->names = g_strsplit(n_lines > 0 ? lines[0] : "", ",", -1);
    table->n_columns = g_strv_length(table->names);
    table->n_rows = n_lines > 1 ? n_lines - 1 : 0;
    table->values = cz_memory_alloc((table->n_rows * table->n_columns + 1) * sizeof *table->values,
                                    path, error);
    if (!table->values) {
        train_table_clear(table);
        return false;
    }
    for (size_t i = 0; i < table->n_rows; i++)
        read_row(lines[i + 1], table->values + i * table->n_columns, table->n_columns);
    return true;
}

void train_table_clear(TrainTable *table)
{
    g_strfreev(table->names);
    cz_memory_free(table->values);
    *table = (TrainTable){.n_rows = 0};
}
