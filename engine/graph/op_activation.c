// SPDX-License-Identifier: LGPL-3.0-or-later
// Activations and their gradient, which is expressed by the activation's output.
#include <math.h>

#include "graph/op.h"

// Comparisons that let NaN through, for the step gate to see it.
float cz_op_activate(CzActivation activation, float x)
{
    switch (activation) {
    case CZ_ACT_RELU:
        return x < 0.0f ? 0.0f : x;
    case CZ_ACT_RELU6:
        return x < 0.0f ? 0.0f : x > 6.0f ? 6.0f : x;
    case CZ_ACT_LEAKY:
        return x < 0.0f ? CZ_LEAKY_SLOPE * x : x;
    case CZ_ACT_TANH:
        return tanhf(x);
    case CZ_ACT_SIGMOID:
        return 1.0f / (1.0f + expf(-x));
    default:
        return x;
    }
}

static float activate(const CzNode *node, float x)
{
    return cz_op_activate(node->params.activation, x);
}

// act'(x) where act(x) = y.
static float derivative(CzActivation activation, float y)
{
    switch (activation) {
    case CZ_ACT_RELU:
        return y > 0.0f ? 1.0f : 0.0f;
    case CZ_ACT_RELU6:
        return y > 0.0f && y < 6.0f ? 1.0f : 0.0f;
    case CZ_ACT_LEAKY:
        return y > 0.0f ? 1.0f : CZ_LEAKY_SLOPE;
    case CZ_ACT_TANH:
        return 1.0f - y * y;
    case CZ_ACT_SIGMOID:
        return y * (1.0f - y);
    default:
        return 1.0f;
    }
}

bool cz_op_check_activation(CzActivation activation, GError **error)
{
    if (activation >= CZ_ACT_NONE && activation <= CZ_ACT_SIGMOID)
        return true;
    return cz_op_error(error, "expected an activation, found number %d", (int)activation);
}

static bool infer_activation(CzNode *node, const CzNode *const *src, GError **error)
{
    return cz_op_check_activation(node->params.activation, error) &&
           cz_op_infer_like_source(node, src, error);
}

static void reference_activation(const CzNode *node, const CzView *src, CzView *dst)
{
    cz_op_map(node, src, dst, activate);
}

static void gradient_activation(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    d_src[0] = cz_activation_grad(graph, d_dst, op_value(node), node->params.activation);
}

CzValue cz_activation(CzGraph *graph, CzValue src, CzActivation activation)
{
    if (activation == CZ_ACT_NONE)
        return src;
    CzParams params = {.activation = activation};
    return cz_graph_append(graph, CZ_OP_ACTIVATION, &src, 1, &params, (CzShape){0}, CZ_F32, NULL);
}

static bool example_activation(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    // 17 channels: no multiple of any vector. The factor drives some numbers beyond 6.
    CzValue x = cz_op_example_source(graph, "x", cz_shape(2, 17, 3, 5), dtype);
    CzActivation activation = (CzActivation)(CZ_ACT_RELU + index);
    if (activation == CZ_ACT_RELU6)
        x = cz_scale(graph, x, 4.0f, 0.0f);
    if (activation > CZ_ACT_SIGMOID)
        return false;
    *dst = cz_activation(graph, x, activation);
    return true;
}

const CzOpClass cz_op_activation = {.op = CZ_OP_ACTIVATION,
                                    .name = "activation",
                                    .min_src = 1,
                                    .max_src = 1,
                                    .in_place = 1u << 0,
                                    .infer = infer_activation,
                                    .gradient = gradient_activation,
                                    .reference = reference_activation,
                                    .example = example_activation};

// ---- activation_grad ----------------------------------------------------------------------------

static bool infer_activation_grad(CzNode *node, const CzNode *const *src, GError **error)
{
    return cz_op_check_activation(node->params.activation, error) &&
           cz_op_expect_shape(src[1], 1, src[0]->shape, error) &&
           cz_op_expect_dtype(src[1], 1, src[0]->dtype, error) &&
           cz_op_infer_like_source(node, src, error);
}

static void reference_activation_grad(const CzNode *node, const CzView *src, CzView *dst)
{
    size_t n = cz_shape_count(dst->shape);
#pragma omp parallel for if (n > 65536)
    for (size_t i = 0; i < n; i++)
        op_store(dst, i,
                 op_load(&src[0], i) * derivative(node->params.activation, op_load(&src[1], i)));
}

// z = d * f(y), f = act' as a function of y: dz/dd = f(y), dz/dy = d * f'(y). f is flat but for
// tanh, 1 - y^2, and the sigmoid, y - y^2.
static void gradient_activation_grad(CzGraph *graph, const CzNode *node, CzValue d_dst,
                                     CzValue *d_src)
{
    CzActivation activation = node->params.activation;
    CzValue d = op_source(node, 0), y = op_source(node, 1);
    d_src[0] = cz_activation_grad(graph, d_dst, y, activation);
    if (activation == CZ_ACT_TANH || activation == CZ_ACT_SIGMOID) {
        float shift = activation == CZ_ACT_SIGMOID ? 1.0f : 0.0f;
        CzValue curvature = cz_scale(graph, y, -2.0f, shift);
        d_src[1] = cz_mul(graph, cz_mul(graph, d_dst, d), curvature);
    }
}

CzValue cz_activation_grad(CzGraph *graph, CzValue d_dst, CzValue dst, CzActivation activation)
{
    if (activation == CZ_ACT_NONE)
        return d_dst;
    CzParams params = {.activation = activation};
    return cz_graph_append(graph, CZ_OP_ACTIVATION_GRAD, (CzValue[]){d_dst, dst}, 2, &params,
                           (CzShape){0}, CZ_F32, NULL);
}

static bool example_activation_grad(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    CzActivation activation = (CzActivation)(CZ_ACT_RELU + index);
    if (activation > CZ_ACT_SIGMOID)
        return false;
    CzValue d = cz_op_example_source(graph, "x_d", cz_shape(2, 17, 3, 5), dtype);
    CzValue y = cz_op_example_source(graph, "x_dst", cz_shape(2, 17, 3, 5), dtype);
    *dst = cz_activation_grad(graph, d, y, activation);
    return true;
}

const CzOpClass cz_op_activation_grad = {.op = CZ_OP_ACTIVATION_GRAD,
                                         .name = "activation_grad",
                                         .min_src = 2,
                                         .max_src = 2,
                                         .in_place = 1u << 0 | 1u << 1,
                                         .infer = infer_activation_grad,
                                         .gradient = gradient_activation_grad,
                                         .reference = reference_activation_grad,
                                         .example = example_activation_grad};
