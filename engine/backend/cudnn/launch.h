// SPDX-License-Identifier: LGPL-3.0-or-later
// From a node to launches of our own kernels: which, with which grid, block and arguments.
//
// Pure functions: no driver, no device, nothing is allocated but the caller's array. Every kernel
// indexes with 64 bits and goes over more elements than threads, so that no size is refused.
#pragma once

#include <cz/node.h>

#include "kernels.h"

G_BEGIN_DECLS

typedef enum {
#define KERNEL(name, Args) KERNEL_##name,
#include "kernels.def"
#undef KERNEL
    N_KERNELS
} KernelId;

// One kernel as the driver takes it; args is what kernelParams points to.
typedef struct {
    KernelId kernel;
    uint32_t grid[3], block[3];
    uint32_t shared_bytes; // dynamic; no kernel has any so far
    union {
        FillArgs fill;
        MapArgs map;
        PairArgs pair;
        MoveArgs move;
        PostArgs post;
        FilterArgs filter;
        ConvArgs conv;
        SumArgs sum;
        DotArgs dot;
        SoftmaxArgs softmax;
        MatmulArgs matmul;
        ResizeArgs resize;
        DropoutArgs dropout;
        SolveArgs solve;
        PackArgs pack;
        GateArgs gate;
        AdamArgs adam;
        EmaArgs ema;
    } args;
} Launch;

// Where a node's tensors lie. Addresses are multiples of 16. src: by source; scratch: of
// launch_scratch_bytes(), its content is of no interest before and after. turned: of grouped
// convolutions and their data gradients, the filter as launch_append_turn() makes it.
typedef struct {
    const uint64_t *src;
    uint64_t dst, scratch, turned;
} LaunchMemory;

const char *kernel_name(KernelId kernel);
size_t kernel_args_bytes(KernelId kernel);

// Are there own kernels for this node? None for INPUT, PARAM, dense convolutions (groups of 1),
// which are cuDNN's, and sums over ranks, which are the host's.
bool launch_supports(const CzNode *node);

// nodes: by id. The node must be one that launch_supports().
size_t launch_scratch_bytes(const CzNode *node, const CzNode *const *nodes);

// Appends the node's launches, to run in this order, to an array of Launch. dst may lie in the
// memory of a source where the op's class allows it.
void launch_append(GArray *launches, const CzNode *node, const CzNode *const *nodes,
                   const LaunchMemory *memory);

// Whether one launch now does what next did after it: updates of several tensors.
bool launch_join(Launch *into, const Launch *next);

// What follows a convolution that was made without: dst = act(src + bias + residual), as the node's
// params say. src: of the node's shape and dtype; it may be dst. bias (F32), residual: 0 where
// there is none.
typedef struct {
    uint64_t src, bias, residual, dst;
} PostConv;
void launch_append_post_conv(GArray *launches, const CzNode *node, const PostConv *post);

// Whether the node's kernels want its filter (source 1) turned round.
bool launch_wants_turned(const CzNode *node);
// dst = the filter at src, in F32, with its channels last and in the maps' type.
void launch_append_turn(GArray *launches, const CzNode *filter, uint64_t dst, CzDtype dtype,
                        uint64_t src);

// dst = src, n elements, in another type: filters for convolutions in 16 bits, and their gradients.
void launch_append_cast(GArray *launches, uint64_t dst, CzDtype dst_dtype, uint64_t src,
                        CzDtype src_dtype, size_t n_elements);

G_END_DECLS
