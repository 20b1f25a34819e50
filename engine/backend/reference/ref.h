// SPDX-License-Identifier: LGPL-3.0-or-later
// The built-in backend: every op by its reference, always there.
#pragma once

#include <cz/backend.h>

const CzBackend *cz_reference_backend(void);
