// SPDX-License-Identifier: LGPL-3.0-or-later
// What one action of the GPU's backend has to move and to compute, from its arguments alone.
//
// Bytes are what is read and written once each. A window (of a convolution, a resize, a pool) reads
// its source once, which holds as long as the rows under it stay in a cache.
#pragma once

#include "conv.h"

// What multiplies: plain F32 units, or tensor cores on TF32 or on 16 bits.
typedef enum { UNIT_F32, UNIT_TF32, UNIT_HALF, N_UNITS } Unit;

typedef struct {
    double bytes;
    double flops;  // a multiplication and an addition are two
    double window; // bytes of a source that is read by windows; 0: none is
    Unit unit;
} Cost;

Cost cost_of_launch(const Launch *launch);
Cost cost_of_conv(const ConvProblem *problem, bool tf32);
