// SPDX-License-Identifier: LGPL-3.0-or-later
// Regression as nodes: small symmetric systems, and the change of rows for columns they need.
#include "graph/op.h"

#include <math.h>

#include "base/cholesky.h"

// Bounds the memory of the reference, which lies on the stack.
#define MOST_UNKNOWNS 64
#define MOST_COLUMNS  8

// ---- transpose ----------------------------------------------------------------------------------

static bool infer_transpose(CzNode *node, const CzNode *const *src, GError **error)
{
    CzShape shape = src[0]->shape;
    node->shape = cz_shape(shape.n, shape.c, shape.w, shape.h);
    node->dtype = src[0]->dtype;
    return true;
}

static void reference_transpose(const CzNode *node, const CzView *src, CzView *dst)
{
    CzShape s = dst->shape;
    size_t n_bytes = (size_t)s.c * cz_dtype_size(dst->dtype);
    for (int32_t n = 0; n < s.n; n++)
        for (int32_t h = 0; h < s.h; h++)
            for (int32_t w = 0; w < s.w; w++) {
                size_t to = ((size_t)n * s.h + h) * s.w + w, from = ((size_t)n * s.w + w) * s.h + h;
                memcpy((char *)dst->data + to * n_bytes, (const char *)src->data + from * n_bytes,
                       n_bytes);
            }
}

static void gradient_transpose(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    d_src[0] = cz_transpose(graph, d_dst);
}

CzValue cz_transpose(CzGraph *graph, CzValue src)
{
    return cz_graph_append(graph, CZ_OP_TRANSPOSE, &src, 1, NULL, (CzShape){0}, CZ_F32, NULL);
}

static bool example_transpose(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    *dst = cz_transpose(graph, cz_op_example_source(graph, "x", cz_shape(2, 17, 3, 5), dtype));
    return index == 0;
}

const CzOpClass cz_op_transpose = {.op = CZ_OP_TRANSPOSE,
                                   .name = "transpose",
                                   .min_src = 1,
                                   .max_src = 1,
                                   .infer = infer_transpose,
                                   .gradient = gradient_transpose,
                                   .reference = reference_transpose,
                                   .example = example_transpose};

// ---- solve --------------------------------------------------------------------------------------

static bool infer_solve(CzNode *node, const CzNode *const *src, GError **error)
{
    CzShape rhs = src[1]->shape;
    if (rhs.w > MOST_UNKNOWNS || rhs.c > MOST_COLUMNS || rhs.h != 1)
        return cz_op_error(error,
                           "source 1: expected at most %d unknowns (w) of %d channels in one row, "
                           "found %d of %d in %d",
                           MOST_UNKNOWNS, MOST_COLUMNS, rhs.w, rhs.c, rhs.h);
    node->shape = rhs;
    node->dtype = CZ_F32;
    return cz_op_expect_shape(src[0], 0, cz_shape(rhs.n, 1, rhs.w, rhs.w), error) &&
           cz_op_expect_dtype(src[0], 0, CZ_F32, error) &&
           cz_op_expect_dtype(src[1], 1, CZ_F32, error);
}

// One system; NaN where there is no answer.
static void solve_one(const float *matrix, const float *rhs, float ridge, size_t k,
                      size_t n_columns, float *dst)
{
    double a[MOST_UNKNOWNS * MOST_UNKNOWNS], x[MOST_UNKNOWNS * MOST_COLUMNS];
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j <= i; j++)
            a[i * k + j] = ((double)matrix[i * k + j] + (double)matrix[j * k + i]) / 2 +
                           (i == j ? (double)ridge : 0);
    for (size_t i = 0; i < k * n_columns; i++)
        x[i] = (double)rhs[i];
    bool good = cz_cholesky_solve(a, k, x, n_columns);
    for (size_t i = 0; i < k * n_columns; i++)
        dst[i] = good ? (float)x[i] : NAN;
}

static void reference_solve(const CzNode *node, const CzView *src, CzView *dst)
{
    size_t k = (size_t)dst->shape.w, n_columns = (size_t)dst->shape.c;
    for (size_t n = 0; n < (size_t)dst->shape.n; n++)
        solve_one((const float *)src[0].data + n * k * k,
                  (const float *)src[1].data + n * k * n_columns, node->params.ridge, k, n_columns,
                  (float *)dst->data + n * k * n_columns);
}

// With S the symmetric matrix: d_rhs = S^-1 d_x, d_S = -d_rhs x'; half of it and half of its
// transpose for the matrix as given.
static void gradient_solve(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    CzShape rhs = node->shape, square = cz_shape(rhs.n, rhs.c, rhs.w, rhs.w);
    CzValue d_rhs = cz_solve(graph, op_source(node, 0), d_dst, node->params.ridge);
    CzValue rows = cz_broadcast(graph, cz_transpose(graph, d_rhs), square, CZ_F32);
    CzValue outer =
        cz_sum(graph, cz_mul(graph, rows, op_value(node)), cz_shape(rhs.n, 1, rhs.w, rhs.w));
    d_src[0] = cz_scale(graph, cz_add(graph, outer, cz_transpose(graph, outer)), -0.5f, 0);
    d_src[1] = d_rhs;
}

CzValue cz_solve(CzGraph *graph, CzValue matrix, CzValue rhs, float ridge)
{
    return cz_graph_append(graph, CZ_OP_SOLVE, (CzValue[]){matrix, rhs}, 2,
                           &(CzParams){.ridge = ridge}, (CzShape){0}, CZ_F32, NULL);
}

// The ridge makes numbers of N(0, 1) positive definite: the eigenvalues of such a matrix lie within
// about (2 k)^(1/2) of zero (Wigner's semicircle), far inside it.
static bool example_solve(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    static const int32_t sizes[][2] = {{1, 1}, {3, 2}, {5, 4}};
    if (index >= G_N_ELEMENTS(sizes) || dtype != CZ_F32)
        return false;
    int32_t k = sizes[index][0], c = sizes[index][1];
    CzValue matrix = cz_input(graph, "x_matrix", cz_shape(2, 1, k, k));
    *dst = cz_solve(graph, matrix, cz_input(graph, "x_rhs", cz_shape(2, c, 1, k)), 4 + 2.0f * k);
    return true;
}

const CzOpClass cz_op_solve = {.op = CZ_OP_SOLVE,
                               .name = "solve",
                               .min_src = 2,
                               .max_src = 2,
                               .infer = infer_solve,
                               .gradient = gradient_solve,
                               .reference = reference_solve,
                               .example = example_solve};
