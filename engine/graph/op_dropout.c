// SPDX-License-Identifier: LGPL-3.0-or-later
// Which values dropout leaves: random numbers that are a function of the sample's own number, so
// that a resumed run, and one on several machines, leaves out the same.
#include <cz/rng.h>

#include <math.h>

#include "graph/op.h"

static bool infer_dropout_mask(CzNode *node, const CzNode *const *src, GError **error)
{
    float rate = node->params.dropout.rate;
    if (!(rate >= 0.0f && rate < 1.0f))
        return cz_op_error(error, "expected a rate from 0 to below 1, found %g", (double)rate);
    return cz_op_expect_shape(src[0], 0, cz_shape(node->shape.n, 1, 1, 1), error) &&
           cz_op_expect_dtype(src[0], 0, CZ_F32, error);
}

static void reference_dropout_mask(const CzNode *node, const CzView *src, CzView *dst)
{
    float rate = node->params.dropout.rate, kept = 1.0f / (1.0f - rate);
    size_t n_each = (size_t)dst->shape.c * dst->shape.h * dst->shape.w;
    size_t n = n_each * dst->shape.n;
#pragma omp parallel for if (n > 4096)
    for (size_t i = 0; i < n; i++) {
        CzRng rng =
            cz_rng(node->params.dropout.seed, (uint64_t)llrintf(fabsf(op_load(src, i / n_each))));
        rng.counter = i % n_each;
        op_store(dst, i, cz_rng_uniform(&rng) < rate ? 0.0f : kept);
    }
}

CzValue cz_dropout_mask(CzGraph *graph, CzValue sample, CzShape shape, CzDtype dtype, float rate,
                        uint64_t seed)
{
    CzParams params = {.dropout = {.seed = seed, .rate = rate}};
    return cz_graph_append(graph, CZ_OP_DROPOUT_MASK, &sample, 1, &params, shape, dtype, NULL);
}

static bool example_dropout_mask(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    const float rates[] = {0.5f, 0.2f, 0.0f};
    if (index >= G_N_ELEMENTS(rates))
        return false;
    *dst = cz_dropout_mask(graph, cz_input(graph, "p_sample", cz_shape(2, 1, 1, 1)),
                           cz_shape(2, 17, 3, 5), dtype, rates[index], 7);
    return true;
}

const CzOpClass cz_op_dropout_mask = {.op = CZ_OP_DROPOUT_MASK,
                                      .name = "dropout_mask",
                                      .min_src = 1,
                                      .max_src = 1,
                                      .infer = infer_dropout_mask,
                                      .gradient = cz_op_gradient_zero,
                                      .reference = reference_dropout_mask,
                                      .example = example_dropout_mask};
