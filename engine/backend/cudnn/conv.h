// SPDX-License-Identifier: LGPL-3.0-or-later
// Dense convolutions and their gradients by cuDNN: which engine, and with what workspace.
//
// An engine must be compiled already (no run-time compilation), need no more workspace than the
// limit, sum in F32 and, where exactness is asked for, multiply in F32, too: cuDNN takes TF32 for
// F32 unless its tensor cores are left out, and Winograd's and Fourier's methods round otherwise.
// Of those left, the first that the heuristics propose is taken if the device is to be
// deterministic, else the fastest of the first few, which is remembered in the user's cache folder.
#pragma once

#include "descriptor.h"

typedef enum { CONV_FORWARD, CONV_GRAD_SRC, CONV_GRAD_FILTER } ConvKind;

// src is n x c x h x w, filter k x c x r x s, dst n x k x p x q; all NHWC. The kind says which of
// them is computed from the two others.
typedef struct {
    ConvKind kind;
    CzDtype dtype; // of all three, and of bias and residual
    int64_t n, c, h, w, k, r, s, p, q;
    int64_t stride, dilation, pad_top, pad_left, pad_bottom, pad_right;
    // FORWARD: dst = act(conv + residual + bias), each if asked for. (cuDNN has no compiled engines
    // for an F32 bias beside 16 bits.)
    bool bias, residual;
    CzActivation activation; // NONE, RELU, RELU6 or LEAKY
} ConvProblem;

// One engine for one problem.
typedef struct {
    cudnnBackendDescriptor_t descriptor;
    size_t workspace_bytes;
    char name[192]; // "cudnn forward F32 1 8 ..., engine 38": the problem, and what computes it
} ConvPlan;

typedef struct {
    uint64_t src, filter, dst, bias, residual, workspace; // 0 where there is none
} ConvMemory;

typedef struct ConvPlans ConvPlans; // all that a device has made so far

// What most engines want at all (0 to 54 MiB for 4x64x128x128), with room for larger pictures.
#define CONV_WORKSPACE_LIMIT ((size_t)256 << 20)

ConvPlans *conv_plans_new(void);
void conv_plans_free(ConvPlans *plans); // accepts NULL
// *plan: NULL if cuDNN has no such engine within the limit; lives as long as the device. May take
// long where engines are timed. FALSE: CZ_ERROR_BACKEND, CZ_ERROR_MEMORY.
bool conv_find(CzDevice *device, const ConvProblem *problem, size_t workspace_limit,
               const ConvPlan **plan, GError **error);
// Writes what was found out about engines to the user's cache folder, if there is news.
void conv_keep_choices(CzDevice *device);

// The addresses of one execution; the caller destroys it (cudnnBackendDestroyDescriptor).
bool conv_bind(const CzDevice *device, const ConvProblem *problem, const ConvMemory *memory,
               cudnnBackendDescriptor_t *pack, GError **error);
bool conv_execute(const CzDevice *device, const ConvPlan *plan, cudnnBackendDescriptor_t pack,
                  GError **error);
