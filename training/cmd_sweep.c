// SPDX-License-Identifier: LGPL-3.0-or-later
// colorizer sweep: options, what will be tried, and the ranking.
#include <errno.h>
#include <stdio.h>

#include <glib/gstdio.h>

#include <cz/threads.h>

#include "cli.h"
#include "commands.h"
#include "set.h"
#include "sweep.h"

typedef struct {
    char *data, *recipe, *out, *device, *file, *score;
    char **sets, **grids, **randoms;
    gint64 n_runs, seed, eta, n_rungs; // below 0: not given
    int jobs, threads, loaders;
    gboolean dry;
} Arguments;

static bool read_recipe(const Arguments *a, TrainRecipe *recipe, GError **error)
{
    if (!train_recipe_load(recipe, a->recipe, error))
        return false;
    for (char **set = a->sets; set && *set; set++)
        if (!train_recipe_set(recipe, *set, error))
            return false;
    return true;
}

// Options override the file.
static bool read_plan(const Arguments *a, TrainSweepPlan *plan, GError **error)
{
    if (!read_recipe(a, &plan->recipe, error) ||
        (a->file && !train_sweep_load(plan, a->file, error)))
        return false;
    for (char **grid = a->grids; grid && *grid; grid++)
        if (!train_sweep_add_grid(plan, *grid, error))
            return false;
    for (char **random = a->randoms; random && *random; random++)
        if (!train_sweep_add_random(plan, *random, error))
            return false;
    plan->n_runs = a->n_runs >= 0 ? a->n_runs : plan->n_runs;
    plan->seed = a->seed >= 0 ? a->seed : plan->seed;
    plan->eta = a->eta >= 0 ? a->eta : plan->eta;
    plan->n_rungs = a->n_rungs >= 0 ? a->n_rungs : plan->n_rungs;
    plan->score = a->score ? train_sweep_score(a->score) : plan->score;
    return train_sweep_plan_check(plan, error);
}

// What the sweep costs beside training every run in full.
static void print_plan(const TrainSweepPlan *plan)
{
    double full = (double)plan->n_runs, cost = 0, done = 0;
    for (int64_t rung = 0; rung < plan->n_rungs; rung++) {
        double share = 1;
        for (int64_t i = rung + 1; i < plan->n_rungs; i++)
            share /= (double)plan->eta;
        cost += (double)train_sweep_width(plan, rung) * (share - done);
        done = share;
    }
    printf("%" G_GINT64_FORMAT " runs in %" G_GINT64_FORMAT
           " rungs: %.1f full trainings instead of %.0f\n",
           plan->n_runs, plan->n_rungs, cost, full);
    fflush(stdout);
}

static void print_runs(const TrainSweepPlan *plan)
{
    for (int64_t run = 0; run < plan->n_runs; run++) {
        g_auto(GStrv) values = train_sweep_values(plan, run);
        printf("%03d", (int)run);
        for (guint i = 0; i < plan->axes->len; i++)
            printf("  %s=%s", ((TrainAxis *)plan->axes->pdata[i])->name, values[i]);
        printf("\n");
    }
}

static int finish(const TrainSweep *sweep, bool stopped)
{
    bool any = false;
    for (int64_t i = 0; i < sweep->plan->n_runs; i++)
        any |= sweep->runs[i].state != TRAIN_SWEEP_FAILED;
    train_sweep_print(sweep);
    if (stopped)
        printf("stopped and saved; the same command goes on\n");
    else
        printf("done: %s/ranking.csv, %s/plots.png\n", sweep->folder, sweep->folder);
    return any ? TRAIN_OK : train_cli_tell("sweep", TRAIN_FAILED, "every run failed");
}

static int run(const Arguments *a, const TrainSweepPlan *plan)
{
    GError *error = NULL;
    bool stopped;
    g_autoptr(TrainSet) set = train_set_open(a->data, &error);
    if (!set)
        return train_cli_fail("sweep", &error);
    uint64_t hash = train_set_hash(set);
    g_clear_pointer(&set, train_set_free);
    print_plan(plan);
    if (a->dry) {
        print_runs(plan);
        return TRAIN_OK;
    }
    if (g_mkdir_with_parents(a->out, 0777) != 0)
        return train_cli_tell("sweep", TRAIN_FAILED, "cannot make the folder %s: %s", a->out,
                              g_strerror(errno));
    const TrainSweepOptions options = {
        .data = a->data,
        .device = a->device,
        .n_jobs = a->jobs,
        .n_threads = a->threads > 0 ? a->threads : MAX(cz_threads_available() / a->jobs, 1),
        .n_loaders = a->loaders,
    };
    g_autoptr(TrainSweep) sweep = train_sweep_open(plan, a->out, hash, &error);
    if (!sweep || !train_sweep_run(sweep, &options, &stopped, &error))
        return train_cli_fail("sweep", &error);
    return finish(sweep, stopped);
}

static int check_and_run(int argc, const Arguments *a)
{
    TrainSweepPlan plan;
    GError *error = NULL;
    if (argc > 1 || !a->data || !a->recipe || (!a->out && !a->dry))
        return train_cli_tell("sweep", TRAIN_USAGE, "%s; see colorizer sweep --help",
                              argc > 1 ? "too many arguments"
                                       : "--data, --recipe and --out are needed");
    if (a->score && !train_sweep_score(a->score))
        return train_cli_tell("sweep", TRAIN_USAGE, "--score is gain, ssim, delta-e or loss");
    if (a->jobs < 1 || a->jobs > 256 || a->threads < 0 || a->threads > 1024 || a->loaders < 1 ||
        a->loaders > 64)
        return train_cli_tell("sweep", TRAIN_USAGE,
                              "--jobs is 1 to 256, --threads 1 to 1024, --loaders 1 to 64");
    train_sweep_plan_init(&plan);
    int status = read_plan(a, &plan, &error) ? run(a, &plan) : train_cli_fail("sweep", &error);
    train_sweep_plan_clear(&plan);
    return status;
}

static const char about[] =
    "Trains many variants of a recipe, ends most of them early, and ranks them.\n\n"
    "A grid tries all combinations (or --runs of them), --random draws; both may be given. Of the "
    "runs, 1/eta go on from rung to rung (successive halving, Jamieson and Talwalkar 2016); a run "
    "that goes on resumes. Schedules have their full length from the start: what ends early is "
    "judged on the way, where high rates still look worse than they end.\n\n"
    "DIR holds a folder a run, sweep.json, ranking.csv and plots.png. Stopped or killed, the same "
    "command goes on.\n\n"
    "  --grid optimizer.rate=3e-4,1e-3,3e-3\n"
    "  --random optimizer.decay=log:1e-6:1e-2   also lin:LO:HI and choice:a,b\n\n"
    "A sweep file has the same, in sections [grid], [random] and [sweep] (runs, seed, eta, rungs, "
    "score).";

int train_command_sweep(int argc, char **argv)
{
    Arguments a = {.loaders = 1, .jobs = 1, .n_runs = -1, .seed = -1, .eta = -1, .n_rungs = -1};
    const GOptionEntry entries[] = {
        {"data", 0, 0, G_OPTION_ARG_FILENAME, &a.data, "Set made by colorizer prepare", "SET"},
        {"recipe", 0, 0, G_OPTION_ARG_FILENAME, &a.recipe, "What all runs share", "FILE"},
        {"set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &a.sets, "Override a recipe key (may be repeated)",
         "SECTION.KEY=VALUE"},
        {"out", 0, 0, G_OPTION_ARG_FILENAME, &a.out, "Folder for runs, ranking and plots", "DIR"},
        {"sweep", 0, 0, G_OPTION_ARG_FILENAME, &a.file, "What to try, as a file", "FILE"},
        {"grid", 0, 0, G_OPTION_ARG_STRING_ARRAY, &a.grids, "Values to combine (may be repeated)",
         "KEY=A,B,C"},
        {"random", 0, 0, G_OPTION_ARG_STRING_ARRAY, &a.randoms,
         "A range to draw from (may be repeated)", "KEY=log:LO:HI"},
        {"runs", 0, 0, G_OPTION_ARG_INT64, &a.n_runs, "Runs to begin with (default: all of a grid)",
         "N"},
        {"seed", 0, 0, G_OPTION_ARG_INT64, &a.seed, "Of the draws (default: 1)", "N"},
        {"eta", 0, 0, G_OPTION_ARG_INT64, &a.eta, "One in so many goes on (default: 3)", "N"},
        {"rungs", 0, 0, G_OPTION_ARG_INT64, &a.n_rungs,
         "Rungs; 1: all in full (default: until one is left)", "N"},
        {"score", 0, 0, G_OPTION_ARG_STRING, &a.score,
         "gain (default), ssim, delta-e, or loss (of training)", "NAME"},
        {"jobs", 0, 0, G_OPTION_ARG_INT, &a.jobs, "Trainings at once (default: 1)", "N"},
        {"threads", 0, 0, G_OPTION_ARG_INT, &a.threads,
         "Compute threads of each (default: cores over jobs)", "N"},
        {"loaders", 0, 0, G_OPTION_ARG_INT, &a.loaders,
         "Threads of each that prepare pictures (default: 1)", "N"},
        {"device", 0, 0, G_OPTION_ARG_STRING, &a.device, "auto, cpu, cuda, cuda:N, cuda:NAME", "D"},
        {"dry-run", 0, 0, G_OPTION_ARG_NONE, &a.dry, "Only tell which runs there would be", NULL},
        {NULL},
    };
    if (!train_cli_parse(&argc, &argv, entries, NULL, about))
        return TRAIN_USAGE;
    int status = check_and_run(argc, &a);
    g_free(a.data);
    g_free(a.recipe);
    g_free(a.out);
    g_free(a.device);
    g_free(a.file);
    g_free(a.score);
    g_strfreev(a.sets);
    g_strfreev(a.grids);
    g_strfreev(a.randoms);
    return status;
}
