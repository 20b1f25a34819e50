// SPDX-License-Identifier: LGPL-3.0-or-later
// The list of nodes: append, look-up, the error that sticks, the table of ops.
#include <cz/graph.h>

#include <stdarg.h>

#include <cz/error.h>

#include "graph/op.h"

struct CzGraph {
    GPtrArray *nodes;   // CzNode *: pointers, so that appending does not move nodes
    GHashTable *params; // name (the node's) -> CzNode *
    GError *error;      // the first one
    const CzRanks *ranks;
};

static const CzOpClass *const classes[CZ_N_OPS] = {
#define CZ_OP(NAME, name) [CZ_OP_##NAME] = &cz_op_##name,
#include <cz/ops.def>
#undef CZ_OP
};

const CzOpClass *cz_op_class(CzOp op)
{
    g_return_val_if_fail(op >= 0 && op < CZ_N_OPS, NULL);
    return classes[op];
}

static void node_free(gpointer data)
{
    CzNode *node = data;
    g_free((char *)node->name);
    g_free((int32_t *)node->src);
    g_free(node);
}

CzGraph *cz_graph_new(void)
{
    CzGraph *graph = g_new0(CzGraph, 1);
    graph->nodes = g_ptr_array_new_with_free_func(node_free);
    graph->params = g_hash_table_new(g_str_hash, g_str_equal);
    return graph;
}

void cz_graph_free(CzGraph *graph)
{
    if (!graph)
        return;
    g_hash_table_unref(graph->params);
    g_ptr_array_unref(graph->nodes);
    g_clear_error(&graph->error);
    g_free(graph);
}

bool cz_graph_check(const CzGraph *graph, GError **error)
{
    if (!graph->error)
        return true;
    g_propagate_error(error, g_error_copy(graph->error));
    return false;
}

void cz_graph_set_ranks(CzGraph *graph, const CzRanks *ranks)
{
    graph->ranks = ranks;
}

const CzRanks *cz_graph_ranks(const CzGraph *graph)
{
    return graph->ranks;
}

int32_t cz_graph_n_nodes(const CzGraph *graph)
{
    return (int32_t)graph->nodes->len;
}

const CzNode *cz_graph_node(const CzGraph *graph, int32_t id)
{
    g_return_val_if_fail(id >= 0 && (guint)id < graph->nodes->len, NULL);
    return graph->nodes->pdata[id];
}

const CzNode *cz_graph_of(const CzGraph *graph, CzValue value)
{
    return value.id < 0 ? NULL : cz_graph_node(graph, value.id);
}

CzShape cz_graph_shape(const CzGraph *graph, CzValue value)
{
    const CzNode *node = cz_graph_of(graph, value);
    return node ? node->shape : (CzShape){0};
}

CzDtype cz_graph_dtype(const CzGraph *graph, CzValue value)
{
    const CzNode *node = cz_graph_of(graph, value);
    return node ? node->dtype : CZ_F32;
}

CzValue cz_graph_find_param(const CzGraph *graph, const char *name)
{
    const CzNode *node = g_hash_table_lookup(graph->params, name);
    return node ? op_value(node) : (CzValue){-1};
}

CzValue cz_graph_fail(CzGraph *graph, const char *format, ...)
{
    if (!graph->error) {
        va_list arguments;
        va_start(arguments, format);
        graph->error = g_error_new_valist(CZ_ERROR, CZ_ERROR_SHAPE, format, arguments);
        va_end(arguments);
    }
    return (CzValue){-1};
}

// FALSE, and the graph has failed, if a source is no value of this graph.
static bool check_sources(CzGraph *graph, const CzOpClass *op_class, const CzValue *src,
                          int32_t n_src)
{
    if (n_src < op_class->min_src || n_src > op_class->max_src) {
        cz_graph_fail(graph, "%s: expected %d to %d sources, found %d", op_class->name,
                      op_class->min_src, op_class->max_src, n_src);
        return false;
    }
    for (int32_t i = 0; i < n_src; i++) {
        if (src[i].id < 0 || src[i].id >= cz_graph_n_nodes(graph)) {
            cz_graph_fail(graph, "%s: source %d: expected a value of this graph, found id %d",
                          op_class->name, i, src[i].id);
            return false;
        }
    }
    return true;
}

static bool infer(CzGraph *graph, CzNode *node, GError **error)
{
    g_autofree const CzNode **src = g_new0(const CzNode *, node->n_src + 1);
    for (int32_t i = 0; i < node->n_src; i++)
        src[i] = graph->nodes->pdata[node->src[i]];
    if (!node->op_class->infer(node, src, error))
        return false;
    if (node->dtype != CZ_F32 && node->dtype != CZ_BF16 && node->dtype != CZ_F16)
        return cz_op_error(error, "expected F32, BF16 or F16, found type %d", (int)node->dtype);
    return cz_shape_bytes(node->shape, node->dtype, NULL, error);
}

CzValue cz_graph_append(CzGraph *graph, CzOp op, const CzValue *src, int32_t n_src,
                        const CzParams *params, CzShape shape, CzDtype dtype, const char *name)
{
    const CzOpClass *op_class = cz_op_class(op);
    if (graph->error || !check_sources(graph, op_class, src, n_src))
        return (CzValue){-1};

    CzNode *node = g_new0(CzNode, 1);
    int32_t *ids = g_new0(int32_t, n_src + 1);
    for (int32_t i = 0; i < n_src; i++)
        ids[i] = src[i].id;
    *node = (CzNode){.id = cz_graph_n_nodes(graph),
                     .op = op,
                     .op_class = op_class,
                     .shape = shape,
                     .dtype = dtype,
                     .n_src = n_src,
                     .src = ids,
                     .name = g_strdup(name)};
    if (params)
        node->params = *params;
    if (!infer(graph, node, &graph->error)) {
        g_prefix_error(&graph->error, "%s%s%s: ", op_class->name, name ? " " : "",
                       name ? name : "");
        node_free(node);
        return (CzValue){-1};
    }
    g_ptr_array_add(graph->nodes, node);
    if (op == CZ_OP_PARAM)
        g_hash_table_insert(graph->params, (char *)node->name, node);
    return op_value(node);
}

// ---- for op files -------------------------------------------------------------------------------

bool cz_op_error(GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (error)
        *error = g_error_new_valist(CZ_ERROR, CZ_ERROR_SHAPE, format, arguments);
    va_end(arguments);
    return false;
}

bool cz_op_expect_shape(const CzNode *found, int index, CzShape expected, GError **error)
{
    if (cz_shape_equal(found->shape, expected))
        return true;
    g_autofree char *a = cz_shape_format(expected);
    g_autofree char *b = cz_shape_format(found->shape);
    return cz_op_error(error, "source %d: expected %s, found %s", index, a, b);
}

bool cz_op_expect_dtype(const CzNode *found, int index, CzDtype expected, GError **error)
{
    if (found->dtype == expected)
        return true;
    return cz_op_error(error, "source %d: expected %s, found %s", index, cz_dtype_name(expected),
                       cz_dtype_name(found->dtype));
}

bool cz_op_infer_like_source(CzNode *node, const CzNode *const *src, GError **error)
{
    node->shape = src[0]->shape;
    node->dtype = src[0]->dtype;
    return true;
}

void cz_op_gradient_zero(CzGraph *graph, const CzNode *node, CzValue d_dst, CzValue *d_src)
{
}

CzValue cz_op_example_source(CzGraph *graph, const char *name, CzShape shape, CzDtype dtype)
{
    CzValue source = cz_input(graph, name, shape);
    return dtype == CZ_F32 ? source : cz_cast(graph, source, dtype);
}
