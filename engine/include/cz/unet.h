// SPDX-License-Identifier: LGPL-3.0-or-later
// The generator: a U-Net on an EfficientNet-lite0 encoder (design.md, Network). One definition for
// training and inference.
#pragma once

#include <cz/graph.h>
#include <cz/model.h>
#include <cz/plan.h>

G_BEGIN_DECLS

typedef enum { CZ_NORM_NONE, CZ_NORM_BATCH, CZ_NORM_INSTANCE } CzNorm;

typedef struct {
    int32_t n_inputs;   // channels of the input; 1
    int32_t widths[4];  // decoder, from 1/16 to 1/2; 128, 96, 64, 48
    int32_t context;    // 1: a 1x1 of the global mean is added at the bottom
    // Zero: the network as it was before there were these.
    int32_t stride;    // of the chroma: 2, or 4: the decoder's last level is left out; 0: 2
    int32_t attention; // self-attention (Zhang et al. 2019) at 1/attention: 4, 8, 16 or 32; 0: none
    int32_t depth;     // levels of the encoder, 5, or 4: it ends at 1/16; 0: 5
    int32_t blocks;    // residual blocks in each level of the decoder, 1 to 4; 0: 1
    int32_t norm;      // CzNorm, of the decoder's 3x3 convolutions and skips
    int32_t concat;    // 1: skips are concatenated, not added
    // 1: a head that also gives slopes, and a training through ab(p) = c(p) + s(p) (L*(p) - l(p)) at
    // full size (field.h), whatever the stride; 0: chroma alone.
    int32_t affine;
    float dropout;     // behind each level of the decoder, training only; 0 to 0.9
} CzUnetParams;

// What these params lack to be a network, in words; NULL: nothing. The caller frees.
char *cz_unet_fault(const CzUnetParams *params);

extern const CzUnetParams cz_unet_default;

typedef struct {
    CzValue chroma;   // (n, 2, h/2, w/2) a*b*/100, F32; sizes over the stride
    CzValue features; // (n, widths[1], h/8, w/8), F32: what hints are spread by
} CzUnetOutput;

// lightness: (n, n_inputs, h, w) F32, L*/50 - 1; sizes divided by two round up. dtype: of the
// activations. As in use; a training builds through generator.h.
CzUnetOutput cz_unet_build(CzGraph *graph, CzValue lightness, const CzUnetParams *params, CzDtype dtype);

// One tensor of the network: its name and shape, and how training starts it.
typedef struct {
    char name[48];
    CzShape shape;
    bool encoder;
    bool statistic; // a running average of batch normalisation: kept, not trained
} CzUnetTensor;
// Calls visit for every tensor, in order; stops and returns FALSE when visit does. FALSE without a
// call if params make no network (a width below 1).
bool cz_unet_each(const CzUnetParams *params, bool (*visit)(void *user, const CzUnetTensor *tensor), void *user);

// Hyper-parameters from a file's metadata, and every tensor checked against them (CZ_ERROR_MODEL
// names the first that is missing or of another shape).
bool cz_unet_read(CzUnetParams *params, const CzModelFile *file, GError **error);
void cz_unet_write(const CzUnetParams *params, CzModelWriter *writer); // metadata only

// Fills a store with the weights that a training begins with: normal numbers of deviation
// sqrt(2 / inputs) in the encoder (He et al. 2015), sqrt(1 / (3 inputs)) in the decoder, the head's
// a tenth of that, biases zero; the same for the same seed. encoder_path: EfficientNet-lite0 for
// colour pictures, its stem folded for grey input, or NULL. Errors of the file, the store and
// memory; CZ_ERROR_MODEL names a tensor that does not fit.
bool cz_unet_start(CzStore *store, const CzUnetParams *params, const char *encoder_path,
                   uint64_t seed, GError **error);

G_END_DECLS
