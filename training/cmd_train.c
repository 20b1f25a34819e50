// SPDX-License-Identifier: LGPL-3.0-or-later
// colorizer train: options, signals, and the run.
#include <signal.h>
#include <stdio.h>

#include <glib/gstdio.h>

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
    int threads, loaders;
    gint64 stop_after;
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

static int train(const Arguments *arguments)
{
    TrainRecipe recipe;
    GError *error = NULL;
    bool stopped = false;
    if (!read_recipe(arguments, &recipe, &error))
        return train_cli_fail("train", &error);
    if (!folder_is_free(arguments))
        return train_cli_tell("train", TRAIN_FAILED,
                              "%s holds a run already: add --resume, or choose another folder",
                              arguments->run);
    g_autoptr(TrainSet) set = train_set_open(arguments->data, &error);
    if (!set)
        return train_cli_fail("train", &error);
    cz_threads_set(arguments->threads);
    const TrainRunOptions options = {.recipe = &recipe,
                                     .set = set,
                                     .folder = arguments->run,
                                     .device = arguments->device,
                                     .n_loaders = arguments->loaders,
                                     .resume = arguments->resume,
                                     .stop_after = arguments->stop_after,
                                     .stop = &stop};
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGXFSZ, SIG_IGN); // a limit on files is told as a full disk is
    if (!train_run(&options, &stopped, &error))
        return train_cli_fail("train", &error);
    if (stopped)
        printf("stopped and saved; go on with --resume\n");
    else
        printf("done: %s/final.safetensors\n", arguments->run);
    return TRAIN_OK;
}

int train_command_train(int argc, char **argv)
{
    Arguments a = {.loaders = 1};
    const GOptionEntry entries[] = {
        {"data", 0, 0, G_OPTION_ARG_FILENAME, &a.data, "Set made by colorizer prepare", "SET"},
        {"recipe", 0, 0, G_OPTION_ARG_FILENAME, &a.recipe, "What to learn, and how", "FILE"},
        {"run", 0, 0, G_OPTION_ARG_FILENAME, &a.run, "Folder for checkpoints, log and weights",
         "DIR"},
        {"resume", 0, 0, G_OPTION_ARG_NONE, &a.resume, "Go on from the last checkpoint in DIR",
         NULL},
        {"set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &a.sets, "Override a recipe key (may be repeated)",
         "SECTION.KEY=VALUE"},
        {"device", 0, 0, G_OPTION_ARG_STRING, &a.device, "auto, cpu, cuda, cuda:N", "D"},
        {"threads", 0, 0, G_OPTION_ARG_INT, &a.threads,
         "Compute threads (default: free physical cores)", "N"},
        {"loaders", 0, 0, G_OPTION_ARG_INT, &a.loaders,
         "Threads that prepare pictures (default: 1)", "N"},
        {"stop-after", 0, 0, G_OPTION_ARG_INT64, &a.stop_after,
         "Validate, save and stop when STEPS are done in all; the schedule keeps its full length",
         "STEPS"},
        {NULL},
    };
    g_autofree char *keys = train_recipe_help();
    g_autofree char *about =
        g_strdup_printf("Trains a generator. A run's folder holds log.csv, checkpoints, "
                        "ema.safetensors and, at the end, final.safetensors.\n\n%s",
                        keys);
    int status = TRAIN_USAGE;
    if (!train_cli_parse(&argc, &argv, entries, NULL, about))
        return TRAIN_USAGE;
    if (argc > 1 || !a.data || !a.recipe || !a.run)
        train_cli_tell("train", TRAIN_USAGE, "%s; see colorizer train --help",
                       argc > 1 ? "too many arguments" : "--data, --recipe and --run are needed");
    else if (a.threads < 0 || a.threads > 1024 || a.loaders < 1 || a.loaders > 64)
        train_cli_tell("train", TRAIN_USAGE, "--threads is 1 to 1024, --loaders 1 to 64");
    else if (a.stop_after < 0)
        train_cli_tell("train", TRAIN_USAGE, "--stop-after is a number of steps");
    else
        status = train(&a);
    g_free(a.data);
    g_free(a.recipe);
    g_free(a.run);
    g_free(a.device);
    g_strfreev(a.sets);
    return status;
}
