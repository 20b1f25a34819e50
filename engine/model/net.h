// SPDX-License-Identifier: LGPL-3.0-or-later
// What the generators are built of, beside plain ops: layers that training and inference see
// differently, and the list of what training has to keep from a batch.
#pragma once

#include <cz/generator.h>

typedef struct {
    CzGraph *graph;
    CzGeneratorUse use;
    uint32_t n_masks;              // dropouts so far, each with numbers of its own
    GArray *averages, *statistics; // of CzValue, alike in length
} CzNet;

void cz_net_init(CzNet *net, CzGraph *graph, const CzGeneratorUse *use);
// The lists become *output's; what net has is gone.
void cz_net_finish(CzNet *net, CzGeneratorOutput *output);

// PREFIX.WHAT
CzValue cz_net_param(const CzNet *net, const char *prefix, const char *what, CzShape shape);
CzValue cz_net_to_f32(const CzNet *net, CzValue src);

// Batch normalisation (Ioffe & Szegedy 2015), epsilon 1e-5, with scale and shift:
// PREFIX.norm.scale, .shift, .running_mean, .running_var.
CzValue cz_net_batch_norm(CzNet *net, CzValue src, const char *prefix);

// By each sample's own mean and variance in every channel (Ulyanov et al. 2016), epsilon 1e-5:
// PREFIX.norm.scale, .shift.
CzValue cz_net_instance_norm(CzNet *net, CzValue src, const char *prefix);

// Self-attention over all places (Zhang et al. 2019, SAGAN): query and key of an eighth of the
// channels, softmax over the places that are looked at; what they hold is added times a gain that
// begins at 0. In F32 whatever the activations are. Parameters: attention.query, .key, .value and
// .gain.
CzValue cz_net_attention(CzNet *net, CzValue src);

// Tensors that do not begin as random numbers: normalisation, gain, biases. FALSE: filters.
bool cz_net_start_value(const char *name, float *value);

// Nothing in inference; in training each value is left out with this probability, and the others
// grow by 1 / (1 - rate) (Srivastava et al. 2014).
CzValue cz_net_dropout(CzNet *net, CzValue src, float rate);

// The networks: nodes from lightness (F32) to chroma, features and decoded of *output.
void cz_unet_net(CzNet *net, CzValue lightness, const CzUnetParams *params,
                 CzGeneratorOutput *output);
void cz_pix2pix_net(CzNet *net, CzValue lightness, const CzPix2pixParams *params,
                    CzGeneratorOutput *output);

// Every PARAM of a graph as a tensor, in order; stops and returns FALSE when visit does.
bool cz_net_visit(const CzGraph *graph, bool (*visit)(void *user, const CzUnetTensor *tensor),
                  void *user);

// What a file says of these params: cz_unet_read and cz_unet_write are of the same kind.
bool cz_pix2pix_read(CzPix2pixParams *params, const CzModelFile *file, GError **error);
void cz_pix2pix_write(const CzPix2pixParams *params, CzModelWriter *writer);
