// SPDX-License-Identifier: LGPL-3.0-or-later
// The field on a piece of one row, for apply, which works on pieces that fit the first cache.
#pragma once

#include <cz/field.h>

// As cz_field_sample, for n pixels from column x on of row y. lab: n * 3 (out): L*, a*, b*, where
// a* and b* are multiplied with strength.
void cz_field_span(const CzField *field, int32_t photo_w, int32_t photo_h, int32_t x, int32_t y,
                   int32_t n, const float *lightness, float strength, float *lab);
