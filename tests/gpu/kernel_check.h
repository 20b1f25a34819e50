// SPDX-License-Identifier: LGPL-3.0-or-later
// Runs nodes by the cuDNN backend's own kernels, on the host, and compares them with references.
#pragma once

#include <cz/graph.h>

#include "launch.h"

// What happened so far.
typedef struct {
    bool ran[N_KERNELS];
    double worst;     // difference / bound
    unsigned n_nodes; // that were compared
} CheckTally;
extern CheckTally check_tally;

typedef struct {
    const char *what;
    double absolute, relative; // an element may differ by absolute + relative * |expected|
} Bound;

// Memory as plans align it, full of NaN, and guarded: free() frees view.data.
CzView view_new(CzShape shape, CzDtype dtype);
CzView view_cast(const CzView *view, CzDtype dtype);
// Has nothing been written behind it?
bool view_is_whole(const CzView *view);

// Numbers of an F32 view, the same for the same name: N(0, 1), or [0.5, 1.5] where the name begins
// with p. coarse: those that BF16 and F16 both have, since a reference rounds filters to its own
// type.
void fill(const char *name, CzView *view, bool coarse);

void compare(const Bound *bound, const CzView *expected, const CzView *found);
void run_launches(const GArray *launches, const char *what);

// Every node of the graph that own kernels make: against the reference, then in place of each
// source where its class allows that. dtype F16: of a BF16 graph, whose nodes are taken for F16
// ones.
void check_graph(const CzGraph *graph, CzDtype dtype, const char *what);

static inline uint64_t address(const void *data)
{
    return (uint64_t)(uintptr_t)data;
}
