// SPDX-License-Identifier: LGPL-3.0-or-later
// A program, and what lowering a node needs to know of it.
#pragma once

#include "lower.h"

typedef enum { ACTION_LAUNCH, ACTION_CONV, ACTION_SUM_RANKS } ActionKind;

typedef struct {
    ActionKind kind;
    union {
        Launch launch;
        struct {
            const ConvPlan *plan;
            ConvProblem problem;
            ConvMemory memory;
            cudnnBackendDescriptor_t pack;
        } conv;
        struct {
            const CzRanks *ranks;
            uint64_t address;
            size_t n_elements;
        } sum;
    };
} Action;

// Actions of one step, or a row of them that is recorded as one CUDA graph.
typedef struct {
    guint first, end;
    CUgraphExec graph; // NULL: not recorded
} Range;

// How a source is packed: cast to the type of the maps, or turned round for our own kernels as
// well.
typedef enum { PACK_CAST, PACK_TURNED } PackForm;

// A packed filter or bias: of which node, how, and where.
typedef struct {
    int32_t id;
    CzDtype dtype;
    PackForm form;
    size_t offset;
    bool fresh; // at this place of the list
} Pack;

struct CzProgram {
    CzDevice *device;
    const CzPlanView *plan;
    GArray *actions;        // Action
    guint n_once;           // the first of them, which are due once in a program's life
    Range *steps;           // by step
    GArray *parts;          // Range: between sums over ranks
    GArray *packs;          // Pack
    size_t workspace_limit; // of convolutions
    size_t scratch_bytes, pack_bytes;
    CzBuffer *scratch, *packed;
    float *host_sums; // pinned: what ranks sum; NULL where NCCL does
    CUevent *events;  // of timed programs: around every step
    double *times_us;
    uint64_t runs;
    bool no_graphs; // recording failed
};

// Actions are made twice: first with no memory, to see how much is needed, then for good.
typedef struct {
    CzProgram *program;
    const CzNode *node;
    uint64_t scratch, packed; // bases
    size_t scratch_used;      // by this step so far
} Emit;

uint64_t emit_scratch(Emit *emit, size_t n_bytes);
uint64_t emit_address(const Emit *emit, int32_t id);
// All launches of an array, which is emptied.
void emit_launches(Emit *emit, GArray *launches);
// The step by our own kernels.
void emit_own(Emit *emit);
// The index-th source packed; the source itself if it is so already. What packs it is emitted where
// it has not been since the source was written.
uint64_t emit_packed(Emit *emit, int32_t index, CzDtype dtype, PackForm form);
// All that is packed of parameters in a frozen plan.
void emit_frozen_packs(Emit *emit);
// None is fresh from here on; none of what this node writes.
void packs_begin(CzProgram *program);
void packs_forget(CzProgram *program, const CzNode *node);
// A dense convolution or one of its gradients.
bool emit_conv(Emit *emit, GError **error);
