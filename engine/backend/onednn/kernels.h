// SPDX-License-Identifier: LGPL-3.0-or-later
// Our own CPU kernels: every op but dense convolutions, vectorised, parallel through OpenMP.
//
// They see nodes and views only and call nothing of the engine. The same results every time for a
// given number of threads: sums are split in a fixed way and added up in a fixed order.
#pragma once

#include <cz/node.h>

G_BEGIN_DECLS

// src and dst have the shapes and dtypes of the nodes that the kernel was found for; a missing
// source (CZ_NONE) has data NULL. dst may lie in the memory of a source where the op class says so
// (in_place). scratch: scratch_bytes of it, 64-byte aligned, content undefined; unused if 0.
// n_threads: the number that cz_kernel_find() was given.
typedef void (*CzKernelRun)(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                            int n_threads);

typedef struct {
    CzKernelRun run;
    size_t scratch_bytes;
    const char *name; // for dumps: "depthwise 5x5"
} CzKernel;

// The instruction sets that the kernels are built for, each with all before it; on other than
// x86-64 only the first exists.
typedef enum { CZ_ISA_BASE, CZ_ISA_V3, CZ_ISA_V4, CZ_ISA_V4BF16, CZ_N_ISAS } CzIsa;

// The best one that this CPU runs.
CzIsa cz_kernel_isa(void);

// The kernel for this node, if there is one (else FALSE: dense and grouped convolutions, F16).
// nodes is by id, for the shapes of sources.
bool cz_kernel_find(const CzNode *node, const CzNode *const *nodes, int n_threads,
                    CzKernel *kernel);

// The same for a chosen instruction set, which the CPU must have (tests, benches).
bool cz_kernel_find_isa(const CzNode *node, const CzNode *const *nodes, int n_threads, CzIsa isa,
                        CzKernel *kernel);

G_END_DECLS
