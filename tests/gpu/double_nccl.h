// SPDX-License-Identifier: LGPL-3.0-or-later
// How a test steers the double of NCCL (libnccl-double.so), and what it asks it afterwards.
//
// Ranks are processes of one machine. They meet in a file in the temporary folder (TMPDIR), whose
// name is the unique id, and which is gone once all have met. Sums run when the stream does, in the
// order of ranks; all ranks must run theirs, as each waits for the others. What the module did
// wrong is a complaint of the driver's double (double.h), which this one works upon.
#pragma once

#include <stdbool.h>

#include "double.h"

// Forgets communicators, counts and faults, and reads the environment again:
//   COLORIZE_DOUBLE_NCCL_VERSION     as 23203
//   COLORIZE_DOUBLE_NCCL_TIMEOUT_MS  how long ranks wait for each other; then a remote error
DOUBLE_EXPORT void double_nccl_reset(void);

// Calls since the last reset.
DOUBLE_EXPORT unsigned double_nccl_calls(const char *name);
// The n-th call of this name from now fails once with result; 0: none. A call that releases has
// released all the same.
DOUBLE_EXPORT void double_nccl_fail_call(const char *name, unsigned n, int result);
DOUBLE_EXPORT bool double_nccl_failed(void);
// Communicators that are alive.
DOUBLE_EXPORT unsigned double_nccl_leaks(void);
