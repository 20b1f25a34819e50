// SPDX-License-Identifier: LGPL-3.0-or-later
// The trainings of a sweep: children that are started, watched, and told to save.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib-unix.h>
#include <glib/gstdio.h>

#include <cz/error.h>
#include <cz/model.h>

#include "sweep.h"

#define MOST_STOPS 3 // times that somebody else may stop one run

typedef struct Runner Runner;

typedef struct {
    Runner *runner;
    int64_t run, steps; // steps: where it is to stop
    GPid pid;           // 0: free
    double began;
    size_t log_start; // bytes of its log before it began
} Job;

struct Runner {
    TrainSweep *sweep;
    const TrainSweepOptions *options;
    char *program, *recipe;
    Job *jobs;
    int *stops; // a run
    int n_running;
    GMainLoop *loop;
    bool stopping;
    GError *error;
};

static double now(void)
{
    return (double)g_get_monotonic_time() * 1e-6;
}

static void fail_io(GError **error, const char *what, const char *path)
{
    g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "%s %s: %s", what, path, g_strerror(errno));
}

// ---- one child ----------------------------------------------------------------------------------

typedef struct {
    int log;
    pid_t parent;
} Child;

// Between fork and exec. A terminal's Ctrl-C must not reach it: the sweep passes on one signal, two
// would end it at once. And it must not outlive a sweep that is killed.
static void set_up_child(void *data)
{
    const Child *child = data;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != child->parent)
        _exit(1);
    dup2(child->log, STDOUT_FILENO);
    dup2(child->log, STDERR_FILENO);
}

static bool has_checkpoint(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));)
        if (g_str_has_prefix(name, "checkpoint") && g_str_has_suffix(name, ".safetensors"))
            return true;
    return false;
}

static char **command_of(const Runner *runner, const Job *job, const char *folder)
{
    const TrainSweepOptions *options = runner->options;
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_autofree char *steps = g_strdup_printf("%" G_GINT64_FORMAT, job->steps);
    g_autofree char *threads = g_strdup_printf("%d", options->n_threads);
    g_autofree char *loaders = g_strdup_printf("%d", options->n_loaders);
    g_strv_builder_add_many(builder, runner->program, "train", "--data", options->data, "--recipe",
                            runner->recipe, "--run", folder, "--stop-after", steps, "--threads",
                            threads, "--loaders", loaders, NULL);
    if (options->device)
        g_strv_builder_add_many(builder, "--device", options->device, NULL);
    if (has_checkpoint(folder))
        g_strv_builder_add(builder, "--resume");
    for (guint i = 0; i < runner->sweep->plan->axes->len; i++) {
        const TrainAxis *axis = runner->sweep->plan->axes->pdata[i];
        g_autofree char *set =
            g_strdup_printf("%s=%s", axis->name, runner->sweep->runs[job->run].values[i]);
        g_strv_builder_add_many(builder, "--set", set, NULL);
    }
    return g_strv_builder_end(builder);
}

static char *log_path(const char *folder)
{
    return g_build_filename(folder, "train.log", NULL);
}

static bool spawn(Runner *runner, Job *job, GError **error)
{
    g_autofree char *folder = train_sweep_run_folder(runner->sweep, job->run);
    g_autofree char *path = log_path(folder);
    if (g_mkdir_with_parents(folder, 0777) != 0) {
        fail_io(error, "cannot make the folder", folder);
        return false;
    }
    Child child = {g_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666), getpid()};
    if (child.log < 0) {
        fail_io(error, "cannot write", path);
        return false;
    }
    job->log_start = (size_t)MAX(lseek(child.log, 0, SEEK_END), 0);
    job->began = now();
    g_auto(GStrv) command = command_of(runner, job, folder);
    // The lock is left open in it: as long as a child lives, no other sweep begins here.
    bool done = g_spawn_async(NULL, command, NULL,
                              G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_LEAVE_DESCRIPTORS_OPEN,
                              set_up_child, &child, &job->pid, error);
    close(child.log);
    return done;
}

// ---- what became of it --------------------------------------------------------------------------

// The last sentence that it said, or how it ended.
static char *sentence_of(const Runner *runner, const Job *job, int status)
{
    g_autofree char *folder = train_sweep_run_folder(runner->sweep, job->run);
    g_autofree char *path = log_path(folder), *text = NULL;
    gsize n;
    if (WIFSIGNALED(status))
        return g_strdup_printf("ended by signal %d%s", WTERMSIG(status),
                               WTERMSIG(status) == SIGKILL ? " (out of memory?)" : "");
    if (!g_file_get_contents(path, &text, &n, NULL) || n < job->log_start)
        return g_strdup_printf("exit code %d, and no log", WEXITSTATUS(status));
    g_autofree char *valid = g_utf8_make_valid(text + job->log_start, -1);
    g_auto(GStrv) lines = g_strsplit(valid, "\n", -1);
    for (guint i = g_strv_length(lines); i-- > 0;)
        if (g_str_has_prefix(lines[i], "colorizer train: "))
            return g_strdup(lines[i] + strlen("colorizer train: "));
    return g_strdup_printf("exit code %d, see %s", WEXITSTATUS(status), path);
}

static void mark_failed(TrainSweepRun *run, char *sentence)
{
    g_free(run->error);
    run->error = sentence;
    run->state = TRAIN_SWEEP_FAILED;
}

static void note_result(Runner *runner, const Job *job, int status)
{
    TrainSweepRun *run = &runner->sweep->runs[job->run];
    g_autofree char *folder = train_sweep_run_folder(runner->sweep, job->run);
    g_autoptr(GError) error = NULL;
    bool sound = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    run->seconds += now() - job->began;
    run->state = TRAIN_SWEEP_WAITING;
    if (sound && train_sweep_read_score(runner->sweep->plan->score, folder, job->steps,
                                        &run->scores[run->rung], &error)) {
        run->n_scores = run->rung + 1;
        run->state = TRAIN_SWEEP_SCORED;
    } else if (error) {
        mark_failed(run, g_strdup(error->message));
    } else if (sound && !runner->stopping && ++runner->stops[job->run] >= MOST_STOPS) {
        mark_failed(run, g_strdup_printf("has no score at step %" G_GINT64_FORMAT
                                         ": stopped from outside, or no picture held back",
                                         job->steps));
    } else if (!sound && !runner->stopping) {
        mark_failed(run, sentence_of(runner, job, status));
    }
}

static void print_result(const Runner *runner, const Job *job)
{
    const TrainSweepRun *run = &runner->sweep->runs[job->run];
    const TrainSweepScore *score = runner->sweep->plan->score;
    printf("run %03d (", (int)job->run);
    for (guint i = 0; i < runner->sweep->plan->axes->len; i++)
        printf("%s%s %s", i ? ", " : "",
               ((TrainAxis *)runner->sweep->plan->axes->pdata[i])->key->key, run->values[i]);
    if (run->state == TRAIN_SWEEP_SCORED)
        printf("): %s %.4f%s%s at step %" G_GINT64_FORMAT ", %.0f s\n", score->name,
               run->scores[run->rung], *score->unit ? " " : "", score->unit, job->steps,
               run->seconds);
    else if (run->state == TRAIN_SWEEP_FAILED)
        printf("): failed: %s\n", run->error);
    else
        printf("): stopped, goes on later\n");
    fflush(stdout);
}

// ---- the rungs ----------------------------------------------------------------------------------

static void advance(Runner *runner);

// Children save and end; no other begins.
static void stop(Runner *runner)
{
    runner->stopping = true;
    for (int i = 0; i < runner->options->n_jobs; i++)
        if (runner->jobs[i].pid)
            kill(runner->jobs[i].pid, SIGTERM);
    if (runner->n_running == 0)
        g_main_loop_quit(runner->loop);
}

static void check(Runner *runner, bool done)
{
    if (!done && !runner->stopping)
        stop(runner);
}

static void on_exit_of_child(GPid pid, int status, void *data)
{
    Job *job = data;
    Runner *runner = job->runner;
    g_spawn_close_pid(pid);
    job->pid = 0;
    runner->n_running--;
    note_result(runner, job, status);
    GError **error = runner->error ? NULL : &runner->error;
    check(runner, train_sweep_save(runner->sweep, error));
    print_result(runner, job); // what is told is safe
    advance(runner);
}

static bool start(Runner *runner, int64_t run, GError **error)
{
    Job *job = runner->jobs;
    while (job->pid)
        job++;
    TrainRecipe recipe;
    if (!train_sweep_recipe(runner->sweep->plan, runner->sweep->runs[run].values, &recipe, error))
        return false;
    *job = (Job){.runner = runner,
                 .run = run,
                 .steps = train_sweep_steps(runner->sweep->plan, &recipe, runner->sweep->rung)};
    runner->sweep->runs[run].state = TRAIN_SWEEP_RUNNING;
    if (!train_sweep_save(runner->sweep, error) || !spawn(runner, job, error)) {
        runner->sweep->runs[run].state = TRAIN_SWEEP_WAITING;
        return false;
    }
    runner->n_running++;
    g_child_watch_add(job->pid, on_exit_of_child, job);
    return true;
}

static int64_t next_waiting(const TrainSweep *sweep)
{
    for (int64_t i = 0; i < sweep->plan->n_runs; i++)
        if (sweep->runs[i].state == TRAIN_SWEEP_WAITING && sweep->runs[i].rung == sweep->rung)
            return i;
    return -1;
}

static void print_rung(const TrainSweep *sweep)
{
    int64_t parts = 1;
    for (int64_t i = sweep->rung + 1; i < sweep->plan->n_rungs; i++)
        parts *= sweep->plan->eta;
    printf("rung %d of %d: %d runs, 1/%d of their length\n", (int)sweep->rung + 1,
           (int)sweep->plan->n_rungs, (int)train_sweep_width(sweep->plan, sweep->rung), (int)parts);
    fflush(stdout);
}

static bool report(const TrainSweep *sweep, GError **error)
{
    return train_sweep_write_csv(sweep, error) && train_sweep_write_plot(sweep, error);
}

// Nothing waits and nothing runs: the rung is over.
static bool end_rung(Runner *runner, GError **error)
{
    TrainSweep *sweep = runner->sweep;
    train_sweep_promote(sweep);
    if (!train_sweep_save(sweep, error) || !report(sweep, error))
        return false;
    if (sweep->rung < sweep->plan->n_rungs && next_waiting(sweep) >= 0)
        print_rung(sweep);
    return true;
}

static void advance(Runner *runner)
{
    TrainSweep *sweep = runner->sweep;
    bool done = true;
    while (done && !runner->stopping && sweep->rung < sweep->plan->n_rungs) {
        int64_t run = next_waiting(sweep);
        if (run >= 0 && runner->n_running < runner->options->n_jobs)
            done = start(runner, run, &runner->error);
        else if (run < 0 && runner->n_running == 0)
            done = end_rung(runner, &runner->error);
        else
            break;
    }
    check(runner, done);
    if (runner->n_running == 0)
        g_main_loop_quit(runner->loop);
}

static gboolean on_signal(void *data)
{
    Runner *runner = data;
    if (!runner->stopping) {
        printf("stopping: %d trainings save\n", runner->n_running);
        fflush(stdout);
        stop(runner);
    }
    return G_SOURCE_CONTINUE;
}

// ---- set-up -------------------------------------------------------------------------------------

static bool set_up(Runner *runner, GError **error)
{
    TrainSweep *sweep = runner->sweep;
    runner->program = g_file_read_link("/proc/self/exe", error);
    if (!runner->program)
        return false;
    g_autofree char *text = train_recipe_text(&sweep->plan->recipe);
    runner->recipe = g_build_filename(sweep->folder, "recipe.conf", NULL);
    if (!cz_file_replace(runner->recipe, text, strlen(text), error))
        return false;
    runner->jobs = g_new0(Job, runner->options->n_jobs);
    runner->stops = g_new0(int, sweep->plan->n_runs);
    runner->loop = g_main_loop_new(NULL, FALSE);
    return true;
}

static void tear_down(Runner *runner)
{
    g_clear_pointer(&runner->loop, g_main_loop_unref);
    g_free(runner->jobs);
    g_free(runner->stops);
    g_free(runner->program);
    g_free(runner->recipe);
}

bool train_sweep_run(TrainSweep *sweep, const TrainSweepOptions *options, bool *stopped,
                     GError **error)
{
    Runner runner = {.sweep = sweep, .options = options};
    bool done = set_up(&runner, error);
    if (done) {
        guint signals[] = {g_unix_signal_add(SIGINT, on_signal, &runner),
                           g_unix_signal_add(SIGTERM, on_signal, &runner)};
        if (sweep->rung < sweep->plan->n_rungs)
            print_rung(sweep);
        advance(&runner);
        if (runner.n_running > 0)
            g_main_loop_run(runner.loop);
        for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
            g_source_remove(signals[i]);
        done = !runner.error && report(sweep, error);
        if (runner.error)
            g_propagate_error(error, runner.error);
    }
    *stopped = done && sweep->rung < sweep->plan->n_rungs;
    tear_down(&runner);
    return done;
}
