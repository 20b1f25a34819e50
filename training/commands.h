// SPDX-License-Identifier: LGPL-3.0-or-later
// The subcommands; argv[0] is the name, the result the exit code (cli.h).
#pragma once

int train_command_train(int argc, char **argv);
int train_command_evaluate(int argc, char **argv);
int train_command_apply(int argc, char **argv);
int train_command_average(int argc, char **argv);
int train_command_hints(int argc, char **argv);
int train_command_inspect(int argc, char **argv);
int train_command_selftest(int argc, char **argv);
int train_command_sweep(int argc, char **argv);
