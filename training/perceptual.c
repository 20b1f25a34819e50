// SPDX-License-Identifier: LGPL-3.0-or-later
// Lab to sRGB in the graph, the encoder's features, and their distance.
#include "perceptual.h"

#include <math.h>
#include <string.h>

#include <cz/encoder.h>
#include <cz/error.h>
#include <cz/memory.h>

#define PREFIX "perceptual."

enum { FIRST_LEVEL = 1, LAST_LEVEL = 3 }; // 1/4, 1/8, 1/16

static const CzShape scalar = {1, 1, 1, 1};

// ---- color --------------------------------------------------------------------------------------

static CzValue channel(CzGraph *graph, CzValue src, int32_t c)
{
    CzShape shape = cz_graph_shape(graph, src);
    shape.c = 1;
    return cz_slice(graph, src, (CzShape){0, c, 0, 0}, shape);
}

// The inverse of CIE's f: t^3 above 6/29, and its tangent below. A number is split at the bend, so
// that no branch is needed: max(t, d)^3 + 3 d^2 (min(t, d) - d).
static CzValue lab_f_inverse(CzGraph *graph, CzValue t)
{
    const float bend = 6.0f / 29;
    CzValue high = cz_clamp(graph, t, bend, INFINITY), low = cz_clamp(graph, t, -INFINITY, bend);
    CzValue cube = cz_mul(graph, high, cz_math(graph, high, CZ_MATH_SQUARE));
    float slope = 3 * bend * bend;
    return cz_add(graph, cube, cz_scale(graph, low, slope, -slope * bend));
}

// sRGB's curve, clipped to 0..1 before: 12.92 v below the bend, 1.055 v^(1/2.4) - 0.055 above.
static CzValue encode(CzGraph *graph, CzValue linear)
{
    const float bend = 0.0031308f;
    CzValue high = cz_clamp(graph, linear, bend, 1), low = cz_clamp(graph, linear, 0, bend);
    CzValue root = cz_math(graph, cz_scale(graph, cz_math(graph, high, CZ_MATH_LOG), 1 / 2.4f, 0),
                           CZ_MATH_EXP);
    return cz_add(graph, cz_scale(graph, root, 1.055f, -0.055f - 12.92f * bend),
                  cz_scale(graph, low, 12.92f, 0));
}

// y + p (x - y) + q (z - y).
static CzValue mix(CzGraph *graph, CzValue y, CzValue u, CzValue w, float p, float q)
{
    return cz_add(graph, cz_add(graph, y, cz_scale(graph, u, p, 0)), cz_scale(graph, w, q, 0));
}

CzValue train_perceptual_rgb(CzGraph *graph, CzValue lightness, CzValue chroma)
{
    // L* = 50 l + 50, a* = 100 a, b* = 100 b.
    CzValue fy = cz_scale(graph, lightness, 50.0f / 116, 66.0f / 116);
    CzValue fx = cz_add(graph, fy, cz_scale(graph, channel(graph, chroma, 0), 0.2f, 0));
    CzValue fz = cz_add(graph, fy, cz_scale(graph, channel(graph, chroma, 1), -0.5f, 0));
    CzValue y = lab_f_inverse(graph, fy);
    CzValue u = cz_sub(graph, lab_f_inverse(graph, fx), y);
    CzValue w = cz_sub(graph, lab_f_inverse(graph, fz), y);
    // XYZ under D50 to linear sRGB, as engine/color has it: Bradford-adapted, written around Y.
    const CzValue rgb[] = {encode(graph, mix(graph, y, u, w, 3.02207770f, -0.404800932f)),
                           encode(graph, mix(graph, y, u, w, -0.943755696f, 0.0275950498f)),
                           encode(graph, mix(graph, y, u, w, 0.0693998614f, 1.15958341f))};
    return cz_concat(graph, rgb, 3);
}

// ---- features -----------------------------------------------------------------------------------

static void see(CzGraph *graph, CzValue lightness, CzValue chroma, CzDtype dtype, CzValue *levels)
{
    CzValue rgb = train_perceptual_rgb(graph, lightness, chroma);
    CzValue input = cz_scale(graph, rgb, 255.0f / 128, -127.0f / 128);
    cz_encoder_build(graph, dtype == CZ_F32 ? input : cz_cast(graph, input, dtype), PREFIX, levels);
}

// Features of each place divided by their length over channels; F32.
static CzValue normalize(CzGraph *graph, CzValue src)
{
    CzShape s = cz_graph_shape(graph, src);
    if (cz_graph_dtype(graph, src) != CZ_F32)
        src = cz_cast(graph, src, CZ_F32);
    CzValue square = cz_sum(graph, cz_math(graph, src, CZ_MATH_SQUARE), cz_shape(s.n, 1, s.h, s.w));
    CzValue length = cz_math(graph, cz_scale(graph, square, 1, 1e-6f), CZ_MATH_SQRT);
    return cz_mul(graph, src, cz_math(graph, length, CZ_MATH_RECIPROCAL));
}

CzValue train_perceptual_build(CzGraph *graph, CzValue lightness, CzValue output, CzValue truth,
                               CzDtype dtype)
{
    CzValue made[CZ_ENCODER_LEVELS], real[CZ_ENCODER_LEVELS],
        sum = cz_constant(graph, scalar, CZ_F32, 0);
    see(graph, lightness, output, dtype, made);
    see(graph, lightness, truth, dtype, real);
    for (int level = FIRST_LEVEL; level <= LAST_LEVEL; level++) {
        CzShape s = cz_graph_shape(graph, made[level]);
        CzValue d = cz_sub(graph, normalize(graph, made[level]), normalize(graph, real[level]));
        float places = (float)s.n * (float)s.h * (float)s.w;
        sum = cz_add(graph, sum, cz_scale(graph, cz_dot(graph, d, d), 1 / places, 0));
    }
    return sum;
}

// ---- the encoder --------------------------------------------------------------------------------

// A tensor of the file in the store's order: (out, in, kh, kw) to (out, kh, kw, in).
static bool load(CzStore *store, const CzModelFile *file, const CzNode *param, GError **error)
{
    CzShape s = param->shape;
    const char *name = param->name + strlen(PREFIX);
    const CzTensor *found = cz_model_file_find(file, name);
    bool bias = s.n == 1 && s.h == 1 && s.w == 1 && found && found->rank == 1;
    const int32_t dims[] = {s.n, s.c, s.h, s.w};
    bool fits = found && (bias ? found->dims[0] == s.c
                               : found->rank == 4 && memcmp(found->dims, dims, sizeof dims) == 0);
    if (!fits) {
        g_autofree char *text = cz_shape_format(s);
        g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL, "%s: tensor '%s': expected %s, found %s",
                    cz_model_file_path(file), name, text, found ? "another shape" : "none");
        return false;
    }
    size_t n = cz_shape_count(s), inner = (size_t)s.h * (size_t)s.w, c = (size_t)s.c;
    float *data = cz_memory_alloc(2 * n * sizeof *data, name, error);
    if (!data)
        return false;
    cz_tensor_to_f32(found, data);
    for (size_t i = 0; i < n; i++)
        data[n + i / (c * inner) * c * inner + i % inner * c + i / inner % c] = data[i];
    bool done = cz_store_add(store, param->name, s, data + n, error);
    cz_memory_free(data);
    return done;
}

// needed[id]: the value depends on it. Levels beyond the last would double what is stored.
static bool *find_needed(const CzGraph *graph, CzValue value)
{
    bool *needed = g_new0(bool, cz_graph_n_nodes(graph));
    needed[value.id] = true;
    for (int32_t id = value.id; id >= 0; id--) {
        const CzNode *node = cz_graph_node(graph, id);
        for (int32_t i = 0; needed[id] && i < node->n_src; i++)
            needed[node->src[i]] = true;
    }
    return needed;
}

bool train_perceptual_start(CzStore *store, const char *encoder_path, GError **error)
{
    // What the formula asks for is what there is; any size will do.
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue chroma = cz_input(graph, "chroma", cz_shape(1, 2, 32, 32));
    CzValue lightness = cz_input(graph, "lightness", cz_shape(1, 1, 32, 32));
    CzValue loss = train_perceptual_build(graph, lightness, chroma, chroma, CZ_F32);
    g_autoptr(CzModelFile) file = NULL;
    if (!cz_graph_check(graph, error))
        return false;
    g_autofree bool *needed = find_needed(graph, loss);
    for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++) {
        const CzNode *node = cz_graph_node(graph, id);
        if (node->op != CZ_OP_PARAM || !needed[id] || cz_store_has(store, node->name, NULL))
            continue;
        if (!file && !(file = cz_model_file_open(encoder_path, error)))
            return false;
        if (!load(store, file, node, error))
            return false;
    }
    return true;
}
