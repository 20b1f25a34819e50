// SPDX-License-Identifier: LGPL-3.0-or-later
// What each kernel is told: one struct by value. Read by C, by NVRTC and by the tests' C++.
//
// Addresses are the driver's 64-bit numbers. Dimensions and strides of four are in the order of
// memory: n, h, w, c, and count elements.
#pragma once

#ifdef __CUDACC_RTC__
typedef unsigned short uint16_t;
typedef signed int int32_t;
typedef unsigned int uint32_t;
typedef signed long int64_t;
typedef unsigned long uint64_t;
#else
#include <stdint.h>
#endif

// Threads a block has, whatever the kernel: 256 in a row, or 8 rows of a warp.
#define KERNEL_THREADS 256
#define KERNEL_LANES   32
#define KERNEL_ROWS    8

// Elements in a row that a thread takes at once where nothing forbids it.
#define KERNEL_WIDTH 4

// Functions of one number. The first six are CzActivation's, then CzMath's (launch.c checks it).
typedef enum {
    FUNCTION_NONE,
    FUNCTION_RELU,
    FUNCTION_RELU6,
    FUNCTION_LEAKY, // slope below zero: a
    FUNCTION_TANH,
    FUNCTION_SIGMOID,
    FUNCTION_ABS,
    FUNCTION_SQRT,
    FUNCTION_EXP,
    FUNCTION_LOG,
    FUNCTION_RECIPROCAL,
    FUNCTION_SIGN,
    FUNCTION_SQUARE,
    FUNCTION_SCALE,    // a x + b
    FUNCTION_CLAMP,    // into [a, b]
    FUNCTION_IN_RANGE, // a < x < b
    FUNCTION_HUBER,    // beta: a
} KernelFunction;

// Functions of two: sum, product, and the first times the derivative that the second tells.
typedef enum { PAIR_ADD, PAIR_MUL, PAIR_ACTIVATION_GRAD } KernelPair;

typedef struct {
    uint64_t dst, n;
    float value;
} FillArgs;

typedef struct {
    uint64_t src, dst, n;
    int32_t function; // KernelFunction
    float a, b;
} MapArgs;

// dst(i) = function(a(i), b(i)), b repeated where a stride of it is 0.
typedef struct {
    uint64_t a, b, dst;
    uint64_t dims[4], b_strides[4];
    int32_t width;      // KERNEL_WIDTH, or 1
    int32_t function;   // KernelPair
    int32_t activation; // of PAIR_ACTIVATION_GRAD
    float slope;        // of FUNCTION_LEAKY
} PairArgs;

// dst(i) = src(i), in another element type or at other strides.
typedef struct {
    uint64_t src, dst;
    uint64_t dims[4], src_strides[4], dst_strides[4];
    int32_t width;
} MoveArgs;

// dst = activation(src + bias(c) + residual): what follows a convolution. 0: no such address.
typedef struct {
    uint64_t src, bias, residual, dst, n;
    uint32_t n_channels;
    int32_t width, activation;
    float slope;
} PostArgs;

// Grouped convolution and its gradients. in_group, out_group: channels of a group.
// The filter of group_conv and group_grad_src is as group_filter leaves it.
typedef struct {
    uint64_t src, filter, bias, residual, dst; // src, dst: of the convolution or their gradients
    int32_t n, src_c, src_h, src_w, dst_c, dst_h, dst_w;
    int32_t filter_h, filter_w, in_group, out_group;
    int32_t stride, dilation, pad_top, pad_left;
    int32_t width; // KERNEL_WIDTH: channels a thread makes of a depthwise convolution; or 1
    int32_t activation;
    float slope;
    uint64_t chunk; // group_grad_filter: places that a block sums
} ConvArgs;

// From (out, places, in) in F32 to (places, in, out), rounded.
typedef struct {
    uint64_t src, dst;
    int32_t n_out, n_places, n_in;
} FilterArgs;

// partial(chunk, k) = sum over the chunk's r of src; kept: two dimensions, summed: two more.
typedef struct {
    uint64_t src, dst;
    uint64_t n_kept, n_summed, chunk;
    uint64_t kept_inner, summed_inner;           // sizes of the faster dimension of each kind
    uint64_t kept_strides[2], summed_strides[2]; // slower, faster
} SumArgs;

typedef struct {
    uint64_t a, b, dst, n; // dst: a sum a block
} DotArgs;

typedef struct {
    uint64_t src, dst, n_places;
    int32_t n_channels;
} SoftmaxArgs;

typedef struct {
    uint64_t a, b, dst;
    uint64_t rows, columns, length;
    uint64_t row_tiles, column_tiles;
    uint64_t a_row, a_step, b_column, b_step; // strides along the product and along the sum
} MatmulArgs;

// resize, resize_grad, pool, pool_grad: whatever src and dst are of, dst is what is written.
typedef struct {
    uint64_t src, dst;
    int32_t n, c, src_h, src_w, dst_h, dst_w;
    int32_t pool;
    int32_t width; // channels a thread makes: KERNEL_WIDTH, or 1
} ResizeArgs;

typedef struct {
    uint64_t sample, dst;
    uint64_t n_samples, n_each; // elements of one sample
    uint64_t seed;
    float rate, kept;
} DropoutArgs;

typedef struct {
    uint64_t matrix, rhs, dst, scratch; // scratch: doubles, k * k + k * n_columns a system
    int32_t n, k, n_columns;
    float ridge;
} SolveArgs;

#define PACK_SOURCES 32

typedef struct {
    uint64_t src[PACK_SOURCES], dst[PACK_SOURCES], n[PACK_SOURCES];
} PackArgs;

typedef struct {
    uint64_t src, dst;
    float limit;
} GateArgs;

typedef enum { ADAM_ADAMW, ADAM_ADAM, ADAM_ADABELIEF } KernelAdam;

typedef struct {
    uint64_t param, grad, m, v, ema, dst, n; // ema 0: none
    float decay, rate_scale;
} AdamTensor;

#define ADAM_TENSORS 24

// One launch for many tensors, by the grid's second dimension.
typedef struct {
    AdamTensor tensors[ADAM_TENSORS];
    uint64_t rates, gate;
    float beta1, beta2, epsilon;
    int32_t kind; // KernelAdam
} AdamArgs;

typedef struct {
    uint64_t ema, value, rates, gate, dst, n;
} EmaArgs;
