// SPDX-License-Identifier: LGPL-3.0-or-later
// Layers that training and inference see differently.
#include "model/net.h"

#include <cz/ops.h>

#include <string.h>

#define EPSILON 1e-5f

void cz_net_init(CzNet *net, CzGraph *graph, const CzGeneratorUse *use)
{
    *net = (CzNet){.graph = graph,
                   .use = *use,
                   .averages = g_array_new(FALSE, FALSE, sizeof(CzValue)),
                   .statistics = g_array_new(FALSE, FALSE, sizeof(CzValue))};
}

void cz_net_finish(CzNet *net, CzGeneratorOutput *output)
{
    output->n_averages = (int32_t)net->averages->len;
    output->averages = (CzValue *)(void *)g_array_free(net->averages, FALSE);
    output->statistics = (CzValue *)(void *)g_array_free(net->statistics, FALSE);
    net->averages = net->statistics = NULL;
}

CzValue cz_net_param(const CzNet *net, const char *prefix, const char *what, CzShape shape)
{
    g_autofree char *name = g_strdup_printf("%s.%s", prefix, what);
    return cz_param(net->graph, name, shape);
}

CzValue cz_net_to_f32(const CzNet *net, CzValue src)
{
    return net->use.dtype == CZ_F32 ? src : cz_cast(net->graph, src, CZ_F32);
}

// A module that is met several times in a network adds to its averages as often.
static void keep(CzNet *net, CzValue average, CzValue statistic)
{
    g_array_append_val(net->averages, average);
    g_array_append_val(net->statistics, statistic);
}

CzValue cz_net_batch_norm(CzNet *net, CzValue src, const char *prefix)
{
    CzGraph *graph = net->graph;
    CzShape shape = cz_graph_shape(graph, src), one = cz_shape(1, shape.c, 1, 1);
    CzValue scale = cz_net_param(net, prefix, "norm.scale", one);
    CzValue shift = cz_net_param(net, prefix, "norm.shift", one);
    CzValue mean = cz_net_param(net, prefix, "norm.running_mean", one);
    CzValue variance = cz_net_param(net, prefix, "norm.running_var", one);
    CzValue of_batch = net->use.train ? cz_rank_mean(graph, cz_mean(graph, src, one)) : mean;
    CzValue centred = cz_sub(graph, src, of_batch);
    if (net->use.train) {
        // Of the samples; what is kept is the estimate for all pictures, as PyTorch has it.
        const CzRanks *ranks = cz_graph_ranks(graph);
        float n = (float)shape.n * (float)shape.h * (float)shape.w * (ranks ? (float)ranks->n : 1);
        keep(net, mean, of_batch);
        of_batch =
            cz_rank_mean(graph, cz_mean(graph, cz_math(graph, centred, CZ_MATH_SQUARE), one));
        keep(net, variance, cz_scale(graph, of_batch, n / MAX(n - 1, 1), 0));
        variance = of_batch;
    }
    CzValue deviation = cz_math(graph, cz_scale(graph, variance, 1, EPSILON), CZ_MATH_SQRT);
    CzValue factor = cz_mul(graph, cz_math(graph, deviation, CZ_MATH_RECIPROCAL), scale);
    return cz_add(graph, cz_mul(graph, centred, factor), shift);
}

CzValue cz_net_instance_norm(CzNet *net, CzValue src, const char *prefix)
{
    CzGraph *graph = net->graph;
    CzShape shape = cz_graph_shape(graph, src), one = cz_shape(1, shape.c, 1, 1);
    CzShape each = cz_shape(shape.n, shape.c, 1, 1);
    CzValue centred = cz_sub(graph, src, cz_mean(graph, src, each));
    CzValue variance = cz_mean(graph, cz_math(graph, centred, CZ_MATH_SQUARE), each);
    CzValue deviation = cz_math(graph, cz_scale(graph, variance, 1, EPSILON), CZ_MATH_SQRT);
    CzValue factor = cz_mul(graph, cz_math(graph, deviation, CZ_MATH_RECIPROCAL),
                            cz_net_param(net, prefix, "norm.scale", one));
    return cz_add(graph, cz_mul(graph, centred, factor),
                  cz_net_param(net, prefix, "norm.shift", one));
}

static CzValue pointwise(CzNet *net, CzValue src, const char *prefix, int32_t width)
{
    CzShape filter = cz_shape(width, cz_graph_shape(net->graph, src).c, 1, 1);
    CzValue y = cz_conv2d(net->graph, src, cz_net_param(net, prefix, "weight", filter),
                          cz_net_param(net, prefix, "bias", cz_shape(1, width, 1, 1)), CZ_NONE,
                          (CzConvParams){0});
    return cz_net_to_f32(net, y);
}

CzValue cz_net_attention(CzNet *net, CzValue src)
{
    CzGraph *graph = net->graph;
    int32_t c = cz_graph_shape(graph, src).c, narrow = MAX(c / 8, 1);
    CzValue query = pointwise(net, src, "attention.query", narrow);
    CzValue key = pointwise(net, src, "attention.key", narrow);
    CzValue value = pointwise(net, src, "attention.value", c);
    // Channels are places here: of each, how much it looks at every other.
    CzValue score = cz_matmul(graph, query, key, CZ_MATMUL_NT, 0, 0);
    CzValue share = cz_math(graph, cz_log_softmax(graph, score), CZ_MATH_EXP);
    CzValue seen = cz_matmul(graph, share, value, CZ_MATMUL_NN, 0, 0);
    CzValue gain = cz_net_param(net, "attention", "gain", cz_shape(1, 1, 1, 1));
    CzValue added = cz_mul(graph, seen, gain);
    if (net->use.dtype != CZ_F32)
        added = cz_cast(graph, added, net->use.dtype);
    return cz_add(graph, src, added);
}

bool cz_net_start_value(const char *name, float *value)
{
    static const struct {
        const char *suffix;
        float value;
    } starts[] = {{".bias", 0},         {".norm.shift", 0},  {".norm.scale", 1},
                  {".running_mean", 0}, {".running_var", 1}, {"attention.gain", 0}};
    for (size_t i = 0; i < G_N_ELEMENTS(starts); i++)
        if (g_str_has_suffix(name, starts[i].suffix)) {
            *value = starts[i].value;
            return true;
        }
    return false;
}

CzValue cz_net_dropout(CzNet *net, CzValue src, float rate)
{
    if (!net->use.train || rate <= 0)
        return src;
    // Seeds of layers lie far apart: no recipe's seed is another's neighbour.
    uint64_t seed = net->use.seed + UINT64_C(0x9E3779B97F4A7C15) * ++net->n_masks;
    CzValue mask = cz_dropout_mask(net->graph, net->use.sample, cz_graph_shape(net->graph, src),
                                   net->use.dtype, rate, seed);
    return cz_mul(net->graph, src, mask);
}

bool cz_net_visit(const CzGraph *graph, bool (*visit)(void *user, const CzUnetTensor *tensor),
                  void *user)
{
    for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++) {
        const CzNode *node = cz_graph_node(graph, id);
        if (node->op != CZ_OP_PARAM)
            continue;
        CzUnetTensor tensor = {.shape = node->shape,
                               .encoder = g_str_has_prefix(node->name, "encoder."),
                               .statistic = g_str_has_suffix(node->name, ".running_mean") ||
                                            g_str_has_suffix(node->name, ".running_var")};
        g_strlcpy(tensor.name, node->name, sizeof tensor.name);
        if (!visit(user, &tensor))
            return false;
    }
    return true;
}
