// SPDX-License-Identifier: LGPL-3.0-or-later
// Our own CPU kernels: every op but dense convolutions, vectorised, parallel through OpenMP.
//
// They see nodes and views only and call nothing of the engine. One set of results for a given
// number of threads: sums are split by thread in a fixed way and added up in a fixed order.
#pragma once

#include <cz/node.h>

G_BEGIN_DECLS

// src and dst have the shapes and dtypes of the nodes that the kernel was found for; a missing
// source (CZ_NONE) has data NULL. dst may lie in the memory of a source where the op class says so
// (in_place). scratch: scratch_bytes of it, 64-byte aligned, content undefined; NULL if 0.
typedef void (*CzKernelRun)(const CzNode *node, const CzView *src, CzView *dst, void *scratch);

typedef struct {
    CzKernelRun run;
    size_t scratch_bytes;
    const char *name; // for dumps: "depthwise grad_filter 5x5"
} CzKernel;

// The kernel for this node, if there is one (else FALSE: dense and grouped convolutions, F16).
// nodes is by id, for the shapes of sources. n_threads: at least as many as will run it; the
// kernel uses omp_get_max_threads(), but never more than n_threads.
bool cz_kernel_find(const CzNode *node, const CzNode *const *nodes, int n_threads, CzKernel *kernel);

G_END_DECLS
