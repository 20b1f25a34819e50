// SPDX-License-Identifier: LGPL-3.0-or-later
// Gradients, gate and updates.
#include "optimizer.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include <cz/memory.h>

#include "outliers.h"

static const CzShape scalar = {1, 1, 1, 1};

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

bool train_optimizer_of(const char *name, CzAdamKind *kind)
{
    static const char *const names[CZ_N_ADAMS] = {"adamw", "adam", "adabelief"};
    for (int i = 0; i < CZ_N_ADAMS; i++)
        if (strcmp(name, names[i]) == 0) {
            *kind = (CzAdamKind)i;
            return true;
        }
    return false;
}

// ---- nodes --------------------------------------------------------------------------------------

static bool skips(const TrainOptimizerParams *params)
{
    return params->skip_z > 0;
}

static bool accumulates(const TrainOptimizerParams *params)
{
    return params->accumulate > 1;
}

void train_optimizer_init(TrainOptimizer *optimizer, CzGraph *graph,
                          const TrainOptimizerParams *params)
{
    *optimizer = (TrainOptimizer){.graph = graph, .params = *params};
    optimizer->weights = g_array_new(FALSE, FALSE, sizeof(Weight));
    g_array_set_clear_func(optimizer->weights, weight_clear);
    optimizer->effects = g_array_new(FALSE, FALSE, sizeof(CzValue));
    optimizer->rates = cz_input(graph, "rates", cz_shape(1, 4, 1, 1));
    if (skips(params))
        optimizer->limits = cz_input(graph, "limits", cz_shape(1, 2, 1, 1));
    if (accumulates(params))
        optimizer->parts = cz_input(graph, "parts", cz_shape(1, 3, 1, 1));
}

void train_optimizer_clear(TrainOptimizer *optimizer)
{
    g_clear_pointer(&optimizer->weights, g_array_unref);
    g_clear_pointer(&optimizer->effects, g_array_unref);
    g_clear_pointer(&optimizer->numbers, g_free);
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

static CzValue param(CzGraph *graph, const char *prefix, const char *name, CzShape shape)
{
    g_autofree char *full = g_strconcat(prefix, name, NULL);
    return cz_param(graph, full, shape);
}

static char *loss_name(const TrainOptimizerParams *params)
{
    return g_strconcat(params->name, ".loss", NULL);
}

static CzValue part(const TrainOptimizer *optimizer, int32_t index)
{
    return cz_slice(optimizer->graph, optimizer->parts, cz_shape(0, index, 0, 0), scalar);
}

// The mean over the step's runs so far, this one included.
static CzValue mean(const TrainOptimizer *optimizer, const char *name, CzValue value)
{
    CzGraph *graph = optimizer->graph;
    CzValue so_far = param(graph, TRAIN_MEAN, name, cz_graph_shape(graph, value));
    return cz_add(graph, cz_mul(graph, so_far, part(optimizer, 0)),
                  cz_mul(graph, value, part(optimizer, 1)));
}

// Replaces loss and gradients by their means.
static void build_means(TrainOptimizer *optimizer)
{
    g_autofree char *name = loss_name(&optimizer->params);
    optimizer->loss = mean(optimizer, name, optimizer->loss);
    for (guint i = 0; i < optimizer->weights->len; i++) {
        Weight *weight = weight_at(optimizer, i);
        weight->grad = mean(optimizer, weight->name, weight->grad);
    }
}

static void keep(TrainOptimizer *optimizer, const char *name, CzValue value)
{
    CzGraph *graph = optimizer->graph;
    CzValue so_far = param(graph, TRAIN_MEAN, name, cz_graph_shape(graph, value));
    // An average with decay 0: the value itself.
    CzValue replace = cz_constant(graph, cz_shape(1, 4, 1, 1), CZ_F32, 0);
    CzValue effect = cz_ema(graph, so_far, value, replace, optimizer->sound);
    g_array_append_val(optimizer->effects, effect);
}

// The means go back into the store; only the step's last run opens the gate.
static void keep_means(TrainOptimizer *optimizer, CzValue norm_squared)
{
    CzGraph *graph = optimizer->graph;
    g_autofree char *name = loss_name(&optimizer->params);
    optimizer->sound = cz_step_gate(graph, norm_squared, 0);
    g_array_append_val(optimizer->effects, optimizer->sound);
    keep(optimizer, name, optimizer->loss);
    for (guint i = 0; i < optimizer->weights->len; i++) {
        const Weight *weight = weight_at(optimizer, i);
        keep(optimizer, weight->name, weight->grad);
    }
    optimizer->gate = cz_mul(graph, optimizer->gate, part(optimizer, 2));
}

// 1 as long as value is not above the limit.
static CzValue in_line(const TrainOptimizer *optimizer, CzValue value, int32_t limit)
{
    CzGraph *graph = optimizer->graph;
    CzValue most = cz_slice(graph, optimizer->limits, cz_shape(0, limit, 0, 0), scalar);
    return cz_in_range(graph, cz_sub(graph, most, value), -FLT_MIN, INFINITY);
}

void train_optimizer_gradients(TrainOptimizer *optimizer, CzValue loss)
{
    CzGraph *graph = optimizer->graph;
    guint n = optimizer->weights->len;
    g_autofree CzValue *wrt = g_new(CzValue, n), *grads = g_new(CzValue, n + 1);
    for (guint i = 0; i < n; i++) {
        Weight *weight = weight_at(optimizer, i);
        weight->value = wrt[i] = cz_param(graph, weight->name, weight->shape);
    }
    cz_graph_gradient(graph, loss, wrt, n, grads);
    grads[n] = loss; // goes with the last message
    cz_rank_means(graph, grads, n + 1);
    for (guint i = 0; i < n; i++)
        weight_at(optimizer, i)->grad = grads[i];
    optimizer->loss = grads[n];
    if (accumulates(&optimizer->params))
        build_means(optimizer);
    // Nothing as long as the loss is finite; Huber's and L1's gradients are, even when it is not.
    g_autofree CzValue *squares = g_new(CzValue, n + 1);
    for (guint i = 0; i < n; i++) {
        CzValue grad = weight_at(optimizer, i)->grad;
        squares[i] = cz_dot(graph, grad, grad);
    }
    squares[n] = cz_scale(graph, optimizer->loss, 0, 0);
    CzValue total = cz_sum(graph, cz_pack(graph, squares, (int32_t)n + 1), cz_shape(1, 1, 1, 1));
    optimizer->norm = cz_math(graph, total, CZ_MATH_SQRT);
    optimizer->gate = cz_step_gate(graph, total, (float)optimizer->params.clip);
    if (skips(&optimizer->params)) {
        optimizer->gate = cz_mul(graph, optimizer->gate, in_line(optimizer, optimizer->loss, 0));
        optimizer->gate = cz_mul(graph, optimizer->gate, in_line(optimizer, optimizer->norm, 1));
    }
    if (accumulates(&optimizer->params))
        keep_means(optimizer, total);
}

static CzValue update(const TrainOptimizer *optimizer, const Weight *weight)
{
    CzGraph *graph = optimizer->graph;
    const TrainOptimizerParams *params = &optimizer->params;
    const CzAdamParams adam = {.beta1 = (float)params->beta1,
                               .beta2 = (float)params->beta2,
                               .epsilon = (float)params->epsilon,
                               .decay = (float)weight->decay,
                               .rate_scale = (float)weight->rate_scale,
                               .kind = params->kind};
    CzValue m = param(graph, TRAIN_M, weight->name, weight->shape);
    CzValue v = param(graph, TRAIN_V, weight->name, weight->shape);
    CzValue ema = params->average ? param(graph, TRAIN_EMA, weight->name, weight->shape) : CZ_NONE;
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

enum { REPORT_LOSS, REPORT_NORM, REPORT_GATE, REPORT_SOUND, N_OWN_NUMBERS };

void train_optimizer_report(TrainOptimizer *optimizer, const CzValue *values, size_t n)
{
    g_autofree CzValue *all = g_new(CzValue, N_OWN_NUMBERS + n);
    all[REPORT_LOSS] = optimizer->loss;
    all[REPORT_NORM] = optimizer->norm;
    all[REPORT_GATE] = optimizer->gate;
    all[REPORT_SOUND] =
        accumulates(&optimizer->params) ? optimizer->sound : optimizer->gate; // not read then
    for (size_t i = 0; i < n; i++)
        all[N_OWN_NUMBERS + i] = values[i];
    optimizer->n_numbers = N_OWN_NUMBERS + n;
    optimizer->numbers = g_new0(float, optimizer->n_numbers);
    optimizer->report = cz_pack(optimizer->graph, all, (int32_t)optimizer->n_numbers);
}

// ---- runs ---------------------------------------------------------------------------------------

static bool write_limits(const TrainOptimizer *optimizer, CzPlan *plan, CzStore *store, bool fresh,
                         GError **error)
{
    TrainOutliers outliers;
    float limits[2];
    if (!train_outliers_read(&outliers, store, error))
        return false;
    if (fresh)
        train_outliers_clear(&outliers);
    if (fresh && !train_outliers_write(&outliers, store, error))
        return false;
    train_outliers_limits(&outliers, optimizer->params.skip_z, limits);
    if (optimizer->run + 1 < optimizer->params.accumulate)
        limits[0] = limits[1] = FLT_MAX; // the step is judged as a whole
    return cz_plan_write(plan, optimizer->limits, limits, 2, error);
}

bool train_optimizer_before(TrainOptimizer *optimizer, CzPlan *plan, CzStore *store,
                            const TrainMoment *moment, GError **error)
{
    const TrainOptimizerParams *params = &optimizer->params;
    double t = (double)moment->index + 1;
    const float rates[4] = {(float)moment->rate, (float)(1 - pow(params->beta1, t)),
                            (float)(1 - pow(params->beta2, t)), (float)moment->ema};
    float share = 1 / (float)(optimizer->run + 1);
    bool last = optimizer->run + 1 >= params->accumulate;
    if (optimizer->run == 0)
        optimizer->broken = false;
    const float parts[3] = {(float)optimizer->run * share, share, last && !optimizer->broken};
    return cz_plan_write(plan, optimizer->rates, rates, 4, error) &&
           (!skips(params) ||
            write_limits(optimizer, plan, store, moment->fresh && optimizer->run == 0, error)) &&
           (!accumulates(params) || cz_plan_write(plan, optimizer->parts, parts, 3, error));
}

static bool note_limits(const TrainOptimizer *optimizer, CzStore *store, TrainUpdate *found,
                        GError **error)
{
    TrainOutliers outliers;
    float limits[2];
    if (!train_outliers_read(&outliers, store, error))
        return false;
    train_outliers_limits(&outliers, optimizer->params.skip_z, limits);
    found->outlier = found->loss > limits[0] || found->norm > limits[1];
    outliers.n_found += found->outlier;
    found->n_outliers = (int64_t)outliers.n_found;
    train_outliers_add(&outliers, found->loss, found->norm);
    return train_outliers_write(&outliers, store, error);
}

bool train_optimizer_after(TrainOptimizer *optimizer, CzPlan *plan, CzStore *store,
                           TrainUpdate *found, GError **error)
{
    const TrainOptimizerParams *params = &optimizer->params;
    const float *numbers = optimizer->numbers;
    if (!cz_plan_read(plan, optimizer->report, optimizer->numbers, optimizer->n_numbers, error))
        return false;
    *found = (TrainUpdate){
        .loss = numbers[REPORT_LOSS], .norm = numbers[REPORT_NORM], .gate = numbers[REPORT_GATE]};
    optimizer->broken |= accumulates(params) && !(numbers[REPORT_SOUND] > 0);
    optimizer->last_run = optimizer->run;
    bool last = ++optimizer->run >= params->accumulate;
    if (last && optimizer->broken) // one run of several; what was kept is without it
        found->loss = found->norm = NAN;
    if (last)
        optimizer->run = 0;
    return !last || !skips(params) || note_limits(optimizer, store, found, error);
}

void train_optimizer_read(const TrainOptimizer *optimizer, size_t index, float *mean)
{
    float value = optimizer->numbers[N_OWN_NUMBERS + index];
    if (optimizer->last_run == 0)
        *mean = value;
    else
        *mean += (value - *mean) / (float)(optimizer->last_run + 1);
}

// ---- the store ----------------------------------------------------------------------------------

// Zeros, unless it is there.
static bool add_missing(CzStore *store, const char *name, CzShape shape, GError **error)
{
    g_autofree char *full = g_strconcat(TRAIN_MEAN, name, NULL);
    return cz_store_has(store, full, NULL) || cz_store_add(store, full, shape, NULL, error);
}

bool train_optimizer_prepare(const TrainOptimizer *optimizer, CzStore *store, GError **error)
{
    const TrainOptimizerParams *params = &optimizer->params;
    g_autofree char *name = loss_name(params);
    bool done = !skips(params) || cz_store_has(store, TRAIN_OUTLIERS, NULL) ||
                train_outliers_start(store, error);
    if (!done || !accumulates(params))
        return done;
    for (guint i = 0; done && i < optimizer->weights->len; i++) {
        const Weight *weight = weight_at(optimizer, i);
        done = add_missing(store, weight->name, weight->shape, error);
    }
    return done && add_missing(store, name, scalar, error);
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
