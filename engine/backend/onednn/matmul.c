// SPDX-License-Identifier: LGPL-3.0-or-later
// Products of matrices by the library's sgemm, sample by sample.
#include <math.h>

#include "lower.h"

static dnnl_dim_t places(CzShape shape)
{
    return (dnnl_dim_t)shape.h * shape.w;
}

// The library's matrices are row-major, as ours are. Should it fail (of memory), what comes out is
// no number, which every run is looked through for.
static void run(const CzNode *node, const CzView *src, CzView *dst, void *scratch, int n_threads)
{
    CzShape a = src[0].shape, b = src[1].shape;
    const bool turn_a = node->params.matmul == CZ_MATMUL_TN;
    const bool turn_b = node->params.matmul == CZ_MATMUL_NT;
    const dnnl_dim_t rows = turn_a ? a.c : places(a), columns = turn_b ? places(b) : b.c;
    const dnnl_dim_t length = turn_a ? places(a) : a.c;
    bool good = true;
    for (int32_t n = 0; n < a.n; n++)
        good &=
            dnnl_sgemm(turn_a ? 'T' : 'N', turn_b ? 'T' : 'N', rows, columns, length, 1.0f,
                       (const float *)src[0].data + (size_t)n * places(a) * a.c, a.c,
                       (const float *)src[1].data + (size_t)n * places(b) * b.c, b.c, 0.0f,
                       (float *)dst->data + (size_t)n * rows * columns, columns) == dnnl_success;
    if (!good)
        *(float *)dst->data = NAN;
}

bool matmul_find(const CzNode *node, CzKernel *kernel)
{
    if (node->op != CZ_OP_MATMUL || node->dtype != CZ_F32)
        return false;
    *kernel = (CzKernel){.run = run, .name = "onednn sgemm"};
    return true;
}
