// SPDX-License-Identifier: LGPL-3.0-or-later
// A run's score, read from the tables in its folder.
#include <math.h>
#include <string.h>

#include <cz/error.h>

#include "sweep.h"

typedef struct {
    int64_t step;
    double value;
} Line;

static int find_column(const char *heading, const char *name)
{
    g_auto(GStrv) names = g_strsplit(heading, ",", -1);
    for (int i = 0; names[i]; i++)
        if (strcmp(g_strstrip(names[i]), name) == 0)
            return i;
    return -1;
}

// A resumed run tells some steps again: what came later counts.
static void add_line(GArray *lines, const char *text, int step_at, int value_at)
{
    g_auto(GStrv) cells = g_strsplit(text, ",", -1);
    if ((int)g_strv_length(cells) <= MAX(step_at, value_at))
        return;
    Line line = {g_ascii_strtoll(cells[step_at], NULL, 10), g_ascii_strtod(cells[value_at], NULL)};
    while (lines->len > 0 && g_array_index(lines, Line, lines->len - 1).step >= line.step)
        g_array_set_size(lines, lines->len - 1);
    g_array_append_val(lines, line);
}

bool train_sweep_read_score(const TrainSweepScore *score, const char *folder, int64_t steps,
                            double *value, GError **error)
{
    g_autofree char *path = g_build_filename(folder, score->file, NULL), *text = NULL;
    // A run that was cut off may have a file without a line: what it had was of after its
    // checkpoint.
    if (!g_file_get_contents(path, &text, NULL, NULL) || !*text)
        return false;
    g_auto(GStrv) rows = g_strsplit(text, "\n", -1);
    int step_at = find_column(rows[0] ? rows[0] : "", "step");
    int value_at = find_column(rows[0] ? rows[0] : "", score->column);
    if (step_at < 0 || value_at < 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_FORMAT, "%s has no column '%s'", path,
                    step_at < 0 ? "step" : score->column);
        return false;
    }
    g_autoptr(GArray) lines = g_array_new(FALSE, FALSE, sizeof(Line));
    for (char **row = rows + 1; *row && row[1]; row++) // one without its end is cut off by a kill
        add_line(lines, *row, step_at, value_at);
    double sum = 0, from = (double)steps * (1 - score->window);
    int n = 0;
    if (lines->len == 0 || g_array_index(lines, Line, lines->len - 1).step != steps)
        return false;
    for (guint i = lines->len; i-- > 0;) {
        const Line *line = &g_array_index(lines, Line, i);
        if (n > 0 && (double)line->step <= from)
            break;
        sum += line->value;
        n++;
    }
    *value = sum / n;
    if (isfinite(*value))
        return true;
    g_set_error(error, CZ_ERROR, CZ_ERROR_NUMERIC, "%s at step %" G_GINT64_FORMAT " is %g",
                score->name, steps, *value);
    return false;
}
