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
    TRAIN_BROKEN,    // cannot be read or decoded
    TRAIN_TINY,      // shorter side below TRAIN_MIN_SIDE
    TRAIN_GREY,      // tint.h
    TRAIN_TINTED,    // tint.h
    TRAIN_DUPLICATE, // same size and pixels as one taken before
    TRAIN_VERDICTS
} TrainVerdict;

#define TRAIN_MIN_SIDE 96

typedef struct {
    const char *out; // the set; written anew
    int32_t side;    // shorter side at most
    // May be NULL; told of every picture, in order. detail may be NULL.
    void (*report)(void *user, const char *name, TrainVerdict verdict, const char *detail);
    void *user;
} TrainPrepareParams;

typedef struct {
    size_t n[TRAIN_VERDICTS];
    uint64_t n_bytes; // of pixels taken
} TrainPrepareCounts;

// "cannot be decoded" and the like, for n pictures of that verdict.
const char *train_verdict_text(TrainVerdict verdict);

// Fails, and writes nothing, when a path or the set cannot be used or when no picture is taken.
bool train_prepare_set(const TrainPrepareParams *params, const char *const *paths, size_t n_paths,
                       TrainPrepareCounts *counts, GError **error);

// The subcommand.
int train_prepare(int argc, char **argv);

G_END_DECLS
