// SPDX-License-Identifier: LGPL-3.0-or-later
// The program colorizer: finds the subcommand and runs it.
#include <stdio.h>

#include <glib.h>

#include <cz/threads.h>

#include "cli.h"
#include "commands.h"
#include "prepare.h"

typedef struct {
    const char *name, *help;
    int (*run)(int argc, char **argv); // argv[0] is the name; returns the exit code
} Command;

// clang-format off
static const Command commands[] = {
    {"prepare", "make a set of photographs to train with", train_prepare},
    {"train", "train a generator on a set", train_command_train},
    {"sweep", "try many variants of a recipe, and rank them", train_command_sweep},
    {"average", "the mean of several weights of one network", train_command_average},
    {"hints", "learn how hints spread with the weights of a generator", train_command_hints},
    {"apply", "colorize photographs, files to files", train_command_apply},
    {"evaluate", "compare weights on pictures whose colours are known", train_command_evaluate},
    {"inspect", "tell what a weights file holds, or which devices open", train_command_inspect},
    {"selftest", "hold a device against the CPU, for a report", train_command_selftest},
    {NULL, NULL, NULL},
};
// clang-format on

static void print_help(FILE *out)
{
    fprintf(out, "Usage:\n  colorizer COMMAND [OPTION...]\n\nCommands:\n");
    for (const Command *command = commands; command->name; command++)
        fprintf(out, "  %-10s %s\n", command->name, command->help);
    fprintf(out, "\n\"colorizer COMMAND --help\" tells its options; --version the version.\n"
                 "Exit code: 0 done, 1 failed, 2 wrong usage.\n");
}

static int run(const Command *command, int argc, char **argv)
{
    g_autofree char *name = g_strdup_printf("colorizer %s", command->name);

    g_set_prgname(name); // usage lines begin with it
    return command->run(argc, argv);
}

// A program that has not been installed takes the backends of its own build, and its source's eye.
static void find_files(void)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = self ? g_path_get_dirname(self) : NULL;

    if (g_strcmp0(folder, COLORIZE_BUILD_ROOT "/training") != 0)
        return;
    g_setenv("COLORIZE_MODULE_DIR", COLORIZE_BUILD_BACKENDS, FALSE);
    g_setenv("COLORIZE_ENCODER",
             COLORIZE_SOURCE_ROOT "/training/pretrained/efficientnet-lite0-imagenet.safetensors",
             FALSE);
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    find_files();
    if (argc < 2) {
        print_help(stderr);
        return TRAIN_USAGE;
    }
    if (g_str_equal(argv[1], "--help") || g_str_equal(argv[1], "-h")) {
        print_help(stdout);
        return TRAIN_OK;
    }
    if (g_str_equal(argv[1], "--version")) {
        printf("colorizer %s\n", COLORIZE_VERSION);
        return TRAIN_OK;
    }
    for (const Command *command = commands; command->name; command++)
        if (g_str_equal(argv[1], command->name))
            return run(command, argc - 1, argv + 1);
    fprintf(stderr, "colorizer: there is no command '%s'; see colorizer --help\n", argv[1]);
    return TRAIN_USAGE;
}
