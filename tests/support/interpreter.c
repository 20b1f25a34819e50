// SPDX-License-Identifier: LGPL-3.0-or-later
// A graph run node by node by the references.
#include "interpreter.h"

#include <math.h>
#include <string.h>

#include <cz/memory.h>
#include <cz/rng.h>

struct Interpreter {
    const CzGraph *graph;
    int32_t n_nodes;
    CzView *views; // by id; data NULL: not needed
};

static size_t view_bytes(const CzView *view)
{
    return cz_shape_count(view->shape) * cz_dtype_size(view->dtype);
}

Interpreter *interpreter_new(const CzGraph *graph, const CzValue *outputs, size_t n_outputs)
{
    Interpreter *it = g_new0(Interpreter, 1);
    it->graph = graph;
    it->n_nodes = cz_graph_n_nodes(graph);
    it->views = g_new0(CzView, it->n_nodes);
    g_autofree bool *needed = g_new0(bool, it->n_nodes);
    for (size_t i = 0; i < n_outputs; i++)
        needed[outputs[i].id] = true;
    for (int32_t id = it->n_nodes - 1; id >= 0; id--) {
        const CzNode *node = cz_graph_node(graph, id);
        if (!needed[id])
            continue;
        for (int32_t i = 0; i < node->n_src; i++)
            needed[node->src[i]] = true;
        it->views[id] = (CzView){.shape = node->shape, .dtype = node->dtype};
        it->views[id].data = cz_memory_alloc(view_bytes(&it->views[id]), "a tensor", NULL);
        g_assert_nonnull(it->views[id].data);
        memset(it->views[id].data, 0, view_bytes(&it->views[id]));
    }
    return it;
}

void interpreter_free(Interpreter *it)
{
    if (!it)
        return;
    for (int32_t id = 0; id < it->n_nodes; id++)
        cz_memory_free(it->views[id].data);
    g_free(it->views);
    g_free(it);
}

static float contract_number(CzRng *rng, bool positive)
{
    return positive ? 0.5f + cz_rng_uniform(rng) : cz_rng_normal(rng);
}

static float grid_number(CzRng *rng, bool positive)
{
    float x = fminf(fmaxf(contract_number(rng, positive), -3.9f), 3.9f);
    return floorf(x * 8.0f) / 8.0f + 0.0625f;
}

static void fill(Interpreter *it, uint64_t seed, float (*number)(CzRng *rng, bool positive))
{
    for (int32_t id = 0; id < it->n_nodes; id++) {
        const CzNode *node = cz_graph_node(it->graph, id);
        CzView *view = &it->views[id];
        if ((node->op != CZ_OP_INPUT && node->op != CZ_OP_PARAM) || !view->data)
            continue;
        CzRng rng = cz_rng(seed, g_str_hash(node->name));
        size_t n = cz_shape_count(view->shape);
        for (size_t i = 0; i < n; i++)
            ((float *)view->data)[i] = number(&rng, node->name[0] == 'p');
    }
}

void interpreter_fill(Interpreter *it, uint64_t seed)
{
    fill(it, seed, contract_number);
}

void interpreter_fill_grid(Interpreter *it, uint64_t seed)
{
    fill(it, seed, grid_number);
}

static void run_node(Interpreter *it, const CzNode *node)
{
    CzView *dst = &it->views[node->id];
    if (!node->op_class->reference)
        return;
    g_autofree CzView *src = g_new0(CzView, node->n_src + 1);
    for (int32_t i = 0; i < node->n_src; i++)
        src[i] = it->views[node->src[i]];
    memset(dst->data, 0xff, view_bytes(dst)); // NaN in every dtype
    node->op_class->reference(node, src, dst);
}

void interpreter_run(Interpreter *it)
{
    for (int32_t id = 0; id < it->n_nodes; id++)
        if (it->views[id].data)
            run_node(it, cz_graph_node(it->graph, id));
}

CzView *interpreter_view(Interpreter *it, CzValue value)
{
    bool known = value.id >= 0 && value.id < it->n_nodes && it->views[value.id].data;
    return known ? &it->views[value.id] : NULL;
}

float *interpreter_floats(Interpreter *it, CzValue value)
{
    CzView *view = interpreter_view(it, value);
    g_assert_nonnull(view);
    float *floats = g_new(float, cz_shape_count(view->shape));
    cz_view_to_f32(floats, view);
    return floats;
}
