// SPDX-License-Identifier: LGPL-3.0-or-later
// The engine's error domain.
#include <cz/error.h>

G_DEFINE_QUARK(cz - error - quark, cz_error)
