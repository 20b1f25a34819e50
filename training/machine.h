// SPDX-License-Identifier: LGPL-3.0-or-later
// The machine in a report that goes to others: what matters for a fault, and nothing of its owner.
#pragma once

#include <glib.h>

// Lines: program, kernel, C library, GLib, CPU and its cores. No host name. The caller frees.
char *train_machine_text(void);
// The text without the folders below the user's home: of such a path, "~" and the file's name are
// left. The caller frees.
char *train_machine_scrub(const char *text);
