// SPDX-License-Identifier: LGPL-3.0-or-later
// Color hints: places whose color is known, gathered from a painted picture.
//
// What spreads them over the photograph is Gaussian-process regression (kriging) of hint minus
// prediction, on what the network saw.
#pragma once

#include <cz/colorizer.h>

G_BEGIN_DECLS

// A place of known color.
typedef struct {
    float x, y;   // 0 to 1 of the photograph's width and height
    float l;      // the photograph's mean L* under the dab
    float a, b;   // the color that it shall have there
    float weight; // 0 to 1: how opaque it is
} CzDab;

#define CZ_MAX_DABS 256 // that cz_dabs_gather makes; cz_chroma_hint takes any number up to 1024

// Rows of a picture of the photograph's size: encoded sRGB and alpha, four floats a pixel, not
// premultiplied. Alpha above 0 is a hint.
typedef struct {
    bool (*read_rows)(void *user, int32_t y, int32_t n_rows, float *rgba, GError **error);
    void *user;
} CzHintPicture;

// Reads the picture band by band, and the photograph's rows where there are hints; memory is
// bounded. Pixels near each other and of like color and L* become one dab, so that a dab of six
// pixels counts as much as a wide one, and a large area becomes several. dabs: CZ_MAX_DABS (out).
// The same picture gives the same dabs. Uses the calling thread only.
// CZ_ERROR_MEMORY, CANCELLED, or what read_rows said.
bool cz_dabs_gather(const CzPhoto *photo, const CzHintPicture *picture, const CzProgress *progress, CzDab *dabs,
                    size_t *n_dabs, GError **error);

// What cz_chroma_apply and its kin give from now on: the prediction and these hints, in place of all
// hints before; n = 0 takes them away. reach: 0, "this object", to 1, "all that looks like it"
// (CzSettings). Where a dab of weight 1 lies, the color becomes the dab's, brought into the gamut.
// Milliseconds: no inference. Uses the calling thread only, which may be any; nobody may use the
// same chroma meanwhile. Deterministic; what was hinted before does not matter.
// CZ_ERROR_ARGUMENT (n, reach), NUMERIC, MEMORY: the chroma is as it was.
bool cz_chroma_hint(CzChroma *chroma, const CzDab *dabs, size_t n, double reach, GError **error);

// Colors to choose from for the place x, y (0 to 1 of width and height) whose L* is l, most likely
// first: the network's own, those that its head of classes takes for likely where the weights have
// one (cz/classes.h: modes of its mixture, 15 units of a*b* apart, with a share of 0.05 or more),
// those of places of this photograph that look alike, more vivid and paler ones, grey, then other
// hues. In the gamut at l, and at least 5 apart (CIEDE2000): fewer
// than asked for where the gamut is small, one at L* 0 and 100, none for what is no number. Hints
// do not matter. ab: n_max (out); their number. About a millisecond. Uses the calling thread only,
// which may be any; as many at once as you like.
size_t cz_chroma_suggest(const CzChroma *chroma, double x, double y, double l, float (*ab)[2], size_t n_max);

G_END_DECLS
