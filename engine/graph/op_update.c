// SPDX-License-Identifier: LGPL-3.0-or-later
// The end of a training step: the gate, and the effects that write into the store.
//
// Effects wait for their gate, and the gate for every gradient: so a step that is not finite
// touches nothing.
#include <math.h>

#include "graph/op.h"

static const CzShape scalar = {1, 1, 1, 1};
static const CzShape rates_shape = {1, 4, 1, 1};

// ---- step_gate ----------------------------------------------------------------------------------

static bool infer_step_gate(CzNode *node, const CzNode *const *src, GError **error)
{
    if (!(node->params.gate_limit >= 0.0f))
        return cz_op_error(error, "expected a limit of 0 or more, found %g",
                           (double)node->params.gate_limit);
    node->shape = scalar;
    node->dtype = CZ_F32;
    return cz_op_expect_shape(src[0], 0, scalar, error) &&
           cz_op_expect_dtype(src[0], 0, CZ_F32, error);
}

static void reference_step_gate(const CzNode *node, const CzView *src, CzView *dst)
{
    float limit = node->params.gate_limit, norm = sqrtf(op_load(src, 0));
    float gate = 1.0f;
    if (!isfinite(norm))
        gate = 0.0f;
    else if (limit > 0.0f && norm > limit)
        gate = limit / norm;
    op_store(dst, 0, gate);
}

CzValue cz_step_gate(CzGraph *graph, CzValue norm_squared, float limit)
{
    CzParams params = {.gate_limit = limit};
    return cz_graph_append(graph, CZ_OP_STEP_GATE, &norm_squared, 1, &params, scalar, CZ_F32, NULL);
}

static bool example_step_gate(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    const float limits[] = {0.0f, 0.5f, 2.0f};
    if (index >= G_N_ELEMENTS(limits) || dtype != CZ_F32)
        return false;
    *dst = cz_step_gate(graph, cz_input(graph, "p", scalar), limits[index]);
    return true;
}

const CzOpClass cz_op_step_gate = {.op = CZ_OP_STEP_GATE,
                                   .name = "step_gate",
                                   .min_src = 1,
                                   .max_src = 1,
                                   .infer = infer_step_gate,
                                   .reference = reference_step_gate,
                                   .example = example_step_gate};

// ---- effects ------------------------------------------------------------------------------------

// Source `index` is F32 and of this shape; if it is written, it is a PARAM.
static bool check_source(const CzNode *const *src, int index, CzShape shape, bool written,
                         GError **error)
{
    if (written && src[index]->op != CZ_OP_PARAM)
        return cz_op_error(error, "source %d: expected a param, found %s", index,
                           src[index]->op_class->name);
    return cz_op_expect_shape(src[index], index, shape, error) &&
           cz_op_expect_dtype(src[index], index, CZ_F32, error);
}

enum { ADAMW_PARAM, ADAMW_GRAD, ADAMW_M, ADAMW_V, ADAMW_RATES, ADAMW_GATE, ADAMW_EMA, ADAMW_N };
enum { RATE, CORRECTION1, CORRECTION2, EMA_DECAY };

static bool infer_adamw(CzNode *node, const CzNode *const *src, GError **error)
{
    CzShape shape = src[ADAMW_PARAM]->shape;
    node->shape = scalar;
    node->dtype = CZ_F32;
    if ((unsigned)node->params.adam.kind >= CZ_N_ADAMS)
        return cz_op_error(error, "there is no Adam of kind %d", (int)node->params.adam.kind);
    return check_source(src, ADAMW_PARAM, shape, true, error) &&
           check_source(src, ADAMW_GRAD, shape, false, error) &&
           check_source(src, ADAMW_M, shape, true, error) &&
           check_source(src, ADAMW_V, shape, true, error) &&
           check_source(src, ADAMW_RATES, rates_shape, false, error) &&
           check_source(src, ADAMW_GATE, scalar, false, error) &&
           (node->n_src == ADAMW_EMA || check_source(src, ADAMW_EMA, shape, true, error));
}

static void reference_adamw(const CzNode *node, const CzView *src, CzView *dst)
{
    const CzAdamParams *adam = &node->params.adam;
    float gate = op_load(&src[ADAMW_GATE], 0);
    const float *rates = src[ADAMW_RATES].data, *grad = src[ADAMW_GRAD].data;
    float *param = src[ADAMW_PARAM].data, *m = src[ADAMW_M].data, *v = src[ADAMW_V].data;
    float *ema = node->n_src == ADAMW_EMA ? NULL : src[ADAMW_EMA].data;
    float rate = rates[RATE] * adam->rate_scale, d = rates[EMA_DECAY];
    bool coupled = adam->kind == CZ_ADAM_ADAM, belief = adam->kind == CZ_ADAM_ADABELIEF;
    float l2 = coupled ? adam->decay : 0.0f, decay = coupled ? 0.0f : adam->decay;
    op_store(dst, 0, gate);
    if (!(gate > 0.0f))
        return;

    size_t n = cz_shape_count(src[ADAMW_PARAM].shape);
#pragma omp parallel for if (n > 65536)
    for (size_t i = 0; i < n; i++) {
        float g = gate * grad[i] + l2 * param[i];
        m[i] += (1.0f - adam->beta1) * (g - m[i]);
        float spread = belief ? g - m[i] : g;
        v[i] += (1.0f - adam->beta2) * (spread * spread - v[i]);
        if (belief)
            v[i] += adam->epsilon;
        float step = m[i] / rates[CORRECTION1] / (sqrtf(v[i] / rates[CORRECTION2]) + adam->epsilon);
        param[i] -= rate * (step + decay * param[i]);
        if (ema)
            ema[i] = d * ema[i] + (1.0f - d) * param[i];
    }
}

CzValue cz_adamw(CzGraph *graph, CzValue param, CzValue grad, CzValue m, CzValue v, CzValue ema,
                 CzValue rates, CzValue gate, CzAdamParams adam)
{
    CzParams params = {.adam = adam};
    CzValue src[ADAMW_N] = {param, grad, m, v, rates, gate, ema};
    int32_t n_src = ema.id == CZ_NONE.id ? ADAMW_EMA : ADAMW_N;
    return cz_graph_append(graph, CZ_OP_ADAMW, src, n_src, &params, scalar, CZ_F32, NULL);
}

static bool example_adamw(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    static const CzAdamKind kinds[] = {CZ_ADAM_ADAMW, CZ_ADAM_ADAMW, CZ_ADAM_ADAM,
                                       CZ_ADAM_ADABELIEF};
    if (index >= G_N_ELEMENTS(kinds))
        return false;
    CzShape shape = {5, 3, 2, 2};
    // AdaBelief's epsilon also goes into v: large enough to be seen there.
    float epsilon = kinds[index] == CZ_ADAM_ADABELIEF ? 1e-3f : 1e-8f;
    CzAdamParams adam = {0.9f,        0.99f, epsilon, index ? 1e-2f : 0.0f, index ? 0.15f : 1.0f,
                         kinds[index]};
    *dst =
        cz_adamw(graph, cz_param(graph, "x_param", shape), cz_input(graph, "x_grad", shape),
                 cz_param(graph, "x_m", shape), cz_param(graph, "p_v", shape),
                 index ? cz_param(graph, "x_ema", shape) : CZ_NONE,
                 cz_input(graph, "p_rates", rates_shape), cz_input(graph, "p_gate", scalar), adam);
    return dtype == CZ_F32;
}

const CzOpClass cz_op_adamw = {.op = CZ_OP_ADAMW,
                               .name = "adamw",
                               .min_src = ADAMW_EMA,
                               .max_src = ADAMW_N,
                               .effect = true,
                               .infer = infer_adamw,
                               .reference = reference_adamw,
                               .example = example_adamw};

enum { AVERAGE_EMA, AVERAGE_VALUE, AVERAGE_RATES, AVERAGE_GATE, AVERAGE_N };

static bool infer_ema(CzNode *node, const CzNode *const *src, GError **error)
{
    CzShape shape = src[AVERAGE_EMA]->shape;
    node->shape = scalar;
    node->dtype = CZ_F32;
    return check_source(src, AVERAGE_EMA, shape, true, error) &&
           check_source(src, AVERAGE_VALUE, shape, false, error) &&
           check_source(src, AVERAGE_RATES, rates_shape, false, error) &&
           check_source(src, AVERAGE_GATE, scalar, false, error);
}

static void reference_ema(const CzNode *node, const CzView *src, CzView *dst)
{
    float gate = op_load(&src[AVERAGE_GATE], 0);
    float d = op_load(&src[AVERAGE_RATES], EMA_DECAY);
    float *ema = src[AVERAGE_EMA].data;
    const float *value = src[AVERAGE_VALUE].data;
    op_store(dst, 0, gate);
    if (!(gate > 0.0f))
        return;
    size_t n = cz_shape_count(src[AVERAGE_EMA].shape);
    for (size_t i = 0; i < n; i++)
        ema[i] = d * ema[i] + (1.0f - d) * value[i];
}

CzValue cz_ema(CzGraph *graph, CzValue ema, CzValue value, CzValue rates, CzValue gate)
{
    CzValue src[AVERAGE_N] = {ema, value, rates, gate};
    return cz_graph_append(graph, CZ_OP_EMA, src, AVERAGE_N, NULL, scalar, CZ_F32, NULL);
}

static bool example_ema(unsigned index, CzDtype dtype, CzGraph *graph, CzValue *dst)
{
    CzShape shape = {1, 17, 1, 1};
    *dst = cz_ema(graph, cz_param(graph, "x_ema", shape), cz_input(graph, "x_value", shape),
                  cz_input(graph, "p_rates", rates_shape), cz_input(graph, "p_gate", scalar));
    return index == 0 && dtype == CZ_F32;
}

const CzOpClass cz_op_ema = {.op = CZ_OP_EMA,
                             .name = "ema",
                             .min_src = AVERAGE_N,
                             .max_src = AVERAGE_N,
                             .effect = true,
                             .infer = infer_ema,
                             .reference = reference_ema,
                             .example = example_ema};
