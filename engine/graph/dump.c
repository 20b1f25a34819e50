// SPDX-License-Identifier: LGPL-3.0-or-later
// The graph as text, for bug reports and for eyes.
#include <cz/graph.h>

#include "graph/op.h"

static const char *const activation_names[] = {"none", "relu", "relu6", "leaky", "tanh", "sigmoid"};
static const char *const math_names[] = {"abs",        "sqrt", "exp",   "log",
                                         "reciprocal", "sign", "square"};
static const char *const matmul_names[] = {"nn", "nt", "tn"};
G_STATIC_ASSERT(G_N_ELEMENTS(activation_names) == CZ_ACT_SIGMOID + 1);
G_STATIC_ASSERT(G_N_ELEMENTS(math_names) == CZ_MATH_SQUARE + 1);

// " key=value" unless value is the default.
static void append_int(GString *text, const char *key, int32_t value, int32_t initial)
{
    if (value != initial)
        g_string_append_printf(text, " %s=%d", key, value);
}

static void append_float(GString *text, const char *key, float value)
{
    char buffer[G_ASCII_DTOSTR_BUF_SIZE];
    g_ascii_formatd(buffer, sizeof buffer, "%.9g", (double)value);
    g_string_append_printf(text, " %s=%s", key, buffer);
}

static void append_conv(GString *text, const CzConvParams *conv)
{
    append_int(text, "stride", MAX(conv->stride, 1), 1);
    append_int(text, "dilation", MAX(conv->dilation, 1), 1);
    append_int(text, "groups", MAX(conv->groups, 1), 1);
    if (conv->pad_top || conv->pad_left || conv->pad_bottom || conv->pad_right)
        g_string_append_printf(text, " pad=%d,%d,%d,%d", conv->pad_top, conv->pad_left,
                               conv->pad_bottom, conv->pad_right);
    if (conv->activation != CZ_ACT_NONE)
        g_string_append_printf(text, " activation=%s", activation_names[conv->activation]);
}

static void append_adam(GString *text, const CzAdamParams *adam)
{
    static const char *const kinds[CZ_N_ADAMS] = {"adamw", "adam", "adabelief"};
    g_string_append_printf(text, " kind=%s", kinds[adam->kind]);
    append_float(text, "beta1", adam->beta1);
    append_float(text, "beta2", adam->beta2);
    append_float(text, "epsilon", adam->epsilon);
    append_float(text, "decay", adam->decay);
    append_float(text, "rate_scale", adam->rate_scale);
}

static void append_params(GString *text, const CzNode *node)
{
    const CzParams *params = &node->params;
    switch (node->op) {
    case CZ_OP_CONV2D:
    case CZ_OP_CONV2D_GRAD_SRC:
    case CZ_OP_CONV2D_GRAD_FILTER:
        append_conv(text, &params->conv);
        break;
    case CZ_OP_ACTIVATION:
    case CZ_OP_ACTIVATION_GRAD:
        g_string_append_printf(text, " %s", activation_names[params->activation]);
        break;
    case CZ_OP_MATH:
        g_string_append_printf(text, " %s", math_names[params->math]);
        break;
    case CZ_OP_SCALE:
        append_float(text, "scale", params->linear.scale);
        append_float(text, "shift", params->linear.shift);
        break;
    case CZ_OP_CLAMP:
    case CZ_OP_IN_RANGE:
        append_float(text, "low", params->clamp.low);
        append_float(text, "high", params->clamp.high);
        break;
    case CZ_OP_HUBER:
        append_float(text, "beta", params->huber_beta);
        break;
    case CZ_OP_SLICE:
    case CZ_OP_PAD:
    case CZ_OP_UNPACK:
        g_string_append_printf(text, " offset=%d,%d,%d,%d", params->offset.n, params->offset.c,
                               params->offset.h, params->offset.w);
        break;
    case CZ_OP_MATMUL:
        g_string_append_printf(text, " %s", matmul_names[params->matmul]);
        break;
    case CZ_OP_POOL:
    case CZ_OP_POOL_GRAD:
        append_int(text, "pool", params->pool, 0);
        break;
    case CZ_OP_SOLVE:
        append_float(text, "ridge", params->ridge);
        break;
    case CZ_OP_STEP_GATE:
        append_float(text, "limit", params->gate_limit);
        break;
    case CZ_OP_CONSTANT:
        append_float(text, "value", params->constant);
        break;
    case CZ_OP_DROPOUT_MASK:
        append_float(text, "rate", params->dropout.rate);
        g_string_append_printf(text, " seed=%" G_GUINT64_FORMAT, params->dropout.seed);
        break;
    case CZ_OP_ADAMW:
        append_adam(text, &params->adam);
        break;
    default:
        break;
    }
}

static void append_node(GString *text, const CzNode *node)
{
    g_string_append_printf(text, "%%%d %s(", node->id, node->op_class->name);
    for (int32_t i = 0; i < node->n_src; i++)
        g_string_append_printf(text, "%s%%%d", i ? ", " : "", node->src[i]);
    g_autofree char *shape = cz_shape_format(node->shape);
    g_string_append_printf(text, ") %s %s", shape, cz_dtype_name(node->dtype));
    if (node->name)
        g_string_append_printf(text, " '%s'", node->name);
    append_params(text, node);
    g_string_append_c(text, '\n');
}

char *cz_graph_dump(const CzGraph *graph)
{
    GString *text = g_string_new(NULL);
    for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++)
        append_node(text, cz_graph_node(graph, id));
    g_autoptr(GError) error = NULL;
    if (!cz_graph_check(graph, &error))
        g_string_append_printf(text, "failed: %s\n", error->message);
    return g_string_free(text, FALSE);
}
