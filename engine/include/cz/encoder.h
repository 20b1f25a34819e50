// SPDX-License-Identifier: LGPL-3.0-or-later
// The pretrained EfficientNet-lite0 trunk by itself, for colour pictures: an eye for perceptual
// losses and distances (Tan & Le 2019, "lite" form). The generator's encoder is the same formula.
#pragma once

#include <cz/graph.h>
#include <cz/plan.h>

G_BEGIN_DECLS

#define CZ_ENCODER_LEVELS 5
// Channels of its levels; sizes are 1/2, 1/4, ... 1/32 of the input's, divided rounding up.
extern const int32_t cz_encoder_widths[CZ_ENCODER_LEVELS];

// What the trunk's file in training/pretrained wants to see of encoded sRGB v in 0 to 1.
#define CZ_ENCODER_SCALE (255.0f / 128)
#define CZ_ENCODER_SHIFT (-127.0f / 128)

// src: (n, c, h, w), of any type, as the levels are; levels: the last block of each of the first
// n_levels sizes, without activation. Parameters are PREFIX + "stem.weight", PREFIX +
// "block.0.depthwise.weight" and so on.
void cz_encoder_build(CzGraph *graph, CzValue src, const char *prefix, CzValue *levels,
                      int32_t n_levels);

// What the first n_levels need of a trunk's file for three colours into a store, with prefix before
// the names. Errors of the file and the store; CZ_ERROR_MODEL names a tensor that is missing or
// does not fit.
bool cz_encoder_load(CzStore *store, const char *path, const char *prefix, int32_t n_levels,
                     GError **error);

G_END_DECLS
