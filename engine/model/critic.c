// SPDX-License-Identifier: LGPL-3.0-or-later
// The discriminator as a formula over ops.
#include <cz/critic.h>

#include <math.h>
#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/ops.h>
#include <cz/rng.h>

enum { KERNEL = 4, MOST_WIDTHS = 8 };

#define START_DEVIATION 0.02f // Radford et al. 2016, and pix2pix after them

typedef struct {
    CzGraph *graph;
    const CzCriticParams *params;
    int32_t scale;
    GArray *vectors, *next_vectors; // of CzValue
} Builder;

static CzValue param(const Builder *builder, int32_t layer, const char *what, CzShape shape)
{
    g_autofree char *name = g_strdup_printf("critic.%d.%d.%s", builder->scale, layer, what);
    return cz_param(builder->graph, name, shape);
}

static CzValue normalised(CzGraph *graph, CzValue vector)
{
    CzValue square = cz_scale(graph, cz_dot(graph, vector, vector), 1, 1e-12f);
    return cz_mul(graph, vector,
                  cz_math(graph, cz_math(graph, square, CZ_MATH_SQRT), CZ_MATH_RECIPROCAL));
}

// One power iteration a step, as in the paper. The gradient goes through the iteration: at the
// singular vectors, where sigma is stationary in them, that is the paper's gradient.
static CzValue spectral(Builder *builder, CzValue filter, int32_t layer)
{
    CzGraph *graph = builder->graph;
    CzShape shape = cz_graph_shape(graph, filter);
    CzValue u = param(builder, layer, "u", cz_shape(shape.n, 1, 1, 1));
    CzValue v = normalised(
        graph, cz_sum(graph, cz_mul(graph, filter, u), cz_shape(1, shape.c, shape.h, shape.w)));
    CzValue image = cz_sum(graph, cz_mul(graph, filter, v), cz_shape(shape.n, 1, 1, 1));
    CzValue next = normalised(graph, image);
    CzValue sigma = cz_dot(graph, next, image);
    g_array_append_val(builder->vectors, u);
    g_array_append_val(builder->next_vectors, next);
    return cz_mul(graph, filter, cz_math(graph, sigma, CZ_MATH_RECIPROCAL));
}

// By this batch's mean and variance (Ioffe & Szegedy 2015), of all ranks' pictures.
static CzValue batch_norm(const Builder *builder, CzValue src, int32_t layer)
{
    CzGraph *graph = builder->graph;
    CzShape one = cz_shape(1, cz_graph_shape(graph, src).c, 1, 1);
    CzValue centred = cz_sub(graph, src, cz_rank_mean(graph, cz_mean(graph, src, one)));
    CzValue variance =
        cz_rank_mean(graph, cz_mean(graph, cz_math(graph, centred, CZ_MATH_SQUARE), one));
    CzValue deviation = cz_math(graph, cz_scale(graph, variance, 1, 1e-5f), CZ_MATH_SQRT);
    CzValue factor = cz_mul(graph, cz_math(graph, deviation, CZ_MATH_RECIPROCAL),
                            param(builder, layer, "scale", one));
    return cz_add(graph, cz_mul(graph, centred, factor), param(builder, layer, "shift", one));
}

static CzValue convolve(Builder *builder, CzValue src, int32_t layer, int32_t width, int32_t stride,
                        bool norm)
{
    CzGraph *graph = builder->graph;
    const CzCriticParams *params = builder->params;
    CzShape shape = cz_shape(width, cz_graph_shape(graph, src).c, KERNEL, KERNEL);
    CzConvParams conv = {
        .stride = stride, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
    CzValue filter = param(builder, layer, "weight", shape), bias = CZ_NONE;
    if (params->spectral)
        filter = spectral(builder, filter, layer);
    norm = norm && params->batch_norm;
    if (!norm) // else the shift does what a bias would
        bias = param(builder, layer, "bias", cz_shape(1, width, 1, 1));
    CzValue y = cz_conv2d(graph, src, filter, bias, CZ_NONE, conv);
    return norm ? batch_norm(builder, y, layer) : y;
}

// Another slope than the op's is a mean of what ReLU lets through and of everything.
static CzValue leaky(const Builder *builder, CzValue src)
{
    CzGraph *graph = builder->graph;
    float leak = builder->params->leak;
    if (leak <= 0 || leak == CZ_LEAKY_SLOPE)
        return cz_activation(graph, src, CZ_ACT_LEAKY);
    CzValue positive = cz_activation(graph, src, CZ_ACT_RELU);
    return cz_add(graph, cz_scale(graph, src, leak, 0), cz_scale(graph, positive, 1 - leak, 0));
}

static CzValue judge(Builder *builder, CzValue src)
{
    const CzCriticParams *params = builder->params;
    CzValue y = src;
    for (int32_t i = 0; i <= params->n_layers; i++) {
        int32_t width = params->width * MIN(1 << i, MOST_WIDTHS);
        y = convolve(builder, y, i, width, i < params->n_layers ? 2 : 1, i > 0);
        y = leaky(builder, y);
    }
    return convolve(builder, y, params->n_layers + 1, 1, 1, false);
}

void cz_critic_build(CzGraph *graph, CzValue lightness, CzValue chroma,
                     const CzCriticParams *params, CzCriticOutput *output)
{
    Builder builder = {graph, params, 0, g_array_new(FALSE, FALSE, sizeof(CzValue)),
                       g_array_new(FALSE, FALSE, sizeof(CzValue))};
    const CzValue both[] = {lightness, chroma};
    CzValue src = params->conditional ? cz_concat(graph, both, 2) : chroma;
    if (params->width < 1 || params->width > 512 || params->n_layers < 1 || params->n_layers > 5 ||
        params->n_scales < 1 || params->n_scales > CZ_CRITIC_MOST_SCALES)
        src = cz_graph_fail(graph, "no critic has width %d, %d layers and %d scales", params->width,
                            params->n_layers, params->n_scales);
    for (; builder.scale < MIN(params->n_scales, CZ_CRITIC_MOST_SCALES); builder.scale++) {
        if (builder.scale > 0)
            src = cz_pool(graph, src, 2);
        output->logits[builder.scale] = judge(&builder, src);
    }
    output->n_vectors = (int32_t)builder.vectors->len;
    output->vectors = (CzValue *)(void *)g_array_free(builder.vectors, FALSE);
    output->next_vectors = (CzValue *)(void *)g_array_free(builder.next_vectors, FALSE);
}

void cz_critic_clear(CzCriticOutput *output)
{
    g_clear_pointer(&output->vectors, g_free);
    g_clear_pointer(&output->next_vectors, g_free);
    output->n_vectors = 0;
}

bool cz_critic_each(const CzCriticParams *params,
                    bool (*visit)(void *user, const char *name, CzShape shape, bool trained),
                    void *user)
{
    // What the formula asks the graph for is what there is; any size that is large enough will do.
    enum { SIDE = 512 };
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzCriticOutput output = {0};
    cz_critic_build(graph, cz_input(graph, "lightness", cz_shape(1, 1, SIDE, SIDE)),
                    cz_input(graph, "chroma", cz_shape(1, 2, SIDE, SIDE)), params, &output);
    cz_critic_clear(&output);
    bool good = cz_graph_check(graph, NULL);
    for (int32_t id = 0; good && id < cz_graph_n_nodes(graph); id++) {
        const CzNode *node = cz_graph_node(graph, id);
        if (node->op == CZ_OP_PARAM)
            good = visit(user, node->name, node->shape, !g_str_has_suffix(node->name, ".u"));
    }
    return good;
}

typedef struct {
    CzStore *store;
    bool plain;
    uint64_t seed, stream;
    GError **error;
} Start;

static void fill_plain(float *data, CzShape shape, CzRng *rng)
{
    float bound = 1 / sqrtf((float)shape.c * (float)(shape.h * shape.w));
    for (size_t i = 0; i < cz_shape_count(shape); i++)
        data[i] = bound * (2 * cz_rng_uniform(rng) - 1);
}

static bool start_tensor(void *user, const char *name, CzShape shape, bool trained)
{
    Start *start = user;
    size_t n = cz_shape_count(shape);
    float *data = cz_memory_alloc(n * sizeof *data, name, start->error);
    CzRng rng = cz_rng(start->seed, start->stream++);
    bool plain = start->plain && g_str_has_suffix(name, ".weight");
    if (data && plain)
        fill_plain(data, shape, &rng);
    bool zero = g_str_has_suffix(name, ".bias") || g_str_has_suffix(name, ".shift");
    float mean = g_str_has_suffix(name, ".scale") ? 1 : 0;
    float deviation = !trained ? 1 : start->plain ? 0 : START_DEVIATION;
    for (size_t i = 0; data && !plain && i < n; i++)
        data[i] = zero ? 0 : mean + deviation * cz_rng_normal(&rng);
    bool good = data && cz_store_add(start->store, name, shape, data, start->error);
    cz_memory_free(data);
    return good;
}

bool cz_critic_start(CzStore *store, const CzCriticParams *params, uint64_t seed, GError **error)
{
    // Streams far from those of the generator's tensors.
    Start start = {store, params->plain_start, seed, UINT64_C(1) << 32, error};
    return cz_critic_each(params, start_tensor, &start);
}
