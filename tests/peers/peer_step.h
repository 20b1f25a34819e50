// SPDX-License-Identifier: LGPL-3.0-or-later
// One training step of generator and critic, with all that it starts from, for pytorch.py.
#pragma once

#include <stdbool.h>

#include <glib.h>

// argv: IN (lightness, chroma), OUT, then SECTION.KEY=VALUE ... to NULL. OUT holds w/NAME, what the
// step started from; m/NAME, Adam's first moments after it, which are (1 - beta1) times gradients;
// term/NAME and critic/NAME, scalars; fake, the generator's color.
bool peer_step(char **argv, GError **error);
