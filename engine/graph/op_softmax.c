// SPDX-License-Identifier: LGPL-3.0-or-later
// Logarithm of the softmax over channels: what a classification of places is made of.
#include <math.h>

#include "graph/op.h"

// x - max - log(sum of e^(x - max)): nothing overflows, and the largest is never lost. NaN stays.
static void log_softmax_place(const CzView *src, CzView *dst, size_t at, int32_t n)
{
    float most = op_load(src, at);
    for (int32_t c = 1; c < n; c++) {
        float x = op_load(src, at + c);
        most = x <= most ? most : x;
    }
    double sum = 0.0;
    for (int32_t c = 0; c < n; c++)
        sum += exp((double)op_load(src, at + c) - (double)most);
    double shift = (double)most + log(sum);
    for (int32_t c = 0; c < n; c++)
        op_store(dst, at + c, (float)((double)op_load(src, at + c) - shift));
}

static void reference_log_softmax(const CzNode *node, const CzView *src, CzView *dst)
{
    int32_t n_channels = dst->shape.c;
    size_t n_places = cz_shape_count(dst->shape) / n_channels;
#pragma omp parallel for if (cz_shape_count(dst->shape) > 65536)
    for (size_t i = 0; i < n_places; i++)
        log_softmax_place(src, dst, i * n_channels, n_channels);
}

// y = x - log(sum of e^x): d_x = d_y - e^y * (sum of d_y).
static void gradient_log_softmax(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    CzShape place = node->shape;
    place.c = 1;
    CzValue share = cz_math(graph, op_value(node), CZ_MATH_EXP);
    d_src[0] = cz_sub(graph, d_dst, cz_mul(graph, share, cz_sum(graph, d_dst, place)));
}

CzValue cz_log_softmax(CzGraph *graph, CzValue src)
{
    return cz_graph_append(graph, CZ_OP_LOG_SOFTMAX, &src, 1, NULL, (CzShape){0}, CZ_F32, NULL);
}

// Many classes, two, no multiple of any vector, and one (all zero).
static bool example_log_softmax(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    static const CzShape shapes[] = {{2, 17, 3, 5}, {1, 2, 2, 3}, {1, 37, 1, 2}, {1, 1, 2, 2}};
    if (index >= G_N_ELEMENTS(shapes))
        return false;
    CzValue x = cz_op_example_source(graph, "x", shapes[index], dtype);
    *dst = cz_log_softmax(graph, x);
    return true;
}

const CzOpClass cz_op_log_softmax = {.op = CZ_OP_LOG_SOFTMAX,
                                     .name = "log_softmax",
                                     .min_src = 1,
                                     .max_src = 1,
                                     .in_place = 1u << 0,
                                     .infer = cz_op_infer_like_source,
                                     .gradient = gradient_log_softmax,
                                     .reference = reference_log_softmax,
                                     .example = example_log_softmax};
