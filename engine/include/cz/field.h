// SPDX-License-Identifier: LGPL-3.0-or-later
// The field: chroma at working size that follows the photograph's own lightness at any size.
//
//     ab(p) = c(p) + s(p) * (L*(p) - l(p)),   maps sampled bilinearly at p (half-pixel centres)
//
// c: chroma (a*, b* in CIE units), l: the lightness they belong to (area mean of L*), s: slopes =
// cov(l, c) / (var(l) + epsilon) over 3 x 3 places, edges repeated: the ridge regression of a
// guided filter (He, Sun & Tang 2013) in centred form and without its smoothing.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#define CZ_FIELD_EPSILON 16.0f // in L* squared; measured best of 4, 16, 64 over 2x, 4x, 8x

#define CZ_FIELD_BORDER  5     // places; see cz_field_mend_border

typedef struct {
    int32_t width, height; // of the maps
    float *c;              // height * width * 2, row by row: a*, b*
    float *l;              // height * width
    float *s;              // height * width * 2: da*/dL*, db*/dL*
} CzField;

// Allocates the maps (uninitialised). CZ_ERROR_MEMORY.
bool cz_field_init(CzField *field, int32_t width, int32_t height, GError **error);
void cz_field_copy(CzField *dst, const CzField *src); // of the same size
void cz_field_clear(CzField *field); // accepts a zeroed field
// c of the outermost places anew, from the nearest inner ones of like lightness (a joint bilateral
// mean), before the slopes are made. The network sees zeros beyond the picture, and paints a seam
// of another tint along its border, most in even skies: 5 places (10 working pixels) take it away
// and cost 0.02 dB. Does nothing to maps smaller than four borders.
void cz_field_mend_border(CzField *field, int32_t border);
void cz_field_slopes(CzField *field, float epsilon); // s from c and l

// n_rows rows, from row y on, of a photograph of photo_w x photo_h that the field covers.
// lightness: n_rows * photo_w; ab: n_rows * photo_w * 2 (out). Single-threaded; any thread.
void cz_field_sample(const CzField *field, int32_t photo_w, int32_t photo_h, int32_t y, int32_t n_rows,
                     const float *lightness, float *ab);
