// SPDX-License-Identifier: LGPL-3.0-or-later
// The generator, whichever network it is: one definition for training and inference.
//
// A training and the plug-in know this header alone; what a network is called and made of stands in
// the weights file (colorize.architecture and the keys beside it).
#pragma once

#include <cz/pix2pix.h>
#include <cz/unet.h>

G_BEGIN_DECLS

typedef enum { CZ_GENERATOR_UNET, CZ_GENERATOR_PIX2PIX, CZ_N_GENERATORS } CzArchitecture;

typedef struct {
    CzArchitecture architecture;
    CzUnetParams unet;       // read where the architecture is this one
    CzPix2pixParams pix2pix; // likewise
} CzGeneratorParams;

CzGeneratorParams cz_generator_default(void); // the U-Net

// "unet", "pix2pix"; NULL beyond the last. FALSE: no network has this name.
const char *cz_architecture_name(CzArchitecture architecture);
bool cz_architecture_of(const char *name, CzArchitecture *architecture);

int32_t cz_generator_inputs(const CzGeneratorParams *params);
// Width and height must be multiples of this.
int32_t cz_generator_multiple(const CzGeneratorParams *params);
// Pixels of the lightness that a place of the chroma stands for, along each side: 1, 2 or 4. A
// training's truth is the mean over them; of w pixels ceil(w / stride) places are left.
int32_t cz_generator_stride(const CzGeneratorParams *params);
int32_t cz_generator_features(const CzGeneratorParams *params); // channels of the features

typedef struct {
    CzDtype dtype;  // of the activations
    bool train;     // normalise by the batch's statistics, drop out
    CzValue sample; // train: (n, 1, 1, 1), the number of each sample in the training, modulo 2^24:
    uint64_t seed;  // with it and the seed it is certain what dropout leaves out
} CzGeneratorUse;

typedef struct {
    CzValue chroma;   // (n, 2, ceil(h / stride), ceil(w / stride)) a*b*/100, F32
    CzValue features; // (n, cz_generator_features(), ceil(h / 8), ceil(w / 8)), F32: what hints are spread by
    // Of an affine head, else failed: what chroma is made of, (n, 2, h', w'), F32. places: c in
    // a*b*/100, slopes: s in a*b*/100 for each L*/50.
    CzValue places, slopes;
    CzValue decoded;  // (n, any, h', w') of use.dtype: what the last layer sees, for auxiliary heads
    // Training: the PARAMs of running statistics, and what this batch adds to each of them.
    CzValue *averages, *statistics;
    int32_t n_averages;
} CzGeneratorOutput;

// The decay of running statistics (PyTorch: momentum 0.1).
#define CZ_STATISTICS_DECAY 0.9f

// lightness: (n, inputs, h, w) F32, L*/50 - 1. The arrays of *output are the caller's:
// cz_generator_clear(). Impossible params and sizes let the graph fail.
void cz_generator_build(CzGraph *graph, CzValue lightness, const CzGeneratorParams *params,
                        const CzGeneratorUse *use, CzGeneratorOutput *output);
void cz_generator_clear(CzGeneratorOutput *output);

// As cz_unet_each. Running statistics are among the tensors; their names end in ".running_mean" and
// ".running_var", and nothing trains them.
bool cz_generator_each(const CzGeneratorParams *params,
                       bool (*visit)(void *user, const CzUnetTensor *tensor), void *user);

// As cz_unet_read, cz_unet_write and cz_unet_start. A pretrained encoder fits the U-Net alone
// (CZ_ERROR_MODEL).
bool cz_generator_read(CzGeneratorParams *params, const CzModelFile *file, GError **error);
void cz_generator_write(const CzGeneratorParams *params, CzModelWriter *writer);
bool cz_generator_start(CzStore *store, const CzGeneratorParams *params, const char *encoder_path,
                        uint64_t seed, GError **error);
// Whether weights of one are weights of the other: what a file says of both is the same.
bool cz_generator_equal(const CzGeneratorParams *a, const CzGeneratorParams *b);

G_END_DECLS
