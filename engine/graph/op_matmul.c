// SPDX-License-Identifier: LGPL-3.0-or-later
// Products of matrices, one for each sample: what attention is made of. A tensor is the matrix of
// its places (rows) and channels (columns), as it lies in memory. The three forms are closed under
// differentiation.
#include "graph/op.h"

typedef struct {
    size_t rows, columns, length; // of the product; of its sums
} Product;

static size_t places(CzShape shape)
{
    return (size_t)shape.h * shape.w;
}

static Product product_of(CzMatmul form, CzShape a, CzShape b)
{
    if (form == CZ_MATMUL_NT)
        return (Product){places(a), places(b), (size_t)a.c};
    if (form == CZ_MATMUL_NN)
        return (Product){places(a), (size_t)b.c, (size_t)a.c};
    return (Product){(size_t)a.c, (size_t)b.c, places(a)};
}

static bool check_match(CzMatmul form, CzShape a, CzShape b, GError **error)
{
    bool fits = form == CZ_MATMUL_NT   ? a.c == b.c
                : form == CZ_MATMUL_NN ? (size_t)a.c == places(b)
                                       : a.h == b.h && a.w == b.w;
    if (fits && a.n == b.n && places(b) <= INT32_MAX)
        return true;
    static const char *const rules[] = {"source 1 with as many places as source 0 has channels",
                                        "source 1 with the channels of source 0",
                                        "source 1 with the places of source 0"};
    g_autofree char *text_a = cz_shape_format(a), *text_b = cz_shape_format(b);
    return cz_op_error(error, "expected %s, found %s and %s", rules[form], text_a, text_b);
}

static bool infer_matmul(CzNode *node, const CzNode *const *src, GError **error)
{
    CzMatmul form = node->params.matmul;
    CzShape a = src[0]->shape, b = src[1]->shape, given = node->shape;
    if (form < CZ_MATMUL_NN || form > CZ_MATMUL_TN)
        return cz_op_error(error, "expected a form of product, found number %d", (int)form);
    if (!check_match(form, a, b, error) || !cz_op_expect_dtype(src[1], 1, src[0]->dtype, error))
        return false;
    node->dtype = src[0]->dtype;
    if (form != CZ_MATMUL_TN) {
        node->shape = cz_shape(a.n, form == CZ_MATMUL_NT ? (int32_t)places(b) : b.c, a.h, a.w);
        return true;
    }
    node->shape = cz_shape(a.n, b.c, given.h, given.w);
    if (given.h > 0 && given.w > 0 && places(given) == (size_t)a.c)
        return true;
    return cz_op_error(error, "expected %d places, found %d x %d", a.c, given.w, given.h);
}

// Element (row, k) of the left matrix and (k, column) of the right one, before the sample's offset.
static inline size_t left_at(CzMatmul form, const Product *p, size_t row, size_t k)
{
    return form == CZ_MATMUL_TN ? k * p->rows + row : row * p->length + k;
}

static inline size_t right_at(CzMatmul form, const Product *p, size_t k, size_t column)
{
    return form == CZ_MATMUL_NT ? column * p->length + k : k * p->columns + column;
}

static void reference_matmul(const CzNode *node, const CzView *src, CzView *dst)
{
    CzMatmul form = node->params.matmul;
    const Product p = product_of(form, src[0].shape, src[1].shape);
    size_t n = (size_t)dst->shape.n * p.rows;
#pragma omp parallel for if (n * p.columns * p.length > 65536)
    for (size_t i = 0; i < n; i++) {
        size_t sample = i / p.rows, row = i % p.rows;
        size_t a = sample * p.rows * p.length, b = sample * p.columns * p.length;
        for (size_t column = 0; column < p.columns; column++) {
            double sum = 0;
            for (size_t k = 0; k < p.length; k++)
                sum += (double)op_load(&src[0], a + left_at(form, &p, row, k)) *
                       (double)op_load(&src[1], b + right_at(form, &p, k, column));
            op_store(dst, i * p.columns + column, (float)sum);
        }
    }
}

static void gradient_matmul(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    CzValue a = op_source(node, 0), b = op_source(node, 1);
    CzShape s = cz_graph_shape(graph, b);
    switch (node->params.matmul) {
    case CZ_MATMUL_NN:
        d_src[0] = cz_matmul(graph, d_dst, b, CZ_MATMUL_NT, 0, 0);
        d_src[1] = cz_matmul(graph, a, d_dst, CZ_MATMUL_TN, s.h, s.w);
        break;
    case CZ_MATMUL_NT:
        d_src[0] = cz_matmul(graph, d_dst, b, CZ_MATMUL_NN, 0, 0);
        d_src[1] = cz_matmul(graph, d_dst, a, CZ_MATMUL_TN, s.h, s.w);
        break;
    default:
        d_src[0] = cz_matmul(graph, b, d_dst, CZ_MATMUL_NT, 0, 0);
        d_src[1] = cz_matmul(graph, a, d_dst, CZ_MATMUL_NN, 0, 0);
    }
}

CzValue cz_matmul(CzGraph *graph, CzValue a, CzValue b, CzMatmul form, int32_t h, int32_t w)
{
    CzParams params = {.matmul = form};
    // n and c follow from the sources; a shape counts as given by its n.
    CzShape shape = form == CZ_MATMUL_TN ? cz_shape(1, 1, h, w) : (CzShape){0};
    return cz_graph_append(graph, CZ_OP_MATMUL, (CzValue[]){a, b}, 2, &params, shape, CZ_F32, NULL);
}

static bool example_matmul(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    // As attention has them, and with a side of one place or channel.
    static const struct {
        CzMatmul form;
        CzShape a, b;
        int32_t h, w;
    } examples[] = {
        {CZ_MATMUL_NT, {2, 5, 3, 4}, {2, 5, 2, 3}, 0, 0},
        {CZ_MATMUL_NN, {2, 6, 3, 4}, {2, 17, 2, 3}, 0, 0},
        {CZ_MATMUL_TN, {2, 6, 3, 4}, {2, 17, 3, 4}, 2, 3},
        {CZ_MATMUL_NT, {1, 1, 3, 1}, {1, 1, 1, 5}, 0, 0},
        {CZ_MATMUL_NN, {1, 1, 3, 1}, {1, 4, 1, 1}, 0, 0},
        {CZ_MATMUL_TN, {1, 37, 5, 7}, {1, 19, 5, 7}, 37, 1},
    };
    if (index >= G_N_ELEMENTS(examples))
        return false;
    CzValue a = cz_op_example_source(graph, "x_a", examples[index].a, dtype);
    CzValue b = cz_op_example_source(graph, "x_b", examples[index].b, dtype);
    *dst = cz_matmul(graph, a, b, examples[index].form, examples[index].h, examples[index].w);
    return true;
}

const CzOpClass cz_op_matmul = {.op = CZ_OP_MATMUL,
                                .name = "matmul",
                                .min_src = 2,
                                .max_src = 2,
                                .infer = infer_matmul,
                                .gradient = gradient_matmul,
                                .reference = reference_matmul,
                                .example = example_matmul};
