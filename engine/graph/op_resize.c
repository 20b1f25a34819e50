// SPDX-License-Identifier: LGPL-3.0-or-later
// Changing the size of maps: bilinear resize, mean over squares, and the adjoint of each.

#include "graph/op.h"

// Channels that are summed at a time; bounds what a reference keeps on the stack.
enum { BLOCK = 256 };

// ---- resize -------------------------------------------------------------------------------------

// The two source places that a target place lies between, and the weight of the second.
typedef struct {
    int32_t first, second;
    float weight;
} Pair;

static Pair pair_at(int32_t dst, int32_t n_dst, int32_t n_src)
{
    double place = (dst + 0.5) * n_src / n_dst - 0.5;
    if (place < 0)
        place = 0;
    int32_t first = MIN((int32_t)place, n_src - 1);
    return (Pair){first, MIN(first + 1, n_src - 1), (float)(place - first)};
}

// How much of source place src the target place sees.
static float pair_weight(Pair pair, int32_t src)
{
    return (pair.first == src ? 1 - pair.weight : 0) + (pair.second == src ? pair.weight : 0);
}

// The target places that may see source place src: first to last.
static void seen_by(int32_t src, int32_t n_src, int32_t n_dst, int32_t *first, int32_t *last)
{
    double scale = (double)n_dst / n_src;
    *first = MAX((int32_t)((src - 0.5) * scale - 0.5) - 1, 0);
    *last = MIN((int32_t)((src + 1.5) * scale + 0.5), n_dst - 1);
    if (src == n_src - 1)
        *last = n_dst - 1;
}

CzValue cz_resize(CzGraph *graph, CzValue src, int32_t h, int32_t w)
{
    CzShape shape = cz_graph_shape(graph, src);
    return cz_graph_append(graph, CZ_OP_RESIZE, &src, 1, NULL, cz_shape(shape.n, shape.c, h, w),
                           CZ_F32, NULL);
}

CzValue cz_resize_grad(CzGraph *graph, CzValue d_dst, int32_t src_h, int32_t src_w)
{
    CzShape shape = cz_graph_shape(graph, d_dst);
    return cz_graph_append(graph, CZ_OP_RESIZE_GRAD, &d_dst, 1, NULL,
                           cz_shape(shape.n, shape.c, src_h, src_w), CZ_F32, NULL);
}

static bool resize_infer(CzNode *node, const CzNode *const *src, GError **error)
{
    node->dtype = src[0]->dtype;
    return cz_op_expect_shape(
        src[0], 0, cz_shape(node->shape.n, node->shape.c, src[0]->shape.h, src[0]->shape.w), error);
}

static void resize_gradient(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    CzShape src = cz_graph_shape(graph, op_source(node, 0));
    d_src[0] = cz_resize_grad(graph, d_dst, src.h, src.w);
}

static void resize_grad_gradient(CzGraph *graph, const CzNode *node, CzValue dd, CzValue *d_src)
{
    CzShape d_dst = cz_graph_shape(graph, op_source(node, 0));
    d_src[0] = cz_resize(graph, dd, d_dst.h, d_dst.w);
}

static void resize_row(const CzView *src, const CzView *dst, int32_t n, int32_t y)
{
    Pair py = pair_at(y, dst->shape.h, src->shape.h);
    for (int32_t x = 0; x < dst->shape.w; x++) {
        Pair px = pair_at(x, dst->shape.w, src->shape.w);
        size_t a = op_offset(src->shape, n, 0, py.first, px.first);
        size_t b = op_offset(src->shape, n, 0, py.first, px.second);
        size_t c = op_offset(src->shape, n, 0, py.second, px.first);
        size_t d = op_offset(src->shape, n, 0, py.second, px.second);
        size_t to = op_offset(dst->shape, n, 0, y, x);
        for (int32_t i = 0; i < dst->shape.c; i++) {
            float upper = (1 - px.weight) * op_load(src, a + i) + px.weight * op_load(src, b + i);
            float lower = (1 - px.weight) * op_load(src, c + i) + px.weight * op_load(src, d + i);
            op_store(dst, to + i, (1 - py.weight) * upper + py.weight * lower);
        }
    }
}

static void resize_reference(const CzNode *node, const CzView *src, CzView *dst)
{
    int32_t height = dst->shape.h;
#pragma omp parallel for
    for (int64_t row = 0; row < (int64_t)dst->shape.n * height; row++)
        resize_row(src, dst, (int32_t)(row / height), (int32_t)(row % height));
}

// d_src (n, c..c + n_channels, y, x): every target place that saw it, by its weight.
static void seen_sum(const CzView *d_dst, CzShape src, CzShape at, int32_t n_channels, float *sum)
{
    CzShape dst = d_dst->shape;
    int32_t top, bottom, left, right;
    seen_by(at.h, src.h, dst.h, &top, &bottom);
    seen_by(at.w, src.w, dst.w, &left, &right);
    for (int32_t y = top; y <= bottom; y++) {
        float row_weight = pair_weight(pair_at(y, dst.h, src.h), at.h);
        for (int32_t x = left; x <= right; x++) {
            float weight = row_weight * pair_weight(pair_at(x, dst.w, src.w), at.w);
            size_t from = op_offset(dst, at.n, at.c, y, x);
            for (int32_t i = 0; i < n_channels && weight != 0; i++)
                sum[i] += weight * op_load(d_dst, from + i);
        }
    }
}

static void resize_grad_reference(const CzNode *node, const CzView *src, CzView *dst)
{
    CzShape shape = dst->shape;
#pragma omp parallel for
    for (int64_t pixel = 0; pixel < (int64_t)shape.n * shape.h * shape.w; pixel++) {
        CzShape at = {.n = (int32_t)(pixel / shape.w / shape.h),
                      .h = (int32_t)(pixel / shape.w % shape.h),
                      .w = (int32_t)(pixel % shape.w)};
        for (; at.c < shape.c; at.c += BLOCK) {
            float sum[BLOCK] = {0};
            int32_t n = MIN(BLOCK, shape.c - at.c);
            seen_sum(src, shape, at, n, sum);
            for (int32_t i = 0; i < n; i++)
                op_store_at(dst, at.n, at.c + i, at.h, at.w, sum[i]);
        }
    }
}

// To the same size, up and down, to and from one place, by odd ratios.
static const struct {
    CzShape src;
    int32_t h, w;
} resizes[] = {
    {{1, 2, 3, 4}, 6, 8}, {{2, 3, 5, 7}, 9, 14}, {{1, 16, 4, 4}, 4, 4}, {{1, 5, 1, 1}, 3, 4},
    {{1, 3, 7, 6}, 3, 2}, {{2, 17, 4, 3}, 1, 1}, {{1, 4, 3, 5}, 11, 4},
};

static bool resize_example(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    if (index >= G_N_ELEMENTS(resizes))
        return false;
    CzValue src = cz_op_example_source(graph, "x src", resizes[index].src, dtype);
    *dst = cz_resize(graph, src, resizes[index].h, resizes[index].w);
    return true;
}

static bool resize_grad_example(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    if (index >= G_N_ELEMENTS(resizes))
        return false;
    CzShape src = resizes[index].src;
    CzShape shape = cz_shape(src.n, src.c, resizes[index].h, resizes[index].w);
    CzValue d_dst = cz_op_example_source(graph, "x d_dst", shape, dtype);
    *dst = cz_resize_grad(graph, d_dst, src.h, src.w);
    return true;
}

const CzOpClass cz_op_resize = {
    .op = CZ_OP_RESIZE,
    .name = "resize",
    .min_src = 1,
    .max_src = 1,
    .infer = resize_infer,
    .gradient = resize_gradient,
    .reference = resize_reference,
    .example = resize_example,
};

const CzOpClass cz_op_resize_grad = {
    .op = CZ_OP_RESIZE_GRAD,
    .name = "resize_grad",
    .min_src = 1,
    .max_src = 1,
    .infer = resize_infer,
    .gradient = resize_grad_gradient,
    .reference = resize_grad_reference,
    .example = resize_grad_example,
};

// ---- pool ---------------------------------------------------------------------------------------

CzValue cz_pool(CzGraph *graph, CzValue src, int32_t pool)
{
    return cz_graph_append(graph, CZ_OP_POOL, &src, 1, &(CzParams){.pool = pool}, (CzShape){0},
                           CZ_F32, NULL);
}

CzValue cz_pool_grad(CzGraph *graph, CzValue d_dst, int32_t pool)
{
    return cz_graph_append(graph, CZ_OP_POOL_GRAD, &d_dst, 1, &(CzParams){.pool = pool},
                           (CzShape){0}, CZ_F32, NULL);
}

static bool pool_infer(CzNode *node, const CzNode *const *src, GError **error)
{
    CzShape s = src[0]->shape;
    int32_t pool = node->params.pool;
    if (pool < 1 || s.h % pool || s.w % pool)
        return cz_op_error(error, "source 0: expected a size divisible by %d, found %dx%d", pool,
                           s.h, s.w);
    node->shape = cz_shape(s.n, s.c, s.h / pool, s.w / pool);
    node->dtype = src[0]->dtype;
    return true;
}

static bool pool_grad_infer(CzNode *node, const CzNode *const *src, GError **error)
{
    CzShape s = src[0]->shape;
    int32_t pool = node->params.pool;
    if (pool < 1 || s.h > INT32_MAX / pool || s.w > INT32_MAX / pool)
        return cz_op_error(error, "pool: expected a positive size, found %d", pool);
    node->shape = cz_shape(s.n, s.c, s.h * pool, s.w * pool);
    node->dtype = src[0]->dtype;
    return true;
}

static void pool_gradient(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    d_src[0] = cz_pool_grad(graph, d_dst, node->params.pool);
}

static void pool_grad_gradient(CzGraph *graph, const CzNode *node, CzValue dd, CzValue *d_src)
{
    d_src[0] = cz_pool(graph, dd, node->params.pool);
}

static float square_mean(const CzView *src, int32_t pool, CzShape at)
{
    double sum = 0;
    for (int32_t y = at.h * pool; y < (at.h + 1) * pool; y++)
        for (int32_t x = at.w * pool; x < (at.w + 1) * pool; x++)
            sum += op_load_at(src, at.n, at.c, y, x);
    return (float)(sum / ((double)pool * pool));
}

static void pool_reference(const CzNode *node, const CzView *src, CzView *dst)
{
    CzShape shape = dst->shape;
#pragma omp parallel for
    for (int64_t pixel = 0; pixel < (int64_t)shape.n * shape.h * shape.w; pixel++) {
        CzShape at = {.n = (int32_t)(pixel / shape.w / shape.h),
                      .h = (int32_t)(pixel / shape.w % shape.h),
                      .w = (int32_t)(pixel % shape.w)};
        for (; at.c < shape.c; at.c++)
            op_store_at(dst, at.n, at.c, at.h, at.w, square_mean(src, node->params.pool, at));
    }
}

static void pool_grad_reference(const CzNode *node, const CzView *src, CzView *dst)
{
    CzShape shape = dst->shape;
    int32_t pool = node->params.pool;
    float share = 1 / ((float)pool * (float)pool);
#pragma omp parallel for
    for (int64_t pixel = 0; pixel < (int64_t)shape.n * shape.h * shape.w; pixel++) {
        int32_t n = (int32_t)(pixel / shape.w / shape.h), y = (int32_t)(pixel / shape.w % shape.h);
        int32_t x = (int32_t)(pixel % shape.w);
        for (int32_t c = 0; c < shape.c; c++)
            op_store_at(dst, n, c, y, x, share * op_load_at(src, n, c, y / pool, x / pool));
    }
}

static const struct {
    CzShape src;
    int32_t pool;
} pools[] = {{{1, 3, 4, 6}, 2}, {{2, 17, 3, 9}, 3}, {{1, 4, 2, 2}, 1}};

static bool pool_example(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    if (index >= G_N_ELEMENTS(pools))
        return false;
    CzValue src = cz_op_example_source(graph, "x src", pools[index].src, dtype);
    *dst = cz_pool(graph, src, pools[index].pool);
    return true;
}

static bool pool_grad_example(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    if (index >= G_N_ELEMENTS(pools))
        return false;
    CzValue d_dst = cz_op_example_source(graph, "x d_dst", pools[index].src, dtype);
    *dst = cz_pool_grad(graph, d_dst, pools[index].pool);
    return true;
}

const CzOpClass cz_op_pool = {
    .op = CZ_OP_POOL,
    .name = "pool",
    .min_src = 1,
    .max_src = 1,
    .infer = pool_infer,
    .gradient = pool_gradient,
    .reference = pool_reference,
    .example = pool_example,
};

const CzOpClass cz_op_pool_grad = {
    .op = CZ_OP_POOL_GRAD,
    .name = "pool_grad",
    .min_src = 1,
    .max_src = 1,
    .infer = pool_grad_infer,
    .gradient = pool_grad_gradient,
    .reference = pool_grad_reference,
    .example = pool_grad_example,
};
