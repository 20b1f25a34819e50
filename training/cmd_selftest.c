// SPDX-License-Identifier: LGPL-3.0-or-later
// colorizer selftest: whether a device computes what it should, as a table and a report.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include <cz/error.h>
#include <cz/model.h>
#include <cz/threads.h>

#include "cli.h"
#include "commands.h"
#include "selftest.h"

typedef struct {
    char *device, *report;
    gboolean quick;
    int threads;
} Arguments;

static void show(void *user, const char *text)
{
    fputs(text, stdout);
    fflush(stdout);
}

// Told before the work is done, not after it.
static bool can_write(const char *path, GError **error)
{
    g_autofree char *folder = path ? g_path_get_dirname(path) : NULL;
    if (!path || g_access(folder, W_OK | X_OK) == 0)
        return true;
    g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot write %s: %s", path, g_strerror(errno));
    return false;
}

static int run(const Arguments *a)
{
    const TrainSelftestOptions options = {.device = a->device, .quick = a->quick, .show = show};
    GError *error = NULL;
    bool passed = false;
    if (!can_write(a->report, &error))
        return train_cli_fail("selftest", &error);
    cz_threads_set(a->threads);
    g_autofree char *text = train_selftest(&options, &passed, &error);
    if (!text || (a->report && !cz_file_replace(a->report, text, strlen(text), &error)))
        return train_cli_fail("selftest", &error);
    if (a->report)
        printf("The report is in %s. It names neither you nor this machine; please read it, and "
               "send it in as\nan issue of this project, whether rows failed or not.\n",
               a->report);
    return passed ? TRAIN_OK : TRAIN_FAILED;
}

static int check(const Arguments *a, int argc)
{
    if (argc > 1)
        return train_cli_tell("selftest", TRAIN_USAGE, "expected options alone");
    if (a->threads < 0 || a->threads > 1024)
        return train_cli_tell("selftest", TRAIN_USAGE, "--threads is %d, allowed is 0 to 1024",
                              a->threads);
    return TRAIN_OK;
}

int train_command_selftest(int argc, char **argv)
{
    Arguments a = {0};
    const GOptionEntry entries[] = {
        {"device", 0, 0, G_OPTION_ARG_STRING, &a.device,
         "auto, cpu, cuda, cuda:N, cuda:NAME (default: auto)", "D"},
        {"report", 0, 0, G_OPTION_ARG_FILENAME, &a.report,
         "Also write the table into FILE, to be sent in (default: none)", "FILE"},
        {"quick", 0, 0, G_OPTION_ARG_NONE, &a.quick, "Compare alone, and measure no times", NULL},
        {"threads", 0, 0, G_OPTION_ARG_INT, &a.threads,
         "Compute threads (default: free physical cores)", "N"},
        {NULL},
    };
    if (!train_cli_parse(&argc, &argv, entries, NULL,
                         "Holds a device against the CPU (the CPU against plain loops): every "
                         "operation, a small network and its\ngradients, training steps, and the "
                         "bundled weights; then tells pictures a second. The exit code is 0 only\n"
                         "if every row of the table is within its bound."))
        return TRAIN_USAGE;
    int status = check(&a, argc);
    status = status == TRAIN_OK ? run(&a) : status;
    g_free(a.device);
    g_free(a.report);
    return status;
}
