// SPDX-License-Identifier: LGPL-3.0-or-later
// Gradients: the graph walked from the loss back, each op adding the nodes of its own rule.
#include <cz/graph.h>

#include "graph/op.h"

// reached[id]: one of wrt, or something that depends on one. Only these need a gradient.
static bool *find_dependents(const CzGraph *graph, int32_t n_nodes, const CzValue *wrt,
                             size_t n_wrt)
{
    bool *reached = g_new0(bool, n_nodes);
    for (size_t i = 0; i < n_wrt; i++)
        if (wrt[i].id < n_nodes)
            reached[wrt[i].id] = true;
    for (int32_t id = 0; id < n_nodes; id++) {
        const CzNode *node = cz_graph_node(graph, id);
        for (int32_t i = 0; i < node->n_src && !reached[id]; i++)
            reached[id] = reached[node->src[i]];
    }
    return reached;
}

// A rule that gives another shape or type than its source has would show up far from here.
static bool check_gradient(CzGraph *graph, const CzNode *node, int32_t index, CzValue d_src)
{
    const CzNode *source = cz_graph_node(graph, node->src[index]);
    const CzNode *gradient = cz_graph_of(graph, d_src);
    if (!gradient)
        return false;
    if (cz_shape_equal(source->shape, gradient->shape) && source->dtype == gradient->dtype)
        return true;
    g_autofree char *expected = cz_shape_format(source->shape);
    g_autofree char *found = cz_shape_format(gradient->shape);
    cz_graph_fail(graph, "gradient of %s, source %d: expected %s %s, found %s %s",
                  node->op_class->name, index, expected, cz_dtype_name(source->dtype), found,
                  cz_dtype_name(gradient->dtype));
    return false;
}

// Adds the gradients of one node's sources to those that other nodes have given them.
static bool step_back(CzGraph *graph, const CzNode *node, const bool *reached, CzValue *d)
{
    if (!node->op_class->gradient) {
        cz_graph_fail(graph, "gradient: op %s (%%%d) has none", node->op_class->name, node->id);
        return false;
    }
    g_autofree CzValue *d_src = g_new(CzValue, node->n_src);
    for (int32_t i = 0; i < node->n_src; i++)
        d_src[i] = (CzValue){-1};
    node->op_class->gradient(graph, node, d[node->id], d_src);
    if (!cz_graph_check(graph, NULL))
        return false;
    for (int32_t i = 0; i < node->n_src; i++) {
        int32_t id = node->src[i];
        if (d_src[i].id < 0 || !reached[id])
            continue;
        if (!check_gradient(graph, node, i, d_src[i]))
            return false;
        d[id] = d[id].id < 0 ? d_src[i] : cz_add(graph, d[id], d_src[i]);
    }
    return true;
}

static bool check_arguments(CzGraph *graph, CzValue loss, const CzValue *wrt, size_t n_wrt)
{
    const CzNode *node = cz_graph_of(graph, loss);
    if (!node || cz_shape_count(node->shape) != 1) {
        g_autofree char *found = cz_shape_format(cz_graph_shape(graph, loss));
        cz_graph_fail(graph, "gradient: loss: expected a scalar, found %s", found);
        return false;
    }
    for (size_t i = 0; i < n_wrt; i++) {
        if (wrt[i].id < 0 || wrt[i].id >= cz_graph_n_nodes(graph)) {
            cz_graph_fail(graph, "gradient: expected a value of this graph, found id %d",
                          wrt[i].id);
            return false;
        }
    }
    return true;
}

bool cz_graph_gradient(CzGraph *graph, CzValue loss, const CzValue *wrt, size_t n_wrt,
                       CzValue *grads)
{
    for (size_t i = 0; i < n_wrt; i++)
        grads[i] = (CzValue){-1};
    if (!cz_graph_check(graph, NULL) || !check_arguments(graph, loss, wrt, n_wrt))
        return false;

    int32_t n_nodes = loss.id + 1; // nothing after the loss can matter to it
    g_autofree bool *reached = find_dependents(graph, n_nodes, wrt, n_wrt);
    g_autofree CzValue *d = g_new(CzValue, n_nodes);
    for (int32_t id = 0; id < n_nodes; id++)
        d[id] = (CzValue){-1};
    d[loss.id] = cz_constant(graph, cz_graph_shape(graph, loss), cz_graph_dtype(graph, loss), 1.0f);
    for (int32_t id = loss.id; id >= 0; id--) {
        const CzNode *node = cz_graph_node(graph, id);
        bool due = d[id].id >= 0 && reached[id] && node->n_src > 0;
        if (due && !step_back(graph, node, reached, d))
            return false;
    }
    for (size_t i = 0; i < n_wrt; i++) {
        bool is_reached = wrt[i].id < n_nodes && d[wrt[i].id].id >= 0;
        grads[i] = is_reached ? d[wrt[i].id]
                              : cz_constant(graph, cz_graph_shape(graph, wrt[i]),
                                            cz_graph_dtype(graph, wrt[i]), 0.0f);
    }
    return cz_graph_check(graph, NULL);
}
