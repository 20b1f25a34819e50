// SPDX-License-Identifier: LGPL-3.0-or-later
// Convolution and its two gradients. All three are bilinear in their sources and closed under
// differentiation: the gradient of each is made of the other two.

#include "base/clones.h"
#include "graph/op.h"

// Channels that are summed at a time; bounds what a reference keeps on the stack.
enum { BLOCK = 256 };

// Far above any network.
#define LIMIT 65536

static bool check_params(CzConvParams *conv, GError **error)
{
    conv->stride = conv->stride ? conv->stride : 1;
    conv->dilation = conv->dilation ? conv->dilation : 1;
    conv->groups = conv->groups ? conv->groups : 1;
    const int32_t values[] = {conv->stride,   conv->dilation,   conv->groups - 1, conv->pad_top,
                              conv->pad_left, conv->pad_bottom, conv->pad_right};
    for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
        if (values[i] < (i < 2) || values[i] >= LIMIT) {
            return cz_op_error(
                error,
                "stride %d, dilation %d, groups %d, padding %d, %d, %d, %d: expected "
                "positive numbers below %d",
                conv->stride, conv->dilation, conv->groups, conv->pad_top, conv->pad_left,
                conv->pad_bottom, conv->pad_right, LIMIT);
        }
    }
    return cz_op_check_activation(conv->activation, error);
}

// Size of the output along one side; below 1 if the filter does not fit.
static int64_t output_size(int64_t src, int64_t pads, int64_t k, const CzConvParams *conv)
{
    int64_t room = src + pads - conv->dilation * (k - 1) - 1;
    return room < 0 ? 0 : room / conv->stride + 1;
}

// The shape that a convolution of src with filter has, with params made explicit.
static bool infer_output(CzConvParams *conv, CzShape src, CzShape filter, CzShape *dst,
                         GError **error)
{
    if (!check_params(conv, error))
        return false;
    if ((int64_t)filter.c * conv->groups != src.c || filter.n % conv->groups != 0)
        return cz_op_error(error,
                           "filter: expected %d channels in and a multiple of %d out, "
                           "found %d and %d",
                           src.c / conv->groups, conv->groups, filter.c, filter.n);
    int64_t pad_h = (int64_t)conv->pad_top + conv->pad_bottom;
    int64_t pad_w = (int64_t)conv->pad_left + conv->pad_right;
    int64_t h = output_size(src.h, pad_h, filter.h, conv);
    int64_t w = output_size(src.w, pad_w, filter.w, conv);
    // Positions in the padded source are computed in 32 bits.
    if (h < 1 || w < 1 || src.h + pad_h > INT32_MAX || src.w + pad_w > INT32_MAX)
        return cz_op_error(error,
                           "filter: expected one that fits into %dx%d and its padding, "
                           "found %dx%d",
                           src.h, src.w, filter.h, filter.w);
    *dst = cz_shape(src.n, filter.n, (int32_t)h, (int32_t)w);
    return true;
}

// ---- the sums -----------------------------------------------------------------------------------

// All that the loops need to know about one convolution.
typedef struct {
    CzConvParams p;
    CzShape src, filter, dst;
} Conv;

static inline size_t filter_at(const Conv *conv, int32_t o, int32_t ky, int32_t kx)
{
    const CzShape *f = &conv->filter;
    return (((size_t)o * f->h + ky) * f->w + kx) * f->c;
}

// First channel of src that output channel o looks at.
static inline int32_t first_in(const Conv *conv, int32_t o)
{
    return o / (conv->filter.n / conv->p.groups) * conv->filter.c;
}

// Place in src of tap k for the output at x; FALSE in the padding.
static inline bool tap_src(int32_t x, int32_t pad, int32_t k, const CzConvParams *p, int32_t size,
                           int32_t *at)
{
    *at = x * p->stride - pad + k * p->dilation;
    return *at >= 0 && *at < size;
}

// Place in dst to which tap k carries the source at x; FALSE if there is none.
static inline bool tap_dst(int32_t x, int32_t pad, int32_t k, const CzConvParams *p, int32_t size,
                           int32_t *at)
{
    int32_t scaled = x + pad - k * p->dilation;
    *at = scaled / p->stride;
    return scaled >= 0 && scaled % p->stride == 0 && *at < size;
}

// The nearest number that BF16 or F16 has.
static inline float rounded(CzDtype dtype, float value)
{
    return op_widen(dtype, op_round(dtype, value));
}

// Sum over n channels of src times filter, which is rounded to src's type first, as the hardware
// that multiplies in BF16 and F16 has it.
CZ_CLONES static float dot(const CzView *src, size_t at, const float *filter, int32_t n)
{
    float sum = 0;
    if (src->dtype == CZ_F32) {
        const float *x = (const float *)src->data + at;
#pragma omp simd reduction(+ : sum)
        for (int32_t i = 0; i < n; i++)
            sum += x[i] * filter[i];
    } else if (src->dtype == CZ_BF16) {
        const uint16_t *x = (const uint16_t *)src->data + at;
#pragma omp simd reduction(+ : sum)
        for (int32_t i = 0; i < n; i++)
            sum += bf16_widen(x[i]) * rounded(CZ_BF16, filter[i]);
    } else {
        const uint16_t *x = (const uint16_t *)src->data + at;
#pragma omp simd reduction(+ : sum)
        for (int32_t i = 0; i < n; i++)
            sum += f16_widen(x[i]) * rounded(CZ_F16, filter[i]);
    }
    return sum;
}

// sum += factor * filter, the filter rounded as in dot().
CZ_CLONES static void add_filter(float *sum, float factor, const float *filter, int32_t n,
                                 CzDtype dtype)
{
    if (dtype == CZ_F32) {
        for (int32_t i = 0; i < n; i++)
            sum[i] += factor * filter[i];
    } else if (dtype == CZ_BF16) {
        for (int32_t i = 0; i < n; i++)
            sum[i] += factor * rounded(CZ_BF16, filter[i]);
    } else {
        for (int32_t i = 0; i < n; i++)
            sum[i] += factor * rounded(CZ_F16, filter[i]);
    }
}

// sum += factor * src, in double: these sums run over a whole batch.
CZ_CLONES static void add_src(double *sum, double factor, const CzView *src, size_t at, int32_t n)
{
    if (src->dtype == CZ_F32) {
        const float *x = (const float *)src->data + at;
        for (int32_t i = 0; i < n; i++)
            sum[i] += factor * x[i];
    } else if (src->dtype == CZ_BF16) {
        const uint16_t *x = (const uint16_t *)src->data + at;
        for (int32_t i = 0; i < n; i++)
            sum[i] += factor * bf16_widen(x[i]);
    } else {
        const uint16_t *x = (const uint16_t *)src->data + at;
        for (int32_t i = 0; i < n; i++)
            sum[i] += factor * f16_widen(x[i]);
    }
}

// ---- conv2d -------------------------------------------------------------------------------------

CzValue cz_conv2d(CzGraph *graph, CzValue src, CzValue filter, CzValue bias, CzValue residual,
                  CzConvParams params)
{
    CzValue sources[4] = {src, filter};
    int32_t n_src = 2;
    params.has_bias = bias.id != CZ_NONE.id;
    params.has_residual = residual.id != CZ_NONE.id;
    if (params.has_bias)
        sources[n_src++] = bias;
    if (params.has_residual)
        sources[n_src++] = residual;
    return cz_graph_append(graph, CZ_OP_CONV2D, sources, n_src, &(CzParams){.conv = params},
                           (CzShape){0}, CZ_F32, NULL);
}

static bool conv2d_infer(CzNode *node, const CzNode *const *src, GError **error)
{
    CzConvParams *conv = &node->params.conv;
    int32_t n_src = 2 + conv->has_bias + conv->has_residual;
    if (node->n_src != n_src)
        return cz_op_error(error, "sources: expected %d, found %d", n_src, node->n_src);
    if (!infer_output(conv, src[0]->shape, src[1]->shape, &node->shape, error) ||
        !cz_op_expect_dtype(src[1], 1, CZ_F32, error))
        return false;
    node->dtype = src[0]->dtype;
    CzShape bias = cz_shape(1, node->shape.c, 1, 1);
    if (conv->has_bias && (!cz_op_expect_shape(src[2], 2, bias, error) ||
                           !cz_op_expect_dtype(src[2], 2, CZ_F32, error)))
        return false;
    const int32_t last = n_src - 1;
    return !conv->has_residual || (cz_op_expect_shape(src[last], last, node->shape, error) &&
                                   cz_op_expect_dtype(src[last], last, node->dtype, error));
}

static void conv2d_gradient(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    CzConvParams conv = node->params.conv;
    CzValue src = {node->src[0]}, filter = {node->src[1]};
    CzValue d_pre = d_dst;
    if (conv.activation != CZ_ACT_NONE)
        d_pre = cz_activation_grad(graph, d_dst, (CzValue){node->id}, conv.activation);
    if (conv.has_bias)
        d_src[2] = cz_sum(graph, d_pre, cz_shape(1, node->shape.c, 1, 1));
    if (conv.has_residual)
        d_src[node->n_src - 1] = d_pre;
    conv.activation = CZ_ACT_NONE;
    conv.has_bias = conv.has_residual = false;
    d_src[0] = cz_conv2d_grad_src(graph, d_pre, filter, cz_graph_shape(graph, src), conv);
    d_src[1] = cz_conv2d_grad_filter(graph, src, d_pre, cz_graph_shape(graph, filter), conv);
}

// Sum over the window of output (n, o, y, x).
static double window_sum(const Conv *conv, const CzView *src, const float *filter, CzShape at)
{
    double sum = 0;
    int32_t sy, sx, first = first_in(conv, at.c);
    for (int32_t ky = 0; ky < conv->filter.h; ky++) {
        if (!tap_src(at.h, conv->p.pad_top, ky, &conv->p, conv->src.h, &sy))
            continue;
        for (int32_t kx = 0; kx < conv->filter.w; kx++) {
            if (tap_src(at.w, conv->p.pad_left, kx, &conv->p, conv->src.w, &sx))
                sum += dot(src, op_offset(conv->src, at.n, first, sy, sx),
                           filter + filter_at(conv, at.c, ky, kx), conv->filter.c);
        }
    }
    return sum;
}

static void conv2d_reference(const CzNode *node, const CzView *src, CzView *dst)
{
    const Conv conv = {node->params.conv, src[0].shape, src[1].shape, dst->shape};
    const float *filter = src[1].data;
    const float *bias = conv.p.has_bias ? src[2].data : NULL;
    const CzView *residual = conv.p.has_residual ? &src[node->n_src - 1] : NULL;
    int64_t n_rows = (int64_t)dst->shape.n * dst->shape.h, width = dst->shape.w;
#pragma omp parallel for
    for (int64_t pixel = 0; pixel < n_rows * width; pixel++) {
        CzShape at = {.n = (int32_t)(pixel / width / dst->shape.h),
                      .h = (int32_t)(pixel / width % dst->shape.h),
                      .w = (int32_t)(pixel % width)};
        for (at.c = 0; at.c < dst->shape.c; at.c++) {
            size_t i = op_offset(dst->shape, at.n, at.c, at.h, at.w);
            double sum = window_sum(&conv, &src[0], filter, at);
            sum += bias ? bias[at.c] : 0;
            sum += residual ? op_load(residual, i) : 0;
            op_store(dst, i, cz_op_activate(conv.p.activation, (float)sum));
        }
    }
}

// ---- gradient by the source ---------------------------------------------------------------------

CzValue cz_conv2d_grad_src(CzGraph *graph, CzValue d_dst, CzValue filter, CzShape src_shape,
                           CzConvParams params)
{
    return cz_graph_append(graph, CZ_OP_CONV2D_GRAD_SRC, (CzValue[]){d_dst, filter}, 2,
                           &(CzParams){.conv = params}, src_shape, CZ_F32, NULL);
}

// Gradients know nothing of what is added to a convolution or applied after it.
static bool expect_plain(const CzConvParams *conv, GError **error)
{
    if (conv->activation == CZ_ACT_NONE && !conv->has_bias && !conv->has_residual)
        return true;
    return cz_op_error(error, "parameters: expected no activation, bias or residual, found one");
}

static bool grad_src_infer(CzNode *node, const CzNode *const *src, GError **error)
{
    CzShape dst;
    if (!expect_plain(&node->params.conv, error) ||
        !infer_output(&node->params.conv, node->shape, src[1]->shape, &dst, error) ||
        !cz_op_expect_dtype(src[1], 1, CZ_F32, error))
        return false;
    node->dtype = src[0]->dtype;
    return cz_op_expect_shape(src[0], 0, dst, error);
}

static void grad_src_gradient(CzGraph *graph, const CzNode *node, CzValue dd, CzValue *d_src)
{
    CzConvParams conv = node->params.conv;
    CzValue d_dst = {node->src[0]}, filter = {node->src[1]};
    d_src[0] = cz_conv2d(graph, dd, filter, CZ_NONE, CZ_NONE, conv);
    d_src[1] = cz_conv2d_grad_filter(graph, dd, d_dst, cz_graph_shape(graph, filter), conv);
}

// d_src (n, first..first + n_channels, y, x) of one group: every output that this source reaches.
static void source_sum(const Conv *conv, const CzView *d_dst, const float *filter, CzShape at,
                       int32_t n_channels, float *sum)
{
    int32_t per_group = conv->filter.n / conv->p.groups;
    int32_t first = at.c / conv->filter.c * per_group, i = at.c % conv->filter.c;
    int32_t y, x;
    for (int32_t tap = 0; tap < conv->filter.h * conv->filter.w; tap++) {
        int32_t ky = tap / conv->filter.w, kx = tap % conv->filter.w;
        if (!tap_dst(at.h, conv->p.pad_top, ky, &conv->p, conv->dst.h, &y) ||
            !tap_dst(at.w, conv->p.pad_left, kx, &conv->p, conv->dst.w, &x))
            continue;
        for (int32_t o = first; o < first + per_group; o++)
            add_filter(sum, op_load(d_dst, op_offset(conv->dst, at.n, o, y, x)),
                       filter + filter_at(conv, o, ky, kx) + i, n_channels, d_dst->dtype);
    }
}

static void grad_src_reference(const CzNode *node, const CzView *src, CzView *dst)
{
    const Conv conv = {node->params.conv, dst->shape, src[1].shape, src[0].shape};
    CzShape shape = dst->shape;
#pragma omp parallel for
    for (int64_t pixel = 0; pixel < (int64_t)shape.n * shape.h * shape.w; pixel++) {
        CzShape at = {.n = (int32_t)(pixel / shape.w / shape.h),
                      .h = (int32_t)(pixel / shape.w % shape.h),
                      .w = (int32_t)(pixel % shape.w)};
        for (int32_t n; at.c < shape.c; at.c += n) {
            float sum[BLOCK] = {0};
            n = MIN(BLOCK, conv.filter.c - at.c % conv.filter.c); // never across two groups
            source_sum(&conv, &src[0], src[1].data, at, n, sum);
            for (int32_t i = 0; i < n; i++)
                op_store(dst, op_offset(shape, at.n, at.c + i, at.h, at.w), sum[i]);
        }
    }
}

// ---- gradient by the filter ---------------------------------------------------------------------

CzValue cz_conv2d_grad_filter(CzGraph *graph, CzValue src, CzValue d_dst, CzShape filter_shape,
                              CzConvParams params)
{
    return cz_graph_append(graph, CZ_OP_CONV2D_GRAD_FILTER, (CzValue[]){src, d_dst}, 2,
                           &(CzParams){.conv = params}, filter_shape, CZ_F32, NULL);
}

static bool grad_filter_infer(CzNode *node, const CzNode *const *src, GError **error)
{
    CzShape dst;
    if (!expect_plain(&node->params.conv, error) ||
        !infer_output(&node->params.conv, src[0]->shape, node->shape, &dst, error))
        return false;
    node->dtype = CZ_F32;
    return cz_op_expect_shape(src[1], 1, dst, error) &&
           cz_op_expect_dtype(src[1], 1, src[0]->dtype, error);
}

static void grad_filter_gradient(CzGraph *graph, const CzNode *node, CzValue dd, CzValue *d_src)
{
    CzConvParams conv = node->params.conv;
    CzValue src = {node->src[0]}, d_dst = {node->src[1]};
    d_src[0] = cz_conv2d_grad_src(graph, d_dst, dd, cz_graph_shape(graph, src), conv);
    d_src[1] = cz_conv2d(graph, src, dd, CZ_NONE, CZ_NONE, conv);
}

// d_filter (o, i.., ky, kx): every place where this tap met an output.
static void filter_sum(const Conv *conv, const CzView *src, const CzView *d_dst, CzShape tap,
                       int32_t n_channels, double *sum)
{
    int32_t first = first_in(conv, tap.n) + tap.c, sy, sx;
    for (int64_t row = 0; row < (int64_t)conv->dst.n * conv->dst.h; row++) {
        int32_t n = (int32_t)(row / conv->dst.h), y = (int32_t)(row % conv->dst.h);
        if (!tap_src(y, conv->p.pad_top, tap.h, &conv->p, conv->src.h, &sy))
            continue;
        for (int32_t x = 0; x < conv->dst.w; x++) {
            if (tap_src(x, conv->p.pad_left, tap.w, &conv->p, conv->src.w, &sx))
                add_src(sum, op_load(d_dst, op_offset(conv->dst, n, tap.n, y, x)), src,
                        op_offset(conv->src, n, first, sy, sx), n_channels);
        }
    }
}

static void grad_filter_reference(const CzNode *node, const CzView *src, CzView *dst)
{
    const Conv conv = {node->params.conv, src[0].shape, dst->shape, src[1].shape};
    CzShape shape = dst->shape;
    float *d_filter = dst->data;
#pragma omp parallel for
    for (int64_t i = 0; i < (int64_t)shape.n * shape.h * shape.w; i++) {
        CzShape tap = {.n = (int32_t)(i / shape.w / shape.h),
                       .h = (int32_t)(i / shape.w % shape.h),
                       .w = (int32_t)(i % shape.w)};
        for (int32_t n; tap.c < shape.c; tap.c += n) {
            double sum[BLOCK] = {0};
            n = MIN(BLOCK, shape.c - tap.c);
            filter_sum(&conv, &src[0], &src[1], tap, n, sum);
            for (int32_t j = 0; j < n; j++)
                d_filter[filter_at(&conv, tap.n, tap.h, tap.w) + tap.c + j] = (float)sum[j];
        }
    }
}

// ---- examples -----------------------------------------------------------------------------------

typedef struct {
    CzShape src, filter;
    bool bias, residual;
    CzConvParams conv;
} Example;

// clang-format off
static const Example examples[] = {
    {{2, 3, 5, 7}, {4, 3, 3, 3}, true, false, {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}},
    // Stride 2 with "same" padding of even and odd sizes, the smaller half first.
    {{1, 3, 8, 9}, {5, 3, 3, 3}, true, false,
     {.stride = 2, .pad_bottom = 1, .pad_left = 1, .pad_right = 1, .activation = CZ_ACT_RELU6}},
    {{2, 1, 6, 6}, {32, 1, 3, 3}, true, false,
     {.stride = 2, .pad_bottom = 1, .pad_right = 1, .activation = CZ_ACT_RELU6}},
    // 1x1: plain, with residual, with stride.
    {{2, 17, 3, 5}, {19, 17, 1, 1}, false, false, {0}},
    {{1, 16, 4, 4}, {24, 16, 1, 1}, true, true, {.activation = CZ_ACT_RELU}},
    {{1, 6, 5, 5}, {4, 6, 1, 1}, false, true, {.stride = 2}},
    // Depthwise.
    {{1, 16, 7, 5}, {16, 1, 3, 3}, true, false,
     {.groups = 16, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1, .activation = CZ_ACT_RELU6}},
    {{2, 20, 6, 7}, {20, 1, 5, 5}, true, false,
     {.groups = 20, .pad_top = 2, .pad_left = 2, .pad_bottom = 2, .pad_right = 2}},
    {{1, 19, 8, 9}, {19, 1, 5, 5}, true, false,
     {.stride = 2, .groups = 19, .pad_top = 1, .pad_bottom = 2, .pad_left = 2, .pad_right = 2}},
    {{1, 32, 8, 8}, {32, 1, 3, 3}, false, false, {.stride = 2, .groups = 32, .pad_bottom = 1, .pad_right = 1}},
    // Grouped, with more outputs than inputs and the other way round.
    {{2, 6, 5, 4}, {9, 2, 3, 3}, true, false,
     {.groups = 3, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}},
    {{1, 8, 6, 6}, {4, 4, 2, 3}, false, false, {.stride = 2, .groups = 2, .pad_left = 1}},
    // Dilation, and pix2pix's 4x4.
    {{1, 3, 9, 8}, {4, 3, 3, 3}, true, false,
     {.dilation = 2, .pad_top = 2, .pad_left = 2, .pad_bottom = 2, .pad_right = 2}},
    {{1, 4, 7, 7}, {4, 1, 3, 3}, false, false, {.dilation = 2, .groups = 4, .pad_top = 2, .pad_bottom = 1}},
    {{1, 4, 8, 8}, {6, 4, 4, 4}, true, false,
     {.stride = 2, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1, .activation = CZ_ACT_LEAKY}},
    {{1, 3, 6, 7}, {2, 3, 1, 1}, true, false, {.activation = CZ_ACT_TANH}},
    {{1, 2, 4, 3}, {3, 2, 1, 1}, true, true, {.activation = CZ_ACT_SIGMOID}},
    // 3x3 with residual and ReLU, as the decoder has it.
    {{1, 16, 6, 5}, {16, 16, 3, 3}, true, true,
     {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1, .activation = CZ_ACT_RELU}},
    // Smaller than the filter.
    {{1, 5, 1, 1}, {3, 5, 3, 3}, true, false, {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1}},
    {{1, 4, 1, 2}, {4, 1, 5, 5}, false, false,
     {.stride = 2, .groups = 4, .pad_top = 2, .pad_left = 1, .pad_bottom = 2, .pad_right = 2}},
};
// clang-format on

static CzShape example_output(const Example *e)
{
    CzConvParams conv = e->conv;
    CzShape dst = {0};
    infer_output(&conv, e->src, e->filter, &dst, NULL);
    return dst;
}

static bool conv2d_example(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    if (index >= G_N_ELEMENTS(examples))
        return false;
    const Example *e = &examples[index];
    CzValue src = cz_op_example_source(graph, "x src", e->src, dtype);
    CzValue filter = cz_input(graph, "x filter", e->filter);
    CzValue bias = CZ_NONE, residual = CZ_NONE;
    if (e->bias)
        bias = cz_input(graph, "x bias", cz_shape(1, e->filter.n, 1, 1));
    if (e->residual)
        residual = cz_op_example_source(graph, "x residual", example_output(e), dtype);
    *dst = cz_conv2d(graph, src, filter, bias, residual, e->conv);
    return true;
}

static bool grad_src_example(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    if (index >= G_N_ELEMENTS(examples))
        return false;
    const Example *e = &examples[index];
    CzConvParams conv = e->conv;
    conv.activation = CZ_ACT_NONE;
    CzValue d_dst = cz_op_example_source(graph, "x d_dst", example_output(e), dtype);
    CzValue filter = cz_input(graph, "x filter", e->filter);
    *dst = cz_conv2d_grad_src(graph, d_dst, filter, e->src, conv);
    return true;
}

static bool grad_filter_example(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    if (index >= G_N_ELEMENTS(examples))
        return false;
    const Example *e = &examples[index];
    CzConvParams conv = e->conv;
    conv.activation = CZ_ACT_NONE;
    CzValue src = cz_op_example_source(graph, "x src", e->src, dtype);
    CzValue d_dst = cz_op_example_source(graph, "x d_dst", example_output(e), dtype);
    *dst = cz_conv2d_grad_filter(graph, src, d_dst, e->filter, conv);
    return true;
}

// A residual may be overwritten where it stands fourth, behind a bias: what stands third may be the
// bias itself.
const CzOpClass cz_op_conv2d = {
    .op = CZ_OP_CONV2D,
    .name = "conv2d",
    .min_src = 2,
    .max_src = 4,
    .in_place = 1u << 3,
    .infer = conv2d_infer,
    .gradient = conv2d_gradient,
    .reference = conv2d_reference,
    .example = conv2d_example,
};

const CzOpClass cz_op_conv2d_grad_src = {
    .op = CZ_OP_CONV2D_GRAD_SRC,
    .name = "conv2d_grad_src",
    .min_src = 2,
    .max_src = 2,
    .infer = grad_src_infer,
    .gradient = grad_src_gradient,
    .reference = grad_src_reference,
    .example = grad_src_example,
};

const CzOpClass cz_op_conv2d_grad_filter = {
    .op = CZ_OP_CONV2D_GRAD_FILTER,
    .name = "conv2d_grad_filter",
    .min_src = 2,
    .max_src = 2,
    .infer = grad_filter_infer,
    .gradient = grad_filter_gradient,
    .reference = grad_filter_reference,
    .example = grad_filter_example,
};
