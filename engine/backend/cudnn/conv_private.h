// SPDX-License-Identifier: LGPL-3.0-or-later
// What the three files about convolutions share: the graph, the engines, the choice.
#pragma once

#include "conv.h"

// More engines than these are not looked at: the list is ordered by expected speed.
#define CONV_MAX_CANDIDATES 8

// An engine that will do. Made from the problem's graph, which must outlive it.
typedef struct {
    Descriptors descriptors;
    cudnnBackendDescriptor_t plan;
    int64_t engine; // cuDNN's number
    size_t workspace_bytes;
} ConvCandidate;

// "forward F32 1x3x32x32 8x3x3x3 ...": problems with the same text are the same.
char *conv_text(const ConvProblem *problem);

// The problem as cuDNN's graph of operations; NULL where a call failed.
cudnnBackendDescriptor_t conv_graph(Descriptors *all, const ConvProblem *problem);

// Fills candidates in the library's order, at most CONV_MAX_CANDIDATES; *n may be 0. An engine that
// fails otherwise than by not existing is passed over, but not where the choice has to repeat
// itself, nor where nothing else is left. FALSE: CZ_ERROR_MEMORY, CZ_ERROR_BACKEND; there are none
// then.
bool conv_candidates(const CzDevice *device, cudnnBackendDescriptor_t graph,
                     const ConvProblem *problem, size_t workspace_limit, ConvCandidate *candidates,
                     int *n, GError **error);

// The index of the fastest candidate: -1 if none runs. *timed: FALSE where memory was out, and it
// is the first. FALSE only with CZ_ERROR_BACKEND: the device is lost.
bool conv_time(CzDevice *device, const ConvProblem *problem, const ConvCandidate *candidates, int n,
               int *fastest, bool *timed, GError **error);
