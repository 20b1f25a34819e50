// SPDX-License-Identifier: LGPL-3.0-or-later
// Sample sheets through cairo.
#include "sheet.h"

#include <cairo.h>

#include <cz/error.h>
#include <cz/model.h>

#define PER_BLOCK 6
#define GAP       4
#define LABEL     16

struct TrainSheet {
    cairo_surface_t *surface;
    cairo_t *cr;
    int n_rows, n_pictures;
    int32_t cell;
};

static double cell_x(const TrainSheet *sheet, int picture)
{
    return GAP + picture % PER_BLOCK * (double)(sheet->cell + GAP);
}

static double cell_y(const TrainSheet *sheet, int row, int picture)
{
    int line = picture / PER_BLOCK * sheet->n_rows + row;
    return line * (double)(sheet->cell + LABEL) + LABEL;
}

static void write_labels(TrainSheet *sheet, const char *const *labels)
{
    cairo_set_source_rgb(sheet->cr, 0.9, 0.9, 0.9);
    cairo_set_font_size(sheet->cr, 11);
    for (int first = 0; first < sheet->n_pictures; first += PER_BLOCK)
        for (int row = 0; row < sheet->n_rows; row++) {
            // Text that is not UTF-8 would silently end all drawing.
            cairo_move_to(sheet->cr, GAP, cell_y(sheet, row, first) - 4);
            g_autofree char *label = g_utf8_make_valid(labels[row], -1);
            cairo_show_text(sheet->cr, label);
        }
}

TrainSheet *train_sheet_new(int n_rows, const char *const *labels, int n_pictures, int32_t cell,
                            GError **error)
{
    TrainSheet *sheet = g_new0(TrainSheet, 1);
    *sheet = (TrainSheet){.n_rows = n_rows, .n_pictures = n_pictures, .cell = cell};
    int columns = MIN(n_pictures, PER_BLOCK), blocks = (n_pictures + PER_BLOCK - 1) / PER_BLOCK;
    sheet->surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, GAP + columns * (cell + GAP),
                                                blocks * n_rows * (cell + LABEL) + GAP);
    if (cairo_surface_status(sheet->surface) != CAIRO_STATUS_SUCCESS) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_MEMORY, "sheet of %d x %d pictures: %s", n_rows,
                    n_pictures, cairo_status_to_string(cairo_surface_status(sheet->surface)));
        cairo_surface_destroy(sheet->surface);
        g_free(sheet);
        return NULL;
    }
    sheet->cr = cairo_create(sheet->surface);
    cairo_set_source_rgb(sheet->cr, 0.15, 0.15, 0.15);
    cairo_paint(sheet->cr);
    write_labels(sheet, labels);
    return sheet;
}

void train_sheet_free(TrainSheet *sheet)
{
    if (!sheet)
        return;
    cairo_destroy(sheet->cr);
    cairo_surface_destroy(sheet->surface);
    g_free(sheet);
}

static cairo_surface_t *to_surface(const uint8_t *rgb, int32_t width, int32_t height)
{
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    if (cairo_surface_status(surface) != CAIRO_STATUS_SUCCESS)
        return surface;
    int stride = cairo_image_surface_get_stride(surface);
    for (int32_t y = 0; y < height; y++) {
        uint32_t *row =
            (uint32_t *)(void *)(cairo_image_surface_get_data(surface) + (ptrdiff_t)y * stride);
        for (int32_t x = 0; x < width; x++, rgb += 3)
            row[x] = (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
    }
    cairo_surface_mark_dirty(surface);
    return surface;
}

void train_sheet_put(TrainSheet *sheet, int row, int picture, const uint8_t *rgb, int32_t width,
                     int32_t height)
{
    cairo_surface_t *surface = to_surface(rgb, width, height);
    double scale = MIN(1.0, (double)sheet->cell / MAX(width, height));
    cairo_save(sheet->cr);
    cairo_translate(sheet->cr, cell_x(sheet, picture) + (sheet->cell - scale * width) / 2,
                    cell_y(sheet, row, picture) + (sheet->cell - scale * height) / 2);
    cairo_scale(sheet->cr, scale, scale);
    cairo_set_source_surface(sheet->cr, surface, 0, 0);
    cairo_paint(sheet->cr);
    cairo_restore(sheet->cr);
    cairo_surface_destroy(surface);
}

static cairo_status_t collect(void *closure, const unsigned char *data, unsigned int length)
{
    g_byte_array_append(closure, data, length);
    return CAIRO_STATUS_SUCCESS;
}

bool train_sheet_save(TrainSheet *sheet, const char *path, GError **error)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    cairo_status_t status = cairo_surface_write_to_png_stream(sheet->surface, collect, bytes);
    if (status != CAIRO_STATUS_SUCCESS) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "sheet %s: %s", path,
                    cairo_status_to_string(status));
        return false;
    }
    return cz_file_replace(path, bytes->data, bytes->len, error);
}
