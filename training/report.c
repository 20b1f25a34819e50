// SPDX-License-Identifier: LGPL-3.0-or-later
// The table of figures, filled in.
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <cz/model.h>

#define LEAST_LABEL 28
#define LEAST_CELL  8

// ---- text ---------------------------------------------------------------------------------------

static int label_width(const TrainRow *rows, size_t n_rows)
{
    size_t width = LEAST_LABEL;
    for (size_t i = 0; i < n_rows; i++)
        width = MAX(width, strlen(rows[i].label));
    return (int)width;
}

static char *head_of(const TrainFigure *figure)
{
    return g_strjoin(*figure->unit ? " " : "", figure->head, figure->unit, NULL);
}

static void print_cell(double value, int digits, int width, bool sign)
{
    if (isnan(value))
        printf(" %*s", width, "-");
    else if (sign)
        printf(" %+*.*f", width, digits, value);
    else
        printf(" %*.*f", width, digits, value);
}

static void print_line(const TrainRow *row, TrainFigurePlace place, int width)
{
    printf("%-*s", width, row ? row->label : "weights");
    for (size_t i = 0; i < TRAIN_N_FIGURES; i++) {
        const TrainFigure *figure = &train_figures[i];
        if (figure->place != place || !*figure->head)
            continue;
        g_autofree char *head = head_of(figure);
        int cell = MAX(LEAST_CELL, (int)strlen(head));
        if (row)
            print_cell(row->scores.values[i], figure->digits, cell, i == TRAIN_GAIN);
        else
            printf(" %*s", cell, head);
    }
    printf("\n");
}

static void print_hints(const TrainRow *rows, size_t n_rows, int width)
{
    const TrainHints *asked = &rows[1].hints;
    if (asked->n == 0)
        return;
    printf("\n%-*s", width, "gain over no hint, dB");
    for (size_t i = 0; i < asked->n; i++)
        printf(" %7d", asked->counts[i]);
    for (size_t r = 1; r + 1 < n_rows; r++) {
        if (rows[r].hints.n == 0) // another strength of the same weights
            continue;
        printf("\n%-*s", width, rows[r].weights);
        for (size_t i = 0; i < asked->n; i++)
            printf(" %+7.2f", rows[r].hints.gains[i]);
    }
    printf("\n%-*s", width, "published, SIGGRAPH17");
    for (size_t i = 0; i < asked->n; i++) {
        double gain = NAN;
        for (size_t k = 0; k < TRAIN_HINTS_PUBLISHED; k++)
            if (train_hints_published_counts[k] == asked->counts[i])
                gain = train_hints_published_gains[k];
        print_cell(gain, 2, 7, true);
    }
    printf("\n");
}

static void print_frontier(const TrainRow *rows, size_t n_rows, int width)
{
    if (rows[1].frontier.n == 0)
        return;
    printf("\n%-*s", width, "gain, dB, at a CF of");
    for (size_t i = 0; i < TRAIN_FRONTIER_PLACES; i++)
        printf(" %6d%%", train_frontier_percents[i]);
    printf("\n");
    for (size_t r = 1; r + 1 < n_rows; r++) {
        if (rows[r].frontier.n == 0)
            continue;
        printf("%-*s", width, rows[r].weights);
        for (size_t i = 0; i < TRAIN_FRONTIER_PLACES; i++)
            print_cell(train_frontier_gain(&rows[r].frontier, train_frontier_percents[i]), 3, 7,
                       true);
        printf("\n");
    }
}

void train_table_print(const TrainRow *rows, size_t n_rows)
{
    int width = label_width(rows, n_rows);
    printf("%zu pictures\n", rows[0].scores.n);
    for (TrainFigurePlace place = 0; place < TRAIN_N_PLACES; place++) {
        printf("%s", place > 0 ? "\n" : "");
        print_line(NULL, place, width);
        for (size_t i = 0; i < n_rows; i++)
            print_line(&rows[i], place, width);
    }
    if (!isnan(rows[0].scores.values[TRAIN_FRECHET]))
        printf("\nFrechet (lite0): last level (1/32) mean pooled, %zu pictures\n",
               rows[0].scores.n);
    print_hints(rows, n_rows, width);
    print_frontier(rows, n_rows, width);
}

// ---- JSON ---------------------------------------------------------------------------------------

static json_t *number_json(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

// An object of number of hints to gain.
static json_t *hints_json(const TrainHints *hints)
{
    json_t *gains = json_object();
    for (size_t i = 0; i < hints->n; i++) {
        char number[16];
        g_snprintf(number, sizeof number, "%d", hints->counts[i]);
        json_object_set_new(gains, number, json_real(hints->gains[i]));
    }
    return gains;
}

// An object of percent of the true colourfulness to gain, and the strengths that it is drawn by.
static json_t *frontier_json(const TrainFrontier *frontier)
{
    json_t *gains = json_object(), *line = json_array();
    double n = (double)frontier->n;
    for (size_t i = 0; i < TRAIN_FRONTIER_PLACES; i++) {
        char percent[16];
        g_snprintf(percent, sizeof percent, "%d", train_frontier_percents[i]);
        json_object_set_new(gains, percent,
                            number_json(train_frontier_gain(frontier, train_frontier_percents[i])));
    }
    for (size_t i = 0; i < TRAIN_FRONTIER_STEPS; i++)
        json_array_append_new(
            line,
            json_pack("{s:f, s:f, s:f}", "strength", train_frontier_strength(i),
                      "gain_over_grey_db", frontier->gains[i] / n, "colourfulness_percent",
                      100 * frontier->colourfulness[i] / MAX(frontier->colourfulness_true, 1e-9)));
    return json_pack("{s:o, s:o}", "gain_at_percent_db", gains, "line", line);
}

static json_t *row_json(const TrainRow *row, bool of_weights)
{
    g_autofree char *name = g_utf8_make_valid(row->weights, -1); // JSON takes nothing else
    json_t *object = json_pack("{s:s}", "weights", name);
    if (of_weights)
        json_object_set_new(object, "strength", json_real(row->strength));
    for (size_t i = 0; i < TRAIN_N_FIGURES; i++)
        json_object_set_new(object, train_figures[i].key, number_json(row->scores.values[i]));
    if (row->hints.n > 0)
        json_object_set_new(object, "hint_gain_db", hints_json(&row->hints));
    if (row->frontier.n > 0)
        json_object_set_new(object, "frontier", frontier_json(&row->frontier));
    return object;
}

static json_t *figures_json(void)
{
    json_t *figures = json_array();
    for (size_t i = 0; i < TRAIN_N_FIGURES; i++) {
        const TrainFigure *figure = &train_figures[i];
        json_array_append_new(figures,
                              json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "key", figure->key,
                                        "name", figure->head, "unit", figure->unit, "better",
                                        train_better_name(figure->better), "scope",
                                        figure->set ? "set" : "picture", "about", figure->about));
    }
    return figures;
}

bool train_table_write(const char *path, const TrainRow *rows, size_t n_rows, int size,
                        GError **error)
{
    json_t *root = json_pack("{s:i, s:I, s:s, s:[], s:o}", "size", size, "pictures",
                             (json_int_t)rows[0].scores.n, "protocol",
                             "shorter side to size (area down, bicubic up), centre square, 8 bit",
                             "rows", "figures", figures_json());
    for (size_t i = 0; i < n_rows; i++)
        json_array_append_new(json_object_get(root, "rows"),
                              row_json(&rows[i], i > 0 && i + 1 < n_rows));
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(7));
    bool done = cz_file_replace(path, text, strlen(text), error);
    free(text);
    json_decref(root);
    return done;
}
