// SPDX-License-Identifier: LGPL-3.0-or-later
// What the generator learns from: a sum of terms, each a weight times nodes of the step's graph.
//
// One table (losses.c) names every term, the recipe's key of its weight (loss.NAME) and what builds
// it; a term whose weight is 0 is not built. Weights are data of a run, not of the plan: they
// follow loss.schedule without a new plan.
//
// o, t: output and truth, ab/100; means over pictures, places and the two channels.
//   huber          mean of Huber(o - t)                             (loss.huber-beta)
//   l1             mean of |o - t|
//   log-mse        mean over pictures of log(mean of (o - t)^2 + loss.log-mse-floor)
//   gradient       mean of |difference of neighbours of o - t|, to the right plus downwards
//   gan            the critic's verdict (gan.h), in steps against a critic
//   colourfulness  |mean chroma of o - mean chroma of t|, chroma = sqrt(a^2 + b^2)
//   spread         |spread of o - spread of t|, spread = sqrt(var a + var b) of the batch
//   class          cross entropy of colour classes, rare ones counting more (classes.h)
//   perceptual     distance in the features of a pretrained encoder (perceptual.h)
#pragma once

#include "classes.h"
#include "recipe.h"

#define TRAIN_MOST_TERMS 16

// A term's value before its weight; the name is static.
typedef struct {
    const char *name;
    float value;
} TrainTerm;

// What terms are built from: the step's inputs and the network's output.
typedef struct {
    CzGraph *graph;
    const TrainRecipe *recipe;
    CzValue lightness, chroma; // (n, 1, crop, crop), (n, 2, crop/stride, crop/stride)
    CzGeneratorOutput output;  // its arrays are not used
    bool against_critic;
} TrainLossSources;

// One thread at a time. Values are nodes of the graph, which must outlive it.
typedef struct {
    const TrainRecipe *recipe;
    CzValue total;                    // scalar: the weighted sum
    CzValue chroma, chroma_true;      // scalars: mean chroma of output and truth
    CzValue values[TRAIN_MOST_TERMS]; // scalars: the terms, before their weights
    CzValue weights;                  // input (1, n_terms, 1, 1)
    CzValue target;                   // input: what classes are due; an id of -1: none
    int32_t rows[TRAIN_MOST_TERMS];   // of the table
    int32_t n_terms;
    TrainClasses *classes; // owned; NULL: no such term
} TrainLosses;

// Builds the terms. store: where the class term's balance is read; it must outlive nothing.
// CZ_ERROR_MODEL, MEMORY, BACKEND; what a builder met is the graph's own error.
bool train_losses_build(TrainLosses *losses, const TrainLossSources *src, CzStore *store,
                        GError **error);
void train_losses_clear(TrainLosses *losses); // accepts a zeroed one
// Before a run: weights of step `index` (from 0), and classes of the batch's chroma.
bool train_losses_write(const TrainLosses *losses, CzPlan *plan, const float *chroma, int64_t index,
                        GError **error);
const char *train_losses_name(const TrainLosses *losses, int32_t term); // static
// sqrt(var a + var b + tiny) of ab over places and pictures, of all ranks: what `spread` compares.
// A gradient needs a tiny number under the root, where all is one color.
CzValue train_losses_spread(CzGraph *graph, CzValue ab, float tiny);

// Tensors that learn for a term's sake alone, beside the network's. As cz_unet_each().
bool train_losses_each(const TrainRecipe *recipe,
                       bool (*visit)(void *user, const CzUnetTensor *tensor), void *user);
// Fills the store with what terms need and it does not hold: starting weights of those tensors, and
// the pretrained encoder. CZ_ERROR_IO, FORMAT, MODEL (the encoder), MEMORY, BACKEND.
bool train_losses_start(CzStore *store, const TrainRecipe *recipe, GError **error);

// loss.schedule: "NAME PICTURES:FACTOR PICTURES:FACTOR ...; NAME ...", pictures seen ascending. The
// factor on the term's weight is linear in between, and constant before the first and after the
// last. 1 for a term that it does not name.
double train_losses_factor(const TrainRecipe *recipe, const char *name, int64_t images);
// A term's weight by the recipe, without the schedule; 0: there is no such term.
double train_losses_weight(const TrainRecipe *recipe, const char *name);
// Whether terms, schedule and encoder make sense together; CZ_ERROR_RECIPE says what does not.
bool train_losses_check(const TrainRecipe *recipe, GError **error);
