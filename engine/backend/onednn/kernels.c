// SPDX-License-Identifier: LGPL-3.0-or-later
// Which kernel serves a node, for which instruction set.

#include "kernels.h"

typedef bool (*FindKernel)(const CzNode *node, const CzNode *const *nodes, int n_threads,
                           CzKernel *kernel);

enum { CONV, CONV_FILTER, MATH, REDUCE, RESIZE, SHAPE, SOFTMAX, UPDATE, THIN, N_FILES };

#define DECLARE(isa)                                                                        \
    bool cz_find_conv_##isa(const CzNode *, const CzNode *const *, int, CzKernel *);        \
    bool cz_find_conv_filter_##isa(const CzNode *, const CzNode *const *, int, CzKernel *); \
    bool cz_find_math_##isa(const CzNode *, const CzNode *const *, int, CzKernel *);        \
    bool cz_find_reduce_##isa(const CzNode *, const CzNode *const *, int, CzKernel *);      \
    bool cz_find_resize_##isa(const CzNode *, const CzNode *const *, int, CzKernel *);      \
    bool cz_find_shape_##isa(const CzNode *, const CzNode *const *, int, CzKernel *);       \
    bool cz_find_softmax_##isa(const CzNode *, const CzNode *const *, int, CzKernel *);     \
    bool cz_find_update_##isa(const CzNode *, const CzNode *const *, int, CzKernel *);      \
    bool cz_find_thin_##isa(const CzNode *, const CzNode *const *, int, CzKernel *);

#define ROW(isa)                                                                                 \
    {                                                                                            \
        cz_find_conv_##isa, cz_find_conv_filter_##isa, cz_find_math_##isa, cz_find_reduce_##isa, \
            cz_find_resize_##isa, cz_find_shape_##isa, cz_find_softmax_##isa,                    \
            cz_find_update_##isa, cz_find_thin_##isa                                             \
    }

DECLARE(base)
#ifdef __x86_64__
DECLARE(v3)
DECLARE(v4)
DECLARE(v4bf16)
static const FindKernel finders[][N_FILES] = {ROW(base), ROW(v3), ROW(v4), ROW(v4bf16)};
#else
static const FindKernel finders[][N_FILES] = {ROW(base)};
#endif

CzIsa cz_kernel_isa(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("x86-64-v4"))
        return __builtin_cpu_supports("avx512bf16") ? CZ_ISA_V4BF16 : CZ_ISA_V4;
    if (__builtin_cpu_supports("x86-64-v3"))
        return CZ_ISA_V3;
#endif
    return CZ_ISA_BASE;
}

// The file that has an op; N_FILES: none.
static int file_of(CzOp op)
{
    switch (op) {
    case CZ_OP_CONV2D:
    case CZ_OP_CONV2D_GRAD_SRC:
        return CONV;
    case CZ_OP_CONV2D_GRAD_FILTER:
        return CONV_FILTER;
    case CZ_OP_ACTIVATION:
    case CZ_OP_ACTIVATION_GRAD:
    case CZ_OP_ADD:
    case CZ_OP_MUL:
    case CZ_OP_SCALE:
    case CZ_OP_MATH:
    case CZ_OP_CLAMP:
    case CZ_OP_IN_RANGE:
    case CZ_OP_HUBER:
    case CZ_OP_CAST:
    case CZ_OP_BROADCAST:
    case CZ_OP_CONSTANT:
        return MATH;
    case CZ_OP_SUM:
    case CZ_OP_DOT:
        return REDUCE;
    case CZ_OP_RESIZE:
    case CZ_OP_RESIZE_GRAD:
    case CZ_OP_POOL:
    case CZ_OP_POOL_GRAD:
        return RESIZE;
    case CZ_OP_CONCAT:
    case CZ_OP_SLICE:
    case CZ_OP_PAD:
        return SHAPE;
    case CZ_OP_LOG_SOFTMAX:
        return SOFTMAX;
    case CZ_OP_STEP_GATE:
    case CZ_OP_ADAMW:
    case CZ_OP_EMA:
        return UPDATE;
    default:
        return N_FILES;
    }
}

static bool is_ours(const CzNode *node)
{
    return node->dtype == CZ_F32 || node->dtype == CZ_BF16;
}

bool cz_kernel_find_isa(const CzNode *node, const CzNode *const *nodes, int n_threads, CzIsa isa,
                        CzKernel *kernel)
{
    int file = file_of(node->op);
    if (file == N_FILES || (size_t)isa >= G_N_ELEMENTS(finders) || !is_ours(node))
        return false;
    for (int32_t i = 0; i < node->n_src; i++)
        if (node->src[i] >= 0 && !is_ours(nodes[node->src[i]]))
            return false;
    n_threads = n_threads < 1 ? 1 : n_threads;
    if (finders[isa][file](node, nodes, n_threads, kernel))
        return true;
    return (file == CONV || file == CONV_FILTER) &&
           finders[isa][THIN](node, nodes, n_threads, kernel);
}

bool cz_kernel_find(const CzNode *node, const CzNode *const *nodes, int n_threads, CzKernel *kernel)
{
    return cz_kernel_find_isa(node, nodes, n_threads, cz_kernel_isa(), kernel);
}
