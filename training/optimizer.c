// SPDX-License-Identifier: LGPL-3.0-or-later
// Gradients, gate and updates.
#include "optimizer.h"

#include <math.h>

#include <cz/memory.h>

typedef struct {
    char *name;
    CzShape shape;
    double rate_scale, decay;
    CzValue value, grad;
} Weight;

static void weight_clear(gpointer weight)
{
    g_free(((Weight *)weight)->name);
}

void train_optimizer_init(TrainOptimizer *optimizer, CzGraph *graph,
                          const TrainOptimizerParams *params)
{
    *optimizer = (TrainOptimizer){.graph = graph, .params = *params};
    optimizer->weights = g_array_new(FALSE, FALSE, sizeof(Weight));
    g_array_set_clear_func(optimizer->weights, weight_clear);
    optimizer->effects = g_array_new(FALSE, FALSE, sizeof(CzValue));
    optimizer->rates = cz_input(graph, "rates", cz_shape(1, 4, 1, 1));
}

void train_optimizer_clear(TrainOptimizer *optimizer)
{
    g_clear_pointer(&optimizer->weights, g_array_unref);
    g_clear_pointer(&optimizer->effects, g_array_unref);
}

void train_optimizer_add(TrainOptimizer *optimizer, const char *name, CzShape shape,
                         double rate_scale, double decay)
{
    Weight weight = {
        .name = g_strdup(name), .shape = shape, .rate_scale = rate_scale, .decay = decay};
    g_array_append_val(optimizer->weights, weight);
}

static Weight *weight_at(const TrainOptimizer *optimizer, guint index)
{
    return &g_array_index(optimizer->weights, Weight, index);
}

void train_optimizer_gradients(TrainOptimizer *optimizer, CzValue loss)
{
    CzGraph *graph = optimizer->graph;
    guint n = optimizer->weights->len;
    g_autofree CzValue *wrt = g_new(CzValue, n), *grads = g_new(CzValue, n);
    for (guint i = 0; i < n; i++) {
        Weight *weight = weight_at(optimizer, i);
        weight->value = wrt[i] = cz_param(graph, weight->name, weight->shape);
    }
    cz_graph_gradient(graph, loss, wrt, n, grads);
    // Nothing as long as the loss is finite; Huber's and L1's gradients are, even when it is not.
    CzValue total = cz_scale(graph, loss, 0, 0);
    for (guint i = 0; i < n; i++) {
        weight_at(optimizer, i)->grad = grads[i];
        total = cz_add(graph, total, cz_dot(graph, grads[i], grads[i]));
    }
    optimizer->norm = cz_math(graph, total, CZ_MATH_SQRT);
    optimizer->gate = cz_step_gate(graph, total, (float)optimizer->params.clip);
}

static CzValue state(CzGraph *graph, const char *prefix, const Weight *weight)
{
    g_autofree char *name = g_strconcat(prefix, weight->name, NULL);
    return cz_param(graph, name, weight->shape);
}

static CzValue update(const TrainOptimizer *optimizer, const Weight *weight)
{
    CzGraph *graph = optimizer->graph;
    const TrainOptimizerParams *params = &optimizer->params;
    const CzAdamParams adam = {.beta1 = (float)params->beta1,
                               .beta2 = (float)params->beta2,
                               .epsilon = (float)params->epsilon,
                               .decay = (float)weight->decay,
                               .rate_scale = (float)weight->rate_scale};
    CzValue m = state(graph, TRAIN_M, weight), v = state(graph, TRAIN_V, weight);
    CzValue ema = params->average ? state(graph, TRAIN_EMA, weight) : CZ_NONE;
    return cz_adamw(graph, weight->value, weight->grad, m, v, ema, optimizer->rates,
                    optimizer->gate, adam);
}

void train_optimizer_updates(TrainOptimizer *optimizer)
{
    for (guint i = 0; i < optimizer->weights->len; i++) {
        CzValue effect = update(optimizer, weight_at(optimizer, i));
        g_array_append_val(optimizer->effects, effect);
    }
}

void train_optimizer_rates(const TrainOptimizer *optimizer, double rate, double ema, int64_t index,
                           float rates[4])
{
    double t = (double)index + 1;
    rates[0] = (float)rate;
    rates[1] = (float)(1 - pow(optimizer->params.beta1, t));
    rates[2] = (float)(1 - pow(optimizer->params.beta2, t));
    rates[3] = (float)ema;
}

static bool start(CzStore *store, const char *prefix, const char *name, CzShape shape,
                  const float *data, GError **error)
{
    g_autofree char *full = g_strconcat(prefix, name, NULL);
    return cz_store_add(store, full, shape, data, error);
}

bool train_optimizer_start(CzStore *store, const char *name, CzShape shape, bool average,
                           GError **error)
{
    if (!start(store, TRAIN_M, name, shape, NULL, error) ||
        !start(store, TRAIN_V, name, shape, NULL, error))
        return false;
    if (!average)
        return true;
    float *data = cz_memory_alloc(cz_shape_count(shape) * sizeof *data, name, error);
    bool done = data && cz_store_read(store, name, data, error) &&
                start(store, TRAIN_EMA, name, shape, data, error);
    cz_memory_free(data);
    return done;
}
