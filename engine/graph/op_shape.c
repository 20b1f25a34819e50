// SPDX-License-Identifier: LGPL-3.0-or-later
// Ops that only move elements: concatenation along channels, slice and pad, and change of dtype.

#include "graph/op.h"

// More than any network joins; bounds the list of sources.
#define CONCAT_MAX 16

// Copies n elements of one dtype.
static void copy(const CzView *dst, size_t to, const CzView *src, size_t from, size_t n)
{
    size_t size = cz_dtype_size(dst->dtype);
    memcpy((char *)dst->data + to * size, (const char *)src->data + from * size, n * size);
}

// ---- concat -------------------------------------------------------------------------------------

CzValue cz_concat(CzGraph *graph, const CzValue *src, int32_t n_src)
{
    return cz_graph_append(graph, CZ_OP_CONCAT, src, n_src, NULL, (CzShape){0}, CZ_F32, NULL);
}

static bool concat_infer(CzNode *node, const CzNode *const *src, GError **error)
{
    CzShape shape = src[0]->shape;
    int64_t channels = 0;
    for (int32_t i = 0; i < node->n_src; i++) {
        CzShape expected = cz_shape(shape.n, src[i]->shape.c, shape.h, shape.w);
        if (!cz_op_expect_shape(src[i], i, expected, error) ||
            !cz_op_expect_dtype(src[i], i, src[0]->dtype, error))
            return false;
        channels += src[i]->shape.c;
    }
    if (channels > INT32_MAX)
        return cz_op_error(error, "sources: expected fewer channels than 2^31 in all, found more");
    node->shape = cz_shape(shape.n, (int32_t)channels, shape.h, shape.w);
    node->dtype = src[0]->dtype;
    return true;
}

static void concat_gradient(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    CzShape offset = {0};
    for (int32_t i = 0; i < node->n_src; i++) {
        CzShape shape = cz_graph_shape(graph, op_source(node, i));
        d_src[i] = cz_slice(graph, d_dst, offset, shape);
        offset.c += shape.c;
    }
}

static void concat_reference(const CzNode *node, const CzView *src, CzView *dst)
{
    size_t n_pixels = (size_t)dst->shape.n * dst->shape.h * dst->shape.w, first = 0;
    for (int32_t i = 0; i < node->n_src; i++) {
        size_t channels = src[i].shape.c;
        for (size_t p = 0; p < n_pixels; p++)
            copy(dst, p * dst->shape.c + first, &src[i], p * channels, channels);
        first += channels;
    }
}

static bool concat_example(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    static const struct {
        CzShape shape; // of the first; the others have one channel more each
        int32_t n_src;
    } cases[] = {{{1, 3, 4, 5}, 2}, {{2, 16, 3, 3}, 2}, {{2, 1, 2, 7}, 4}, {{1, 5, 3, 2}, 1}};
    if (index >= G_N_ELEMENTS(cases))
        return false;
    static const char *const names[] = {"x0", "x1", "x2", "x3"};
    CzValue src[4];
    CzShape shape = cases[index].shape;
    for (int32_t i = 0; i < cases[index].n_src; i++, shape.c++)
        src[i] = cz_op_example_source(graph, names[i], shape, dtype);
    *dst = cz_concat(graph, src, cases[index].n_src);
    return true;
}

const CzOpClass cz_op_concat = {
    .op = CZ_OP_CONCAT,
    .name = "concat",
    .min_src = 1,
    .max_src = CONCAT_MAX,
    .infer = concat_infer,
    .gradient = concat_gradient,
    .reference = concat_reference,
    .example = concat_example,
};

// ---- slice and pad ------------------------------------------------------------------------------

static CzParams with_offset(CzShape offset)
{
    return (CzParams){.offset = {offset.n, offset.c, offset.h, offset.w}};
}

static CzShape offset_of(const CzNode *node)
{
    return cz_shape(node->params.offset.n, node->params.offset.c, node->params.offset.h,
                    node->params.offset.w);
}

CzValue cz_slice(CzGraph *graph, CzValue src, CzShape offset, CzShape shape)
{
    CzParams params = with_offset(offset);
    return cz_graph_append(graph, CZ_OP_SLICE, &src, 1, &params, shape, CZ_F32, NULL);
}

CzValue cz_pad(CzGraph *graph, CzValue src, CzShape offset, CzShape shape)
{
    CzParams params = with_offset(offset);
    return cz_graph_append(graph, CZ_OP_PAD, &src, 1, &params, shape, CZ_F32, NULL);
}

static bool lies_within(int32_t offset, int32_t small, int32_t large)
{
    return offset >= 0 && small >= 1 && (int64_t)offset + small <= large;
}

// The smaller tensor, placed at the node's offset, must lie within the larger.
static bool expect_within(const CzNode *node, CzShape small, CzShape large, GError **error)
{
    CzShape offset = offset_of(node);
    if (lies_within(offset.n, small.n, large.n) && lies_within(offset.c, small.c, large.c) &&
        lies_within(offset.h, small.h, large.h) && lies_within(offset.w, small.w, large.w))
        return true;
    g_autofree char *at = cz_shape_format(offset);
    g_autofree char *small_text = cz_shape_format(small);
    g_autofree char *large_text = cz_shape_format(large);
    return cz_op_error(error, "expected a place within %s, found %s at %s", large_text, small_text,
                       at);
}

static bool slice_infer(CzNode *node, const CzNode *const *src, GError **error)
{
    node->dtype = src[0]->dtype;
    return expect_within(node, node->shape, src[0]->shape, error);
}

static bool pad_infer(CzNode *node, const CzNode *const *src, GError **error)
{
    node->dtype = src[0]->dtype;
    return expect_within(node, src[0]->shape, node->shape, error);
}

static void slice_gradient(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    d_src[0] = cz_pad(graph, d_dst, offset_of(node), cz_graph_shape(graph, op_source(node, 0)));
}

static void pad_gradient(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    d_src[0] = cz_slice(graph, d_dst, offset_of(node), cz_graph_shape(graph, op_source(node, 0)));
}

static void slice_reference(const CzNode *node, const CzView *src, CzView *dst)
{
    CzShape offset = offset_of(node), s = dst->shape;
    for (int32_t n = 0; n < s.n; n++)
        for (int32_t y = 0; y < s.h; y++)
            for (int32_t x = 0; x < s.w; x++)
                copy(dst, op_offset(s, n, 0, y, x), src,
                     op_offset(src->shape, n + offset.n, offset.c, y + offset.h, x + offset.w),
                     s.c);
}

static void pad_reference(const CzNode *node, const CzView *src, CzView *dst)
{
    CzShape offset = offset_of(node), s = src->shape;
    memset(dst->data, 0, cz_shape_count(dst->shape) * cz_dtype_size(dst->dtype));
    for (int32_t n = 0; n < s.n; n++)
        for (int32_t y = 0; y < s.h; y++)
            for (int32_t x = 0; x < s.w; x++)
                copy(dst, op_offset(dst->shape, n + offset.n, offset.c, y + offset.h, x + offset.w),
                     src, op_offset(s, n, 0, y, x), s.c);
}

static const struct {
    CzShape large, offset, small;
} places[] = {
    {{1, 3, 5, 6}, {0, 0, 1, 2}, {1, 3, 3, 2}},
    {{2, 20, 3, 4}, {0, 4, 0, 0}, {2, 16, 3, 4}},
    {{3, 2, 4, 3}, {1, 1, 0, 1}, {2, 1, 3, 2}},
    {{1, 4, 2, 2}, {0, 0, 0, 0}, {1, 4, 2, 2}},
};

static bool slice_example(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    if (index >= G_N_ELEMENTS(places))
        return false;
    CzValue src = cz_op_example_source(graph, "x src", places[index].large, dtype);
    *dst = cz_slice(graph, src, places[index].offset, places[index].small);
    return true;
}

static bool pad_example(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    if (index >= G_N_ELEMENTS(places))
        return false;
    CzValue src = cz_op_example_source(graph, "x src", places[index].small, dtype);
    *dst = cz_pad(graph, src, places[index].offset, places[index].large);
    return true;
}

const CzOpClass cz_op_slice = {
    .op = CZ_OP_SLICE,
    .name = "slice",
    .min_src = 1,
    .max_src = 1,
    .infer = slice_infer,
    .gradient = slice_gradient,
    .reference = slice_reference,
    .example = slice_example,
};

const CzOpClass cz_op_pad = {
    .op = CZ_OP_PAD,
    .name = "pad",
    .min_src = 1,
    .max_src = 1,
    .infer = pad_infer,
    .gradient = pad_gradient,
    .reference = pad_reference,
    .example = pad_example,
};

// ---- cast ---------------------------------------------------------------------------------------

CzValue cz_cast(CzGraph *graph, CzValue src, CzDtype dtype)
{
    return cz_graph_append(graph, CZ_OP_CAST, &src, 1, NULL, (CzShape){0}, dtype, NULL);
}

static bool cast_infer(CzNode *node, const CzNode *const *src, GError **error)
{
    node->shape = src[0]->shape;
    return true;
}

static void cast_gradient(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
    d_src[0] = cz_cast(graph, d_dst, cz_graph_dtype(graph, op_source(node, 0)));
}

static void cast_reference(const CzNode *node, const CzView *src, CzView *dst)
{
    size_t n = cz_shape_count(dst->shape);
    if (src->dtype == dst->dtype)
        copy(dst, 0, src, 0, n);
    else if (src->dtype == CZ_F32)
        cz_view_from_f32(dst, src->data);
    else if (dst->dtype == CZ_F32)
        cz_view_to_f32(dst->data, src);
    else // BF16 to F16 or back: F32 holds either exactly, so this rounds once
        for (size_t i = 0; i < n; i++)
            op_store(dst, i, op_load(src, i));
}

static bool cast_example(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    static const CzShape shapes[] = {{1, 3, 4, 5}, {2, 17, 3, 3}};
    const unsigned n_known = 2 * G_N_ELEMENTS(shapes);
    // To F16 and F16's own are for those who ask for F16: not every device has it.
    if (index > n_known || (index == n_known && dtype != CZ_F16))
        return false;
    CzShape shape = shapes[index / 2 % G_N_ELEMENTS(shapes)];
    CzValue src = cz_op_example_source(graph, "x src", shape, index < n_known ? dtype : CZ_BF16);
    *dst = cz_cast(graph, src, index == n_known ? CZ_F16 : index % 2 ? CZ_F32 : CZ_BF16);
    return true;
}

const CzOpClass cz_op_cast = {
    .op = CZ_OP_CAST,
    .name = "cast",
    .min_src = 1,
    .max_src = 1,
    .infer = cast_infer,
    .gradient = cast_gradient,
    .reference = cast_reference,
    .example = cast_example,
};
