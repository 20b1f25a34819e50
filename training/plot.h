// SPDX-License-Identifier: LGPL-3.0-or-later
// A run's curves as small multiples on one PNG, from its log.csv and validation.csv.
#pragma once

#include <stdbool.h>

#include <glib.h>

// Writes DIR/plots.png, atomically: losses, their terms, the critic's logits and accuracies, norms,
// rates, chroma and its spread, validation, gamut and waits. Columns that are not there, or hold
// nothing but zeros, are left out. After a rollback a curve begins again
// where the run went back to. CZ_ERROR_IO (also:
// no log.csv), MEMORY.
bool train_plot(const char *folder, GError **error);
