// SPDX-License-Identifier: LGPL-3.0-or-later
// The generator as a formula over ops: EfficientNet-lite0 encoder, U-Net decoder.
//
// Encoder: Tan & Le 2019, in its "lite" form (no squeeze-and-excitation, ReLU6), batch
// normalisation folded into the convolutions. Names of parameters are those of the same network in
// PyTorch, so that its state_dict is the file.
#include "model/net.h"

#include <cz/encoder.h>
#include <cz/ops.h>

const CzUnetParams cz_unet_default = {
    .n_inputs = 1,
    .widths = {128, 96, 64, 48},
    .context = 1,
};

enum { STEM_WIDTH = 32, N_LEVELS = CZ_ENCODER_LEVELS, BOTTOM = N_LEVELS - 1, FEATURE_LEVEL = 2 };

const int32_t cz_encoder_widths[CZ_ENCODER_LEVELS] = {16, 24, 40, 112, 320};

// Blocks of one kind; the first has the stride and changes the number of channels.
typedef struct {
    int32_t kernel, stride, expansion, width, n_blocks;
    int32_t level; // what the last block gives is the encoder's output at 1/2^(level + 1); -1: none
} Stage;

static const Stage stages[] = {
    {3, 1, 1, 16, 1, 0},  {3, 2, 6, 24, 2, 1},   {5, 2, 6, 40, 2, 2},       {3, 2, 6, 80, 3, -1},
    {5, 1, 6, 112, 3, 3}, {5, 2, 6, 192, 4, -1}, {3, 1, 6, 320, 1, BOTTOM},
};

// A convolution with bias and "same" padding.
typedef struct {
    int32_t width, kernel; // output channels; edge of the filter
    int32_t stride;        // 0: 1
    bool depthwise;
    CzActivation activation;
} Layer;

// Total padding (out - 1) * stride + kernel - size, the smaller half first: as TensorFlow, with
// which the encoder was trained, has it.
static void same_padding(int32_t size, const Layer *layer, int32_t *before, int32_t *after)
{
    int32_t stride = MAX(layer->stride, 1);
    int32_t total = MAX((size - 1) / stride * stride + layer->kernel - size, 0);
    *before = total / 2;
    *after = total - *before;
}

// residual may be CZ_NONE. Parameters are PREFIX.NAME.weight and .bias.
static CzValue convolve(CzGraph *graph, CzValue src, CzValue residual, const char *prefix,
                        const char *name, Layer layer)
{
    CzShape shape = cz_graph_shape(graph, src);
    CzShape filter_shape =
        cz_shape(layer.width, layer.depthwise ? 1 : shape.c, layer.kernel, layer.kernel);
    g_autofree char *filter_name = g_strconcat(prefix, name, ".weight", NULL);
    g_autofree char *bias_name = g_strconcat(prefix, name, ".bias", NULL);
    CzValue filter = cz_param(graph, filter_name, filter_shape);
    CzValue bias = cz_param(graph, bias_name, cz_shape(1, layer.width, 1, 1));
    CzConvParams conv = {.stride = layer.stride,
                         .groups = layer.depthwise ? shape.c : 1,
                         .activation = layer.activation};
    same_padding(shape.h, &layer, &conv.pad_top, &conv.pad_bottom);
    same_padding(shape.w, &layer, &conv.pad_left, &conv.pad_right);
    return cz_conv2d(graph, src, filter, bias, residual, conv);
}

// Inverted bottleneck (Sandler et al. 2018): widen, filter each channel, narrow; added to what came
// in where the shapes agree.
static CzValue bottleneck(CzGraph *graph, CzValue src, const char *prefix, const Stage *stage,
                          int32_t stride)
{
    int32_t c = cz_graph_shape(graph, src).c, wide = c * stage->expansion;
    CzValue y = src;
    if (stage->expansion > 1)
        y = convolve(graph, y, CZ_NONE, prefix, "expand",
                     (Layer){.width = wide, .kernel = 1, .activation = CZ_ACT_RELU6});
    y = convolve(graph, y, CZ_NONE, prefix, "depthwise",
                 (Layer){.width = wide,
                         .kernel = stage->kernel,
                         .stride = stride,
                         .depthwise = true,
                         .activation = CZ_ACT_RELU6});
    CzValue residual = stride == 1 && c == stage->width ? src : CZ_NONE;
    return convolve(graph, y, residual, prefix, "project",
                    (Layer){.width = stage->width, .kernel = 1});
}

// Levels 0 to `bottom`.
static void encode(CzGraph *graph, CzValue src, const char *prefix, CzValue *levels, int32_t bottom)
{
    CzValue y = convolve(
        graph, src, CZ_NONE, prefix, "stem",
        (Layer){.width = STEM_WIDTH, .kernel = 3, .stride = 2, .activation = CZ_ACT_RELU6});
    int32_t number = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(stages); i++) {
        for (int32_t j = 0; j < stages[i].n_blocks; j++) {
            g_autofree char *block = g_strdup_printf("%sblock.%d.", prefix, number++);
            y = bottleneck(graph, y, block, &stages[i], j ? 1 : stages[i].stride);
        }
        if (stages[i].level >= 0)
            levels[stages[i].level] = y;
        if (stages[i].level == bottom)
            return;
    }
}

void cz_encoder_build(CzGraph *graph, CzValue src, const char *prefix, CzValue *levels,
                      int32_t n_levels)
{
    encode(graph, src, prefix, levels, n_levels - 1);
}

// Adds what the whole picture has in common.
static CzValue add_context(CzGraph *graph, CzValue src, CzDtype dtype)
{
    CzShape shape = cz_graph_shape(graph, src);
    CzValue mean = cz_mean(graph, src, cz_shape(shape.n, shape.c, 1, 1));
    if (dtype != CZ_F32)
        mean = cz_cast(graph, mean, dtype);
    CzValue context =
        convolve(graph, mean, CZ_NONE, "", "context", (Layer){.width = shape.c, .kernel = 1});
    return cz_add(graph, src, context);
}

typedef struct {
    CzNet *net;
    const CzUnetParams *params;
} Decoder;

// A convolution of the decoder, normalised if the network is: then the residual (or CZ_NONE) and
// the activation come behind the normalisation. Without it all is one op.
static CzValue convolve_normed(const Decoder *decoder, CzValue src, CzValue residual,
                               const char *prefix, const char *name, Layer layer)
{
    CzNet *net = decoder->net;
    CzGraph *graph = net->graph;
    CzActivation activation = layer.activation;
    if (decoder->params->norm == CZ_NORM_NONE)
        return convolve(graph, src, residual, prefix, name, layer);
    layer.activation = CZ_ACT_NONE;
    g_autofree char *whole = g_strconcat(prefix, name, NULL);
    CzValue y = convolve(graph, src, CZ_NONE, prefix, name, layer);
    y = decoder->params->norm == CZ_NORM_BATCH ? cz_net_batch_norm(net, y, whole)
                                               : cz_net_instance_norm(net, y, whole);
    if (residual.id != CZ_NONE.id)
        y = cz_add(graph, y, residual);
    return cz_activation(graph, y, activation);
}

static CzValue residual_block(const Decoder *decoder, CzValue src, const char *prefix,
                              int32_t width)
{
    Layer layer = {.width = width, .kernel = 3, .activation = CZ_ACT_RELU};
    CzValue first = convolve_normed(decoder, src, CZ_NONE, prefix, "first", layer);
    return convolve_normed(decoder, first, src, prefix, "second", layer);
}

// One decoder step: to the size of the skip, the skip added or concatenated, residual blocks.
static CzValue step_up(const Decoder *decoder, CzValue src, CzValue skip, int32_t number)
{
    CzGraph *graph = decoder->net->graph;
    const CzUnetParams *params = decoder->params;
    int32_t width = params->widths[number];
    g_autofree char *prefix = g_strdup_printf("up.%d.", number);
    CzShape size = cz_graph_shape(graph, skip);
    Layer narrow = {.width = width, .kernel = 1};
    Layer narrow_relu = {.width = width, .kernel = 1, .activation = CZ_ACT_RELU};
    CzValue reduced = convolve(graph, src, CZ_NONE, prefix, "reduce", narrow);
    CzValue resized = cz_resize(graph, reduced, size.h, size.w);
    const CzValue both[] = {resized, skip};
    CzValue y = params->concat
                    ? convolve_normed(decoder, cz_concat(graph, both, 2), CZ_NONE, prefix,
                                      "lateral", narrow_relu)
                    : convolve_normed(decoder, skip, resized, prefix, "lateral", narrow_relu);
    y = residual_block(decoder, y, prefix, width);
    for (int32_t i = 1; i < params->blocks; i++) {
        g_autofree char *further = g_strdup_printf("up.%d.block.%d.", number, i);
        y = residual_block(decoder, y, further, width);
    }
    return cz_net_dropout(decoder->net, y, params->dropout);
}

// level: sizes are divided by 2^(level + 1).
static CzValue attend(const Decoder *decoder, CzValue src, int32_t level)
{
    return decoder->params->attention == 2 << level ? cz_net_attention(decoder->net, src) : src;
}

// Each place's chroma follows the lightness within it: c + s (L - l), c, s and l bilinear between
// places.
static void affine_head(const Decoder *decoder, CzValue lightness, CzValue head,
                        CzGeneratorOutput *output)
{
    CzGraph *graph = decoder->net->graph;
    CzShape full = cz_graph_shape(graph, lightness), half = cz_graph_shape(graph, head);
    CzShape part = cz_shape(half.n, 2, half.h, half.w), first = {0}, second = {0, 2, 0, 0};
    int32_t stride = decoder->params->stride ? decoder->params->stride : 2;
    bool even = full.h % stride == 0 && full.w % stride == 0;
    CzValue l = cz_slice(graph, lightness, first, cz_shape(full.n, 1, full.h, full.w));
    CzValue mean = even ? cz_pool(graph, l, stride) : cz_resize(graph, l, half.h, half.w);
    CzValue off = cz_sub(graph, l, cz_resize(graph, mean, full.h, full.w));
    output->places = cz_slice(graph, head, first, part);
    output->slopes = cz_slice(graph, head, second, part);
    CzValue slopes = cz_resize(graph, output->slopes, full.h, full.w);
    output->chroma =
        cz_add(graph, cz_resize(graph, output->places, full.h, full.w), cz_mul(graph, slopes, off));
}

char *cz_unet_fault(const CzUnetParams *p)
{
    const struct {
        const char *what;
        int32_t value, a, b; // 0, or a to b
    } ranges[] = {{"depth", p->depth, N_LEVELS - 1, N_LEVELS},
                  {"blocks", p->blocks, 1, 4},
                  {"norm", p->norm, 0, CZ_NORM_INSTANCE},
                  {"concat", p->concat, 0, 1},
                  {"affine", p->affine, 0, 1}};
    for (size_t i = 0; i < G_N_ELEMENTS(ranges); i++)
        if (ranges[i].value && (ranges[i].value < ranges[i].a || ranges[i].value > ranges[i].b))
            return g_strdup_printf("%s: expected a number from %d to %d, found %d", ranges[i].what,
                                   ranges[i].a, ranges[i].b, ranges[i].value);
    if (p->stride && p->stride != 2 && p->stride != 4)
        return g_strdup_printf("stride: expected 2 or 4, found %d", p->stride);
    int32_t most = 1 << (p->depth ? p->depth : N_LEVELS);
    bool power = p->attention >= 4 && (p->attention & (p->attention - 1)) == 0;
    if (p->attention && (!power || p->attention > most))
        return g_strdup_printf("attention: expected a power of two from 4 to %d, found %d", most,
                               p->attention);
    if (!(p->dropout >= 0 && p->dropout <= 0.9f))
        return g_strdup_printf("dropout: expected 0 to 0.9, found %g", (double)p->dropout);
    if (p->n_inputs < 1 || p->widths[0] < 1 || p->widths[1] < 1 || p->widths[2] < 1 ||
        p->widths[3] < 1)
        return g_strdup_printf("expected positive numbers of inputs and channels, found %d and "
                               "%d, %d, %d, %d",
                               p->n_inputs, p->widths[0], p->widths[1], p->widths[2], p->widths[3]);
    return NULL;
}

void cz_unet_net(CzNet *net, CzValue lightness, const CzUnetParams *params,
                 CzGeneratorOutput *output)
{
    CzGraph *graph = net->graph;
    const Decoder decoder = {net, params};
    CzDtype dtype = net->use.dtype;
    g_autofree char *fault = cz_unet_fault(params);
    if (fault) {
        cz_graph_fail(graph, "network: %s", fault);
        return;
    }
    CzValue src = dtype == CZ_F32 ? lightness : cz_cast(graph, lightness, dtype);
    int32_t bottom = params->depth ? params->depth - 1 : BOTTOM;
    int32_t top = params->stride == 4 ? 1 : 0; // the level that the decoder ends at
    CzValue levels[N_LEVELS];
    encode(graph, src, "encoder.", levels, bottom);
    CzValue y = levels[bottom], features = y;
    if (params->context)
        y = add_context(graph, y, dtype);
    y = attend(&decoder, y, bottom);
    for (int32_t level = bottom - 1; level >= top; level--) {
        y = step_up(&decoder, y, levels[level], BOTTOM - 1 - level);
        y = attend(&decoder, y, level);
        if (level == FEATURE_LEVEL)
            features = y;
    }
    output->decoded = y;
    Layer head = {.width = params->affine ? 4 : 2, .kernel = 3};
    output->chroma = cz_net_to_f32(net, convolve(graph, y, CZ_NONE, "", "head", head));
    if (params->affine)
        affine_head(&decoder, lightness, output->chroma, output);
    output->features = cz_net_to_f32(net, features);
}

CzUnetOutput cz_unet_build(CzGraph *graph, CzValue lightness, const CzUnetParams *params,
                           CzDtype dtype)
{
    const CzGeneratorParams generator = {.architecture = CZ_GENERATOR_UNET, .unet = *params};
    const CzGeneratorUse use = {.dtype = dtype};
    CzGeneratorOutput output;
    cz_generator_build(graph, lightness, &generator, &use, &output);
    cz_generator_clear(&output);
    return (CzUnetOutput){output.chroma, output.features};
}

bool cz_unet_each(const CzUnetParams *params, bool (*visit)(void *user, const CzUnetTensor *tensor),
                  void *user)
{
    const CzGeneratorParams generator = {.architecture = CZ_GENERATOR_UNET, .unet = *params};
    return cz_generator_each(&generator, visit, user);
}
