// SPDX-License-Identifier: LGPL-3.0-or-later
// Sums, their opposite (repeating), and the scalar product.
#include "graph/op.h"

// Every dimension of small is that of large, or 1.
static bool check_repeats(CzShape small, CzShape large, GError **error)
{
    bool n = small.n == large.n || small.n == 1, c = small.c == large.c || small.c == 1;
    bool h = small.h == large.h || small.h == 1, w = small.w == large.w || small.w == 1;
    if (n && c && h && w)
        return true;
    g_autofree char *text_large = cz_shape_format(large);
    g_autofree char *text_small = cz_shape_format(small);
    return cz_op_error(error, "expected %s or 1 in its place, found %s", text_large, text_small);
}

// ---- sum ----------------------------------------------------------------------------------------

static bool infer_sum(CzNode *node, const CzNode *const *src, GError **error)
{
    node->dtype = CZ_F32;
    return check_repeats(node->shape, src[0]->shape, error);
}

static double sum_channels(const CzView *src, size_t offset, int32_t n)
{
    double sum = 0.0;
    for (int32_t i = 0; i < n; i++)
        sum += (double)op_load(src, offset + i);
    return sum;
}

// What one element of dst at (n, c, h, w) is the sum of: every place of src that it stands for.
static float sum_at(const CzView *src, CzShape dst, int32_t n, int32_t c, int32_t h, int32_t w)
{
    CzShape s = src->shape;
    int32_t n_end = dst.n == 1 ? s.n : n + 1, n_channels = dst.c == 1 ? s.c : 1;
    int32_t h_end = dst.h == 1 ? s.h : h + 1, w_end = dst.w == 1 ? s.w : w + 1;
    double sum = 0.0;
    for (int32_t in = n; in < n_end; in++)
        for (int32_t ih = h; ih < h_end; ih++)
            for (int32_t iw = w; iw < w_end; iw++)
                sum += sum_channels(src, op_offset(s, in, c, ih, iw), n_channels);
    return (float)sum;
}

static void reference_sum(const CzNode *node, const CzView *src, CzView *dst)
{
    CzShape s = dst->shape;
    size_t n_elements = cz_shape_count(s);
#pragma omp parallel for if (cz_shape_count(src->shape) > 65536)
    for (size_t i = 0; i < n_elements; i++) {
        size_t pixel = i / s.c, row = pixel / s.w;
        op_store(dst, i,
                 sum_at(src, s, (int32_t)(row / s.h), (int32_t)(i % s.c), (int32_t)(row % s.h),
                        (int32_t)(pixel % s.w)));
    }
}

static void gradient_sum(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    CzValue src = op_source(node, 0);
    d_src[0] = cz_broadcast(graph, d_dst, cz_graph_shape(graph, src), cz_graph_dtype(graph, src));
}

CzValue cz_sum(CzGraph *graph, CzValue src, CzShape shape)
{
    return cz_graph_append(graph, CZ_OP_SUM, &src, 1, NULL, shape, CZ_F32, NULL);
}

CzValue cz_mean(CzGraph *graph, CzValue src, CzShape shape)
{
    CzValue sum = cz_sum(graph, src, shape);
    if (sum.id < 0)
        return sum;
    size_t n_summed = cz_shape_count(cz_graph_shape(graph, src)) / cz_shape_count(shape);
    return cz_scale(graph, sum, (float)(1.0 / (double)n_summed), 0.0f);
}

// What biases, global means, losses and norms need, and every single dimension.
static const CzShape reduced_shapes[] = {{1, 17, 1, 1}, {2, 17, 1, 1}, {1, 1, 1, 1}, {2, 1, 3, 5},
                                         {1, 17, 3, 5}, {2, 17, 1, 5}, {2, 17, 3, 1}};

static bool example_sum(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    if (index >= G_N_ELEMENTS(reduced_shapes))
        return false;
    CzValue x = cz_op_example_source(graph, "x", cz_shape(2, 17, 3, 5), dtype);
    *dst = cz_sum(graph, x, reduced_shapes[index]);
    return true;
}

const CzOpClass cz_op_sum = {.op = CZ_OP_SUM,
                             .name = "sum",
                             .min_src = 1,
                             .max_src = 1,
                             .infer = infer_sum,
                             .gradient = gradient_sum,
                             .reference = reference_sum,
                             .example = example_sum};

// ---- broadcast ----------------------------------------------------------------------------------

static bool infer_broadcast(CzNode *node, const CzNode *const *src, GError **error)
{
    return check_repeats(src[0]->shape, node->shape, error);
}

static void reference_broadcast(const CzNode *node, const CzView *src, CzView *dst)
{
    CzShape s = dst->shape, b = src->shape;
#pragma omp parallel for collapse(2) if (cz_shape_count(s) > 65536)
    for (int32_t n = 0; n < s.n; n++)
        for (int32_t h = 0; h < s.h; h++)
            for (int64_t i = 0; i < (int64_t)s.w * s.c; i++) {
                int32_t w = (int32_t)(i / s.c), c = (int32_t)(i % s.c);
                float value = op_load_at(src, b.n == 1 ? 0 : n, b.c == 1 ? 0 : c, b.h == 1 ? 0 : h,
                                         b.w == 1 ? 0 : w);
                op_store_at(dst, n, c, h, w, value);
            }
}

static void gradient_broadcast(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    CzValue src = op_source(node, 0);
    d_src[0] = cz_op_sum_to(graph, d_dst, cz_graph_shape(graph, src), cz_graph_dtype(graph, src));
}

CzValue cz_broadcast(CzGraph *graph, CzValue src, CzShape shape, CzDtype dtype)
{
    return cz_graph_append(graph, CZ_OP_BROADCAST, &src, 1, NULL, shape, dtype, NULL);
}

// F32 sources, as gradients of sums have them; in the last, source and result have one dtype.
static bool example_broadcast(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    unsigned n_shapes = G_N_ELEMENTS(reduced_shapes);
    if (index > n_shapes)
        return false;
    CzValue x = index < n_shapes ? cz_input(graph, "x", reduced_shapes[index])
                                 : cz_op_example_source(graph, "x", cz_shape(2, 17, 1, 1), dtype);
    *dst = cz_broadcast(graph, x, cz_shape(2, 17, 3, 5), dtype);
    return true;
}

const CzOpClass cz_op_broadcast = {.op = CZ_OP_BROADCAST,
                                   .name = "broadcast",
                                   .min_src = 1,
                                   .max_src = 1,
                                   .infer = infer_broadcast,
                                   .gradient = gradient_broadcast,
                                   .reference = reference_broadcast,
                                   .example = example_broadcast};

// ---- dot ----------------------------------------------------------------------------------------

static bool infer_dot(CzNode *node, const CzNode *const *src, GError **error)
{
    node->shape = cz_shape(1, 1, 1, 1);
    node->dtype = CZ_F32;
    return cz_op_expect_shape(src[1], 1, src[0]->shape, error) &&
           cz_op_expect_dtype(src[1], 1, src[0]->dtype, error);
}

static void reference_dot(const CzNode *node, const CzView *src, CzView *dst)
{
    size_t n = cz_shape_count(src[0].shape);
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += (double)op_load(&src[0], i) * (double)op_load(&src[1], i);
    op_store(dst, 0, (float)sum);
}

static void gradient_dot(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    CzValue a = op_source(node, 0), b = op_source(node, 1);
    d_src[0] = cz_mul(graph, b, d_dst);
    d_src[1] = cz_mul(graph, a, d_dst);
}

CzValue cz_dot(CzGraph *graph, CzValue a, CzValue b)
{
    return cz_graph_append(graph, CZ_OP_DOT, (CzValue[]){a, b}, 2, NULL, (CzShape){0}, CZ_F32,
                           NULL);
}

static bool example_dot(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    CzValue a = cz_op_example_source(graph, "x_a", cz_shape(2, 17, 3, 5), dtype);
    CzValue b = cz_op_example_source(graph, "x_b", cz_shape(2, 17, 3, 5), dtype);
    *dst = cz_dot(graph, a, index ? a : b);
    return index < 2;
}

const CzOpClass cz_op_dot = {.op = CZ_OP_DOT,
                             .name = "dot",
                             .min_src = 2,
                             .max_src = 2,
                             .infer = infer_dot,
                             .gradient = gradient_dot,
                             .reference = reference_dot,
                             .example = example_dot};
