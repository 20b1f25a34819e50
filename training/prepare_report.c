// SPDX-License-Identifier: LGPL-3.0-or-later
// What became of every picture, as a file.
#include "prepare_report.h"

#include <string.h>

#include <jansson.h>

#include <cz/error.h>
#include <cz/model.h>

typedef struct {
    size_t number;
    TrainVerdict verdict;
    char *name, *reason;
} Row;

struct TrainReport {
    GArray *rows;
};

static void clear_row(gpointer memory)
{
    Row *row = memory;

    g_free(row->name);
    g_free(row->reason);
}

TrainReport *train_report_new(void)
{
    TrainReport *report = g_new0(TrainReport, 1);

    report->rows = g_array_new(FALSE, FALSE, sizeof(Row));
    g_array_set_clear_func(report->rows, clear_row);
    return report;
}

void train_report_free(TrainReport *report)
{
    if (!report)
        return;
    g_array_unref(report->rows);
    g_free(report);
}

void train_report_add(void *user, size_t number, const char *name, TrainVerdict verdict,
                      const char *detail)
{
    TrainReport *report = user;
    const Row row = {number, verdict, g_utf8_make_valid(name, -1),
                     g_utf8_make_valid(detail ? detail : train_verdict_text(verdict), -1)};

    if (verdict == TRAIN_TAKEN) {
        clear_row((Row *)&row);
        return;
    }
    g_array_append_val(report->rows, row);
}

// Those told at the end stood in the midst.
static int compare_rows(gconstpointer a, gconstpointer b)
{
    const Row *x = a, *y = b;

    return x->number < y->number ? -1 : x->number > y->number;
}

static void append_field(GString *text, const char *field, char after)
{
    if (!strpbrk(field, ",\"\r\n")) {
        g_string_append(text, field);
    } else {
        g_string_append_c(text, '"');
        for (; *field; field++) {
            if (*field == '"')
                g_string_append_c(text, '"');
            g_string_append_c(text, *field);
        }
        g_string_append_c(text, '"');
    }
    g_string_append_c(text, after);
}

static char *to_csv(const TrainReport *report)
{
    GString *text = g_string_new("path,verdict,reason\n");

    for (guint i = 0; i < report->rows->len; i++) {
        const Row *row = &g_array_index(report->rows, Row, i);

        append_field(text, row->name, ',');
        append_field(text, train_verdict_word(row->verdict), ',');
        append_field(text, row->reason, '\n');
    }
    return g_string_free(text, FALSE);
}

static char *to_json(const TrainReport *report, const char *set, const TrainPrepareCounts *counts)
{
    g_autofree char *name = g_utf8_make_valid(set, -1);
    json_t *numbers = json_object(), *pictures = json_array(), *root;
    char *text, *copy;

    for (int i = 0; i < TRAIN_VERDICTS; i++)
        json_object_set_new(numbers, train_verdict_word(i), json_integer((json_int_t)counts->n[i]));
    for (guint i = 0; i < report->rows->len; i++) {
        const Row *row = &g_array_index(report->rows, Row, i);

        json_array_append_new(pictures,
                              json_pack("{s:s, s:s, s:s}", "path", row->name, "verdict",
                                        train_verdict_word(row->verdict), "reason", row->reason));
    }
    root = json_pack("{s:s, s:o, s:I, s:o}", "set", name, "counts", numbers, "held_back",
                     (json_int_t)counts->n_held_back, "pictures", pictures);
    text = json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    copy = g_strdup_printf("%s\n", text ? text : "");
    free(text);
    return copy;
}

bool train_report_write(const TrainReport *report, const char *path, const char *set,
                        const TrainPrepareCounts *counts, GError **error)
{
    g_autofree char *text = NULL;

    g_array_sort(report->rows, compare_rows);
    text = g_str_has_suffix(path, ".json") ? to_json(report, set, counts) : to_csv(report);
    return cz_file_replace(path, text, strlen(text), error);
}
