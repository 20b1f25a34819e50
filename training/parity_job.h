// SPDX-License-Identifier: LGPL-3.0-or-later
// What the parts of parity share: one graph run on one device, and numbers held against others.
#pragma once

#include <cz/graph.h>
#include <cz/plan.h>

#include "parity.h"

// What a run gives back: the outputs, then the PARAMs as effects have left them.
typedef struct {
    GPtrArray *data; // float *
    GArray *counts;  // size_t
    bool planned;    // the device has taken the graph, whatever came of it
} ParityResults;

void parity_results_clear(ParityResults *results);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ParityResults, parity_results_clear)
static inline size_t parity_count(const ParityResults *results, guint i)
{
    return g_array_index(results->counts, size_t, i);
}

typedef struct {
    const CzGraph *graph;
    const CzValue *outputs;
    size_t n_outputs;
    CzPlanOptions options;
    double *param_scales; // by node id; NULL: 1
    uint64_t seed;
} ParityJob;

// Inputs and parameters are filled by their names and the seed: N(0, 1), or [0.5, 1.5] where the
// name begins with p.
bool parity_run(CzEngineDevice *device, const ParityJob *job, ParityResults *results,
                GError **error);

// An element may differ by absolute + relative * |expected|.
typedef struct {
    const char *what;
    double absolute, relative;
} ParityBound;

// The worst difference over bound; where it is more than 1, a sentence is made of it.
double parity_compare(const ParityBound *bound, const float *expected, const float *found, size_t n,
                      char **failure);
double parity_largest(const float *data, size_t n);

// What a value of this type is rounded to, relative to itself: the distance to the next one.
double parity_step(CzDtype dtype);

// Adds to the failures; takes the sentence.
void parity_fail(TrainParity *found, char *sentence);
// The same for what did not run: the error is freed and cleared.
void parity_break(TrainParity *found, const char *what, GError **error);
