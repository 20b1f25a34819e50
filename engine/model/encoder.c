// SPDX-License-Identifier: LGPL-3.0-or-later
// The trunk's file into a store.
#include <cz/encoder.h>

#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/ops.h>

#define COLORS 3

// A bias is (1, c, 1, 1) in the graph and of rank 1 in the file.
static bool fits(const CzTensor *tensor, CzShape shape)
{
    const int32_t filter[4] = {shape.n, shape.c, shape.h, shape.w};
    if (tensor->rank == 1)
        return shape.n == 1 && shape.h == 1 && shape.w == 1 && tensor->dims[0] == shape.c;
    return tensor->rank == 4 && memcmp(tensor->dims, filter, sizeof filter) == 0;
}

// File order (out, in, kh, kw) to memory order (out, kh, kw, in).
static void turn(float *dst, const float *src, CzShape shape)
{
    size_t n_in = (size_t)shape.c, n_taps = (size_t)shape.h * (size_t)shape.w;
    for (size_t o = 0; o < (size_t)shape.n; o++)
        for (size_t i = 0; i < n_in; i++)
            for (size_t k = 0; k < n_taps; k++)
                dst[(o * n_taps + k) * n_in + i] = src[(o * n_in + i) * n_taps + k];
}

static bool load_tensor(CzStore *store, const CzModelFile *file, const CzNode *node,
                        size_t n_prefix, GError **error)
{
    const CzTensor *tensor = cz_model_file_find(file, node->name + n_prefix);
    if (!tensor || !fits(tensor, node->shape)) {
        g_autofree char *expected = cz_shape_format(node->shape);
        g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL, "%s: tensor '%s': expected %s, found %s",
                    cz_model_file_path(file), node->name + n_prefix, expected,
                    tensor ? "another shape" : "none");
        return false;
    }
    size_t n = tensor->n_elements;
    float *data = cz_memory_alloc(2 * n * sizeof *data, node->name, error);
    if (!data)
        return false;
    cz_tensor_to_f32(tensor, data + n);
    turn(data, data + n, node->shape);
    bool done = cz_store_add(store, node->name, node->shape, data, error);
    cz_memory_free(data);
    return done;
}

bool cz_encoder_load(CzStore *store, const char *path, const char *prefix, int32_t n_levels,
                     GError **error)
{
    g_autoptr(CzModelFile) file = cz_model_file_open(path, error);
    // What the formula asks the graph for is what there is; any size will do.
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue levels[CZ_ENCODER_LEVELS];
    cz_encoder_build(graph, cz_input(graph, "rgb", cz_shape(1, COLORS, 32, 32)), prefix, levels,
                     n_levels);
    bool done = file && cz_graph_check(graph, error);
    for (int32_t id = 0; done && id < cz_graph_n_nodes(graph); id++) {
        const CzNode *node = cz_graph_node(graph, id);
        if (node->op == CZ_OP_PARAM)
            done = load_tensor(store, file, node, strlen(prefix), error);
    }
    return done;
}
