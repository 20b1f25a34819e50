// SPDX-License-Identifier: LGPL-3.0-or-later
// The table of scalars and the files that it is written to.
#include "log.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "append.h"

typedef enum { FROM_STEP, FROM_CRITIC, FROM_PACE } Source;

typedef struct {
    const char *name;
    Source source;
    size_t offset; // of a float in the source's struct
    const char *format;
} Column;

#define STEP(field)   FROM_STEP, offsetof(TrainScalars, field)
#define CRITIC(field) FROM_CRITIC, offsetof(TrainCriticScalars, field)
#define PACE(field)   FROM_PACE, offsetof(TrainPace, field)

// New ones go to the end: scripts count columns.
// clang-format off
static const Column columns[] = {
    {"loss", STEP(loss), "%.6g"},
    {"norm", STEP(norm), "%.6g"},
    {"rate", PACE(rate), "%.6g"},
    {"chroma", STEP(chroma), "%.6g"},
    {"chroma_true", STEP(chroma_true), "%.6g"},
    {"images_per_s", PACE(images_per_s), "%.4g"},
    {"loader_wait", PACE(loader_wait), "%.4g"},
    {"gan", STEP(gan), "%.6g"},
    {"critic_loss", CRITIC(loss), "%.6g"},
    {"critic_norm", CRITIC(norm), "%.6g"},
    {"logit_real", CRITIC(real), "%.6g"},
    {"logit_fake", CRITIC(fake), "%.6g"},
    {"right_real", CRITIC(right_real), "%.6g"},
    {"right_fake", CRITIC(right_fake), "%.6g"},
    {"r1", CRITIC(r1), "%.6g"},
    {"rate_encoder", PACE(rate_encoder), "%.6g"},
    {"rate_critic", PACE(rate_critic), "%.6g"},
    {"gamut", PACE(gamut), "%.6g"},
    {"rollbacks", PACE(rollbacks), "%.6g"},
};
// clang-format on
#define N_COLUMNS G_N_ELEMENTS(columns)

struct TrainLog {
    int64_t steps;
    int32_t batch;
    TrainAppend csv, jsonl;
    double sums[N_COLUMNS];
    int64_t n_step, n_critic; // steps in the sums
    int64_t skipped;          // steps since the last line that changed nothing
};

// ---- means --------------------------------------------------------------------------------------

static float field(const void *source, const Column *column)
{
    return *(const float *)(const void *)((const char *)source + column->offset);
}

static void add(TrainLog *log, Source source, const void *scalars)
{
    for (size_t i = 0; i < N_COLUMNS; i++)
        if (columns[i].source == source)
            log->sums[i] += field(scalars, &columns[i]);
}

void train_log_add(TrainLog *log, const TrainScalars *scalars, const TrainCriticScalars *critic)
{
    log->skipped += scalars->gate <= 0;
    if (isfinite(scalars->loss)) {
        add(log, FROM_STEP, scalars);
        log->n_step++;
    }
    if (critic && isfinite(critic->loss)) {
        add(log, FROM_CRITIC, critic);
        log->n_critic++;
    }
}

static double mean(const TrainLog *log, size_t column)
{
    int64_t n = columns[column].source == FROM_CRITIC ? log->n_critic : log->n_step;
    return log->sums[column] / (double)MAX(n, 1);
}

double train_log_mean(const TrainLog *log, const char *column)
{
    for (size_t i = 0; i < N_COLUMNS; i++)
        if (strcmp(columns[i].name, column) == 0)
            return mean(log, i);
    return 0;
}

static double value(const TrainLog *log, size_t column, const TrainPace *pace)
{
    return columns[column].source == FROM_PACE ? field(pace, &columns[column]) : mean(log, column);
}

// The seed's averages were never reset, and its curves smeared.
static void reset(TrainLog *log)
{
    memset(log->sums, 0, sizeof log->sums);
    log->n_step = log->n_critic = log->skipped = 0;
}

// ---- files --------------------------------------------------------------------------------------

static void write_csv(TrainLog *log, int64_t step, const TrainPace *pace)
{
    g_autoptr(GString) line = g_string_new(NULL);
    g_string_printf(line, "%" G_GINT64_FORMAT ",%" G_GINT64_FORMAT, step, step * log->batch);
    for (size_t i = 0; i < N_COLUMNS; i++) {
        char text[G_ASCII_DTOSTR_BUF_SIZE];
        g_ascii_formatd(text, sizeof text, columns[i].format, value(log, i, pace));
        g_string_append_printf(line, ",%s", text);
    }
    g_string_append_printf(line, ",%" G_GINT64_FORMAT "\n", log->skipped);
    train_append(&log->csv, line->str, line->len);
}

static void write_json(TrainAppend *file, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
    g_autofree char *line = g_strdup_printf("%s\n", text ? text : "{}");
    train_append(file, line, strlen(line));
    free(text);
    json_decref(object);
}

static void write_jsonl(TrainLog *log, int64_t step, const TrainPace *pace)
{
    json_t *object = json_pack("{s:I, s:I}", "step", (json_int_t)step, "images",
                               (json_int_t)(step * log->batch));
    for (size_t i = 0; i < N_COLUMNS; i++) {
        double number = value(log, i, pace);
        if (columns[i].source != FROM_CRITIC || log->n_critic > 0)
            json_object_set_new(object, columns[i].name,
                                isfinite(number) ? json_real(number) : json_null());
    }
    json_object_set_new(object, "skipped", json_integer(log->skipped));
    write_json(&log->jsonl, object);
}

static void print_line(const TrainLog *log, int64_t step, const TrainPace *pace)
{
    double left = (double)(log->steps - step) * log->batch / MAX((double)pace->images_per_s, 1e-9);
    printf("step %" G_GINT64_FORMAT
           "  loss %.5f  norm %.3f  chroma %.1f of %.1f  %.1f images/s  waited %.0f %%  "
           "%d:%02d left\n",
           step, train_log_mean(log, "loss"), train_log_mean(log, "norm"),
           100 * train_log_mean(log, "chroma"), 100 * train_log_mean(log, "chroma_true"),
           (double)pace->images_per_s, 100 * (double)pace->loader_wait, (int)(left / 3600),
           (int)(left / 60) % 60);
    if (log->n_critic > 0)
        printf("  critic %.3f, right on %.0f %% of true and %.0f %% of made color\n",
               train_log_mean(log, "critic_loss"), 100 * train_log_mean(log, "right_real"),
               100 * train_log_mean(log, "right_fake"));
    fflush(stdout);
}

void train_log_line(TrainLog *log, int64_t step, const TrainPace *pace)
{
    print_line(log, step, pace);
    write_csv(log, step, pace);
    write_jsonl(log, step, pace);
    reset(log);
}

// ---- a run's interruptions ----------------------------------------------------------------------

char *train_log_state(TrainLog *log)
{
    json_t *sums = json_object();
    train_append_sync(&log->csv);
    train_append_sync(&log->jsonl);
    for (size_t i = 0; i < N_COLUMNS; i++)
        json_object_set_new(sums, columns[i].name, json_real(log->sums[i]));
    json_t *state = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:o}", "csv_lines", (json_int_t)log->csv.lines, "jsonl_lines",
        (json_int_t)log->jsonl.lines, "n_step", (json_int_t)log->n_step, "n_critic",
        (json_int_t)log->n_critic, "skipped", (json_int_t)log->skipped, "sums", sums);
    char *text = json_dumps(state, JSON_COMPACT | JSON_REAL_PRECISION(17));
    char *copy = g_strdup(text ? text : "{}");
    free(text);
    json_decref(state);
    return copy;
}

// A number of the state, or what stands for it where the state does not know it.
static int64_t get(const json_t *state, const char *key, int64_t otherwise)
{
    const json_t *number = json_object_get(state, key);
    return json_is_integer(number) ? json_integer_value(number) : otherwise;
}

static void restore(TrainLog *log, const json_t *state)
{
    const json_t *sums = json_object_get(state, "sums");
    for (size_t i = 0; i < N_COLUMNS; i++) {
        double sum = json_number_value(json_object_get(sums, columns[i].name));
        log->sums[i] = isfinite(sum) ? sum : 0;
    }
    log->n_step = get(state, "n_step", 0);
    log->n_critic = get(state, "n_critic", 0);
    log->skipped = get(state, "skipped", 0);
}

static bool open_file(TrainAppend *file, const char *folder, const char *name, int64_t keep_lines,
                      GError **error)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    return train_append_open(file, path, TRAIN_KEEP_ALL, keep_lines, error);
}

static void write_header(TrainLog *log)
{
    g_autoptr(GString) line = g_string_new("step,images");
    for (size_t i = 0; i < N_COLUMNS; i++)
        g_string_append_printf(line, ",%s", columns[i].name);
    g_string_append(line, ",skipped\n");
    train_append(&log->csv, line->str, line->len);
}

TrainLog *train_log_new(const TrainLogOptions *options, GError **error)
{
    TrainLog *log = g_new0(TrainLog, 1);
    json_t *state = options->state ? json_loads(options->state, 0, NULL) : NULL;
    int64_t all = options->state ? TRAIN_KEEP_ALL : 0;
    log->steps = options->steps;
    log->batch = options->batch;
    bool done =
        open_file(&log->csv, options->folder, "log.csv", get(state, "csv_lines", all), error) &&
        open_file(&log->jsonl, options->folder, "log.jsonl", get(state, "jsonl_lines", all), error);
    if (done && log->csv.lines == 0)
        write_header(log);
    if (done)
        restore(log, state);
    json_decref(state);
    if (!done)
        g_clear_pointer(&log, train_log_free);
    return log;
}

void train_log_free(TrainLog *log)
{
    if (!log)
        return;
    train_append_close(&log->csv);
    train_append_close(&log->jsonl);
    g_free(log);
}
