// SPDX-License-Identifier: LGPL-3.0-or-later
// One convolution from numbers to numbers through the doubles, and by the loops of its definition.
#pragma once

#include "doubles_kit.h"

enum {
    FORWARD = CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
    FILTER = CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
    DATA = CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
};

static inline void *at(CUdeviceptr address)
{
    return (void *)(uintptr_t)address;
}

// x, w, y of a problem, dense: n h w c, k r s c, n h w k. bias: k.
typedef struct {
    size_t n_x, n_w, n_y;
    float *x, *w, *y, *bias;
} ProblemData;

// Filled with numbers that all three types hold exactly.
ProblemData data_new(const Problem *problem);
void data_free(ProblemData *data);
// Each product that there is, added where it belongs; writes the result among the data.
void problem_expect(const Problem *problem, ProblemData *data);
float problem_decode(int type, const uint8_t *bytes, size_t i);
// Which of x, w, y is computed: 0, 1, 2.
int problem_result(const Problem *problem);

// x, w, y, bias, workspace on the device.
typedef struct {
    CUdeviceptr memory[5];
    uint8_t *host[4];
    size_t n_bytes[4];
    void *pack;
} Bound;

// Copies the data to the device, in order; false where a call failed. Unbind in both cases.
bool problem_bind(const Device *device, const Problem *problem, const Plan *plan,
                  const ProblemData *data, Bound *bound);
void problem_unbind(Bound *bound);

// Everything that a module does, from the first call to the last. False where any call failed.
bool problem_run(const Problem *problem, ProblemData *data, uint8_t *result);
