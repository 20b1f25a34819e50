// SPDX-License-Identifier: LGPL-3.0-or-later
// A run's log: means of its own steps alone, the same lines after an interruption, full disks.
#include "folder.h"

#include <math.h>

#include <jansson.h>

#include <cz/error.h>
#include <cz/memory.h>

#include "log.h"

static TrainLog *open_log(const Folder *folder, const char *state)
{
    g_autoptr(GError) error = NULL;
    const TrainLogOptions options = {
        .folder = folder->path, .steps = 100, .batch = 4, .state = state};
    TrainLog *log = train_log_new(&options, &error);

    g_assert_no_error(error);
    return log;
}

static char *read_file(const Folder *folder, const char *name)
{
    g_autofree char *path = folder_file(folder, name);
    char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

// A step whose loss is value, and with a critic ten times that.
static void step(TrainLog *log, float value, bool critic)
{
    const TrainScalars scalars = {.loss = value, .norm = 2 * value, .gate = 1};
    const TrainCriticScalars verdict = {.loss = 10 * value, .right_real = 0.5f};

    train_log_add(log, &scalars, critic ? &verdict : NULL);
}

static void line(TrainLog *log, int64_t at)
{
    const TrainPace pace = {.rate = 0.25f, .images_per_s = 12};

    train_log_line(log, at, &pace);
}

// The column of a CSV's row (0: the first after the header); NAN: there is none.
static double cell(const char *text, int row, const char *column)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_auto(GStrv) names = g_strsplit(lines[0], ",", -1);

    if (row + 1 >= (int)g_strv_length(lines))
        return NAN;
    g_auto(GStrv) cells = g_strsplit(lines[row + 1], ",", -1);
    g_assert_cmpuint(g_strv_length(names), ==, g_strv_length(cells));
    for (int i = 0; names[i]; i++)
        if (g_str_equal(names[i], column))
            return g_ascii_strtod(cells[i], NULL);
    return NAN;
}

static void add_terms(TrainLog *log, float huber, float gan)
{
    TrainScalars scalars = {.gate = 1, .n_terms = gan > 0 ? 2 : 1};

    scalars.terms[0] = (TrainTerm){"huber", huber};
    scalars.terms[1] = (TrainTerm){"gan", gan};
    train_log_add(log, &scalars, NULL);
}

// A term that begins in a later phase gets its column then; the rows before it are empty there.
static void terms_of_the_loss_are_columns(void)
{
    g_auto(Folder) folder = folder_new();
    TrainLog *log = open_log(&folder, NULL);

    add_terms(log, 1, 0);
    add_terms(log, 2, 0);
    line(log, 2);
    add_terms(log, 3, 0);
    add_terms(log, 3, 7);
    line(log, 4);
    g_autofree char *state = train_log_state(log);
    train_log_free(log);
    log = open_log(&folder, state);
    add_terms(log, 5, 9);
    line(log, 5);
    train_log_free(log);
    g_autofree char *text = read_file(&folder, "log.csv");
    g_assert_cmpfloat(cell(text, 0, "loss.huber"), ==, 1.5);
    g_assert_cmpfloat(cell(text, 1, "loss.huber"), ==, 3);
    g_assert_cmpfloat(cell(text, 1, "loss.gan"), ==, 7);
    g_assert_cmpfloat(cell(text, 2, "loss.gan"), ==, 9);
    g_assert_true(strstr(text, "loss.huber,loss.gan\n2,8,") != NULL);
}

// The seed never reset its averages, and its curves smeared (bug 11).
static void a_line_is_the_mean_of_its_own_steps(void)
{
    g_auto(Folder) folder = folder_new();
    g_autoptr(TrainLog) log = open_log(&folder, NULL);

    step(log, 1, false);
    step(log, 3, true);
    line(log, 2);
    step(log, 10, false);
    line(log, 3);
    line(log, 4);
    g_autofree char *text = read_file(&folder, "log.csv");
    g_assert_cmpfloat(cell(text, 0, "step"), ==, 2);
    g_assert_cmpfloat(cell(text, 0, "images"), ==, 8);
    g_assert_cmpfloat(cell(text, 0, "loss"), ==, 2);
    g_assert_cmpfloat(cell(text, 0, "norm"), ==, 4);
    g_assert_cmpfloat(cell(text, 0, "critic_loss"), ==, 30);
    g_assert_cmpfloat(cell(text, 0, "rate"), ==, 0.25);
    g_assert_cmpfloat(cell(text, 1, "loss"), ==, 10);
    g_assert_cmpfloat(cell(text, 1, "critic_loss"), ==, 0);
    g_assert_cmpfloat(cell(text, 2, "loss"), ==, 0);
}

static void what_is_not_finite_is_counted_not_averaged(void)
{
    g_auto(Folder) folder = folder_new();
    g_autoptr(TrainLog) log = open_log(&folder, NULL);
    const TrainScalars broken = {.loss = NAN, .norm = NAN, .gate = 0};
    const TrainScalars overflown = {.loss = 7, .norm = INFINITY, .gate = 0};

    g_assert_true(isnan(train_log_last(log, "loss"))); // no loss, and least of all the best
    step(log, 1, false);
    train_log_add(log, &broken, NULL);
    train_log_add(log, &overflown, NULL);
    line(log, 3);
    g_assert_cmpfloat(train_log_last(log, "loss"), ==, 1);
    line(log, 4);
    g_assert_true(isnan(train_log_last(log, "loss")));
    g_autofree char *text = read_file(&folder, "log.csv");
    g_assert_cmpfloat(cell(text, 0, "loss"), ==, 1);
    g_assert_cmpfloat(cell(text, 0, "skipped"), ==, 2);
    g_assert_cmpfloat(cell(text, 1, "skipped"), ==, 0);
}

static void the_old_columns_stay_first(void)
{
    g_auto(Folder) folder = folder_new();
    g_autoptr(TrainLog) log = open_log(&folder, NULL);

    line(log, 1);
    g_autofree char *text = read_file(&folder, "log.csv");
    g_assert_true(g_str_has_prefix(
        text, "step,images,loss,norm,rate,chroma,chroma_true,images_per_s,loader_wait,gan,"
              "critic_loss,critic_norm,logit_real,logit_fake,right_real,right_fake,r1,"));
}

static void json_has_what_there_was(void)
{
    g_auto(Folder) folder = folder_new();
    g_autoptr(TrainLog) log = open_log(&folder, NULL);

    step(log, 1.5f, false);
    line(log, 1);
    step(log, 1.5f, true);
    line(log, 2);
    g_autofree char *text = read_file(&folder, "log.jsonl");
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 3);
    json_t *first = json_loads(lines[0], 0, NULL), *second = json_loads(lines[1], 0, NULL);
    g_assert_cmpint(json_integer_value(json_object_get(second, "step")), ==, 2);
    g_assert_cmpfloat(json_number_value(json_object_get(first, "loss")), ==, 1.5);
    g_assert_null(json_object_get(first, "critic_loss"));
    g_assert_cmpfloat(json_number_value(json_object_get(second, "critic_loss")), ==, 15);
    json_decref(first);
    json_decref(second);
}

// Cut off between two lines, and between a checkpoint and what was written after it.
static void a_resumed_log_is_the_uninterrupted_one(void)
{
    g_auto(Folder) whole = folder_new(), cut = folder_new();
    g_autofree char *state = NULL;

    for (int pass = 0; pass < 3; pass++) {
        g_autoptr(TrainLog) log = open_log(pass == 0 ? &whole : &cut, state);

        for (int i = pass < 2 ? 1 : 8; i <= (pass == 1 ? 13 : 20); i++) {
            step(log, 1 / (float)i, i % 3 == 0);
            if (i % 5 == 0)
                line(log, i);
            if (pass == 1 && i == 7)
                state = train_log_state(log);
        }
    }
    for (int i = 0; i < 2; i++) {
        const char *name = i == 0 ? "log.csv" : "log.jsonl";
        g_autofree char *expected = read_file(&whole, name), *found = read_file(&cut, name);

        g_assert_cmpstr(found, ==, expected);
    }
}

static void half_a_line_is_cut_off(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "log.csv"), *state = NULL;
    TrainLog *log = open_log(&folder, NULL);

    step(log, 1, false);
    line(log, 1);
    state = train_log_state(log);
    train_log_free(log);
    g_autofree char *before = read_file(&folder, "log.csv");
    g_autofree char *torn = g_strconcat(before, "2,8,0.1", NULL);
    g_assert_true(g_file_set_contents(path, torn, -1, NULL));
    log = open_log(&folder, state);
    g_autofree char *after = read_file(&folder, "log.csv");
    g_assert_cmpstr(after, ==, before);
    train_log_free(log);
}

// Every write of a record fails once: the record is lost, all others are there, whole.
static void a_failing_disk_loses_whole_lines_only(void)
{
    for (unsigned long n = 1; n <= 9; n++) {
        g_auto(Folder) folder = folder_new();
        g_autoptr(TrainLog) log = open_log(&folder, NULL);

        cz_fault_arm(CZ_FAULT_FILE, n);
        for (int i = 1; i <= 3; i++) {
            step(log, (float)i, false);
            line(log, i);
        }
        cz_fault_arm(CZ_FAULT_FILE, 0);
        g_autofree char *csv = read_file(&folder, "log.csv");
        g_autofree char *jsonl = read_file(&folder, "log.jsonl");
        g_auto(GStrv) rows = g_strsplit(csv, "\n", -1), objects = g_strsplit(jsonl, "\n", -1);
        guint n_rows = g_strv_length(rows) - 2, n_objects = g_strv_length(objects) - 1;

        // The third record of each line is the event.
        g_assert_cmpuint(n_rows + n_objects, ==, n % 3 == 0 ? 6 : 5);
        for (guint i = 0; i < n_rows; i++)
            g_assert_cmpfloat(cell(csv, (int)i, "loss"), >, 0);
        for (guint i = 0; i < n_objects; i++) {
            json_t *object = json_loads(objects[i], 0, NULL);

            g_assert_nonnull(object);
            json_decref(object);
        }
    }
}

static void a_full_disk_stops_nothing(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "log.csv");

    if (symlink("/dev/full", path) != 0) {
        g_test_skip("no /dev/full here");
        return;
    }
    g_autoptr(TrainLog) log = open_log(&folder, NULL);
    for (int i = 1; i <= 3; i++) {
        step(log, 1, false);
        line(log, i);
    }
    g_autofree char *jsonl = read_file(&folder, "log.jsonl");
    g_auto(GStrv) objects = g_strsplit(jsonl, "\n", -1);
    g_assert_cmpuint(g_strv_length(objects), ==, 4);
}

static void a_log_that_cannot_be_made_is_an_error(void)
{
    g_autoptr(GError) error = NULL;
    const TrainLogOptions options = {.folder = "/proc/nowhere", .steps = 1, .batch = 1};

    g_assert_null(train_log_new(&options, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
    g_assert_nonnull(strstr(error->message, "/proc/nowhere/log.csv"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define ADD(name) g_test_add_func("/training/log/" #name, name)
    ADD(a_line_is_the_mean_of_its_own_steps);
    ADD(terms_of_the_loss_are_columns);
    ADD(what_is_not_finite_is_counted_not_averaged);
    ADD(the_old_columns_stay_first);
    ADD(json_has_what_there_was);
    ADD(a_resumed_log_is_the_uninterrupted_one);
    ADD(half_a_line_is_cut_off);
    ADD(a_failing_disk_loses_whole_lines_only);
    ADD(a_full_disk_stops_nothing);
    ADD(a_log_that_cannot_be_made_is_an_error);
    return g_test_run();
}
