// SPDX-License-Identifier: LGPL-3.0-or-later
// Ops that go element by element: functions of one number, of two, and repeating.
//
// Every function is one loop over F32; BF16 goes through a buffer in L1, a repeated operand is
// written out there.

#include "kernels_simd.h"

// dst may be src, a or b.
typedef void (*UnaryRow)(float *dst, const float *src, size_t n, const CzParams *params);
typedef void (*BinaryRow)(float *dst, const float *a, const float *b, size_t n,
                          const CzParams *params);

// ---- functions of one number --------------------------------------------------------------------

// After Cephes: a polynomial near 0, where 1 - e^-2x would lose digits.
static inline float hyperbolic_tangent(float x)
{
    float size = fabsf(x), z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    float near = p * z * x + x;
    float e = exponential(-2.0f * size);
    float far = copysignf((1.0f - e) / (1.0f + e), x);
    return size < 0.625f ? near : far;
}

#define UNARY(name, expression)                                                      \
    static void name(float *dst, const float *src, size_t n, const CzParams *params) \
    {                                                                                \
        const CzParams p = *params;                                                  \
        (void)p;                                                                     \
        _Pragma("omp simd") for (size_t i = 0; i < n; i++)                           \
        {                                                                            \
            float x = src[i];                                                        \
            dst[i] = expression;                                                     \
        }                                                                            \
    }

// clang-format off
UNARY(row_copy, x)
UNARY(row_relu, x < 0 ? 0 : x)
UNARY(row_relu6, (x = x < 0 ? 0 : x) > 6 ? 6 : x)
UNARY(row_leaky, x < 0 ? CZ_LEAKY_SLOPE * x : x)
UNARY(row_tanh, hyperbolic_tangent(x))
UNARY(row_sigmoid, 1.0f / (1.0f + exponential(-x)))
UNARY(row_scale, p.linear.scale * x + p.linear.shift)
UNARY(row_clamp, (x = x < p.clamp.low ? p.clamp.low : x) > p.clamp.high ? p.clamp.high : x)
UNARY(row_in_range, (x > p.clamp.low) & (x < p.clamp.high) ? 1.0f : 0.0f)
UNARY(row_abs, fabsf(x))
UNARY(row_sqrt, sqrtf(x))
UNARY(row_exp, exponential(x))
UNARY(row_log, logf(x))
UNARY(row_reciprocal, 1.0f / x)
UNARY(row_sign, (x > 0 ? 1.0f : 0.0f) - (x < 0 ? 1.0f : 0.0f))
UNARY(row_square, x * x)
// clang-format on

static void row_huber(float *dst, const float *src, size_t n, const CzParams *params)
{
    float beta = params->huber_beta, half = 0.5f * beta, factor = 1.0f / (2.0f * beta);
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float x = src[i], size = fabsf(x);
        dst[i] = size < beta ? x * x * factor : size - half;
    }
}

static UnaryRow unary_row(const CzNode *node)
{
    static const UnaryRow activations[] = {row_copy,  row_relu, row_relu6,
                                           row_leaky, row_tanh, row_sigmoid};
    static const UnaryRow functions[] = {row_abs,        row_sqrt, row_exp,   row_log,
                                         row_reciprocal, row_sign, row_square};
    switch (node->op) {
    case CZ_OP_ACTIVATION:
        return activations[node->params.activation];
    case CZ_OP_MATH:
        return functions[node->params.math];
    case CZ_OP_SCALE:
        return row_scale;
    case CZ_OP_CLAMP:
        return row_clamp;
    case CZ_OP_IN_RANGE:
        return row_in_range;
    case CZ_OP_HUBER:
        return row_huber;
    default:
        return row_copy; // CAST
    }
}

static void unary_part(UnaryRow row, const CzParams *params, const CzView *src, CzView *dst,
                       size_t first, size_t last)
{
    float in[CHUNK], out[CHUNK];
    bool is_f32 = src->dtype == CZ_F32 && dst->dtype == CZ_F32;
    size_t step = is_f32 ? last - first : CHUNK;
    for (size_t i = first; i < last; i += step) {
        size_t n = min_size(step, last - i);
        row(view_target(dst, i, out), view_read(src, i, n, in), n, params);
        view_written(dst, i, n, out);
    }
}

static void run_unary(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                      int n_threads)
{
    size_t n = cz_shape_count(dst->shape);
    int n_parts = part_count(n, n_threads);
    UnaryRow row = unary_row(node);
    PARALLEL(n_parts)
    for (int part = 0; part < n_parts; part++)
        unary_part(row, &node->params, src, dst, part_start_grain(n, CHUNK, part, n_parts),
                   part_start_grain(n, CHUNK, part + 1, n_parts));
}

// A cast is nothing but the conversion.
static void cast_part(const CzView *src, CzView *dst, size_t first, size_t n)
{
    if (src->dtype == dst->dtype)
        memcpy(view_at(dst, first), view_at(src, first), n * cz_dtype_size(src->dtype));
    else if (src->dtype == CZ_F32)
        round_row(view_at(dst, first), view_at(src, first), n);
    else
        widen_row(view_at(dst, first), view_at(src, first), n);
}

static void run_cast(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                     int n_threads)
{
    size_t n = cz_shape_count(dst->shape);
    int n_parts = part_count(n, n_threads);
    PARALLEL(n_parts)
    for (int part = 0; part < n_parts; part++) {
        size_t first = part_start_grain(n, CHUNK, part, n_parts);
        cast_part(src, dst, first, part_start_grain(n, CHUNK, part + 1, n_parts) - first);
    }
}

// ---- functions of two ---------------------------------------------------------------------------

#define BINARY(name, expression)                                                                   \
    static void name(float *dst, const float *a, const float *b, size_t n, const CzParams *params) \
    {                                                                                              \
        _Pragma("omp simd") for (size_t i = 0; i < n; i++)                                         \
        {                                                                                          \
            float x = a[i], y = b[i];                                                              \
            dst[i] = expression;                                                                   \
        }                                                                                          \
    }

// clang-format off
BINARY(row_add, x + y)
BINARY(row_mul, x * y)
BINARY(row_relu_grad, x * (y > 0 ? 1.0f : 0.0f))
BINARY(row_relu6_grad, x * ((y > 0) & (y < 6) ? 1.0f : 0.0f))
BINARY(row_leaky_grad, x * (y > 0 ? 1.0f : CZ_LEAKY_SLOPE))
BINARY(row_tanh_grad, x * (1.0f - y * y))
BINARY(row_sigmoid_grad, x * (y * (1.0f - y)))
BINARY(row_none_grad, (y = x))
// clang-format on

// The ones that a training step lives on, from BF16 to BF16 without the buffers: these wait for
// memory, and buffers would let them wait and work in turns. Whole vectors; returns how many
// numbers are done.
typedef size_t (*HalfRow)(uint16_t *dst, const uint16_t *a, const uint16_t *b, size_t n);

#define BINARY_HALF(name, expression)                                                 \
    static size_t name(uint16_t *dst, const uint16_t *a, const uint16_t *b, size_t n) \
    {                                                                                 \
        const Vec zero = {0}, six = zero + 6;                                         \
        (void)six;                                                                    \
        size_t i = 0;                                                                 \
        for (; i + LANES <= n; i += LANES) {                                          \
            Vec x = vec_load_bf16(a + i), y = vec_load_bf16(b + i);                   \
            vec_store_bf16(dst + i, expression);                                      \
        }                                                                             \
        return i;                                                                     \
    }

// clang-format off
BINARY_HALF(half_add, x + y)
BINARY_HALF(half_mul, x * y)
BINARY_HALF(half_relu_grad, x * vec_select(y > zero, zero + 1, zero))
BINARY_HALF(half_relu6_grad, x * vec_select((y > zero) & (y < six), zero + 1, zero))
// clang-format on

static HalfRow half_row(const CzNode *node)
{
    if (node->op == CZ_OP_ADD)
        return half_add;
    if (node->op == CZ_OP_MUL)
        return half_mul;
    return node->params.activation == CZ_ACT_RELU    ? half_relu_grad
           : node->params.activation == CZ_ACT_RELU6 ? half_relu6_grad
                                                     : NULL;
}

static BinaryRow binary_row(const CzNode *node)
{
    static const BinaryRow gradients[] = {row_none_grad,  row_relu_grad, row_relu6_grad,
                                          row_leaky_grad, row_tanh_grad, row_sigmoid_grad};
    if (node->op == CZ_OP_ACTIVATION_GRAD)
        return gradients[node->params.activation];
    return node->op == CZ_OP_ADD ? row_add : row_mul;
}

// Elements first to first + n of small repeated to shape.
static void expand(float *out, const CzView *small, CzShape shape, size_t first, size_t n)
{
    CzShape s = small->shape;
    size_t pixel = first / shape.c, c = first % shape.c, row = pixel / shape.w;
    int32_t x = (int32_t)(pixel % shape.w), y = (int32_t)(row % shape.h);
    size_t picture = row / shape.h;
    // Counted along: a division a pixel would cost more than all the rest.
    for (size_t done = 0, width; done < n; done += width, c = 0) {
        width = min_size(shape.c - c, n - done);
        size_t at = (s.n == 1 ? 0 : picture) * s.h + (s.h == 1 ? 0 : y);
        at = (at * s.w + (s.w == 1 ? 0 : x)) * s.c;
        if (s.c > 1) {
            const float *from = view_read(small, at + c, width, out + done);
            if (from != out + done)
                memcpy(out + done, from, width * sizeof *out);
        } else {
            float value = view_get(small, at);
            for (size_t i = 0; i < width; i++)
                out[done + i] = value;
        }
        if (++x == shape.w) {
            x = 0;
            y = y + 1 == shape.h ? 0 : y + 1;
            picture += y == 0;
        }
    }
}

// Whether small is a scalar or one number a channel: then it looks the same from any pixel.
static bool is_pattern(CzShape small)
{
    return small.n == 1 && small.h == 1 && small.w == 1;
}

// Elements to take at a time, a whole number of pixels if possible.
static size_t chunk_size(CzShape shape)
{
    return shape.c > CHUNK ? CHUNK : (size_t)(CHUNK / shape.c * shape.c);
}

typedef struct {
    BinaryRow row;
    HalfRow half; // or NULL
    const CzParams *params;
    const CzView *a, *b;
    CzView *dst;
} Binary;

static void binary_part(const Binary *t, size_t first, size_t last)
{
    float in_a[CHUNK], in_b[CHUNK], out[CHUNK];
    CzShape shape = t->dst->shape;
    bool is_same = cz_shape_equal(shape, t->b->shape);
    bool is_f32 = is_same && t->a->dtype == CZ_F32 && t->b->dtype == CZ_F32;
    bool is_half = is_same && t->a->dtype == CZ_BF16 && t->b->dtype == CZ_BF16;
    if (t->half && is_half)
        first += t->half(view_at(t->dst, first), view_at(t->a, first), view_at(t->b, first),
                         last - first);
    size_t step = is_f32 ? last - first : chunk_size(shape);
    bool is_kept = !is_same && is_pattern(t->b->shape) && step % shape.c == 0;
    if (is_kept)
        expand(in_b, t->b, shape, first, min_size(step, last - first));
    for (size_t i = first; i < last; i += step) {
        size_t n = min_size(step, last - i);
        const float *b = in_b;
        if (is_same)
            b = view_read(t->b, i, n, in_b);
        else if (!is_kept)
            expand(in_b, t->b, shape, i, n);
        t->row(view_target(t->dst, i, out), view_read(t->a, i, n, in_a), b, n, t->params);
        view_written(t->dst, i, n, out);
    }
}

static void run_binary(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                       int n_threads)
{
    size_t n = cz_shape_count(dst->shape), grain = chunk_size(dst->shape);
    int n_parts = part_count(n, n_threads);
    const Binary t = {binary_row(node), half_row(node), &node->params, &src[0], &src[1], dst};
    PARALLEL(n_parts)
    for (int part = 0; part < n_parts; part++)
        binary_part(&t, part_start_grain(n, grain, part, n_parts),
                    part_start_grain(n, grain, part + 1, n_parts));
}

// ---- repeating ----------------------------------------------------------------------------------

static void run_broadcast(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                          int n_threads)
{
    size_t n = cz_shape_count(dst->shape), grain = chunk_size(dst->shape);
    int n_parts = part_count(n, n_threads);
    PARALLEL(n_parts)
    for (int part = 0; part < n_parts; part++) {
        float out[CHUNK];
        size_t last = part_start_grain(n, grain, part + 1, n_parts);
        for (size_t i = part_start_grain(n, grain, part, n_parts); i < last; i += grain) {
            size_t width = min_size(grain, last - i);
            expand(view_target(dst, i, out), src, dst->shape, i, width);
            view_written(dst, i, width, out);
        }
    }
}

static void fill_part(const CzNode *node, CzView *dst, size_t first, size_t last)
{
    float value = node->params.constant;
    uint16_t half = bf16_round(value);
    for (size_t i = first; i < last; i++) {
        if (dst->dtype == CZ_F32)
            ((float *)dst->data)[i] = value;
        else
            ((uint16_t *)dst->data)[i] = half;
    }
}

static void run_constant(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                         int n_threads)
{
    size_t n = cz_shape_count(dst->shape);
    int n_parts = part_count(n, n_threads);
    PARALLEL(n_parts)
    for (int part = 0; part < n_parts; part++)
        fill_part(node, dst, part_start_grain(n, CHUNK, part, n_parts),
                  part_start_grain(n, CHUNK, part + 1, n_parts));
}

bool CZ_ISA_NAME(find_math)(const CzNode *node, const CzNode *const *nodes, int n_threads,
                            CzKernel *kernel)
{
    static const struct {
        CzOp op;
        CzKernelRun run;
        const char *name;
    } kernels[] = {
        {CZ_OP_ACTIVATION, run_unary, "own activation"},
        {CZ_OP_ACTIVATION_GRAD, run_binary, "own activation_grad"},
        {CZ_OP_ADD, run_binary, "own add"},
        {CZ_OP_MUL, run_binary, "own mul"},
        {CZ_OP_SCALE, run_unary, "own scale"},
        {CZ_OP_MATH, run_unary, "own math"},
        {CZ_OP_CLAMP, run_unary, "own clamp"},
        {CZ_OP_IN_RANGE, run_unary, "own in_range"},
        {CZ_OP_HUBER, run_unary, "own huber"},
        {CZ_OP_CAST, run_cast, "own cast"},
        {CZ_OP_BROADCAST, run_broadcast, "own broadcast"},
        {CZ_OP_CONSTANT, run_constant, "own constant"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(kernels); i++) {
        if (kernels[i].op == node->op) {
            *kernel = (CzKernel){.run = kernels[i].run, .name = kernels[i].name};
            return true;
        }
    }
    return false;
}
