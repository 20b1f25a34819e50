// SPDX-License-Identifier: LGPL-3.0-or-later
// Plans become lists of actions with every address in them: a run only walks the list.
//
// The first run walks it, as kernels are loaded then; the second one has the driver record it as
// CUDA graphs, and all later ones start those. A run waits for nothing: errors of the GPU show at
// the next download.
//
// In 16 bits convolutions want their filters in 16 bits, too, and fused ones their biases; the
// store has them in F32. Each is cast once a run, before its first use after the last update, or
// once for all where a plan is frozen.
#pragma once

#include "conv.h"

bool cudnn_supports(const CzDevice *device, const CzNode *node);
// Not a dense convolution's residual: cuDNN may write a place before it reads it.
bool cudnn_in_place(const CzNode *node, int32_t src);
bool cudnn_compile(CzDevice *device, const CzPlanView *plan, CzProgram **program, GError **error);
size_t cudnn_program_bytes(const CzProgram *program);
bool cudnn_run(CzProgram *program, const CzProgress *progress, GError **error);
const char *cudnn_step_kernel(const CzProgram *program, size_t step, double *time_us);
void cudnn_discard(CzProgram *program); // accepts NULL
