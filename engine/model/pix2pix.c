// SPDX-License-Identifier: LGPL-3.0-or-later
// The U-Net of pix2pix as a formula over ops.
#include "model/net.h"

#include <cz/ops.h>

const CzPix2pixParams cz_pix2pix_default = {
    .n_inputs = 1,
    .width = 64,
    .levels = 8,
    .dropout = 0.5f,
    .range = 110,
};

enum {
    KERNEL = 4,
    OUTPUTS = 2,
    LEAST_LEVELS = 4, // the features are taken at 1/8
    MOST_LEVELS = 9,
    MOST_GROWTH = 8, // channels of the inner levels, in widths
    FEATURE_LEVEL = 4,
    PLAIN_LEVELS = 4, // levels beyond are alike, but for the innermost
};

static const CzConvParams halve = {
    .stride = 2, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};

typedef struct {
    CzNet *net;
    const CzPix2pixParams *params;
} Builder;

// Channels behind the encoder's level k.
static int32_t width_of(const CzPix2pixParams *params, int32_t k)
{
    return params->width * MIN(1 << (k - 1), MOST_GROWTH);
}

static bool is_inner(const CzPix2pixParams *params, int32_t k)
{
    return k > PLAIN_LEVELS && k < params->levels;
}

static CzValue down(const Builder *builder, CzValue src, int32_t k)
{
    CzNet *net = builder->net;
    const CzPix2pixParams *params = builder->params;
    bool shared = params->shared && is_inner(params, k);
    g_autofree char *prefix = g_strdup_printf("down.%d", shared ? PLAIN_LEVELS + 1 : k);
    CzShape shape = {width_of(params, k), cz_graph_shape(net->graph, src).c, KERNEL, KERNEL};
    CzValue filter = cz_net_param(net, prefix, "weight", shape);
    CzValue y = cz_conv2d(net->graph, src, filter, CZ_NONE, CZ_NONE, halve);
    return k > 1 && k < params->levels ? cz_net_batch_norm(net, y, prefix) : y;
}

// The transposed convolution is what the gradient of one of stride 2 does.
static CzValue up(const Builder *builder, CzValue src, int32_t k)
{
    CzNet *net = builder->net;
    const CzPix2pixParams *params = builder->params;
    g_autofree char *prefix = g_strdup_printf("up.%d", k);
    CzShape size = cz_graph_shape(net->graph, src);
    int32_t width = k > 1 ? width_of(params, k - 1) : OUTPUTS;
    CzValue filter = cz_net_param(net, prefix, "weight", cz_shape(size.c, width, KERNEL, KERNEL));
    CzValue y = cz_conv2d_grad_src(net->graph, src, filter,
                                   cz_shape(size.n, width, 2 * size.h, 2 * size.w), halve);
    if (k > 1)
        y = cz_net_batch_norm(net, y, prefix);
    return is_inner(params, k) ? cz_net_dropout(net, y, params->dropout) : y;
}

static CzValue finish(const Builder *builder, CzValue src)
{
    CzNet *net = builder->net;
    CzValue bias = cz_net_param(net, "up.1", "bias", cz_shape(1, OUTPUTS, 1, 1));
    CzValue y = cz_add(net->graph, cz_net_to_f32(net, src), bias);
    return cz_scale(net->graph, cz_activation(net->graph, y, CZ_ACT_TANH),
                    builder->params->range / 100, 0);
}

static CzValue refuse(CzGraph *graph, const CzPix2pixParams *params, CzShape size)
{
    if (params->n_inputs < 1 || params->width < 1 || params->width > 512 ||
        params->levels < LEAST_LEVELS || params->levels > MOST_LEVELS || params->unactivated < 0 ||
        params->unactivated > params->levels)
        return cz_graph_fail(graph,
                             "no pix2pix network has %d inputs, width %d, %d levels and level "
                             "%d without ReLU",
                             params->n_inputs, params->width, params->levels, params->unactivated);
    if (!(params->dropout >= 0 && params->dropout <= 0.9f) || !(params->range > 0))
        return cz_graph_fail(graph, "no pix2pix network has dropout %g and range %g",
                             (double)params->dropout, (double)params->range);
    int32_t multiple = 1 << params->levels;
    if (size.h % multiple || size.w % multiple)
        return cz_graph_fail(graph,
                             "a pix2pix network of %d levels takes multiples of %d pixels, "
                             "found %d x %d",
                             params->levels, multiple, size.w, size.h);
    return (CzValue){0};
}

void cz_pix2pix_net(CzNet *net, CzValue lightness, const CzPix2pixParams *params,
                    CzGeneratorOutput *output)
{
    CzGraph *graph = net->graph;
    const Builder builder = {net, params};
    CzValue skips[MOST_LEVELS + 1], y = lightness;
    if (refuse(graph, params, cz_graph_shape(graph, lightness)).id < 0)
        return;
    if (net->use.dtype != CZ_F32)
        y = cz_cast(graph, y, net->use.dtype);
    for (int32_t k = 1; k <= params->levels; k++) {
        y = down(&builder, y, k);
        // Skips leave behind the leaky ReLU, as in PyTorch, where it works in place.
        if (k < params->levels)
            y = cz_activation(graph, y, CZ_ACT_LEAKY);
        skips[k] = y;
    }
    for (int32_t k = params->levels; k >= 1; k--) {
        const CzValue both[] = {skips[k], y};
        if (k < params->levels)
            y = cz_concat(graph, both, 2);
        if (k != params->unactivated)
            y = cz_activation(graph, y, CZ_ACT_RELU);
        if (k == 1)
            output->decoded = y;
        y = up(&builder, y, k);
        if (k == FEATURE_LEVEL)
            output->features = cz_net_to_f32(net, y);
    }
    output->chroma = finish(&builder, y);
}
