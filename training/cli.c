// SPDX-License-Identifier: LGPL-3.0-or-later
// What all subcommands share: exit codes, options, and how errors are told.
#include "cli.h"

#include <stdarg.h>
#include <stdio.h>

int train_cli_tell(const char *command, int status, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *sentence = g_strdup_vprintf(format, args);
    va_end(args);
    fflush(stdout); // so that a log of both streams keeps their order
    fprintf(stderr, "colorizer %s: %s\n", command, sentence);
    return status;
}

int train_cli_fail(const char *command, GError **error)
{
    train_cli_tell(command, TRAIN_FAILED, "%s", *error ? (*error)->message : "unknown error");
    g_clear_error(error);
    return TRAIN_FAILED;
}

bool train_cli_parse(int *argc, char ***argv, const GOptionEntry *entries, const char *rest,
                     const char *about)
{
    GOptionContext *context = g_option_context_new(rest);
    g_autofree char *command = g_strdup(*argc > 0 ? (*argv)[0] : "");
    g_autoptr(GError) error = NULL;
    bool ok;

    g_option_context_set_summary(context, about);
    g_option_context_add_main_entries(context, entries, NULL);
    ok = g_option_context_parse(context, argc, argv, &error);
    g_option_context_free(context);
    // "--" that ends the options is left in place by GOption when it stands first.
    if (ok && *argc > 1 && g_str_equal((*argv)[1], "--")) {
        for (int i = 1; i + 1 < *argc; i++)
            (*argv)[i] = (*argv)[i + 1];
        (*argc)--;
    }
    if (!ok)
        train_cli_tell(command, TRAIN_USAGE, "%s; see colorizer %s --help", error->message,
                       command);
    return ok;
}
