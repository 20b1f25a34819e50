// SPDX-License-Identifier: LGPL-3.0-or-later
// How far a sweep is: its runs, their file, their order.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <glib/gstdio.h>
#include <jansson.h>

#include <cz/error.h>
#include <cz/model.h>

#include "sweep.h"

#define LOCK_SECONDS 60 // a training of before ends its step and saves in that time

static const char *const states[] = {"waiting", "running", "scored", "failed"};

static char *state_path(const TrainSweep *sweep)
{
    return g_build_filename(sweep->folder, "sweep.json", NULL);
}

char *train_sweep_run_folder(const TrainSweep *sweep, int64_t run)
{
    g_autofree char *name = g_strdup_printf("run-%03" G_GINT64_FORMAT, run);
    return g_build_filename(sweep->folder, name, NULL);
}

// ---- the file -----------------------------------------------------------------------------------

static json_t *run_json(const TrainSweep *sweep, const TrainSweepRun *run)
{
    json_t *values = json_object(), *scores = json_array();
    for (guint i = 0; i < sweep->plan->axes->len; i++) {
        const TrainAxis *axis = sweep->plan->axes->pdata[i];
        json_object_set_new(values, axis->name, json_string(run->values[i]));
    }
    for (int64_t i = 0; i < run->n_scores; i++)
        json_array_append_new(scores, json_real(run->scores[i]));
    return json_pack("{s:o, s:s, s:I, s:o, s:f, s:s}", "values", values, "state",
                     states[run->state], "rung", (json_int_t)run->rung, "scores", scores, "seconds",
                     run->seconds, "error", run->error ? run->error : "");
}

bool train_sweep_save(const TrainSweep *sweep, GError **error)
{
    g_autofree char *path = state_path(sweep);
    json_t *runs = json_array();
    for (int64_t i = 0; i < sweep->plan->n_runs; i++)
        json_array_append_new(runs, run_json(sweep, &sweep->runs[i]));
    json_t *root =
        json_pack("{s:i, s:s, s:s, s:I, s:I, s:I, s:o}", "format", 1, "digest", sweep->digest,
                  "score", sweep->plan->score->name, "eta", (json_int_t)sweep->plan->eta, "rungs",
                  (json_int_t)sweep->plan->n_rungs, "rung", (json_int_t)sweep->rung, "runs", runs);
    char *text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    if (!text) { // a key or sentence that JSON cannot say; the recipe's texts are valid UTF-8
        g_set_error(error, CZ_ERROR, CZ_ERROR_FORMAT, "%s cannot be written as JSON", path);
        return false;
    }
    bool done = cz_file_replace(path, text, strlen(text), error);
    free(text);
    return done;
}

static bool read_scores(TrainSweepRun *run, const json_t *scores, int64_t n_rungs)
{
    run->n_scores = (int64_t)json_array_size(scores);
    if (run->n_scores > n_rungs)
        return false;
    for (int64_t i = 0; i < run->n_scores; i++)
        run->scores[i] = json_number_value(json_array_get(scores, (size_t)i));
    return true;
}

// Values are not read: they follow from the plan, and the digest says that it is the same.
static bool read_run(TrainSweepRun *run, json_t *entry, int64_t n_rungs)
{
    const char *state, *sentence;
    json_t *scores;
    json_int_t rung;
    double seconds;
    if (json_unpack(entry, "{s:s, s:I, s:o, s:F, s:s}", "state", &state, "rung", &rung, "scores",
                    &scores, "seconds", &seconds, "error", &sentence) != 0 ||
        rung < 0 || rung >= n_rungs || !read_scores(run, scores, n_rungs))
        return false;
    size_t number = 0;
    while (number < G_N_ELEMENTS(states) && strcmp(states[number], state) != 0)
        number++;
    run->rung = rung;
    run->seconds = seconds;
    run->state = number == TRAIN_SWEEP_RUNNING ? TRAIN_SWEEP_WAITING : (TrainSweepState)number;
    run->error = *sentence ? g_strdup(sentence) : NULL;
    // What has ended its rung has a score for it.
    int64_t expected = run->rung + (run->state == TRAIN_SWEEP_SCORED);
    return number < G_N_ELEMENTS(states) && run->n_scores == expected;
}

static bool read_state(TrainSweep *sweep, json_t *root, GError **error)
{
    g_autofree char *path = state_path(sweep);
    const char *digest;
    json_t *runs;
    json_int_t rung;
    const TrainSweepPlan *plan = sweep->plan;
    bool sound =
        json_unpack(root, "{s:s, s:I, s:o}", "digest", &digest, "rung", &rung, "runs", &runs) == 0;
    if (sound && strcmp(digest, sweep->digest) != 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                    "%s is of another sweep (%s, this one is %s): give the same set, recipe, keys "
                    "and --runs as before, or another folder",
                    path, digest, sweep->digest);
        return false;
    }
    sound = sound && rung >= 0 && rung <= plan->n_rungs &&
            (int64_t)json_array_size(runs) == plan->n_runs;
    for (int64_t i = 0; sound && i < plan->n_runs; i++)
        sound = read_run(&sweep->runs[i], json_array_get(runs, (size_t)i), plan->n_rungs);
    if (!sound)
        g_set_error(error, CZ_ERROR, CZ_ERROR_FORMAT, "%s is not the state of a sweep", path);
    sweep->rung = sound ? rung : 0;
    return sound;
}

// Held by the sweep and by each child: freed when the last of them is gone, however it ended.
static bool take_lock(TrainSweep *sweep, GError **error)
{
    g_autofree char *path = g_build_filename(sweep->folder, "lock", NULL);
    sweep->lock = g_open(path, O_RDWR | O_CREAT, 0666);
    if (sweep->lock < 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot write %s: %s", path, g_strerror(errno));
        return false;
    }
    for (int i = 0; i < 10 * LOCK_SECONDS; i++) {
        if (flock(sweep->lock, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK)
            break;
        if (i == 5)
            fprintf(stderr, "colorizer sweep: waiting for trainings in %s that still run\n",
                    sweep->folder);
        g_usleep(100000);
    }
    if (errno == EWOULDBLOCK)
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "%s is held: another sweep runs in this folder",
                    path);
    else
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot lock %s: %s", path, g_strerror(errno));
    return false;
}

TrainSweep *train_sweep_open(const TrainSweepPlan *plan, const char *folder, uint64_t set,
                             GError **error)
{
    TrainSweep *sweep = g_new0(TrainSweep, 1);
    *sweep = (TrainSweep){.plan = plan,
                          .folder = folder,
                          .lock = -1,
                          .digest = train_sweep_digest(plan, set),
                          .runs = g_new0(TrainSweepRun, plan->n_runs)};
    for (int64_t i = 0; i < plan->n_runs; i++)
        sweep->runs[i].values = train_sweep_values(plan, i);
    if (!take_lock(sweep, error)) {
        train_sweep_free(sweep);
        return NULL;
    }
    g_autofree char *path = state_path(sweep);
    if (!g_file_test(path, G_FILE_TEST_EXISTS))
        return sweep;
    json_error_t where;
    json_t *root = json_load_file(path, 0, &where);
    bool done = root && read_state(sweep, root, error);
    if (!root)
        g_set_error(error, CZ_ERROR, CZ_ERROR_FORMAT, "%s:%d: %s", path, where.line, where.text);
    json_decref(root);
    if (!done)
        g_clear_pointer(&sweep, train_sweep_free);
    return sweep;
}

void train_sweep_free(TrainSweep *sweep)
{
    if (!sweep)
        return;
    if (sweep->lock >= 0)
        close(sweep->lock);
    for (int64_t i = 0; i < sweep->plan->n_runs; i++) {
        g_strfreev(sweep->runs[i].values);
        g_free(sweep->runs[i].error);
    }
    g_free(sweep->runs);
    g_free(sweep->digest);
    g_free(sweep);
}

// ---- the order ----------------------------------------------------------------------------------

static int compare(const void *a, const void *b, void *data)
{
    const TrainSweep *sweep = data;
    int64_t i = *(const int64_t *)a, j = *(const int64_t *)b;
    const TrainSweepRun *first = &sweep->runs[i], *second = &sweep->runs[j];
    int failed = (first->state == TRAIN_SWEEP_FAILED) - (second->state == TRAIN_SWEEP_FAILED);
    if (failed != 0)
        return failed;
    if (first->n_scores != second->n_scores)
        return first->n_scores > second->n_scores ? -1 : 1;
    if (first->n_scores > 0) {
        double x = first->scores[first->n_scores - 1], y = second->scores[first->n_scores - 1];
        if (x != y)
            return (x > y) == sweep->plan->score->higher ? -1 : 1;
    }
    return i < j ? -1 : 1; // the same in every repetition
}

int64_t *train_sweep_ranking(const TrainSweep *sweep)
{
    int64_t *order = g_new(int64_t, sweep->plan->n_runs);
    for (int64_t i = 0; i < sweep->plan->n_runs; i++)
        order[i] = i;
    g_qsort_with_data(order, (gint)sweep->plan->n_runs, sizeof *order, compare, (void *)sweep);
    return order;
}

void train_sweep_promote(TrainSweep *sweep)
{
    g_autofree int64_t *order = train_sweep_ranking(sweep);
    int64_t next = sweep->rung + 1;
    int64_t n = next < sweep->plan->n_rungs ? train_sweep_width(sweep->plan, next) : 0;
    for (int64_t i = 0; i < n; i++) {
        TrainSweepRun *run = &sweep->runs[order[i]];
        if (run->state != TRAIN_SWEEP_SCORED || run->rung != sweep->rung)
            break; // the rest has failed, or left before
        run->rung = next;
        run->state = TRAIN_SWEEP_WAITING;
    }
    sweep->rung = next;
}
