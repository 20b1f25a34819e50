// SPDX-License-Identifier: LGPL-3.0-or-later
// Every op on one device against another, by bounds that come from the length of its sums.
#include "parity.h"

#include <float.h>
#include <math.h>

#include <cz/error.h>
#include <cz/ops.h>

#include "parity_job.h"

// How many products or addends go into one element of the output.
static double sum_length(const CzGraph *graph, const CzNode *node)
{
    double dst = (double)cz_shape_count(node->shape), most = 1;
    for (int32_t i = 0; i < node->n_src; i++)
        if (node->src[i] >= 0)
            most =
                MAX(most, (double)cz_shape_count(cz_graph_node(graph, node->src[i])->shape) / dst);
    const CzNode *a = node->n_src > 0 ? cz_graph_node(graph, node->src[0]) : NULL;
    const CzNode *b = node->n_src > 1 ? cz_graph_node(graph, node->src[1]) : NULL;
    switch (node->op) {
    case CZ_OP_CONV2D:
        return (double)b->shape.c * b->shape.h * b->shape.w + 2;
    case CZ_OP_CONV2D_GRAD_SRC:
        return (double)b->shape.n / MAX(1, node->params.conv.groups) * b->shape.h * b->shape.w;
    case CZ_OP_CONV2D_GRAD_FILTER:
        return (double)b->shape.n * b->shape.h * b->shape.w;
    case CZ_OP_RESIZE:
    case CZ_OP_RESIZE_GRAD:
        return 4 * most;
    case CZ_OP_DOT:
        return (double)cz_shape_count(a->shape);
    default:
        return most;
    }
}

// How far apart two devices may be that round where they may: one step. cuDNN gives gradients of
// filters in the maps' type (ops.h), whatever they are kept in afterwards.
static double step_of(const CzGraph *graph, const CzNode *node)
{
    CzDtype dtype = node->op == CZ_OP_CONV2D_GRAD_FILTER ? cz_graph_node(graph, node->src[0])->dtype
                                                         : node->dtype;
    return dtype == CZ_F32 ? 0 : parity_step(dtype);
}

static void compare_example(const CzGraph *graph, const CzNode *node, const char *what,
                            const ParityResults *expected, const ParityResults *got,
                            TrainParity *found)
{
    double k = sum_length(graph, node);
    bool sums = node->op == CZ_OP_SUM || node->op == CZ_OP_DOT ||
                (node->op >= CZ_OP_CONV2D && node->op <= CZ_OP_CONV2D_GRAD_FILTER);
    for (guint i = 0; i < expected->data->len; i++) {
        size_t n = parity_count(expected, i);
        const float *right = expected->data->pdata[i];
        // Addends are about 1 in size, and so sums about sqrt(k), even where they cancel.
        double size = MAX(parity_largest(right, n), sums ? sqrt(k) : 0);
        double step = i == 0 ? step_of(graph, node) : 0;
        // Below 2^-14 F16 has steps of 2^-24, however small the number.
        double least = step == parity_step(CZ_F16) ? 0x1p-24 : (double)FLT_MIN;
        // A bias, about 1 in size, may have been rounded, too.
        if (node->op == CZ_OP_CONV2D && node->params.conv.has_bias)
            least = MAX(least, step);
        const ParityBound bound = {what, 4 * (double)FLT_EPSILON * sqrt(k) * size + least, step};
        char *failure = NULL;
        double worst = parity_compare(&bound, right, got->data->pdata[i], n, &failure);
        found->worst = MAX(found->worst, worst);
        if (failure)
            parity_fail(found, failure);
    }
}

// FALSE: of a type that the device does not know, which is no failure.
static bool check_example(const TrainPair *pair, const CzGraph *graph, CzValue dst, CzDtype dtype,
                          const char *what, TrainParity *found)
{
    const CzNode *node = cz_graph_of(graph, dst);
    const ParityJob job = {.graph = graph, .outputs = &dst, .n_outputs = 1};
    g_auto(ParityResults) expected = {0}, got = {0};
    g_autoptr(GError) error = NULL;
    if (parity_run(pair->right, &job, &expected, &error) &&
        parity_run(pair->device, &job, &got, &error)) {
        compare_example(graph, node, what, &expected, &got, found);
        return true;
    }
    // A device that knows F16 may still have ops that it does not compute in it.
    if (dtype == CZ_F16 && !(expected.planned && got.planned) &&
        g_error_matches(error, CZ_ERROR, CZ_ERROR_BACKEND))
        return false;
    parity_break(found, what, &error);
    return true;
}

// The same graph with a node between each input and its readers, so that ops may work in place,
// which they never do on inputs.
static CzGraph *with_reusable_sources(const CzGraph *graph, CzValue *dst)
{
    CzGraph *copy = cz_graph_new();
    g_autofree CzValue *made = g_new(CzValue, cz_graph_n_nodes(graph));
    for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++) {
        const CzNode *node = cz_graph_node(graph, id);
        g_autofree CzValue *src = g_new(CzValue, node->n_src + 1);
        for (int32_t i = 0; i < node->n_src; i++)
            src[i] = node->src[i] < 0 ? CZ_NONE : made[node->src[i]];
        made[id] = cz_graph_append(copy, node->op, src, node->n_src, &node->params, node->shape,
                                   node->dtype, node->name);
        if (node->op == CZ_OP_INPUT)
            made[id] = cz_scale(copy, made[id], 1, 0);
    }
    *dst = made[dst->id];
    return copy;
}

void train_parity_op(const TrainPair *pair, const CzOpClass *op, CzDtype dtype, TrainParity *found)
{
    for (unsigned index = 0;; index++) {
        CzValue dst;
        g_autoptr(CzGraph) graph = cz_graph_new();
        g_autoptr(GError) error = NULL;
        if (!op->example(index, dtype, graph, &dst))
            return;
        g_autofree char *what =
            g_strdup_printf("%s on %s, example %u, %s", op->name, cz_device_info(pair->device)->id,
                            index, cz_dtype_name(dtype));
        if (!cz_graph_check(graph, &error)) {
            if (dtype == CZ_F16)
                found->n_refused++;
            else
                parity_break(found, what, &error);
            continue;
        }
        if (!check_example(pair, graph, dst, dtype, what, found)) {
            found->n_refused++;
            continue;
        }
        g_autoptr(CzGraph) copy = with_reusable_sources(graph, &dst);
        if (cz_graph_check(copy, &error))
            check_example(pair, copy, dst, dtype, what, found);
        else
            parity_break(found, what, &error);
        found->n++;
    }
}

bool train_parity_takes(const TrainPair *pair, CzDtype dtype, GError **error)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue x = cz_cast(graph, cz_input(graph, "x", cz_shape(1, 8, 4, 4)), dtype);
    CzValue w = cz_input(graph, "w", cz_shape(8, 8, 3, 3));
    const CzConvParams params = {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
    CzValue dst = cz_cast(graph, cz_conv2d(graph, x, w, CZ_NONE, CZ_NONE, params), CZ_F32);
    const ParityJob job = {.graph = graph, .outputs = &dst, .n_outputs = 1};
    g_auto(ParityResults) expected = {0}, got = {0};
    return cz_graph_check(graph, error) && parity_run(pair->right, &job, &expected, error) &&
           parity_run(pair->device, &job, &got, error);
}
