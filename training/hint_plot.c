// SPDX-License-Identifier: LGPL-3.0-or-later
// The hint curve through cairo.
#include "hint_plot.h"

#include <math.h>
#include <string.h>

#include <cairo.h>

#include <cz/error.h>
#include <cz/model.h>

#define WIDTH  800.0
#define HEIGHT 500.0
#define LEFT   60.0
#define RIGHT  20.0
#define TOP    20.0
#define BOTTOM 50.0

typedef struct {
    cairo_t *cr;
    double most_count, most_gain;
} Plot;

// Lines that stay apart for those who see colors otherwise, too (Okabe & Ito 2008).
static const double colors[][3] = {{0.0, 0.45, 0.70},  {0.84, 0.37, 0.0}, {0.0, 0.62, 0.45},
                                   {0.80, 0.47, 0.65}, {0.90, 0.62, 0.0}, {0.34, 0.71, 0.91}};

static double x_of(const Plot *plot, double count)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * log1p(count) / log1p(plot->most_count);
}

static double y_of(const Plot *plot, double gain)
{
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * MAX(gain, 0) / plot->most_gain;
}

static void write_text(const Plot *plot, double x, double y, const char *text)
{
    // Text that is not UTF-8 would silently end all drawing.
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    cairo_move_to(plot->cr, x, y);
    cairo_show_text(plot->cr, valid);
}

static void draw_axes(const Plot *plot)
{
    static const int counts[] = {0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000};
    char text[32];
    cairo_set_source_rgb(plot->cr, 1, 1, 1);
    cairo_paint(plot->cr);
    cairo_set_font_size(plot->cr, 13);
    cairo_set_line_width(plot->cr, 1);
    for (size_t i = 0; i < G_N_ELEMENTS(counts) && counts[i] <= plot->most_count; i++) {
        double x = x_of(plot, counts[i]);
        cairo_set_source_rgb(plot->cr, 0.85, 0.85, 0.85);
        cairo_move_to(plot->cr, x, TOP);
        cairo_line_to(plot->cr, x, HEIGHT - BOTTOM);
        cairo_stroke(plot->cr);
        cairo_set_source_rgb(plot->cr, 0.2, 0.2, 0.2);
        g_snprintf(text, sizeof text, "%d", counts[i]);
        write_text(plot, x - 4 * (double)strlen(text), HEIGHT - BOTTOM + 18, text);
    }
    for (int gain = 0; gain <= (int)plot->most_gain; gain++) {
        double y = y_of(plot, gain);
        cairo_set_source_rgb(plot->cr, 0.85, 0.85, 0.85);
        cairo_move_to(plot->cr, LEFT, y);
        cairo_line_to(plot->cr, WIDTH - RIGHT, y);
        cairo_stroke(plot->cr);
        cairo_set_source_rgb(plot->cr, 0.2, 0.2, 0.2);
        g_snprintf(text, sizeof text, "%d dB", gain);
        write_text(plot, 12, y + 4, text);
    }
    write_text(plot, WIDTH / 2 - 120, HEIGHT - 12, "hints (6 x 6 pixels of true color)");
}

// The number-th line and its name; the curve begins without hints and without gain.
static void draw_curve(const Plot *plot, int number, const char *name, const int *counts,
                       const double *gains, size_t n)
{
    const double dashes[] = {6, 4}, *color = colors[number % (int)G_N_ELEMENTS(colors)];
    double y = TOP + 18 + 18 * number;
    if (name)
        cairo_set_source_rgb(plot->cr, color[0], color[1], color[2]);
    else
        cairo_set_source_rgb(plot->cr, 0, 0, 0);
    cairo_set_dash(plot->cr, dashes, name ? 0 : 2, 0);
    cairo_set_line_width(plot->cr, 2);
    cairo_move_to(plot->cr, x_of(plot, 0), y_of(plot, 0));
    for (size_t i = 0; i < n; i++)
        cairo_line_to(plot->cr, x_of(plot, counts[i]), y_of(plot, gains[i]));
    cairo_stroke(plot->cr);
    cairo_move_to(plot->cr, LEFT + 10, y - 4);
    cairo_line_to(plot->cr, LEFT + 40, y - 4);
    cairo_stroke(plot->cr);
    write_text(plot, LEFT + 48, y, name ? name : "SIGGRAPH17, published");
}

static cairo_status_t collect(void *closure, const unsigned char *data, unsigned int length)
{
    g_byte_array_append(closure, data, length);
    return CAIRO_STATUS_SUCCESS;
}

static void fit(Plot *plot, const TrainHints *const *hints, size_t n)
{
    plot->most_count = 100;
    plot->most_gain = 7;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < hints[i]->n; k++) {
            plot->most_count = MAX(plot->most_count, hints[i]->counts[k]);
            plot->most_gain = MAX(plot->most_gain, ceil(hints[i]->gains[k]));
        }
}

bool train_hint_plot(const char *path, const TrainHints *const *hints, const char *const *names,
                     size_t n, GError **error)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    cairo_surface_t *surface =
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)WIDTH, (int)HEIGHT);
    Plot plot = {.cr = cairo_create(surface)};
    fit(&plot, hints, n);
    draw_axes(&plot);
    for (size_t i = 0; i < n; i++)
        draw_curve(&plot, (int)i, names[i], hints[i]->counts, hints[i]->gains, hints[i]->n);
    draw_curve(&plot, (int)n, NULL, train_hints_published_counts, train_hints_published_gains,
               TRAIN_HINTS_PUBLISHED);
    cairo_destroy(plot.cr);
    cairo_status_t status = cairo_surface_write_to_png_stream(surface, collect, bytes);
    cairo_surface_destroy(surface);
    if (status != CAIRO_STATUS_SUCCESS) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "plot %s: %s", path,
                    cairo_status_to_string(status));
        return false;
    }
    return cz_file_replace(path, bytes->data, bytes->len, error);
}
