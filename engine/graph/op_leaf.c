// SPDX-License-Identifier: LGPL-3.0-or-later
// Leaves of the graph: input, param, constant.
#include "graph/op.h"

static bool infer_named(CzNode *node, const CzNode *const *src, GError **error)
{
    if (!node->name || !*node->name)
        return cz_op_error(error, "expected a name, found none");
    node->dtype = CZ_F32;
    return true;
}

static bool infer_constant(CzNode *node, const CzNode *const *src, GError **error)
{
    return true;
}

static void reference_constant(const CzNode *node, const CzView *src, CzView *dst)
{
    size_t n = cz_shape_count(dst->shape);
    for (size_t i = 0; i < n; i++)
        op_store(dst, i, node->params.constant);
}

CzValue cz_input(CzGraph *graph, const char *name, CzShape shape)
{
    return cz_graph_append(graph, CZ_OP_INPUT, NULL, 0, NULL, shape, CZ_F32, name);
}

CzValue cz_param(CzGraph *graph, const char *name, CzShape shape)
{
    CzValue known = name ? cz_graph_find_param(graph, name) : (CzValue){-1};
    if (known.id < 0)
        return cz_graph_append(graph, CZ_OP_PARAM, NULL, 0, NULL, shape, CZ_F32, name);
    if (cz_shape_equal(cz_graph_shape(graph, known), shape))
        return known;
    g_autofree char *expected = cz_shape_format(cz_graph_shape(graph, known));
    g_autofree char *found = cz_shape_format(shape);
    return cz_graph_fail(graph, "param %s: expected %s as before, found %s", name, expected, found);
}

CzValue cz_constant(CzGraph *graph, CzShape shape, CzDtype dtype, float value)
{
    CzParams params = {.constant = value};
    return cz_graph_append(graph, CZ_OP_CONSTANT, NULL, 0, &params, shape, dtype, NULL);
}

static bool example_input(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    *dst = cz_input(graph, "x", cz_shape(2, 3, 4, 5));
    return index == 0 && dtype == CZ_F32;
}

static bool example_param(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    *dst = cz_param(graph, "x", cz_shape(4, 3, 2, 2));
    return index == 0 && dtype == CZ_F32;
}

static bool example_constant(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    *dst = cz_constant(graph, cz_shape(2, 3, 4, 5), dtype, index ? -1.5f : 0.0f);
    return index < 2;
}

const CzOpClass cz_op_input = {.op = CZ_OP_INPUT,
                               .name = "input",
                               .infer = infer_named,
                               .gradient = cz_op_gradient_zero,
                               .example = example_input};
const CzOpClass cz_op_param = {.op = CZ_OP_PARAM,
                               .name = "param",
                               .infer = infer_named,
                               .gradient = cz_op_gradient_zero,
                               .example = example_param};
const CzOpClass cz_op_constant = {.op = CZ_OP_CONSTANT,
                                  .name = "constant",
                                  .infer = infer_constant,
                                  .gradient = cz_op_gradient_zero,
                                  .reference = reference_constant,
                                  .example = example_constant};
