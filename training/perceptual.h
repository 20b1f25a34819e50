// SPDX-License-Identifier: LGPL-3.0-or-later
// How far two pictures are apart in the features of a pretrained encoder (Zhang et al. 2018, with
// weights of 1 in place of learned ones), as nodes with gradients.
//
// Both are L*a*b* of the same L*; they go through encoded sRGB, clipped to 0..1 as a screen does,
// to (255 v - 127) / 128, which is what the encoder was trained on. At each of its levels at 1/4,
// 1/8 and 1/16 the features of a place are brought to length 1 over channels; the distance is the
// mean over places of the squared difference, summed over channels and levels.
//
// The encoder's tensors lie in the store under "perceptual."; no gradient is asked for them.
#pragma once

#include <cz/ops.h>
#include <cz/plan.h>

// lightness: (n, 1, h, w) L*/50 - 1; chroma: (n, 2, h, w) a*b*/100. Encoded sRGB (n, 3, h, w), 0 to
// 1; F32. D50 and constants as cz/color.h.
CzValue train_perceptual_rgb(CzGraph *graph, CzValue lightness, CzValue chroma);

// A scalar. lightness: of both; dtype: of the encoder's activations.
CzValue train_perceptual_build(CzGraph *graph, CzValue lightness, CzValue output, CzValue truth,
                               CzDtype dtype);

// Loads the encoder into the store unless it is there. CZ_ERROR_IO, FORMAT, MODEL (a tensor that
// is missing or of another shape: an encoder for grey pictures does not serve), MEMORY, BACKEND.
bool train_perceptual_start(CzStore *store, const char *encoder_path, GError **error);
