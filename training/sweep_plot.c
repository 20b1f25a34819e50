// SPDX-License-Identifier: LGPL-3.0-or-later
// What mattered in a sweep, as a picture: the halving, a bar a key, and score against each key.
#include <math.h>
#include <string.h>

#include <cairo.h>

#include <cz/error.h>
#include <cz/model.h>

#include "sweep.h"

#define COLUMNS    3
#define WIDTH      380.0
#define HEIGHT     280.0
#define LEFT       62.0 // margins of a panel, for numbers and titles
#define RIGHT      14.0
#define TOP        30.0
#define BOTTOM     40.0
#define MOST_NAMES 7 // values with a tick each

typedef struct {
    cairo_t *cr;
    double x, y;           // of the panel's corner
    double lo[2], hi[2];   // of the axes, in their own numbers (or logarithms)
    bool log;              // the first axis
    const TrainAxis *axis; // its values are the first axis' numbers, where they are a list
} Panel;

static double across(const Panel *panel, double value)
{
    double at = panel->log ? log10(value) : value;
    return panel->x + LEFT +
           (WIDTH - LEFT - RIGHT) * (at - panel->lo[0]) / (panel->hi[0] - panel->lo[0]);
}

static double up(const Panel *panel, double value)
{
    double at = (value - panel->lo[1]) / (panel->hi[1] - panel->lo[1]);
    return panel->y + HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * CLAMP(at, -0.03, 1.03);
}

// anchor: 0 begins at x, 0.5 is centred, 1 ends there.
static void write_text(cairo_t *cr, double x, double y, double anchor, const char *text)
{
    cairo_text_extents_t extents;
    cairo_text_extents(cr, text, &extents);
    cairo_move_to(cr, x - anchor * extents.x_advance, y);
    cairo_show_text(cr, text);
}

static void ink(cairo_t *cr, double grey)
{
    cairo_set_source_rgb(cr, grey, grey, grey);
}

// Rungs from light to dark; blue, so that they differ for everybody.
static void rung_ink(cairo_t *cr, const TrainSweep *sweep, int64_t rung)
{
    double at = sweep->plan->n_rungs > 1 ? (double)rung / (double)(sweep->plan->n_rungs - 1) : 1;
    cairo_set_source_rgb(cr, 0.62 - 0.57 * at, 0.77 - 0.57 * at, 0.91 - 0.41 * at);
}

static void dot(cairo_t *cr, double x, double y)
{
    cairo_new_sub_path(cr);
    cairo_arc(cr, x, y, 3.5, 0, 2 * G_PI);
    cairo_fill(cr);
}

// One that failed has no score: it stands below all.
static void cross(const Panel *panel, double x)
{
    double y = panel->y + HEIGHT - BOTTOM - 5;
    cairo_set_source_rgb(panel->cr, 0.8, 0.2, 0.1);
    cairo_move_to(panel->cr, x - 3, y - 3);
    cairo_rel_line_to(panel->cr, 6, 6);
    cairo_move_to(panel->cr, x - 3, y + 3);
    cairo_rel_line_to(panel->cr, 6, -6);
    cairo_stroke(panel->cr);
}

// ---- axes ---------------------------------------------------------------------------------------

static void tick(const Panel *panel, int axis, double value, const char *name)
{
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    bool first = axis == 0;
    double x = first ? across(panel, value) : panel->x + LEFT;
    double y = first ? panel->y + HEIGHT - BOTTOM : up(panel, value);
    g_ascii_formatd(number, sizeof number, "%.4g", value + 0.0); // no "-0"
    ink(panel->cr, 0.88);
    cairo_move_to(panel->cr, x, first ? panel->y + TOP : y);
    cairo_line_to(panel->cr, first ? x : panel->x + WIDTH - RIGHT, y);
    cairo_stroke(panel->cr);
    ink(panel->cr, 0.2);
    write_text(panel->cr, first ? x : x - 5, first ? y + 14 : y + 4, first ? 0.5 : 1,
               name ? name : number);
}

static void linear_ticks(const Panel *panel, int axis)
{
    static const double steps[] = {1, 2, 5, 10};
    double span = panel->hi[axis] - panel->lo[axis], tens = pow(10, floor(log10(span / 5)));
    double step = tens;
    for (size_t i = 0; i < G_N_ELEMENTS(steps) && span / step > 5; i++)
        step = steps[i] * tens;
    for (double at = ceil(panel->lo[axis] / step); at * step <= panel->hi[axis]; at++)
        tick(panel, axis, at * step, NULL);
}

static void log_ticks(const Panel *panel)
{
    static const double within[] = {1, 2, 5};
    double span = panel->hi[0] - panel->lo[0]; // decades
    size_t n = span > 1.5 ? 1 : G_N_ELEMENTS(within);
    double skip = MAX(1, ceil(span / 6));
    for (double ten = floor(panel->lo[0]); ten <= panel->hi[0]; ten += skip)
        for (size_t i = 0; i < n; i++) {
            double value = within[i] * pow(10, ten);
            if (log10(value) >= panel->lo[0] && log10(value) <= panel->hi[0])
                tick(panel, 0, value, NULL);
        }
}

// Where a value stands on the first axis: texts by their place in the list.
static double position(const TrainAxis *axis, const char *value)
{
    for (int i = 0; axis->key->type == TRAIN_KEY_TEXT && axis->values[i]; i++)
        if (strcmp(axis->values[i], value) == 0)
            return i;
    return g_ascii_strtod(value, NULL);
}

static void draw_axes(const Panel *panel, const char *title, const char *below)
{
    char **values = panel->axis ? panel->axis->values : NULL;
    cairo_set_line_width(panel->cr, 1);
    if (values && g_strv_length(values) <= MOST_NAMES)
        for (char **value = values; *value; value++)
            tick(panel, 0, position(panel->axis, *value), **value ? *value : "(none)");
    else if (panel->log)
        log_ticks(panel);
    else
        linear_ticks(panel, 0);
    linear_ticks(panel, 1);
    ink(panel->cr, 0.3);
    cairo_rectangle(panel->cr, panel->x + LEFT, panel->y + TOP, WIDTH - LEFT - RIGHT,
                    HEIGHT - TOP - BOTTOM);
    cairo_stroke(panel->cr);
    ink(panel->cr, 0);
    write_text(panel->cr, panel->x + LEFT, panel->y + TOP - 8, 0, title);
    write_text(panel->cr, panel->x + (WIDTH + LEFT - RIGHT) / 2, panel->y + HEIGHT - BOTTOM + 29,
               0.5, below);
}

// A little air at both ends; one value alone gets some, too.
static void widen(double *lo, double *hi, double air)
{
    double span = *hi - *lo;
    if (!(span > 0))
        span = fabs(*hi) > 0 ? fabs(*hi) : 1;
    *lo -= air * span;
    *hi += air * span;
}

// From the worst to the best of all rungs; a run that exploded must not flatten all others, so
// what is further below the median than three times the best is above it sticks to the edge.
static void score_range(const TrainSweep *sweep, Panel *panel)
{
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(double));
    bool higher = sweep->plan->score->higher;
    for (int64_t i = 0; i < sweep->plan->n_runs; i++)
        for (int64_t k = 0; k < sweep->runs[i].n_scores; k++) {
            double value = higher ? sweep->runs[i].scores[k] : -sweep->runs[i].scores[k];
            g_array_append_val(all, value);
        }
    double zero = 0;
    if (all->len == 0)
        g_array_append_val(all, zero);
    g_autofree double *ranks = g_new(double, all->len);
    const double *values = (const double *)(void *)all->data;
    train_sweep_ranks(values, all->len, ranks);
    double worst = INFINITY, best = -INFINITY, middle = 0, nearest = INFINITY;
    for (guint i = 0; i < all->len; i++) {
        double off = fabs(ranks[i] - (double)(all->len + 1) / 2);
        worst = MIN(worst, values[i]);
        best = MAX(best, values[i]);
        if (off < nearest) {
            nearest = off;
            middle = values[i];
        }
    }
    worst = MAX(worst, middle - 3 * MAX(best - middle, 1e-12));
    panel->lo[1] = higher ? worst : -best;
    panel->hi[1] = higher ? best : -worst;
    widen(&panel->lo[1], &panel->hi[1], 0.08);
}

// ---- panels -------------------------------------------------------------------------------------

// Each run through its rungs.
static void draw_halving(const TrainSweep *sweep, Panel panel)
{
    const TrainSweepPlan *plan = sweep->plan;
    panel.lo[0] = pow((double)plan->eta, -(double)(plan->n_rungs - 1));
    panel.lo[0] = log10(panel.lo[0]);
    panel.log = true;
    widen(&panel.lo[0], &panel.hi[0], 0.08);
    draw_axes(&panel, plan->score->label, "share of the full length");
    for (int64_t i = 0; i < plan->n_runs; i++) {
        const TrainSweepRun *run = &sweep->runs[i];
        double x = 0, y = 0;
        for (int64_t k = 0; k < run->n_scores; k++) {
            double next = across(&panel, pow((double)plan->eta, (double)(k + 1 - plan->n_rungs)));
            if (k > 0) {
                ink(panel.cr, 0.6);
                cairo_move_to(panel.cr, x, y);
                cairo_line_to(panel.cr, next, up(&panel, run->scores[k]));
                cairo_stroke(panel.cr);
            }
            x = next;
            y = up(&panel, run->scores[k]);
            rung_ink(panel.cr, sweep, k);
            dot(panel.cr, x, y);
        }
    }
}

// Dark: share of variance; light: the rank correlation's size.
static void draw_effects(const TrainSweep *sweep, double x, double y, cairo_t *cr)
{
    guint n = sweep->plan->axes->len;
    double row = (HEIGHT - TOP - 20) / n, left = x + 150, width = WIDTH - 150 - 60;
    ink(cr, 0);
    write_text(cr, x + 20, y + TOP - 8, 0, "what mattered, first rung");
    for (guint i = 0; i < n; i++) {
        TrainSweepEffect effect = train_sweep_effect(sweep, i);
        const double sizes[] = {effect.share, fabs(effect.correlation)};
        double top = y + TOP + row * i, high = MIN(row / 3, 14);
        ink(cr, 0);
        write_text(cr, left - 8, top + high + 4, 1,
                   ((TrainAxis *)sweep->plan->axes->pdata[i])->name);
        for (int k = 0; k < 2; k++) {
            if (isnan(sizes[k]))
                continue;
            g_autofree char *text = k == 0 ? g_strdup_printf("%.0f %%", 100 * effect.share)
                                           : g_strdup_printf("rank %+.2f", effect.correlation);
            double shade = k == 0 ? 0.2 : 0.65;
            cairo_set_source_rgb(cr, shade, shade + 0.1, shade + 0.25);
            cairo_rectangle(cr, left, top + k * high, MAX(width * sizes[k], 1), high - 1);
            cairo_fill(cr);
            ink(cr, 0.2);
            write_text(cr, left + width * sizes[k] + 4, top + (k + 1) * high - 3, 0, text);
        }
    }
}

// Logarithmic where the range says so, or where listed values span more than a decade.
static void key_range(const TrainSweep *sweep, size_t index, Panel *panel)
{
    const TrainAxis *axis = sweep->plan->axes->pdata[index];
    double lo = INFINITY, hi = -INFINITY;
    for (char **value = axis->values; value && *value; value++) { // also those not drawn
        lo = MIN(lo, position(axis, *value));
        hi = MAX(hi, position(axis, *value));
    }
    for (int64_t i = 0; i < sweep->plan->n_runs; i++) {
        double at = position(axis, sweep->runs[i].values[index]);
        lo = MIN(lo, at);
        hi = MAX(hi, at);
    }
    panel->log = axis->kind == TRAIN_AXIS_LOG ||
                 (axis->kind != TRAIN_AXIS_LINEAR && lo > 0 && hi >= 10 * lo);
    panel->lo[0] = panel->log ? log10(lo) : lo;
    panel->hi[0] = panel->log ? log10(hi) : hi;
    widen(&panel->lo[0], &panel->hi[0], axis->key->type == TRAIN_KEY_TEXT ? 0.3 : 0.08);
}

// Rungs as lines: each run's scores stand above its value, joined.
static void draw_key(const TrainSweep *sweep, size_t index, Panel panel)
{
    const TrainAxis *axis = sweep->plan->axes->pdata[index];
    panel.axis = axis;
    key_range(sweep, index, &panel);
    draw_axes(&panel, sweep->plan->score->label, axis->name);
    for (int64_t i = 0; i < sweep->plan->n_runs; i++) {
        const TrainSweepRun *run = &sweep->runs[i];
        double x = across(&panel, position(axis, run->values[index]));
        if (run->state == TRAIN_SWEEP_FAILED)
            cross(&panel, x);
        if (run->n_scores > 1) {
            ink(panel.cr, 0.7);
            cairo_move_to(panel.cr, x, up(&panel, run->scores[0]));
            for (int64_t k = 1; k < run->n_scores; k++)
                cairo_line_to(panel.cr, x, up(&panel, run->scores[k]));
            cairo_stroke(panel.cr);
        }
        for (int64_t k = 0; k < run->n_scores; k++) {
            rung_ink(panel.cr, sweep, k);
            dot(panel.cr, x, up(&panel, run->scores[k]));
        }
    }
}

static void draw(const TrainSweep *sweep, cairo_t *cr)
{
    Panel panel = {.cr = cr};
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    cairo_set_font_size(cr, 11);
    score_range(sweep, &panel);
    draw_halving(sweep, panel);
    draw_effects(sweep, WIDTH, 0, cr);
    for (guint i = 0; i < sweep->plan->axes->len; i++) {
        panel.x = WIDTH * ((i + 2) % COLUMNS);
        panel.y = HEIGHT * ((i + 2) / COLUMNS);
        draw_key(sweep, i, panel);
    }
}

static cairo_status_t collect(void *closure, const unsigned char *data, unsigned int length)
{
    g_byte_array_append(closure, data, length);
    return CAIRO_STATUS_SUCCESS;
}

bool train_sweep_write_plot(const TrainSweep *sweep, GError **error)
{
    g_autofree char *path = g_build_filename(sweep->folder, "plots.png", NULL);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    int lines = ((int)sweep->plan->axes->len + 2 + COLUMNS - 1) / COLUMNS;
    cairo_surface_t *surface =
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)WIDTH * COLUMNS, (int)HEIGHT * lines);
    cairo_t *cr = cairo_create(surface);
    draw(sweep, cr);
    cairo_status_t status = cairo_status(cr);
    if (status == CAIRO_STATUS_SUCCESS)
        status = cairo_surface_write_to_png_stream(surface, collect, bytes);
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
    if (status == CAIRO_STATUS_SUCCESS)
        return cz_file_replace(path, bytes->data, bytes->len, error);
    g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "plot %s: %s", path, cairo_status_to_string(status));
    return false;
}
