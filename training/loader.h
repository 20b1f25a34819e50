// SPDX-License-Identifier: LGPL-3.0-or-later
// Batches made ahead by threads, while the trainer computes.
//
// Sample k of a run is a function of set, options and k alone: k / N is its epoch, in which a
// shuffle seeded by that number visits each of the N pictures once. So the number of threads
// changes nothing, and a run goes on where it stopped by naming its next sample.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "augment.h"
#include "set.h"

G_BEGIN_DECLS

typedef struct {
    int32_t n, crop, stride;
    float *lightness;      // (n, crop, crop, 1): L*/50 - 1
    float *chroma;         // (n, crop/stride, crop/stride, 2): a*b*/100
    uint64_t first_sample; // number of the batch's first sample
} TrainBatch;

typedef struct {
    TrainAugmentParams augment;
    int32_t batch;  // samples
    int32_t stride; // from one batch's first sample to the next one's; 0: batch
    int n_threads;  // 0: 1
    int n_ahead;    // batches kept ready; 0: n_threads + 1
    uint64_t seed;
    uint64_t first_sample; // 0, or where a run goes on
    double held_back;      // share of the set that is left out (train_picture_held_back)
    double waited;         // seconds that loaders before this one were waited for
} TrainLoaderOptions;

typedef struct TrainLoader TrainLoader;

// Starts the threads. The set must outlive the loader. CZ_ERROR_ARGUMENT (also: no picture left),
// CZ_ERROR_MEMORY.
TrainLoader *train_loader_new(const TrainSet *set, const TrainLoaderOptions *options,
                              GError **error);
// Stops the threads at once, finished batches or not. Accepts NULL.
void train_loader_free(TrainLoader *loader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TrainLoader, train_loader_free)

size_t train_loader_n_pictures(const TrainLoader *loader); // that an epoch visits

// The next batch, in order; waits for it. Borrowed until it is released. NULL: a thread failed
// (CZ_ERROR_MEMORY), and will again. One caller at a time; no more than n_ahead unreleased.
const TrainBatch *train_loader_next(TrainLoader *loader, GError **error);
void train_loader_release(TrainLoader *loader, const TrainBatch *batch); // in order of next

// Seconds that train_loader_next() has spent waiting so far, options.waited included.
double train_loader_waited(const TrainLoader *loader);

G_END_DECLS
