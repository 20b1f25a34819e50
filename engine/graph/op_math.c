// SPDX-License-Identifier: LGPL-3.0-or-later
// Ops that go element by element: add, mul (with a repeated operand), scale, functions of one.
#include <math.h>

#include "graph/op.h"

void cz_op_map(const CzNode *node, const CzView *src, CzView *dst,
               float (*function)(const CzNode *node, float x))
{
    size_t n = cz_shape_count(dst->shape);
#pragma omp parallel for if (n > 65536)
    for (size_t i = 0; i < n; i++)
        op_store(dst, i, function(node, op_load(src, i)));
}

CzValue cz_op_sum_to(CzGraph *graph, CzValue value, CzShape shape, CzDtype dtype)
{
    if (!cz_shape_equal(cz_graph_shape(graph, value), shape))
        value = cz_sum(graph, value, shape);
    return cz_graph_dtype(graph, value) == dtype ? value : cz_cast(graph, value, dtype);
}

// ---- add, mul -----------------------------------------------------------------------------------

static bool fits(int32_t b, int32_t a)
{
    return b == a || b == 1;
}

// b may be F32 beside a BF16 or F16 a: biases and scalar factors are F32 always.
static bool infer_binary(CzNode *node, const CzNode *const *src, GError **error)
{
    CzShape a = src[0]->shape, b = src[1]->shape;
    if (!fits(b.n, a.n) || !fits(b.c, a.c) || !fits(b.h, a.h) || !fits(b.w, a.w)) {
        g_autofree char *text_a = cz_shape_format(a);
        g_autofree char *text_b = cz_shape_format(b);
        return cz_op_error(error, "source 1: expected %s or 1 in its place, found %s", text_a,
                           text_b);
    }
    if (src[1]->dtype != CZ_F32 && !cz_op_expect_dtype(src[1], 1, src[0]->dtype, error))
        return false;
    return cz_op_infer_like_source(node, src, error);
}

// Offset in b, which is repeated along its dimensions of size 1.
static size_t repeated_offset(CzShape b, int32_t n, int32_t c, int32_t h, int32_t w)
{
    return op_offset(b, b.n == 1 ? 0 : n, b.c == 1 ? 0 : c, b.h == 1 ? 0 : h, b.w == 1 ? 0 : w);
}

static void map_binary(const CzView *src, CzView *dst, float (*function)(float a, float b))
{
    CzShape s = dst->shape;
#pragma omp parallel for collapse(2) if (cz_shape_count(s) > 65536)
    for (int32_t n = 0; n < s.n; n++)
        for (int32_t h = 0; h < s.h; h++)
            for (int64_t i = 0; i < (int64_t)s.w * s.c; i++) {
                int32_t w = (int32_t)(i / s.c), c = (int32_t)(i % s.c);
                size_t offset = op_offset(s, n, c, h, w);
                float b = op_load(&src[1], repeated_offset(src[1].shape, n, c, h, w));
                op_store(dst, offset, function(op_load(&src[0], offset), b));
            }
}

static float sum_of(float a, float b)
{
    return a + b;
}

static float product_of(float a, float b)
{
    return a * b;
}

static void reference_add(const CzNode *node, const CzView *src, CzView *dst)
{
    map_binary(src, dst, sum_of);
}

static void reference_mul(const CzNode *node, const CzView *src, CzView *dst)
{
    map_binary(src, dst, product_of);
}

static void gradient_add(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    CzValue b = op_source(node, 1);
    d_src[0] = d_dst;
    d_src[1] = cz_op_sum_to(graph, d_dst, cz_graph_shape(graph, b), cz_graph_dtype(graph, b));
}

static void gradient_mul(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    CzValue a = op_source(node, 0), b = op_source(node, 1);
    CzShape b_shape = cz_graph_shape(graph, b);
    bool scalar = cz_shape_count(b_shape) == 1 && cz_shape_count(node->shape) > 1;
    d_src[0] = cz_mul(graph, d_dst, b);
    CzValue d_b = scalar ? cz_dot(graph, d_dst, a) : cz_mul(graph, d_dst, a);
    d_src[1] = cz_op_sum_to(graph, d_b, b_shape, cz_graph_dtype(graph, b));
}

static CzValue append_binary(CzGraph *graph, CzOp op, CzValue a, CzValue b)
{
    return cz_graph_append(graph, op, (CzValue[]){a, b}, 2, NULL, (CzShape){0}, CZ_F32, NULL);
}

CzValue cz_add(CzGraph *graph, CzValue a, CzValue b)
{
    return append_binary(graph, CZ_OP_ADD, a, b);
}

CzValue cz_sub(CzGraph *graph, CzValue a, CzValue b)
{
    return cz_add(graph, a, cz_scale(graph, b, -1.0f, 0.0f));
}

CzValue cz_mul(CzGraph *graph, CzValue a, CzValue b)
{
    return append_binary(graph, CZ_OP_MUL, a, b);
}

// a, and b alike, repeated over places, over places and pictures, over channels, everywhere; in
// the second round b is F32 beside a BF16 or F16 a.
static bool example_binary(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst, CzOp op)
{
    const CzShape a_shape = {2, 17, 3, 5};
    const CzShape b_shapes[] = {a_shape, {2, 17, 1, 1}, {1, 17, 1, 1}, {2, 1, 3, 5}, {1, 1, 1, 1}};
    unsigned n_rounds = dtype == CZ_F32 ? 1 : 2, n_shapes = G_N_ELEMENTS(b_shapes);
    if (index >= n_rounds * n_shapes)
        return false;
    CzValue a = cz_op_example_source(graph, "x_a", a_shape, dtype);
    CzValue b = cz_op_example_source(graph, "x_b", b_shapes[index % n_shapes],
                                     index < n_shapes ? dtype : CZ_F32);
    *dst = append_binary(graph, op, a, b);
    return true;
}

static bool example_add(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    return example_binary(index, dtype, graph, dst, CZ_OP_ADD);
}

static bool example_mul(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    return example_binary(index, dtype, graph, dst, CZ_OP_MUL);
}

const CzOpClass cz_op_add = {.op = CZ_OP_ADD,
                             .name = "add",
                             .min_src = 2,
                             .max_src = 2,
                             .in_place = 1u << 0 | 1u << 1,
                             .infer = infer_binary,
                             .gradient = gradient_add,
                             .reference = reference_add,
                             .example = example_add};
const CzOpClass cz_op_mul = {.op = CZ_OP_MUL,
                             .name = "mul",
                             .min_src = 2,
                             .max_src = 2,
                             .in_place = 1u << 0 | 1u << 1,
                             .infer = infer_binary,
                             .gradient = gradient_mul,
                             .reference = reference_mul,
                             .example = example_mul};

// ---- scale --------------------------------------------------------------------------------------

static CzValue append_unary(CzGraph *graph, CzOp op, CzValue src, CzParams params)
{
    return cz_graph_append(graph, op, &src, 1, &params, (CzShape){0}, CZ_F32, NULL);
}

static float scaled(const CzNode *node, float x)
{
    return node->params.linear.scale * x + node->params.linear.shift;
}

static void reference_scale(const CzNode *node, const CzView *src, CzView *dst)
{
    cz_op_map(node, src, dst, scaled);
}

static void gradient_scale(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    d_src[0] = cz_scale(graph, d_dst, node->params.linear.scale, 0.0f);
}

CzValue cz_scale(CzGraph *graph, CzValue src, float scale, float shift)
{
    return append_unary(graph, CZ_OP_SCALE, src, (CzParams){.linear = {scale, shift}});
}

static bool example_scale(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    CzValue x = cz_op_example_source(graph, "x", cz_shape(2, 17, 3, 5), dtype);
    *dst = cz_scale(graph, x, -0.75f, index ? 0.5f : 0.0f);
    return index < 2;
}

const CzOpClass cz_op_scale = {.op = CZ_OP_SCALE,
                               .name = "scale",
                               .min_src = 1,
                               .max_src = 1,
                               .in_place = 1u << 0,
                               .infer = cz_op_infer_like_source,
                               .gradient = gradient_scale,
                               .reference = reference_scale,
                               .example = example_scale};

// ---- math ---------------------------------------------------------------------------------------

static bool infer_math(CzNode *node, const CzNode *const *src, GError **error)
{
    if (node->params.math < CZ_MATH_ABS || node->params.math > CZ_MATH_SQUARE)
        return cz_op_error(error, "expected a function, found number %d", (int)node->params.math);
    return cz_op_infer_like_source(node, src, error);
}

static float math(const CzNode *node, float x)
{
    switch (node->params.math) {
    case CZ_MATH_ABS:
        return fabsf(x);
    case CZ_MATH_SQRT:
        return sqrtf(x);
    case CZ_MATH_EXP:
        return expf(x);
    case CZ_MATH_LOG:
        return logf(x);
    case CZ_MATH_RECIPROCAL:
        return 1.0f / x;
    case CZ_MATH_SIGN:
        return (float)((x > 0.0f) - (x < 0.0f));
    default:
        return x * x;
    }
}

static void reference_math(const CzNode *node, const CzView *src, CzView *dst)
{
    cz_op_map(node, src, dst, math);
}

// The derivative as a value; an id of -1 where it is zero.
static CzValue math_derivative(CzGraph *graph, CzMath function, CzValue x, CzValue y)
{
    switch (function) {
    case CZ_MATH_ABS:
        return cz_math(graph, x, CZ_MATH_SIGN);
    case CZ_MATH_SQRT:
        return cz_scale(graph, cz_math(graph, y, CZ_MATH_RECIPROCAL), 0.5f, 0.0f);
    case CZ_MATH_EXP:
        return y;
    case CZ_MATH_LOG:
        return cz_math(graph, x, CZ_MATH_RECIPROCAL);
    case CZ_MATH_RECIPROCAL:
        return cz_scale(graph, cz_math(graph, y, CZ_MATH_SQUARE), -1.0f, 0.0f);
    case CZ_MATH_SQUARE:
        return cz_scale(graph, x, 2.0f, 0.0f);
    default:
        return (CzValue){-1};
    }
}

static void gradient_math(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    CzValue derivative =
        math_derivative(graph, node->params.math, op_source(node, 0), op_value(node));
    if (derivative.id >= 0)
        d_src[0] = cz_mul(graph, d_dst, derivative);
}

CzValue cz_math(CzGraph *graph, CzValue src, CzMath math_function)
{
    return append_unary(graph, CZ_OP_MATH, src, (CzParams){.math = math_function});
}

static bool example_math(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    CzMath function = (CzMath)index;
    if (function > CZ_MATH_SQUARE)
        return false;
    bool positive =
        function == CZ_MATH_SQRT || function == CZ_MATH_LOG || function == CZ_MATH_RECIPROCAL;
    CzValue x = cz_op_example_source(graph, positive ? "p" : "x", cz_shape(2, 17, 3, 5), dtype);
    *dst = cz_math(graph, x, function);
    return true;
}

const CzOpClass cz_op_math = {.op = CZ_OP_MATH,
                              .name = "math",
                              .min_src = 1,
                              .max_src = 1,
                              .in_place = 1u << 0,
                              .infer = infer_math,
                              .gradient = gradient_math,
                              .reference = reference_math,
                              .example = example_math};

// ---- clamp, in_range, huber ---------------------------------------------------------------------

static bool infer_clamp(CzNode *node, const CzNode *const *src, GError **error)
{
    float low = node->params.clamp.low, high = node->params.clamp.high;
    if (!(low < high))
        return cz_op_error(error, "expected low < high, found %g and %g", (double)low,
                           (double)high);
    return cz_op_infer_like_source(node, src, error);
}

// Comparisons, not fmin and fmax: NaN must come out as NaN, for the step gate to see it.
static float clamped(const CzNode *node, float x)
{
    float low = node->params.clamp.low, high = node->params.clamp.high;
    return x < low ? low : x > high ? high : x;
}

static float in_range(const CzNode *node, float x)
{
    return x > node->params.clamp.low && x < node->params.clamp.high ? 1.0f : 0.0f;
}

static void reference_clamp(const CzNode *node, const CzView *src, CzView *dst)
{
    cz_op_map(node, src, dst, clamped);
}

static void reference_in_range(const CzNode *node, const CzView *src, CzView *dst)
{
    cz_op_map(node, src, dst, in_range);
}

static void gradient_clamp(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    CzValue inside =
        cz_in_range(graph, op_source(node, 0), node->params.clamp.low, node->params.clamp.high);
    d_src[0] = cz_mul(graph, d_dst, inside);
}

CzValue cz_clamp(CzGraph *graph, CzValue src, float low, float high)
{
    return append_unary(graph, CZ_OP_CLAMP, src, (CzParams){.clamp = {low, high}});
}

CzValue cz_in_range(CzGraph *graph, CzValue src, float low, float high)
{
    return append_unary(graph, CZ_OP_IN_RANGE, src, (CzParams){.clamp = {low, high}});
}

static bool example_clamp(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    *dst = cz_clamp(graph, cz_op_example_source(graph, "x", cz_shape(2, 17, 3, 5), dtype), -0.5f,
                    1.0f);
    return index == 0;
}

static bool example_in_range(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    *dst = cz_in_range(graph, cz_op_example_source(graph, "x", cz_shape(2, 17, 3, 5), dtype), -0.5f,
                       1.0f);
    return index == 0;
}

const CzOpClass cz_op_clamp = {.op = CZ_OP_CLAMP,
                               .name = "clamp",
                               .min_src = 1,
                               .max_src = 1,
                               .in_place = 1u << 0,
                               .infer = infer_clamp,
                               .gradient = gradient_clamp,
                               .reference = reference_clamp,
                               .example = example_clamp};
const CzOpClass cz_op_in_range = {.op = CZ_OP_IN_RANGE,
                                  .name = "in_range",
                                  .min_src = 1,
                                  .max_src = 1,
                                  .in_place = 1u << 0,
                                  .infer = infer_clamp,
                                  .gradient = cz_op_gradient_zero,
                                  .reference = reference_in_range,
                                  .example = example_in_range};

static bool infer_huber(CzNode *node, const CzNode *const *src, GError **error)
{
    if (!(node->params.huber_beta > 0.0f))
        return cz_op_error(error, "expected beta > 0, found %g", (double)node->params.huber_beta);
    return cz_op_infer_like_source(node, src, error);
}

static float huber(const CzNode *node, float x)
{
    float beta = node->params.huber_beta, size = fabsf(x);
    return size < beta ? x * x / (2.0f * beta) : size - 0.5f * beta;
}

static void reference_huber(const CzNode *node, const CzView *src, CzView *dst)
{
    cz_op_map(node, src, dst, huber);
}

static void gradient_huber(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    float beta = node->params.huber_beta;
    CzValue slope =
        cz_scale(graph, cz_clamp(graph, op_source(node, 0), -beta, beta), 1.0f / beta, 0.0f);
    d_src[0] = cz_mul(graph, d_dst, slope);
}

CzValue cz_huber(CzGraph *graph, CzValue src, float beta)
{
    return append_unary(graph, CZ_OP_HUBER, src, (CzParams){.huber_beta = beta});
}

static bool example_huber(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    CzValue x = cz_op_example_source(graph, "x", cz_shape(2, 17, 3, 5), dtype);
    *dst = cz_huber(graph, x, index ? 1.0f : 0.5f);
    return index < 2;
}

const CzOpClass cz_op_huber = {.op = CZ_OP_HUBER,
                               .name = "huber",
                               .min_src = 1,
                               .max_src = 1,
                               .in_place = 1u << 0,
                               .infer = infer_huber,
                               .gradient = gradient_huber,
                               .reference = reference_huber,
                               .example = example_huber};
