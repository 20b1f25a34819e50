// SPDX-License-Identifier: LGPL-3.0-or-later
// colorizer train: options, signals, and the run.
#include <signal.h>
#include <stdio.h>

#include <glib/gstdio.h>

#include <cz/error.h>
#include <cz/threads.h>

#include "cli.h"
#include "commands.h"
#include "run.h"

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    stop = 1;
    signal(number, SIG_DFL); // a second one ends at once
}

typedef struct {
    char *data, *recipe, *run, *device;
    char **sets;
    gboolean resume;
    int threads, loaders, ranks;
    gint64 stop_after;
    double minutes, began; // began: seconds of g_get_monotonic_time()
} Arguments;

static bool read_recipe(const Arguments *arguments, TrainRecipe *recipe, GError **error)
{
    train_recipe_init(recipe);
    if (!train_recipe_load(recipe, arguments->recipe, error))
        return false;
    for (char **set = arguments->sets; set && *set; set++)
        if (!train_recipe_set(recipe, *set, error))
            return false;
    return train_recipe_check(recipe, error);
}

// A new run never begins on top of an old one: hours of work lie there.
static bool folder_is_free(const Arguments *arguments)
{
    g_autofree char *a = g_build_filename(arguments->run, "checkpoint-0.safetensors", NULL);
    g_autofree char *b = g_build_filename(arguments->run, "checkpoint-1.safetensors", NULL);
    return arguments->resume ||
           (!g_file_test(a, G_FILE_TEST_EXISTS) && !g_file_test(b, G_FILE_TEST_EXISTS));
}

// Recipe and set, as every rank reads them for itself.
static bool open_all(const Arguments *arguments, TrainRecipe *recipe, TrainSet **set,
                     GError **error)
{
    if (!read_recipe(arguments, recipe, error))
        return false;
    if (!folder_is_free(arguments)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO,
                    "%s holds a run already: add --resume, or choose another folder",
                    arguments->run);
        return false;
    }
    *set = train_set_open(arguments->data, error);
    return *set != NULL;
}

// SIGUSR1: what mpirun passes on to ranks.
static void catch_signals(const TrainRanks *ranks)
{
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGXFSZ, SIG_IGN); // a limit on files is told as a full disk is
    if (ranks)
        signal(SIGUSR1, on_signal);
}

static bool run(const Arguments *arguments, const TrainRanks *ranks, bool *stopped, GError **error)
{
    TrainRecipe recipe;
    g_autoptr(TrainSet) set = NULL;
    if (!train_ranks_agree(ranks, open_all(arguments, &recipe, &set, error), error))
        return false;
    cz_threads_set(train_ranks_threads(ranks, arguments->threads));
    const TrainRunOptions options = {
        .recipe = &recipe,
        .set = set,
        .folder = arguments->run,
        .device = arguments->device,
        .n_loaders = arguments->loaders,
        .resume = arguments->resume,
        .stop_after = arguments->stop_after,
        .deadline = arguments->minutes > 0 ? arguments->began + 60 * arguments->minutes : 0,
        .ranks = ranks,
        .stop = &stop};
    catch_signals(ranks);
    return train_run(&options, stopped, error);
}

static int train(const Arguments *arguments)
{
    const TrainRanks *ranks;
    GError *error = NULL;
    bool stopped = false;
    if (!train_ranks_join(&ranks, &error))
        return train_cli_fail("train", &error);
    bool done = run(arguments, ranks, &stopped, &error), first = train_ranks_first(ranks);
    if (done && first && stopped)
        printf("stopped and saved; go on with --resume\n");
    else if (done && first)
        printf("done: %s/final.safetensors\n", arguments->run);
    if (error || (!done && !ranks)) // of several ranks, one tells it
        train_cli_fail("train", &error);
    train_ranks_finish(ranks);
    return done ? TRAIN_OK : TRAIN_FAILED;
}

// words: of the command line, from "train" on. What is wrong with recipe or set is told here, once
// and at once: ranks that fail keep mpirun waiting for them.
static int launch(const Arguments *arguments, char **words)
{
    TrainRecipe recipe;
    g_autoptr(TrainSet) set = NULL;
    GError *error = NULL;
    int status = TRAIN_FAILED;
    if (open_all(arguments, &recipe, &set, &error) &&
        train_ranks_launch(arguments->ranks, arguments->threads, words, &status, &error))
        return status;
    return train_cli_fail("train", &error);
}

static const char about_ranks[] =
    "Several processes share each batch, with the result of one: --ranks N here, or on several "
    "machines that share DIR and SET\n"
    "  mpirun -np N --hostfile HOSTS --bind-to core --map-by slot:PE=THREADS colorizer train ...\n"
    "train.batch is that of all ranks. mpirun refuses root, as in containers, without "
    "--allow-run-as-root; it gives ranks 1 s to save when it is stopped, more with --mca "
    "odls_base_sigkill_timeout 20 (--ranks does both), and kill -USR1 of mpirun asks them "
    "gently.\n";

int train_command_train(int argc, char **argv)
{
    Arguments a = {.loaders = 1, .began = (double)g_get_monotonic_time() * 1e-6};
    const GOptionEntry entries[] = {
        {"data", 0, 0, G_OPTION_ARG_FILENAME, &a.data, "Set made by colorizer prepare", "SET"},
        {"recipe", 0, 0, G_OPTION_ARG_FILENAME, &a.recipe, "What to learn, and how", "FILE"},
        {"run", 0, 0, G_OPTION_ARG_FILENAME, &a.run, "Folder for checkpoints, log and weights",
         "DIR"},
        {"resume", 0, 0, G_OPTION_ARG_NONE, &a.resume, "Go on from the last checkpoint in DIR",
         NULL},
        {"set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &a.sets, "Override a recipe key (may be repeated)",
         "SECTION.KEY=VALUE"},
        {"device", 0, 0, G_OPTION_ARG_STRING, &a.device, "auto, cpu, cuda, cuda:N, cuda:NAME", "D"},
        {"threads", 0, 0, G_OPTION_ARG_INT, &a.threads,
         "Compute threads (default: free physical cores)", "N"},
        {"loaders", 0, 0, G_OPTION_ARG_INT, &a.loaders,
         "Threads that prepare pictures (default: 1)", "N"},
        {"ranks", 0, 0, G_OPTION_ARG_INT, &a.ranks,
         "Train in N processes of this machine, through mpirun", "N"},
        {"stop-after", 0, 0, G_OPTION_ARG_INT64, &a.stop_after,
         "Validate, save and stop when STEPS are done in all; the schedule keeps its full length",
         "STEPS"},
        {"minutes", 0, 0, G_OPTION_ARG_DOUBLE, &a.minutes,
         "Stop and save so that all is over M minutes after the start; --resume goes on", "M"},
        {NULL},
    };
    g_autofree char *keys = train_recipe_help();
    g_autofree char *about =
        g_strdup_printf("Trains a generator. A run's folder holds log.csv, checkpoints, "
                        "ema.safetensors and, at the end, final.safetensors.\n\n%s\n%s",
                        about_ranks, keys);
    int status = TRAIN_USAGE;
    g_auto(GStrv) words = g_strdupv(argv); // parsing takes words out of argv
    if (!train_cli_parse(&argc, &argv, entries, NULL, about))
        return TRAIN_USAGE;
    if (argc > 1 || !a.data || !a.recipe || !a.run)
        train_cli_tell("train", TRAIN_USAGE, "%s; see colorizer train --help",
                       argc > 1 ? "too many arguments" : "--data, --recipe and --run are needed");
    else if (a.threads < 0 || a.threads > 1024 || a.loaders < 1 || a.loaders > 64)
        train_cli_tell("train", TRAIN_USAGE,
                       "--threads is 0 (free physical cores) to 1024, --loaders 1 to 64");
    else if (a.ranks < 0 || a.ranks > 4096)
        train_cli_tell("train", TRAIN_USAGE, "--ranks is 1 to 4096");
    else if (!(a.minutes >= 0 && a.minutes <= 1e6))
        train_cli_tell("train", TRAIN_USAGE, "--minutes is 0 (no limit) to 1000000");
    else if (a.stop_after < 0)
        train_cli_tell("train", TRAIN_USAGE, "--stop-after is a number of steps");
    else
        status = a.ranks > 1 ? launch(&a, words) : train(&a);
    g_free(a.data);
    g_free(a.recipe);
    g_free(a.run);
    g_free(a.device);
    g_strfreev(a.sets);
    return status;
}
