// SPDX-License-Identifier: LGPL-3.0-or-later
// The table of scalars and the files that it is written to.
#include "log.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <glib/gstdio.h>
#include <jansson.h>

#include "append.h"
#include "tensorboard.h"

typedef enum { FROM_STEP, FROM_CRITIC, FROM_PACE, N_SOURCES } Source;

typedef struct {
    const char *name, *tag; // of a column, in TensorBoard
    Source source;
    size_t offset; // of a float in the source's struct
} Column;

#define STEP(field)   FROM_STEP, offsetof(TrainScalars, field)
#define CRITIC(field) FROM_CRITIC, offsetof(TrainCriticScalars, field)
#define PACE(field)   FROM_PACE, offsetof(TrainPace, field)

// New ones go to the end: scripts count columns.
// clang-format off
static const Column columns[] = {
    {"loss", "loss/total", STEP(loss)},
    {"norm", "norm/generator", STEP(norm)},
    {"rate", "rate/generator", PACE(rate)},
    {"chroma", "chroma/output", STEP(chroma)},
    {"chroma_true", "chroma/truth", STEP(chroma_true)},
    {"images_per_s", "speed/images_per_s", PACE(images_per_s)},
    {"loader_wait", "speed/loader_wait", PACE(loader_wait)},
    {"gan", "loss/gan_unweighted", STEP(gan)},
    {"critic_loss", "critic/loss", CRITIC(loss)},
    {"critic_norm", "norm/critic", CRITIC(norm)},
    {"logit_real", "critic/logit_real", CRITIC(real)},
    {"logit_fake", "critic/logit_fake", CRITIC(fake)},
    {"right_real", "critic/right_real", CRITIC(right_real)},
    {"right_fake", "critic/right_fake", CRITIC(right_fake)},
    {"r1", "critic/r1", CRITIC(r1)},
    {"rate_encoder", "rate/encoder", PACE(rate_encoder)},
    {"rate_critic", "rate/critic", PACE(rate_critic)},
    {"spread", "spread/output", STEP(spread)},
    {"spread_true", "spread/truth", STEP(spread_true)},
    {"gamut", "chroma/out_of_gamut", PACE(gamut)},
    {"rollbacks", "speed/rollbacks", PACE(rollbacks)},
    {"outliers", "speed/outliers", PACE(outliers)},
};
// clang-format on
#define N_COLUMNS G_N_ELEMENTS(columns)

typedef struct {
    char *name, *tag;
    double sum;
    int64_t n;
} Term;

struct TrainLog {
    int64_t steps;
    int32_t batch;
    TrainCsv csv, validation;
    TrainAppend jsonl, events;
    double sums[N_COLUMNS], last[N_COLUMNS];
    int64_t n[N_SOURCES]; // steps in the sums
    int64_t skipped;      // steps since the last line that changed nothing
    GArray *terms;        // of Term: the loss's, in order of their first step
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
            log->sums[i] += (double)field(scalars, &columns[i]);
    log->n[source]++;
}

static void clear_term(gpointer term)
{
    g_free(((Term *)term)->name);
    g_free(((Term *)term)->tag);
}

static Term *term_of(TrainLog *log, const char *name)
{
    for (guint i = 0; i < log->terms->len; i++)
        if (g_str_equal(g_array_index(log->terms, Term, i).name + strlen("loss."), name))
            return &g_array_index(log->terms, Term, i);
    Term term = {.name = g_strconcat("loss.", name, NULL), .tag = g_strconcat("loss/", name, NULL)};
    g_array_append_val(log->terms, term);
    return &g_array_index(log->terms, Term, log->terms->len - 1);
}

void train_log_add(TrainLog *log, const TrainScalars *scalars, const TrainCriticScalars *critic)
{
    log->skipped += scalars->gate <= 0;
    if (isfinite(scalars->loss) && isfinite(scalars->norm)) {
        add(log, FROM_STEP, scalars);
        for (int32_t i = 0; i < scalars->n_terms; i++) {
            Term *term = term_of(log, scalars->terms[i].name);
            term->sum += (double)scalars->terms[i].value;
            term->n++;
        }
    }
    if (critic && isfinite(critic->loss) && isfinite(critic->norm))
        add(log, FROM_CRITIC, critic);
}

static double value(const TrainLog *log, size_t column, const TrainPace *pace)
{
    Source source = columns[column].source;
    return source == FROM_PACE ? (double)field(pace, &columns[column])
                               : log->sums[column] / (double)MAX(log->n[source], 1);
}

double train_log_last(const TrainLog *log, const char *column)
{
    for (size_t i = 0; i < N_COLUMNS; i++)
        if (strcmp(columns[i].name, column) == 0)
            return log->last[i];
    return NAN;
}

// The seed's averages were never reset, and its curves smeared.
static void reset(TrainLog *log)
{
    memset(log->sums, 0, sizeof log->sums);
    memset(log->n, 0, sizeof log->n);
    log->skipped = 0;
    for (guint i = 0; i < log->terms->len; i++) {
        Term *term = &g_array_index(log->terms, Term, i);
        term->sum = 0;
        term->n = 0;
    }
}

// ---- lines --------------------------------------------------------------------------------------

static double now(void)
{
    return (double)g_get_real_time() * 1e-6;
}

// A cell of the line: where it goes, and whether a step had it.
typedef struct {
    const char *tag;
    bool known;
} Mark;

static void put_cell(GArray *cells, GArray *marks, const char *name, const char *tag, bool known,
                     double number)
{
    TrainCell cell = {name, number};
    Mark mark = {tag, known};
    g_array_append_val(cells, cell);
    g_array_append_val(marks, mark);
}

static void write_json(TrainAppend *file, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
    g_autofree char *line = g_strdup_printf("%s\n", text ? text : "{}");
    train_append(file, line, strlen(line));
    free(text);
    json_decref(object);
}

static json_t *json_number(double number)
{
    bool whole = number == floor(number) && fabs(number) < 1e15;
    if (!isfinite(number))
        return json_null();
    return whole ? json_integer((json_int_t)number) : json_real(number);
}

static void write_event(TrainLog *log, const TrainSummary *summary, int64_t step)
{
    g_autoptr(GByteArray) record = train_summary_record(summary, now(), step);
    train_append(&log->events, record->data, record->len);
}

static void write_line(TrainLog *log, const GArray *cells, const GArray *marks)
{
    g_autoptr(TrainSummary) summary = train_summary_new();
    json_t *object = json_object();
    const TrainCell *cell = (const TrainCell *)(const void *)cells->data;
    for (guint i = 0; i < cells->len; i++) {
        const Mark *mark = &g_array_index(marks, Mark, i);
        if (mark->known)
            json_object_set_new(object, cell[i].name, json_number(cell[i].value));
        if (mark->known && mark->tag && isfinite(cell[i].value))
            train_summary_scalar(summary, mark->tag, (float)cell[i].value);
    }
    train_csv_row(&log->csv, cell, cells->len);
    write_json(&log->jsonl, object);
    write_event(log, summary, (int64_t)cell[0].value);
}

static void print_line(const TrainLog *log, int64_t step, const TrainPace *pace)
{
    double left = (double)(log->steps - step) * log->batch / MAX((double)pace->images_per_s, 1e-9);
    printf("step %" G_GINT64_FORMAT
           "  loss %.5f  norm %.3f  chroma %.1f of %.1f  %.1f images/s  waited %.0f %%  "
           "%d:%02d left\n",
           step, train_log_last(log, "loss"), train_log_last(log, "norm"),
           100 * train_log_last(log, "chroma"), 100 * train_log_last(log, "chroma_true"),
           (double)pace->images_per_s, 100 * (double)pace->loader_wait, (int)(left / 3600),
           (int)(left / 60) % 60);
    if (log->n[FROM_CRITIC] > 0)
        printf("  critic %.3f, right on %.0f %% of true and %.0f %% of made color\n",
               train_log_last(log, "critic_loss"), 100 * train_log_last(log, "right_real"),
               100 * train_log_last(log, "right_fake"));
    fflush(stdout);
}

void train_log_line(TrainLog *log, int64_t step, const TrainPace *pace)
{
    g_autoptr(GArray) cells = g_array_new(FALSE, FALSE, sizeof(TrainCell)),
                      marks = g_array_new(FALSE, FALSE, sizeof(Mark));
    put_cell(cells, marks, "step", NULL, true, (double)step);
    put_cell(cells, marks, "images", NULL, true, (double)step * log->batch);
    for (size_t i = 0; i < N_COLUMNS; i++) {
        bool known = columns[i].source == FROM_PACE || log->n[columns[i].source] > 0;
        double number = value(log, i, pace);
        log->last[i] = known ? number : NAN;
        put_cell(cells, marks, columns[i].name, columns[i].tag, known, number);
    }
    put_cell(cells, marks, "skipped", "speed/skipped", true, (double)log->skipped);
    for (guint i = 0; i < log->terms->len; i++) {
        const Term *term = &g_array_index(log->terms, Term, i);
        if (term->n > 0)
            put_cell(cells, marks, term->name, term->tag, true, term->sum / (double)term->n);
    }
    print_line(log, step, pace);
    write_line(log, cells, marks);
    reset(log);
}

void train_log_validation(TrainLog *log, int64_t step, const TrainCell *figures, size_t n_figures)
{
    g_autofree TrainCell *cells = g_new(TrainCell, n_figures + 1);
    g_autoptr(TrainSummary) summary = train_summary_new();
    json_t *object = json_object();
    cells[0] = (TrainCell){"step", (double)step};
    memcpy(cells + 1, figures, n_figures * sizeof *figures);
    for (size_t i = 0; i < n_figures; i++) {
        g_autofree char *tag = g_strconcat("validation/", figures[i].name, NULL);
        json_object_set_new(object, figures[i].name, json_number(figures[i].value));
        if (isfinite(figures[i].value))
            train_summary_scalar(summary, tag, (float)figures[i].value);
    }
    train_csv_row(&log->validation, cells, n_figures + 1);
    write_json(&log->jsonl,
               json_pack("{s:I, s:o}", "step", (json_int_t)step, "validation", object));
    write_event(log, summary, step);
}

void train_log_sheet(TrainLog *log, int64_t step, const char *path)
{
    g_autofree char *png = NULL;
    gsize n_bytes = 0;
    // A PNG's header chunk has width and height, big-endian, at bytes 16 and 20.
    if (!g_file_get_contents(path, &png, &n_bytes, NULL) || n_bytes < 24)
        return;
    g_autoptr(TrainSummary) summary = train_summary_new();
    uint32_t size[2];
    memcpy(size, png + 16, sizeof size);
    train_summary_png(summary, "sheet", (int32_t)GUINT32_FROM_BE(size[0]),
                      (int32_t)GUINT32_FROM_BE(size[1]), png, n_bytes);
    write_event(log, summary, step);
}

void train_log_event(TrainLog *log, int64_t step, const char *event, const char *text)
{
    write_json(&log->jsonl, json_pack("{s:I, s:s, s:s}", "step", (json_int_t)step, "event", event,
                                      "text", text));
}

// ---- a run's interruptions ----------------------------------------------------------------------

static json_t *terms_state(const TrainLog *log)
{
    json_t *terms = json_array();
    for (guint i = 0; i < log->terms->len; i++) {
        const Term *term = &g_array_index(log->terms, Term, i);
        json_array_append_new(terms,
                              json_pack("{s:s, s:f, s:I}", "name", term->name + strlen("loss."),
                                        "sum", term->sum, "n", (json_int_t)term->n));
    }
    return terms;
}

char *train_log_state(TrainLog *log)
{
    TrainAppend *files[] = {&log->csv.file, &log->jsonl, &log->validation.file, &log->events};
    json_t *sums = json_object();
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++)
        train_append_sync(files[i]);
    for (size_t i = 0; i < N_COLUMNS; i++)
        json_object_set_new(sums, columns[i].name, json_real(log->sums[i]));
    json_t *state =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "csv_lines",
                  (json_int_t)log->csv.file.lines, "jsonl_lines", (json_int_t)log->jsonl.lines,
                  "validation_lines", (json_int_t)log->validation.file.lines, "events_bytes",
                  (json_int_t)log->events.size, "n_step", (json_int_t)log->n[FROM_STEP], "n_critic",
                  (json_int_t)log->n[FROM_CRITIC], "skipped", (json_int_t)log->skipped, "sums",
                  sums, "terms", terms_state(log));
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
    const json_t *sums = json_object_get(state, "sums"), *term;
    size_t index;
    for (size_t i = 0; i < N_COLUMNS; i++)
        log->sums[i] = json_number_value(json_object_get(sums, columns[i].name));
    log->n[FROM_STEP] = get(state, "n_step", 0);
    log->n[FROM_CRITIC] = get(state, "n_critic", 0);
    log->skipped = get(state, "skipped", 0);
    json_array_foreach(json_object_get(state, "terms"), index, term)
    {
        const char *name = json_string_value(json_object_get(term, "name"));
        if (!name)
            continue;
        Term *found = term_of(log, name);
        found->sum = json_number_value(json_object_get(term, "sum"));
        found->n = get(term, "n", 0);
    }
}

static bool open_files(TrainLog *log, const char *folder, const json_t *state, int64_t otherwise,
                       GError **error)
{
    g_autofree char *csv = g_build_filename(folder, "log.csv", NULL),
                    *jsonl = g_build_filename(folder, "log.jsonl", NULL),
                    *validation = g_build_filename(folder, "validation.csv", NULL),
                    *events = g_build_filename(folder, "events.out.tfevents.colorizer", NULL);
    return train_csv_open(&log->csv, csv, get(state, "csv_lines", otherwise), error) &&
           train_append_open(&log->jsonl, jsonl, TRAIN_KEEP_ALL,
                             get(state, "jsonl_lines", otherwise), error) &&
           train_csv_open(&log->validation, validation, get(state, "validation_lines", otherwise),
                          error) &&
           train_append_open(&log->events, events, get(state, "events_bytes", otherwise),
                             TRAIN_KEEP_ALL, error);
}

TrainLog *train_log_new(const TrainLogOptions *options, GError **error)
{
    TrainLog *log = g_new0(TrainLog, 1);
    json_t *state = options->state ? json_loads(options->state, 0, NULL) : NULL;
    log->steps = options->steps;
    log->batch = options->batch;
    for (size_t i = 0; i < N_COLUMNS; i++)
        log->last[i] = NAN;
    log->terms = g_array_new(FALSE, FALSE, sizeof(Term));
    g_array_set_clear_func(log->terms, clear_term);
    if (open_files(log, options->folder, state, options->state ? TRAIN_KEEP_ALL : 0, error))
        restore(log, state);
    else
        g_clear_pointer(&log, train_log_free);
    json_decref(state);
    if (log && log->events.size == 0) {
        g_autoptr(GByteArray) head = train_events_head(now());
        train_append(&log->events, head->data, head->len);
    }
    return log;
}

void train_log_free(TrainLog *log)
{
    if (!log)
        return;
    train_csv_close(&log->csv);
    train_csv_close(&log->validation);
    train_append_close(&log->jsonl);
    train_append_close(&log->events);
    g_array_unref(log->terms);
    g_free(log);
}
