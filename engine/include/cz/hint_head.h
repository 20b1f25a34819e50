// SPDX-License-Identifier: LGPL-3.0-or-later
// What a weights file has learned about hints, and what it is learned from.
//
// With f the normalized features of a map, z = weight f takes their place. The amplitude of a place
//     s = exp(clamp(mean over maps of amplitude z + curve (q, q^2, c, c^2), -1, 1)),
//     q = (L* - 50) / 50, c = sqrt(a*^2 + b*^2 + 1) / 30 of the prediction
// is the expected size of its error against others': the kernel between two places is multiplied
// with both amplitudes (a diagonal scaling keeps it positive definite). The bound keeps what one
// dab does elsewhere below e^2 of what it asks for.
#pragma once

#include <cz/colorizer.h>
#include <cz/hints.h>
#include <cz/model.h>

G_BEGIN_DECLS

// Widths of the regression's kernel (engine/color/hints.h).
typedef struct {
    float feature, place, lightness, chroma; // lightness in L*, chroma and bold in a*b*
    float bold, sharper, near_place, strength, noise;
} CzHintKernel;

// The kernel of a reach, 0 to 1, where nothing has been learned.
CzHintKernel cz_hint_kernel(double reach);

#define CZ_HINT_LIGHTNESS 50.0f // of q: middle and unit
#define CZ_HINT_CHROMA    30.0f // of c
#define CZ_HINT_CURVE     4

typedef struct CzHintHead {
    int32_t channels, width;    // of the features that come in and go out
    float *weight;              // width * channels
    float *amplitude;           // width
    float curve[CZ_HINT_CURVE]; // of q, q^2, c, c^2
    CzHintKernel kernel;        // of the middle reach
} CzHintHead;

// All zero but the sizes and the kernel, which is that of reach 0.5. CZ_ERROR_MEMORY.
CzHintHead *cz_hint_head_new(int32_t channels, int32_t width, GError **error);
void cz_hint_head_free(CzHintHead *head); // accepts NULL
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CzHintHead, cz_hint_head_free)

// ---- in a weights file --------------------------------------------------------------------------
//
// Tensors "hint.head.weight" (width, channels, 1, 1) and "hint.amplitude.weight" (1, width, 1, 1);
// metadata "colorize.hints", ten numbers between commas: feature, place, lightness, chroma, strength
// and noise of the kernel, then the amplitude's curve.

// channels: of the network's features. *head (out, owned by the caller) is NULL where the file has
// learned nothing. CZ_ERROR_MODEL: it is damaged, or of another network; MEMORY.
bool cz_hint_head_read(const CzModelFile *file, int32_t channels, CzHintHead **head, GError **error);
// CZ_ERROR_SHAPE: the writer has one already; MEMORY.
bool cz_hint_head_write(const CzHintHead *head, CzModelWriter *writer, GError **error);
// Whether a tensor or a key of metadata is a part of it.
bool cz_hint_head_is(const char *name);

// ---- for learning it ----------------------------------------------------------------------------

// What the regression sees of a place.
typedef struct {
    float x, y;         // in shorter sides
    float l, c[2];      // of the field
    float predicted[2]; // a*b* that the field gives, before all hints
} CzHintPlace;

// Predictions from now on have features as the network gives them; not while another thread uses
// the colorizer.
void cz_colorizer_forget_hints(CzColorizer *colorizer);
// Maps of features of a prediction, and the channels of each.
void cz_chroma_feature_sizes(const CzChroma *chroma, int32_t *n_maps, int32_t *channels);
// features: n_maps * channels (out), normalized (mean off, mean square length 1 in each map).
void cz_chroma_hint_place(const CzChroma *chroma, const CzDab *dab, CzHintPlace *place, float *features);

G_END_DECLS
