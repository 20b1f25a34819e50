// SPDX-License-Identifier: LGPL-3.0-or-later
// Small multiples through cairo.
#include "plot.h"

#include <math.h>
#include <string.h>

#include <cairo.h>

#include <cz/error.h>
#include <cz/model.h>

#include "csv.h"

enum { PANEL_W = 420, PANEL_H = 250, ACROSS = 3, LEFT = 58, RIGHT = 12, TOP = 44, BOTTOM = 26 };
#define MOST_LINES 8

typedef struct {
    const char *title;
    bool validation, log;            // from validation.csv; a logarithmic axis
    double low, high;                // where the axis must reach; equal: as the data does
    const char *columns[MOST_LINES]; // "loss.": all that begin with it
} Panel;

static const Panel panels[] = {
    {"loss", .columns = {"loss", "critic_loss"}},
    {"terms of the loss, unweighted", .log = true, .columns = {"loss."}},
    {"norms of the gradients", .log = true, .columns = {"norm", "critic_norm"}},
    {"learning rates", .log = true, .columns = {"rate", "rate_encoder", "rate_critic"}},
    {"D: right on", .high = 1, .columns = {"right_real", "right_fake"}},
    {"D: logits", .columns = {"logit_real", "logit_fake"}},
    {"chroma, ab/100", .columns = {"chroma", "chroma_true"}},
    {"spread of ab/100", .columns = {"spread", "spread_true"}},
    {"shares", .high = 0.1, .columns = {"gamut", "loader_wait"}},
    {"validation: gain over grey, dB", .validation = true, .columns = {"gain_db"}},
    {"validation: color, % of the truth's", .validation = true, .high = 100,
     .columns = {"colourfulness_percent"}},
    {"validation: CIEDE2000", .validation = true, .columns = {"delta_e_2000"}},
};

// Okabe & Ito (2008): told apart by the color-blind, too.
static const double colors[MOST_LINES][3] = {
    {0.00, 0.45, 0.70}, {0.84, 0.37, 0.00}, {0.00, 0.62, 0.45}, {0.80, 0.47, 0.65},
    {0.34, 0.71, 0.91}, {0.90, 0.62, 0.00}, {0.40, 0.40, 0.40}, {0.60, 0.55, 0.10}};

typedef struct {
    const TrainTable *table;
    int lines[MOST_LINES]; // columns of the table
    int n;
    bool log;
    double low, high, last; // of the axes; last: step
} View;

static double at(const TrainTable *table, size_t row, int column)
{
    return table->values[row * table->n_columns + (size_t)column];
}

// ---- what is shown ------------------------------------------------------------------------------

static bool says_something(const TrainTable *table, int column)
{
    for (size_t row = 0; row < table->n_rows; row++)
        if (isfinite(at(table, row, column)) && at(table, row, column) != 0)
            return true;
    return false;
}

static bool belongs(const char *name, const char *wanted)
{
    return g_str_has_suffix(wanted, ".") ? g_str_has_prefix(name, wanted)
                                         : g_str_equal(name, wanted);
}

static void reach(View *view, double value)
{
    if (!isfinite(value) || (view->log && value <= 0))
        return;
    view->low = fmin(view->low, value);
    view->high = fmax(view->high, value);
}

// What is not positive has no place on a logarithmic axis, and a line must not be left out unseen.
static bool all_positive(const View *view)
{
    for (size_t row = 0; row < view->table->n_rows; row++)
        for (int i = 0; i < view->n; i++)
            if (at(view->table, row, view->lines[i]) < 0)
                return false;
    return true;
}

static View look(const Panel *panel, const TrainTable *table)
{
    View view = {.table = table, .log = panel->log, .low = INFINITY, .high = -INFINITY};
    for (int i = 0; i < MOST_LINES && panel->columns[i]; i++)
        for (int c = 1; c < (int)table->n_columns && view.n < MOST_LINES; c++)
            if (belongs(table->names[c], panel->columns[i]) && says_something(table, c))
                view.lines[view.n++] = c;
    view.log = view.log && all_positive(&view);
    for (size_t row = 0; row < table->n_rows; row++) {
        view.last = fmax(view.last, at(table, row, 0));
        for (int i = 0; i < view.n; i++)
            reach(&view, at(table, row, view.lines[i]));
    }
    if (panel->low != panel->high)
        reach(&view, panel->low), reach(&view, panel->high);
    if (view.n > 0 && !(view.high > view.low)) {
        double around = fmax(fabs(view.low) * 0.1, 1e-6);
        view.low -= view.log ? view.low / 2 : around;
        view.high += around;
    }
    return view;
}

// ---- drawing ------------------------------------------------------------------------------------

static double scaled(const View *view, double value)
{
    return view->log ? log10(value) : value;
}

static double place_y(const View *view, double value)
{
    double low = scaled(view, view->low), high = scaled(view, view->high);
    return PANEL_H - BOTTOM - (scaled(view, value) - low) / (high - low) * (PANEL_H - TOP - BOTTOM);
}

static double place_x(const View *view, double step)
{
    return LEFT + step / fmax(view->last, 1) * (PANEL_W - LEFT - RIGHT);
}

static void write_at(cairo_t *cr, double x, double y, double align, const char *text)
{
    cairo_text_extents_t size;
    cairo_text_extents(cr, text, &size);
    cairo_move_to(cr, x - align * size.x_advance, y);
    cairo_show_text(cr, text);
}

// 1, 2 or 5 times a power of ten: at least a quarter of the range.
static double nice_distance(double range)
{
    double power = pow(10, floor(log10(range / 4))), share = range / 4 / power;
    return power * (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10);
}

static void draw_tick(cairo_t *cr, const View *view, double value)
{
    g_autofree char *text = g_strdup_printf("%.3g", value);
    double y = floor(place_y(view, value)) + 0.5;
    cairo_set_source_rgb(cr, 0.88, 0.88, 0.88);
    cairo_move_to(cr, LEFT, y);
    cairo_line_to(cr, PANEL_W - RIGHT, y);
    cairo_stroke(cr);
    cairo_set_source_rgb(cr, 0.3, 0.3, 0.3);
    write_at(cr, LEFT - 6, y + 4, 1, text);
}

static void draw_log_ticks(cairo_t *cr, const View *view)
{
    static const double steps[] = {1, 2, 5};
    double decades = log10(view->high / view->low);
    if (decades < 0.7) { // too few of 1, 2 and 5: even distances do as well there
        double apart = nice_distance(view->high - view->low);
        for (double v = ceil(view->low / apart) * apart; v <= view->high; v += apart)
            draw_tick(cr, view, v);
        return;
    }
    int distance = decades > 5 ? (int)ceil(decades / 5) : 1;
    for (int e = (int)floor(log10(view->low)); e <= (int)ceil(log10(view->high)); e++)
        for (int i = 0; i < (decades < 2.5 ? 3 : 1); i++) {
            double value = steps[i] * pow(10, e);
            if (e % distance == 0 && value >= view->low && value <= view->high)
                draw_tick(cr, view, value);
        }
}

static void draw_axes(cairo_t *cr, const View *view)
{
    cairo_set_line_width(cr, 1);
    cairo_set_font_size(cr, 10);
    if (view->log) {
        draw_log_ticks(cr, view);
    } else {
        double distance = nice_distance(view->high - view->low);
        for (double v = ceil(view->low / distance) * distance; v <= view->high + 1e-9 * distance;
             v += distance)
            draw_tick(cr, view, fabs(v) < 1e-9 * distance ? 0 : v);
    }
    double distance = fmax(nice_distance(fmax(view->last, 4)), 1);
    cairo_set_source_rgb(cr, 0.3, 0.3, 0.3);
    for (double step = 0; step <= view->last; step += distance) {
        g_autofree char *text = g_strdup_printf("%.15g", step);
        write_at(cr, place_x(view, step), PANEL_H - BOTTOM + 14, step > 0 ? 0.5 : 0, text);
    }
}

static void draw_line(cairo_t *cr, const View *view, int line)
{
    const TrainTable *table = view->table;
    const double *color = colors[line];
    bool pen = false, begun = false; // what is not there yet is zero in the log
    double last = 0;
    cairo_set_source_rgb(cr, color[0], color[1], color[2]);
    for (size_t row = 0; row < table->n_rows; row++) {
        double value = at(table, row, view->lines[line]), step = at(table, row, 0);
        double x = place_x(view, step);
        begun = begun || (isfinite(value) && value != 0);
        pen = pen && step > last; // after a rollback the curve begins again
        last = step;
        if (!begun || !isfinite(value) || (view->log && value <= 0)) {
            pen = false;
            continue;
        }
        double y = place_y(view, value);
        if (pen) {
            cairo_line_to(cr, x, y);
        } else { // alone, it would not be seen
            cairo_new_sub_path(cr);
            cairo_arc(cr, x, y, 1, 0, 2 * G_PI);
            cairo_move_to(cr, x, y);
        }
        pen = true;
    }
    cairo_set_line_width(cr, 1.4);
    cairo_stroke(cr);
}

static void draw_legend(cairo_t *cr, const View *view)
{
    double x = LEFT;
    for (int i = 0; i < view->n; i++) {
        cairo_text_extents_t size;
        const char *name = view->table->names[view->lines[i]];
        g_autofree char *label = g_utf8_make_valid(name, -1);
        cairo_text_extents(cr, label, &size);
        if (x + 14 + size.x_advance > PANEL_W - RIGHT)
            break;
        cairo_set_source_rgb(cr, colors[i][0], colors[i][1], colors[i][2]);
        cairo_rectangle(cr, x, TOP - 15, 10, 3);
        cairo_fill(cr);
        write_at(cr, x + 14, TOP - 10, 0, label);
        x += 14 + size.x_advance + 12;
    }
}

static void draw_panel(cairo_t *cr, const Panel *panel, const View *view)
{
    cairo_set_source_rgb(cr, 0.1, 0.1, 0.1);
    cairo_set_font_size(cr, 12);
    write_at(cr, LEFT, 18, 0, panel->title);
    draw_axes(cr, view);
    draw_legend(cr, view);
    cairo_save(cr);
    cairo_rectangle(cr, LEFT, TOP - 2, PANEL_W - LEFT - RIGHT + 2, PANEL_H - TOP - BOTTOM + 4);
    cairo_clip(cr);
    for (int i = 0; i < view->n; i++)
        draw_line(cr, view, i);
    cairo_restore(cr);
}

static cairo_status_t collect(void *closure, const unsigned char *data, unsigned int length)
{
    g_byte_array_append(closure, data, length);
    return CAIRO_STATUS_SUCCESS;
}

static bool save(cairo_surface_t *surface, const char *path, GError **error)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    cairo_status_t status = cairo_surface_write_to_png_stream(surface, collect, bytes);
    if (status == CAIRO_STATUS_SUCCESS)
        return cz_file_replace(path, bytes->data, bytes->len, error);
    g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "plots %s: %s", path, cairo_status_to_string(status));
    return false;
}

static bool draw(const TrainTable *log, const TrainTable *validation, const char *path,
                 GError **error)
{
    View views[G_N_ELEMENTS(panels)];
    int n = 0, next = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(panels); i++) {
        views[i] = look(&panels[i], panels[i].validation ? validation : log);
        n += views[i].n > 0;
    }
    cairo_surface_t *surface = cairo_image_surface_create(
        CAIRO_FORMAT_RGB24, ACROSS * PANEL_W, MAX((n + ACROSS - 1) / ACROSS, 1) * PANEL_H);
    cairo_t *cr = cairo_create(surface);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    for (size_t i = 0; i < G_N_ELEMENTS(panels); i++) {
        if (views[i].n == 0)
            continue;
        cairo_save(cr);
        cairo_translate(cr, next % ACROSS * (double)PANEL_W, next / ACROSS * (double)PANEL_H);
        draw_panel(cr, &panels[i], &views[i]);
        cairo_restore(cr);
        next++;
    }
    bool done = save(surface, path, error);
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
    return done;
}

bool train_plot(const char *folder, GError **error)
{
    g_autofree char *log_path = g_build_filename(folder, "log.csv", NULL),
                    *validation_path = g_build_filename(folder, "validation.csv", NULL),
                    *path = g_build_filename(folder, "plots.png", NULL);
    g_auto(TrainTable) log = {0}, validation = {0};
    if (!train_table_read(&log, log_path, error))
        return false;
    train_table_read(&validation, validation_path, NULL); // there need not be one
    return draw(&log, &validation, path, error);
}
