// SPDX-License-Identifier: LGPL-3.0-or-later
// The first use of a GPU on this machine: one convolution and its two gradients by cuDNN, and own
// kernels, compared with numbers known beforehand.
#pragma once

#include "first_use.h"
#include "libs.h"

// After libs_start(), in a process that may die of it. On the first GPU that is new enough.
// UNDECIDED where its memory is out, or none is new enough.
FirstUseAnswer trial_run(const CzHost *host, const Libs *libs, GError **error);
