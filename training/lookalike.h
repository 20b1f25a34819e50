// SPDX-License-Identifier: LGPL-3.0-or-later
// Pictures that look alike (one photograph in two sizes or qualities, cut a little otherwise),
// found by a difference hash of 64 bits, so that none is learnt that is held back for validation.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "set.h"

G_BEGIN_DECLS

#define TRAIN_LOOK_MAX_BITS 16

#define TRAIN_LOOK_COLUMNS 9
#define TRAIN_LOOK_ROWS    8

typedef struct {
    uint64_t hash; // of the content (train_picture_hash), which decides what is held back
    // The picture reduced to 9 x 8 means of luma; bit 8 y + x: brighter at (x, y) than at (x + 1,
    // y) (Krawetz, "Kind of Like That", 2013). And that of the mirrored picture, since training
    // mirrors.
    uint64_t bits, mirrored;
    // Those means less their mean, the largest 127: bits alone, of which every sea at dusk has the
    // same, find strangers, too.
    int8_t luma[TRAIN_LOOK_ROWS * TRAIN_LOOK_COLUMNS];
} TrainLook;

// Luma must correlate so, too: of 86 pairs of 7,827 photographs that differ in at most 5 bits, two
// do, and these two are the ones that a person would name.
#define TRAIN_LOOK_MIN_CORRELATION 0.9f

// CZ_ERROR_MEMORY.
bool train_look_make(TrainLook *look, const TrainPicture *picture, GError **error);

#define TRAIN_NO_TWIN UINT32_MAX

typedef struct {
    uint32_t index; // the picture for which this one is to go; TRAIN_NO_TWIN: it may stay
    int32_t n_bits; // that differ
} TrainTwin;

// Which of n pictures are to go, so that of those that stay none looks like one that is held back
// at this share or any smaller one. Of two that correlate and differ in at most max_bits (0 to
// TRAIN_LOOK_MAX_BITS) and of which one is held back, the one with the smaller hash, which is held
// back first, stays. The first n_fixed pictures are of elsewhere: held back whatever their hash,
// and they never go. The order of the others changes nothing. twins: n, out. Time: n log n, and
// what shares a band of bits (Norouzi, Punjani & Fleet, "Fast search in Hamming space with
// multi-index hashing", CVPR 2012). CZ_ERROR_MEMORY.
bool train_look_twins(const TrainLook *looks, size_t n, size_t n_fixed, double held_back,
                      int max_bits, TrainTwin *twins, GError **error);

G_END_DECLS
