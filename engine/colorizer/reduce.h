// SPDX-License-Identifier: LGPL-3.0-or-later
// A photograph's L* at every size that the network sees, and its tint, from one pass over its rows.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "color/tone.h"

// The network's picture of a photograph for a working size (short side).
// Photographs are not enlarged, as that adds nothing to see; but below 64 pixels, where the lowest
// level of the network would have 2 places, they are. Beyond 8 : 1 the long side is squeezed.
#define CZ_LEAST_SIDE  64
#define CZ_MOST_ASPECT 8
void cz_working_size(int32_t photo_w, int32_t photo_h, int32_t size, int32_t *w, int32_t *h);

typedef struct CzReducer CzReducer;

// sizes: ascending short sides; those that come to the same picture are one. CZ_ERROR_MEMORY.
CzReducer *cz_reducer_new(int32_t photo_w, int32_t photo_h, const int32_t *sizes, int n_sizes,
                          GError **error);
void cz_reducer_free(CzReducer *reducer); // accepts NULL
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CzReducer, cz_reducer_free)

// One more size, before the first row. CZ_ERROR_MEMORY.
bool cz_reducer_add_fine(CzReducer *reducer, int32_t photo_h, int32_t w, int32_t h, GError **error);

int cz_reducer_n_sizes(const CzReducer *reducer);
void cz_reducer_size(const CzReducer *reducer, int index, int32_t *w, int32_t *h);
// Half of the largest size, rounded up: where the network's chroma lies.
void cz_reducer_field_size(const CzReducer *reducer, int32_t *w, int32_t *h);

// Encoded RGB, all rows in order; OpenMP inside.
void cz_reducer_push(CzReducer *reducer, const float *rgb, int32_t n_rows);
// After the last row: L* at a size, and at the field's.
void cz_reducer_result(const CzReducer *reducer, int index, float *lightness);
void cz_reducer_fine(const CzReducer *reducer, float *lightness);
void cz_reducer_lightness(const CzReducer *reducer, float *lightness);
CzTone cz_reducer_tone(const CzReducer *reducer);
