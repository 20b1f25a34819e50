// SPDX-License-Identifier: LGPL-3.0-or-later
// A run's folder belongs to one process at a time.
#pragma once

#include <glib.h>

// Holds DIR/lock until the descriptor is closed or the process ends, however it ends (flock).
// -1: CZ_ERROR_IO, that another process holds it (which one, if it says so), or the file's failure.
int train_lock_folder(const char *folder, GError **error);
