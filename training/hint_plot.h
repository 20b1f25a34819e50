// SPDX-License-Identifier: LGPL-3.0-or-later
// The hint curve as a picture: gain against number of hints, with the published curve.
#pragma once

#include "hints.h"

// A line for each of n hints (names: borrowed), over a logarithmic axis of 1 + number, from no hint
// on; PNG. CZ_ERROR_IO, MEMORY.
bool train_hint_plot(const char *path, const TrainHints *const *hints, const char *const *names,
                     size_t n, GError **error);
