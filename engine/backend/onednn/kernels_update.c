// SPDX-License-Identifier: LGPL-3.0-or-later
// The gate of a training step, and the updates that it guards.

#include "kernels_simd.h"

static void run_step_gate(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                          int n_threads)
{
    float norm = sqrtf(*(const float *)src->data), limit = node->params.gate_limit, gate = 1;
    if (!isfinite(norm))
        gate = 0;
    else if (limit > 0 && norm > limit)
        gate = limit / norm;
    *(float *)dst->data = gate;
}

// What one update needs; ema may be NULL.
typedef struct {
    float *param, *m, *v, *ema;
    const float *grad;
    float gate, rate, c1, c2, ema_decay, decay;
    CzAdamParams p;
} Update;

// kind is a constant where it is inlined: one loop a kind, without branches.
static inline __attribute__((always_inline)) void adam_part(const Update *update, CzAdamKind kind,
                                                            size_t first, size_t last)
{
    const Update u = *update;
    float up1 = 1 - u.p.beta1, up2 = 1 - u.p.beta2, scale1 = 1 / u.c1, scale2 = 1 / u.c2;
#pragma omp simd
    for (size_t i = first; i < last; i++) {
        float g = u.gate * u.grad[i], param = u.param[i];
        if (kind == CZ_ADAM_ADAM)
            g += u.decay * param;
        float m = u.m[i] + up1 * (g - u.m[i]);
        float spread = kind == CZ_ADAM_ADABELIEF ? g - m : g;
        float v = u.v[i] + up2 * (spread * spread - u.v[i]);
        if (kind == CZ_ADAM_ADABELIEF)
            v += u.p.epsilon;
        float step = m * scale1 / (sqrtf(v * scale2) + u.p.epsilon);
        u.m[i] = m;
        u.v[i] = v;
        u.param[i] = param - u.rate * (kind == CZ_ADAM_ADAM ? step : step + u.decay * param);
    }
}

static void update_part(const Update *update, size_t first, size_t last)
{
    if (update->p.kind == CZ_ADAM_ADAM)
        adam_part(update, CZ_ADAM_ADAM, first, last);
    else if (update->p.kind == CZ_ADAM_ADABELIEF)
        adam_part(update, CZ_ADAM_ADABELIEF, first, last);
    else
        adam_part(update, CZ_ADAM_ADAMW, first, last);
}

static void ema_part(float *ema, const float *value, float d, size_t first, size_t last)
{
#pragma omp simd
    for (size_t i = first; i < last; i++)
        ema[i] = d * ema[i] + (1 - d) * value[i];
}

enum { PARAM, GRAD, M, V, RATES, GATE, EMA, MOST_SOURCES };

static void run_adamw(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                      int n_threads)
{
    const float *rates = src[RATES].data;
    float gate = *(const float *)src[GATE].data;
    size_t n = cz_shape_count(src[PARAM].shape);
    int n_parts = part_count(n, n_threads);
    const Update u = {.param = src[PARAM].data,
                      .grad = src[GRAD].data,
                      .m = src[M].data,
                      .v = src[V].data,
                      .ema = node->n_src == MOST_SOURCES ? src[EMA].data : NULL,
                      .gate = gate,
                      .rate = rates[0] * node->params.adam.rate_scale,
                      .c1 = rates[1],
                      .c2 = rates[2],
                      .ema_decay = rates[3],
                      .decay = node->params.adam.decay,
                      .p = node->params.adam};
    *(float *)dst->data = gate;
    if (!(gate > 0))
        return;
    PARALLEL(n_parts)
    for (int part = 0; part < n_parts; part++) {
        size_t last = part_start_grain(n, CHUNK, part + 1, n_parts);
        // In pieces, so that the average finds the parameters in the cache.
        for (size_t i = part_start_grain(n, CHUNK, part, n_parts); i < last; i += CHUNK) {
            size_t end = min_size(i + CHUNK, last);
            update_part(&u, i, end);
            if (u.ema)
                ema_part(u.ema, u.param, u.ema_decay, i, end);
        }
    }
}

// Sources: ema, value, rates, gate.
static void run_ema(const CzNode *node, const CzView *src, CzView *dst, void *scratch,
                    int n_threads)
{
    float gate = *(const float *)src[3].data, d = ((const float *)src[2].data)[3];
    size_t n = cz_shape_count(src[0].shape);
    int n_parts = part_count(n, n_threads);
    *(float *)dst->data = gate;
    if (!(gate > 0))
        return;
    PARALLEL(n_parts)
    for (int part = 0; part < n_parts; part++)
        ema_part(src[0].data, src[1].data, d, part_start_grain(n, CHUNK, part, n_parts),
                 part_start_grain(n, CHUNK, part + 1, n_parts));
}

bool CZ_ISA_NAME(find_update)(const CzNode *node, const CzNode *const *nodes, int n_threads,
                              CzKernel *kernel)
{
    if (node->op == CZ_OP_STEP_GATE)
        *kernel = (CzKernel){.run = run_step_gate, .name = "own step_gate"};
    else if (node->op == CZ_OP_ADAMW)
        *kernel = (CzKernel){.run = run_adamw, .name = "own adamw"};
    else
        *kernel = (CzKernel){.run = run_ema, .name = "own ema"};
    return true;
}
