// SPDX-License-Identifier: LGPL-3.0-or-later
// What plans need of a store.
#pragma once

#include <cz/plan.h>

// The memory of a tensor, which stays where it is for as long as the store lives; NULL: no such
// name.
CzBuffer *cz_store_buffer(const CzStore *store, const char *name, CzShape *shape);
