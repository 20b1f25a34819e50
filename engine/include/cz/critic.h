// SPDX-License-Identifier: LGPL-3.0-or-later
// The discriminator: PatchGAN critics (Isola et al. 2017), which judge overlapping patches of a
// picture's color, each on its own.
//
// One critic: convolutions 4x4 with padding 1 and leaky ReLU of slope 0.2 (leak); n_layers of stride 2 with
// width, 2 width, 4 width, ... (at most 8 width) channels, one of stride 1, and one of stride 1 to a
// single channel of logits. No normalisation in the first and the last. With width 64 and three
// layers each logit sees 70x70, with two 34x34. Further scales see the input at half the size of the
// one before, with filters of their own (Wang et al. 2018, pix2pixHD).
#pragma once

#include <cz/graph.h>
#include <cz/plan.h>

G_BEGIN_DECLS

#define CZ_CRITIC_MOST_SCALES 3

typedef struct {
    int32_t width;       // channels of the first convolution, 1 to 512
    int32_t n_layers;    // of stride 2; 1 to 5
    int32_t n_scales;    // 1 to CZ_CRITIC_MOST_SCALES
    int32_t batch_norm;  // 1: by the batch's own mean and variance, epsilon 1e-5, with scale and shift
    int32_t spectral;    // 1: filters divided by their largest singular value (Miyato et al. 2018)
    int32_t conditional; // 1: it sees the lightness beside the color
    int32_t plain_start; // 1: weights start evenly in +-1/sqrt(inputs), as PyTorch's layers do
    float leak;          // slope of the leaky ReLU below zero; 0: 0.2
} CzCriticParams;

typedef struct {
    CzValue logits[CZ_CRITIC_MOST_SCALES]; // of scale s: (n, 1, h_s, w_s)
    // With spectral: the next estimates of singular vectors, and the PARAMs to keep them in.
    CzValue *vectors, *next_vectors;
    int32_t n_vectors;
} CzCriticOutput;

// lightness: (n, 1, h, w), chroma: (n, 2, h, w), F32. Parameters are "critic.SCALE.LAYER.weight" and
// so on; building twice in a graph shares them. The arrays of *output are the graph's caller's:
// cz_critic_clear().
void cz_critic_build(CzGraph *graph, CzValue lightness, CzValue chroma, const CzCriticParams *params,
                     CzCriticOutput *output);
void cz_critic_clear(CzCriticOutput *output);

// Names and shapes of all parameters, in order. trained: FALSE for the singular vectors. Stops and
// returns FALSE when visit does; FALSE without a call if params make no critic.
bool cz_critic_each(const CzCriticParams *params,
                    bool (*visit)(void *user, const char *name, CzShape shape, bool trained), void *user);

// Adds starting weights to the store: normal of deviation 0.02 (scales: around 1; but see
// plain_start), biases and shifts zero; the same for the same seed. Errors of the store and of memory.
bool cz_critic_start(CzStore *store, const CzCriticParams *params, uint64_t seed, GError **error);

G_END_DECLS
