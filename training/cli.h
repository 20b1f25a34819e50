// SPDX-License-Identifier: LGPL-3.0-or-later
// What all subcommands share: exit codes, options, and how errors are told.
#pragma once

#include <stdbool.h>

#include <glib.h>

G_BEGIN_DECLS

enum { TRAIN_OK = 0, TRAIN_FAILED = 1, TRAIN_USAGE = 2 };

// Parses argv (argv[0] is the subcommand) with GOption; `--help` prints and ends the program with
// 0. rest is what follows "colorizer NAME" in the usage line, about the paragraph below it. Left
// in argv, argc: what is no option. FALSE: the error is told, return TRAIN_USAGE.
bool train_cli_parse(int *argc, char ***argv, const GOptionEntry *entries, const char *rest,
                     const char *about);

// Says "colorizer COMMAND: SENTENCE" on stderr and gives status back.
int train_cli_tell(const char *command, int status, const char *format, ...) G_GNUC_PRINTF(3, 4);

// The same for a GError, which is freed and cleared.
int train_cli_fail(const char *command, GError **error);

G_END_DECLS
