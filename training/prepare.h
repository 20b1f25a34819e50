// SPDX-License-Identifier: LGPL-3.0-or-later
// Pictures into a set: what is taken, what is left out and why.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "list.h"

G_BEGIN_DECLS

// Why a picture is left out; TRAIN_TAKEN is none of the reasons.
typedef enum {
    TRAIN_TAKEN,
    TRAIN_BROKEN,      // cannot be read or decoded
    TRAIN_TINY,        // shorter side below TRAIN_MIN_SIDE
    TRAIN_GREY,        // tint.h
    TRAIN_TINTED,      // tint.h
    TRAIN_DUPLICATE,   // same size and pixels as one taken before
    TRAIN_NEAR,        // looks like one that is held back for validation (lookalike.h)
    TRAIN_NEAR_TAKEN,  // so it does, and yet it is taken, because that was asked for
    TRAIN_PASSED_OVER, // the grey half of a pair (list.h)
    TRAIN_VERDICTS
} TrainVerdict;

#define TRAIN_MIN_SIDE 96

// Told of every picture, in order; number counts them. One that was TRAIN_TAKEN may be told again
// at the end, with the same number, as TRAIN_NEAR or TRAIN_NEAR_TAKEN: that is what counts. What is
// TRAIN_PASSED_OVER is told once for all of a folder or an archive. detail may be NULL.
typedef void (*TrainPrepareReport)(void *user, size_t number, const char *name,
                                   TrainVerdict verdict, const char *detail);

typedef struct {
    const char *out;           // the set; written anew
    int32_t side;              // shorter side at most
    TrainPrepareReport report; // may be NULL
    void *user;
    // Near-duplicates: those that differ in at most so many of 64 bits, for a split that holds back
    // this share. keep: they are told but taken.
    int near_bits;
    double held_back;
    bool keep_near;
    // Pictures (paths as for the set) of which the set is to hold no near-duplicate, either.
    const char *const *unlike;
    size_t n_unlike;
} TrainPrepareParams;

typedef struct {
    size_t n[TRAIN_VERDICTS];
    size_t n_held_back; // of those taken
    uint64_t n_bytes;   // of pixels taken
} TrainPrepareCounts;

// "cannot be decoded" and the like, for n pictures of that verdict.
const char *train_verdict_text(TrainVerdict verdict);
// One lower-case word for it, as reports have it ("broken").
const char *train_verdict_word(TrainVerdict verdict);
// Whether a picture of this verdict is in the set.
bool train_verdict_is_taken(TrainVerdict verdict);

// Fails, and writes nothing, when a path or the set cannot be used or when no picture is taken.
bool train_prepare_set(const TrainPrepareParams *params, const char *const *paths, size_t n_paths,
                       TrainPrepareCounts *counts, GError **error);

// The subcommand.
int train_prepare(int argc, char **argv);

G_END_DECLS
