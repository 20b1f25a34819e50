// SPDX-License-Identifier: LGPL-3.0-or-later
// What op files share: looking at sources, reading and writing elements, failing, examples.
//
// Conventions for op files:
//  - an optional source that is not given is not among the sources: builders leave CZ_NONE out.
//  - infer() may rely on the number of sources; cz_graph_append() has checked it, puts the op's
//    name before infer's sentence, and checks the output's size afterwards. node->shape and
//    node->dtype come in as the builder preset them.
//  - references compute in float (long sums in double) and round once, at the output.
#pragma once

#include <string.h>

#include <cz/error.h>
#include <cz/graph.h>
#include <cz/ops.h>

#include "base/f16.h"

// The classes, by op: cz_op_add and so on.
#define CZ_OP(NAME, name) extern const CzOpClass cz_op_##name;
#include <cz/ops.def>
#undef CZ_OP

// The PARAM of this name, or an id of -1.
CzValue cz_graph_find_param(const CzGraph *graph, const char *name);

// Sets CZ_ERROR_SHAPE; returns FALSE, so that infer() can return it.
bool cz_op_error(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
// "source N: expected 1x8x1x1, found 1x4x1x1", or the same for element types.
bool cz_op_expect_shape(const CzNode *found, int index, CzShape expected, GError **error);
bool cz_op_expect_dtype(const CzNode *found, int index, CzDtype expected, GError **error);

// act(x), NaN in, NaN out; CONV2D ends with it too. FALSE for a number that is no activation.
float cz_op_activate(CzActivation activation, float x);
bool cz_op_check_activation(CzActivation activation, GError **error);

// infer() of ops whose output is like source 0.
bool cz_op_infer_like_source(CzNode *node, const CzNode *const *src, GError **error);
// dst(i) = function(node, src(i)): reference() of ops with one source that go element by element.
void cz_op_map(const CzNode *node, const CzView *src, CzView *dst,
               float (*function)(const CzNode *node, float x));

// value summed to shape and cast to dtype, where they differ: gradient of what was repeated.
CzValue cz_op_sum_to(CzGraph *graph, CzValue value, CzShape shape, CzDtype dtype);

// gradient() of ops whose derivative is zero wherever there is one.
void cz_op_gradient_zero(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src);

// Source of an example, of this dtype: an INPUT, cast if need be. names: see CzOpClass.example.
CzValue cz_op_example_source(CzGraph *graph, const char *name, CzShape shape, CzDtype dtype);

static inline CzValue op_source(const CzNode *node, int32_t index)
{
    return (CzValue){node->src[index]};
}

static inline CzValue op_value(const CzNode *node)
{
    return (CzValue){node->id};
}

static inline size_t op_offset(CzShape shape, int32_t n, int32_t c, int32_t h, int32_t w)
{
    return (((size_t)n * shape.h + h) * shape.w + w) * shape.c + c;
}

// The float of 16 bits that are BF16 or F16, and the nearest such 16 bits.
static inline float op_widen(CzDtype dtype, uint16_t half)
{
    return dtype == CZ_BF16 ? bf16_widen(half) : f16_widen(half);
}

static inline uint16_t op_round(CzDtype dtype, float value)
{
    return dtype == CZ_BF16 ? bf16_round(value) : f16_round(value);
}

// Element `offset` of a view.
static inline float op_load(const CzView *view, size_t offset)
{
    if (view->dtype == CZ_F32)
        return ((const float *)view->data)[offset];
    return op_widen(view->dtype, ((const uint16_t *)view->data)[offset]);
}

static inline void op_store(const CzView *view, size_t offset, float value)
{
    if (view->dtype == CZ_F32)
        ((float *)view->data)[offset] = value;
    else
        ((uint16_t *)view->data)[offset] = op_round(view->dtype, value);
}

static inline float op_load_at(const CzView *view, int32_t n, int32_t c, int32_t h, int32_t w)
{
    return op_load(view, op_offset(view->shape, n, c, h, w));
}

static inline void op_store_at(const CzView *view, int32_t n, int32_t c, int32_t h, int32_t w,
                               float value)
{
    op_store(view, op_offset(view->shape, n, c, h, w), value);
}
