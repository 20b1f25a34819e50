// SPDX-License-Identifier: LGPL-3.0-or-later
// A node of the graph as plans and backends see it: read-only, plain data, inline access.
//
// Included by backend modules, which link nothing of the engine.
#pragma once

#include <cz/tensor.h>

G_BEGIN_DECLS

typedef struct CzGraph CzGraph;
typedef struct CzNode CzNode;

// The output of one node; id < 0: the graph has failed already, later builders do nothing.
typedef struct {
    int32_t id;
} CzValue;

// Every op, once: engine/graph/ops.def.
typedef enum {
#define CZ_OP(NAME, name) CZ_OP_##NAME,
#include <cz/ops.def>
#undef CZ_OP
    CZ_N_OPS
} CzOp;

typedef enum { CZ_ACT_NONE, CZ_ACT_RELU, CZ_ACT_RELU6, CZ_ACT_LEAKY, CZ_ACT_TANH, CZ_ACT_SIGMOID } CzActivation;

// Slope of CZ_ACT_LEAKY below zero (PatchGAN and pix2pix: 0.2).
#define CZ_LEAKY_SLOPE 0.2f

// Zero means the default: stride 1, dilation 1, groups 1, no padding, no activation. In a node of a
// graph stride, dilation and groups are never zero.
// dst size = (src + before + after - dilation * (k - 1) - 1) / stride + 1, rounded down.
typedef struct {
    int32_t stride, dilation, groups;
    int32_t pad_top, pad_left, pad_bottom, pad_right;
    CzActivation activation; // applied last: act(conv + bias + residual)
    // Set by cz_conv2d() from what it is given; callers leave them FALSE. CONV2D's sources are
    // src, filter, then the bias if has_bias, then the residual if has_residual.
    bool has_bias, has_residual;
} CzConvParams;

typedef enum { CZ_MATH_ABS, CZ_MATH_SQRT, CZ_MATH_EXP, CZ_MATH_LOG, CZ_MATH_RECIPROCAL, CZ_MATH_SIGN, CZ_MATH_SQUARE } CzMath;

// Members of Adam's family (ops.h, cz_adamw): AdamW (Loshchilov & Hutter 2019), Adam (Kingma & Ba
// 2015) and AdaBelief (Zhuang et al. 2020).
typedef enum { CZ_ADAM_ADAMW, CZ_ADAM_ADAM, CZ_ADAM_ADABELIEF, CZ_N_ADAMS } CzAdamKind;

// betas, epsilon: of the kind; decay: of the weights, times rate (ADAM: L2, into the gradient);
// rate_scale multiplies the step's rate (an encoder that learns slower). ADAMW's sources are param,
// grad, m, v, rates, gate, then the moving average if there is one.
typedef struct {
    float beta1, beta2, epsilon, decay, rate_scale;
    CzAdamKind kind; // zero: AdamW
} CzAdamParams;

// The processes that share a training, as the host sees them. sum: data becomes its sum over ranks,
// bit for bit the same on each. share: bytes become rank 0's. Both are called by the thread that runs,
// in a run or between runs, and in the same order with the same sizes by all ranks.
typedef struct {
    int32_t rank, n; // this one; of at least 2
    void (*sum)(void *user, float *data, size_t n_elements);
    void (*share)(void *user, void *bytes, size_t n_bytes);
    void *user;
} CzRanks;

// Rows are places, columns are channels: a b, a times b turned, a turned times b.
typedef enum { CZ_MATMUL_NN, CZ_MATMUL_NT, CZ_MATMUL_TN } CzMatmul;

typedef union {
    CzConvParams conv;
    CzActivation activation;
    CzMath math;
    struct {
        float scale, shift;
    } linear; // SCALE: scale * x + shift
    struct {
        float low, high;
    } clamp;
    float huber_beta;
    struct {
        int32_t n, c, h, w;
    } offset;         // SLICE, PAD: where the smaller tensor starts in the larger; UNPACK: c
    CzMatmul matmul;
    int32_t pool;     // POOL: edge of the square that is averaged
    float ridge;      // SOLVE: added to the diagonal
    float gate_limit; // STEP_GATE: largest gradient norm; 0 = none
    float constant;
    const CzRanks *ranks; // ALL_REDUCE; NULL: one alone
    struct {
        uint64_t seed;
        float rate;
    } dropout; // DROPOUT_MASK
    CzAdamParams adam;
} CzParams;

typedef struct CzOpClass CzOpClass;

struct CzNode {
    int32_t id; // its place in the graph; sources have smaller ids
    CzOp op;
    const CzOpClass *op_class;
    CzShape shape; // of its one output
    CzDtype dtype;
    int32_t n_src;
    const int32_t *src; // ids of the sources
    CzParams params;
    const char *name; // INPUT: its name; PARAM: the store's (= safetensors) name; else NULL
};

// Everything known about one op, in one file of engine/graph/.
struct CzOpClass {
    CzOp op;
    const char *name;       // "conv2d": dumps, errors, tests
    int32_t min_src, max_src;
    bool effect;            // writes into its PARAM sources (the store); only ADAMW, EMA
    uint32_t in_place;      // bit i: dst may lie in the memory of source i if shapes and dtypes agree
    // Shape and dtype of the output from those of the sources; FALSE with CZ_ERROR_SHAPE.
    bool (*infer)(CzNode *node, const CzNode *const *src, GError **error);
    // Adds nodes for the gradients: d_src[i] comes in with id -1 and stays so where there is none.
    // NULL: the op is not differentiable (effects, comparisons).
    void (*gradient)(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src);
    // The definition of right: plain loops, in double where sums are long. NULL for INPUT and PARAM.
    void (*reference)(const CzNode *node, const CzView *src, CzView *dst);
    // The index-th example for the tests that loop over all ops: adds inputs and the op to the
    // graph; FALSE when there are no more. Inputs named "x..." get N(0, 1) numbers, "p..." positive
    // ones in [0.5, 1.5].
    bool (*example)(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst);
};

G_END_DECLS
