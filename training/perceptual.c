// SPDX-License-Identifier: LGPL-3.0-or-later
// Lab to sRGB in the graph, the encoder's features, and their distance.
#include "perceptual.h"

#include <math.h>

#include <cz/encoder.h>

#define PREFIX "perceptual."

enum { FIRST_LEVEL = 1, N_LEVELS = 4 }; // 1/4, 1/8, 1/16

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
    CzValue input = cz_scale(graph, rgb, CZ_ENCODER_SCALE, CZ_ENCODER_SHIFT);
    cz_encoder_build(graph, dtype == CZ_F32 ? input : cz_cast(graph, input, dtype), PREFIX, levels,
                     N_LEVELS);
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
    CzValue made[N_LEVELS], real[N_LEVELS], sum = cz_constant(graph, scalar, CZ_F32, 0);
    see(graph, lightness, output, dtype, made);
    see(graph, lightness, truth, dtype, real);
    for (int level = FIRST_LEVEL; level < N_LEVELS; level++) {
        CzShape s = cz_graph_shape(graph, made[level]);
        CzValue d = cz_sub(graph, normalize(graph, made[level]), normalize(graph, real[level]));
        float places = (float)s.n * (float)s.h * (float)s.w;
        sum = cz_add(graph, sum, cz_scale(graph, cz_dot(graph, d, d), 1 / places, 0));
    }
    return sum;
}

// ---- the encoder --------------------------------------------------------------------------------

// A run that goes on has it in its checkpoint, and a run that begins anew in its store.
bool train_perceptual_start(CzStore *store, const char *encoder_path, GError **error)
{
    return cz_store_has(store, PREFIX "stem.weight", NULL) ||
           cz_encoder_load(store, encoder_path, PREFIX, N_LEVELS, error);
}
