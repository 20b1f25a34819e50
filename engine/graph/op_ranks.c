// SPDX-License-Identifier: LGPL-3.0-or-later
// Trainings that many processes share: the sum over them, and what makes few large messages of many
// small tensors.
//
// The loss of all ranks is the mean of their own. Each rank takes gradients of its own loss; where
// a value of all ranks is in between (a batch's mean), what comes back from it is summed over
// ranks, too, since every rank's loss depends on it. The mean over ranks of what arrives at a
// weight is then the gradient of the mean, exactly.
#include "graph/op.h"

#define PACK_MAX     4096
#define BUCKET_BYTES (4u << 20) // where a message's time is all bandwidth, and no latency

// ---- all_reduce ---------------------------------------------------------------------------------

static bool infer_all_reduce(CzNode *node, const CzNode *const *src, GError **error)
{
    return cz_op_infer_like_source(node, src, error) &&
           cz_op_expect_dtype(src[0], 0, CZ_F32, error);
}

static void reference_all_reduce(const CzNode *node, const CzView *src, CzView *dst)
{
    size_t n = cz_shape_count(dst->shape);
    const CzRanks *ranks = node->params.ranks;
    if (dst->data != src->data)
        memcpy(dst->data, src->data, n * sizeof(float));
    if (ranks)
        ranks->sum(ranks->user, dst->data, n);
}

static void gradient_all_reduce(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    d_src[0] = cz_graph_append(graph, CZ_OP_ALL_REDUCE, &d_dst, 1, &node->params, (CzShape){0},
                               CZ_F32, NULL);
}

CzValue cz_all_reduce(CzGraph *graph, CzValue src)
{
    CzParams params = {.ranks = cz_graph_ranks(graph)};
    return params.ranks ? cz_graph_append(graph, CZ_OP_ALL_REDUCE, &src, 1, &params, (CzShape){0},
                                          CZ_F32, NULL)
                        : src;
}

CzValue cz_rank_mean(CzGraph *graph, CzValue src)
{
    const CzRanks *ranks = cz_graph_ranks(graph);
    return ranks ? cz_scale(graph, cz_all_reduce(graph, src), 1.0f / (float)ranks->n, 0) : src;
}

// As among one rank: the tests that loop over all ops know of no others.
static bool example_all_reduce(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    CzValue src = cz_input(graph, "x", cz_shape(2, 3, 4, 5));
    CzParams alone = {.ranks = NULL};
    *dst = cz_graph_append(graph, CZ_OP_ALL_REDUCE, &src, 1, &alone, (CzShape){0}, CZ_F32, NULL);
    return index == 0 && dtype == CZ_F32;
}

const CzOpClass cz_op_all_reduce = {.op = CZ_OP_ALL_REDUCE,
                                    .name = "all_reduce",
                                    .min_src = 1,
                                    .max_src = 1,
                                    .in_place = 1u << 0,
                                    .infer = infer_all_reduce,
                                    .gradient = gradient_all_reduce,
                                    .reference = reference_all_reduce,
                                    .example = example_all_reduce};

// ---- pack and unpack ----------------------------------------------------------------------------

static bool infer_pack(CzNode *node, const CzNode *const *src, GError **error)
{
    size_t n = 0;
    for (int32_t i = 0; i < node->n_src; i++) {
        if (!cz_op_expect_dtype(src[i], i, CZ_F32, error))
            return false;
        n += cz_shape_count(src[i]->shape);
    }
    if (n > INT32_MAX)
        return cz_op_error(error, "sources: expected fewer elements than 2^31 in all, found more");
    node->shape = cz_shape(1, (int32_t)n, 1, 1);
    node->dtype = CZ_F32;
    return true;
}

static void reference_pack(const CzNode *node, const CzView *src, CzView *dst)
{
    float *to = dst->data;
    for (int32_t i = 0; i < node->n_src; i++) {
        size_t n = cz_shape_count(src[i].shape);
        memcpy(to, src[i].data, n * sizeof *to);
        to += n;
    }
}

static void gradient_pack(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    int32_t first = 0;
    for (int32_t i = 0; i < node->n_src; i++) {
        CzShape shape = cz_graph_shape(graph, op_source(node, i));
        d_src[i] = cz_unpack(graph, d_dst, first, shape);
        first += (int32_t)cz_shape_count(shape);
    }
}

CzValue cz_pack(CzGraph *graph, const CzValue *src, int32_t n_src)
{
    return cz_graph_append(graph, CZ_OP_PACK, src, n_src, NULL, (CzShape){0}, CZ_F32, NULL);
}

static bool example_pack(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    CzValue src[] = {cz_input(graph, "x0", cz_shape(2, 3, 4, 5)),
                     cz_input(graph, "x1", cz_shape(1, 1, 1, 1)),
                     cz_input(graph, "x2", cz_shape(5, 1, 3, 3))};
    *dst = cz_pack(graph, src, index ? 3 : 1);
    return index < 2 && dtype == CZ_F32;
}

const CzOpClass cz_op_pack = {.op = CZ_OP_PACK,
                              .name = "pack",
                              .min_src = 1,
                              .max_src = PACK_MAX,
                              .infer = infer_pack,
                              .gradient = gradient_pack,
                              .reference = reference_pack,
                              .example = example_pack};

static bool infer_unpack(CzNode *node, const CzNode *const *src, GError **error)
{
    CzShape flat = cz_shape(1, src[0]->shape.c, 1, 1);
    size_t n = cz_shape_count(node->shape), first = (size_t)node->params.offset.c;
    node->dtype = CZ_F32;
    if (!cz_op_expect_dtype(src[0], 0, CZ_F32, error) ||
        !cz_op_expect_shape(src[0], 0, flat, error))
        return false;
    if (node->params.offset.c >= 0 && first + n <= (size_t)flat.c)
        return true;
    return cz_op_error(error, "expected %zu elements from %d, found %d in all", n,
                       node->params.offset.c, flat.c);
}

static void reference_unpack(const CzNode *node, const CzView *src, CzView *dst)
{
    const float *from = (const float *)src->data + node->params.offset.c;
    memcpy(dst->data, from, cz_shape_count(dst->shape) * sizeof *from);
}

// The piece in its place among zeros.
static void gradient_unpack(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    int32_t first = node->params.offset.c, n = (int32_t)cz_shape_count(node->shape);
    int32_t rest = cz_graph_shape(graph, op_source(node, 0)).c - first - n;
    CzValue parts[3];
    int32_t n_parts = 0;
    if (first > 0)
        parts[n_parts++] = cz_constant(graph, cz_shape(1, first, 1, 1), CZ_F32, 0);
    parts[n_parts++] = d_dst;
    if (rest > 0)
        parts[n_parts++] = cz_constant(graph, cz_shape(1, rest, 1, 1), CZ_F32, 0);
    d_src[0] = cz_pack(graph, parts, n_parts);
}

CzValue cz_unpack(CzGraph *graph, CzValue src, int32_t first, CzShape shape)
{
    CzParams params = {.offset = {.c = first}};
    return cz_graph_append(graph, CZ_OP_UNPACK, &src, 1, &params, shape, CZ_F32, NULL);
}

static bool example_unpack(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    static const struct {
        int32_t first;
        CzShape shape;
    } cases[] = {{0, {2, 3, 1, 2}}, {5, {1, 4, 1, 1}}, {17, {1, 1, 1, 6}}, {0, {1, 1, 23, 1}}};
    if (index >= G_N_ELEMENTS(cases) || dtype != CZ_F32)
        return false;
    CzValue src = cz_input(graph, "x", cz_shape(1, 23, 1, 1));
    *dst = cz_unpack(graph, src, cases[index].first, cases[index].shape);
    return true;
}

const CzOpClass cz_op_unpack = {.op = CZ_OP_UNPACK,
                                .name = "unpack",
                                .min_src = 1,
                                .max_src = 1,
                                .infer = infer_unpack,
                                .gradient = gradient_unpack,
                                .reference = reference_unpack,
                                .example = example_unpack};

// ---- many values at once ------------------------------------------------------------------------

static void mean_of_bucket(CzGraph *graph, CzValue *values, size_t n)
{
    CzValue mean = cz_rank_mean(graph, cz_pack(graph, values, (int32_t)n));
    int32_t first = 0;
    for (size_t i = 0; i < n; i++) {
        CzShape shape = cz_graph_shape(graph, values[i]);
        values[i] = cz_unpack(graph, mean, first, shape);
        first += (int32_t)cz_shape_count(shape);
    }
}

void cz_rank_means(CzGraph *graph, CzValue *values, size_t n)
{
    size_t first = 0, bytes = 0;
    if (!cz_graph_ranks(graph))
        return;
    for (size_t i = 0; i < n; i++) {
        bytes += cz_shape_count(cz_graph_shape(graph, values[i])) * sizeof(float);
        if (bytes < BUCKET_BYTES && i + 1 < n && i + 1 - first < PACK_MAX)
            continue;
        mean_of_bucket(graph, values + first, i + 1 - first);
        first = i + 1;
        bytes = 0;
    }
}
