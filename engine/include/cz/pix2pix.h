// SPDX-License-Identifier: LGPL-3.0-or-later
// The U-Net of pix2pix (Isola et al. 2017), and of the student project that this program grew from.
//
// Level k of the encoder halves the size with a 4x4 convolution of stride 2 (padding 1, leaky ReLU
// of slope 0.2 before it, batch normalisation behind it), level k of the decoder doubles it with a
// transposed one (ReLU before, batch normalisation and, from level 5 on, dropout behind). No
// normalisation in the first and the innermost convolution and in the last; skips are concatenated.
// Channels are width, 2, 4, then 8 width. With one input, width 64 and eight levels: 54,409,858
// parameters.
#pragma once

#include <glib.h>
#include <stdint.h>

G_BEGIN_DECLS

typedef struct {
    int32_t n_inputs;    // channels of the input; 1
    int32_t width;       // channels of the first level; 64
    int32_t levels;      // 4 to 9: sizes are multiples of 2^levels; 8
    int32_t shared;      // 1: the encoder's levels between 4 and the innermost are one module, weights and statistics
    int32_t unactivated; // the decoder's level that lacks its ReLU; 0: none
    int32_t plain_start; // 1: weights start as PyTorch's layers do on their own, evenly in +-1/sqrt(inputs)
    float dropout;       // 0 to 0.9, in the decoder's levels between 4 and the innermost; 0.5
    float range;         // tanh's +-1 stands for +-range a*b*; 110
} CzPix2pixParams;

extern const CzPix2pixParams cz_pix2pix_default;

G_END_DECLS
