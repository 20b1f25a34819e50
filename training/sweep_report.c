// SPDX-License-Identifier: LGPL-3.0-or-later
// What a sweep showed: the ranked table, the same as CSV, and how much each key mattered.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cz/error.h>
#include <cz/model.h>

#include "schedule.h"
#include "sweep.h"

// ---- how much a key mattered --------------------------------------------------------------------

typedef struct {
    double value;
    size_t index;
} Ranked;

static int by_value(const void *a, const void *b)
{
    double x = ((const Ranked *)a)->value, y = ((const Ranked *)b)->value;
    return (x > y) - (x < y);
}

void train_sweep_ranks(const double *values, size_t n, double *ranks)
{
    g_autofree Ranked *sorted = g_new(Ranked, n);
    for (size_t i = 0; i < n; i++)
        sorted[i] = (Ranked){values[i], i};
    qsort(sorted, n, sizeof *sorted, by_value);
    for (size_t first = 0, end; first < n; first = end) {
        for (end = first + 1; end < n && sorted[end].value == sorted[first].value;)
            end++;
        for (size_t i = first; i < end; i++)
            ranks[sorted[i].index] = (double)(first + 1 + end) / 2;
    }
}

static double correlate(const double *x, const double *y, size_t n)
{
    double mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0;
    for (size_t i = 0; i < n; i++) {
        mean_x += x[i] / (double)n;
        mean_y += y[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        xx += (x[i] - mean_x) * (x[i] - mean_x);
        yy += (y[i] - mean_y) * (y[i] - mean_y);
        xy += (x[i] - mean_x) * (y[i] - mean_y);
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : NAN;
}

// One-way analysis of variance: between groups over all, less what k groups of noise would give.
static double variance_share(const double *scores, const uint32_t *groups, size_t n)
{
    double mean = 0, all = 0, within = 0;
    g_autofree double *sums = g_new0(double, n);
    g_autofree size_t *counts = g_new0(size_t, n);
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        mean += scores[i] / (double)n;
        sums[groups[i]] += scores[i];
        k += counts[groups[i]]++ == 0;
    }
    for (size_t i = 0; i < n; i++) {
        double off = scores[i] - sums[groups[i]] / (double)counts[groups[i]];
        all += (scores[i] - mean) * (scores[i] - mean);
        within += off * off;
    }
    if (k < 2 || k == n || all <= 0)
        return NAN;
    return MAX(0.0, 1 - within / all * (double)(n - 1) / (double)(n - k));
}

TrainSweepEffect train_sweep_effect(const TrainSweep *sweep, size_t axis)
{
    const TrainAxis *of = sweep->plan->axes->pdata[axis];
    size_t most = (size_t)sweep->plan->n_runs, n = 0;
    g_autofree double *values = g_new0(double, 2 * most), *scores = g_new0(double, 2 * most);
    g_autofree uint32_t *groups = g_new0(uint32_t, most);
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (size_t i = 0; i < most; i++) {
        const TrainSweepRun *run = &sweep->runs[i];
        if (run->n_scores == 0)
            continue;
        char *text = run->values[axis];
        if (!g_hash_table_contains(seen, text))
            g_hash_table_insert(seen, text, GUINT_TO_POINTER(g_hash_table_size(seen)));
        groups[n] = GPOINTER_TO_UINT(g_hash_table_lookup(seen, text));
        values[n] = g_ascii_strtod(text, NULL);
        scores[n++] = run->scores[0];
    }
    TrainSweepEffect effect = {NAN, n ? variance_share(scores, groups, n) : NAN, (int64_t)n};
    if (of->key->type != TRAIN_KEY_TEXT && n > 1) {
        train_sweep_ranks(values, n, values + most);
        train_sweep_ranks(scores, n, scores + most);
        effect.correlation = correlate(values + most, scores + most, n);
    }
    return effect;
}

// ---- tables -------------------------------------------------------------------------------------

static int64_t steps_done(const TrainSweep *sweep, const TrainSweepRun *run, int64_t *images)
{
    TrainRecipe recipe;
    *images = 0;
    if (run->n_scores == 0 || !train_sweep_recipe(sweep->plan, run->values, &recipe, NULL))
        return 0;
    int64_t steps = train_sweep_steps(sweep->plan, &recipe, run->n_scores - 1);
    *images = steps * train_recipe_per_step(&recipe);
    return steps;
}

// A line of the table, its cells in the order of the heading; the caller frees with g_strfreev.
static char **cells_of(const TrainSweep *sweep, int64_t rank, int64_t number)
{
    const TrainSweepRun *run = &sweep->runs[number];
    bool failed = run->state == TRAIN_SWEEP_FAILED;
    int64_t images, steps = steps_done(sweep, run, &images);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_autofree char *place = failed ? g_strdup("-") : g_strdup_printf("%d", (int)rank);
    g_autofree char *name = g_strdup_printf("%03d", (int)number);
    g_autofree char *score =
        run->n_scores ? g_strdup_printf("%.4f", run->scores[run->n_scores - 1]) : g_strdup("-");
    g_autofree char *rungs = g_strdup_printf("%d", (int)run->n_scores);
    g_autofree char *counts = g_strdup_printf("%" G_GINT64_FORMAT, steps);
    g_autofree char *seen = g_strdup_printf("%" G_GINT64_FORMAT, images);
    g_autofree char *seconds = g_strdup_printf("%.0f", run->seconds);
    g_strv_builder_add_many(builder, place, name, score, rungs, counts, seen, seconds, NULL);
    for (char **value = run->values; *value; value++)
        g_strv_builder_add(builder, *value);
    g_strv_builder_add(builder, run->error ? run->error : "");
    return g_strv_builder_end(builder);
}

static char **heading_of(const TrainSweep *sweep)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_strv_builder_add_many(builder, "rank", "run", sweep->plan->score->name, "rungs", "steps",
                            "images", "seconds", NULL);
    for (guint i = 0; i < sweep->plan->axes->len; i++)
        g_strv_builder_add(builder, ((TrainAxis *)sweep->plan->axes->pdata[i])->name);
    g_strv_builder_add(builder, "error");
    return g_strv_builder_end(builder);
}

// Heading and lines, best first.
static GPtrArray *table_of(const TrainSweep *sweep)
{
    g_autofree int64_t *order = train_sweep_ranking(sweep);
    GPtrArray *table = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    g_ptr_array_add(table, heading_of(sweep));
    for (int64_t i = 0; i < sweep->plan->n_runs; i++)
        g_ptr_array_add(table, cells_of(sweep, i + 1, order[i]));
    return table;
}

static void print_effects(const TrainSweep *sweep)
{
    printf("\nwhat mattered, in the first rung:\n");
    for (guint i = 0; i < sweep->plan->axes->len; i++) {
        TrainSweepEffect effect = train_sweep_effect(sweep, i);
        printf("  %-28s", ((TrainAxis *)sweep->plan->axes->pdata[i])->name);
        if (!isnan(effect.correlation))
            printf("  rank correlation %+.2f", effect.correlation);
        if (!isnan(effect.share))
            printf("  share of variance %.0f %%", 100 * effect.share);
        printf("  (%d runs)\n", (int)effect.n);
    }
}

void train_sweep_print(const TrainSweep *sweep)
{
    g_autoptr(GPtrArray) table = table_of(sweep);
    guint n_columns = g_strv_length(table->pdata[0]);
    g_autofree size_t *widths = g_new0(size_t, n_columns);
    for (guint row = 0; row < table->len; row++)
        for (guint column = 0; column < n_columns; column++) {
            size_t width = (size_t)g_utf8_strlen(((char **)table->pdata[row])[column], -1);
            widths[column] = MAX(widths[column], width);
        }
    for (guint row = 0; row < table->len; row++) {
        char **cells = table->pdata[row];
        for (guint column = 0; column + 1 < n_columns; column++)
            printf("%*s%s  ", (int)(widths[column] - (size_t)g_utf8_strlen(cells[column], -1)), "",
                   cells[column]);
        printf("%s\n", row == 0 ? "" : cells[n_columns - 1]);
    }
    print_effects(sweep);
    fflush(stdout);
}

// RFC 4180: what has a comma, a quote or a line's end is quoted.
static void append_field(GString *text, const char *field)
{
    if (!strpbrk(field, ",\"\r\n")) {
        g_string_append(text, field);
        return;
    }
    g_auto(GStrv) parts = g_strsplit(field, "\"", -1);
    g_autofree char *doubled = g_strjoinv("\"\"", parts);
    g_string_append_printf(text, "\"%s\"", doubled);
}

bool train_sweep_write_csv(const TrainSweep *sweep, GError **error)
{
    g_autofree char *path = g_build_filename(sweep->folder, "ranking.csv", NULL);
    g_autoptr(GPtrArray) table = table_of(sweep);
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint row = 0; row < table->len; row++) {
        char **cells = table->pdata[row];
        for (int column = 0; cells[column]; column++) {
            if (column > 0)
                g_string_append_c(text, ',');
            append_field(text, cells[column]);
        }
        g_string_append_c(text, '\n');
    }
    return cz_file_replace(path, text->str, text->len, error);
}
