// SPDX-License-Identifier: LGPL-3.0-or-later
// Weights files of random numbers, for tests of what uses a network.
#pragma once

#include <cz/unet.h>

// Small, and enough to have every layer.
extern const CzUnetParams test_weights_small;

// Writes folder/name; the same numbers every time, with a small head, as in a training's start:
// colours that mostly stay inside the gamut. Working sizes are 64 and 96. key and value: one entry
// of the metadata beside the network's, or NULL. Returns the path, the caller frees.
char *test_weights_write(const char *folder, const char *name, const CzUnetParams *params,
                         const char *key, const char *value);
