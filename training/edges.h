// SPDX-License-Identifier: LGPL-3.0-or-later
// Bleeding: color that does not end where things end. L*a*b* pictures, three floats a pixel.
//
// Gradients are central differences, (f(x + 1) - f(x - 1)) / 2, so that the border has none.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Steepness from which a pixel counts as an edge, per pixel: a step of twice as much. For color
// over a* and b* together: nearly twice the least difference that is seen (2.3; Mahy et al. 1994).
// For lightness so much that texture does not excuse everything: with 2, true pictures have hardly
// any stray edges, with 4 about a tenth.
#define TRAIN_CHROMA_EDGE    2.0f
#define TRAIN_LIGHTNESS_EDGE 4.0f
#define TRAIN_EDGE_REACH     2 // pixels, along x and along y

// Mean |grad ab - grad ab of the truth| (both channels, both directions) over the tenth of the
// pixels where the truth's L* is steepest, ties included, flat ones never. 0: it has no edge.
// scratch: width * height.
double train_edge_error(const float *true_lab, const float *lab, int32_t width, int32_t height,
                        float *scratch);

// Pixels on an edge of color, and those of them without an edge of lightness within reach.
typedef struct {
    size_t n_chroma, n_stray;
} TrainEdges;
TrainEdges train_edges(const float *lab, int32_t width, int32_t height, float *scratch);
