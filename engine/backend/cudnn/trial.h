// SPDX-License-Identifier: LGPL-3.0-or-later
// The first use of a GPU on this machine: convolutions and gradients by cuDNN, and own kernels,
// compared with numbers known beforehand.
#pragma once

#include "first_use.h"
#include "libs.h"

// After libs_start(), in a process that may die of it. On the first GPU that is new enough. WRONG:
// a number is not what was expected. FAILS also where cuDNN has no engine. UNDECIDED where the
// GPU's memory is out or nearly so and something fails, and where none is new enough.
FirstUseAnswer trial_run(const CzHost *host, const Libs *libs, GError **error);
