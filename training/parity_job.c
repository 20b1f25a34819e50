// SPDX-License-Identifier: LGPL-3.0-or-later
// One graph on one device, filled with numbers that are the same everywhere, and compared.
#include "parity_job.h"

#include <float.h>
#include <math.h>

#include <cz/ops.h>
#include <cz/rng.h>

// ---- numbers ------------------------------------------------------------------------------------

static float *numbers(const char *name, size_t n, float scale, uint64_t seed)
{
    float *data = g_new(float, n);
    CzRng rng = cz_rng(seed, g_str_hash(name));
    for (size_t i = 0; i < n; i++)
        data[i] = scale * (name[0] == 'p' ? 0.5f + cz_rng_uniform(&rng) : cz_rng_normal(&rng));
    return data;
}

double parity_compare(const ParityBound *bound, const float *expected, const float *found, size_t n,
                      char **failure)
{
    size_t worst_at = 0;
    double worst = -1;
    for (size_t i = 0; i < n; i++) {
        double allowed = bound->absolute + bound->relative * fabs((double)expected[i]);
        double ratio = fabs((double)expected[i] - (double)found[i]) / allowed;
        ratio = expected[i] == found[i] ? 0 : isnan(ratio) ? INFINITY : ratio;
        if (ratio > worst) {
            worst = ratio;
            worst_at = i;
        }
    }
    if (worst > 1 && failure)
        *failure =
            g_strdup_printf("%s: [%zu]: expected %.9g, found %.9g, bound %.3g", bound->what,
                            worst_at, (double)expected[worst_at], (double)found[worst_at],
                            bound->absolute + bound->relative * fabs((double)expected[worst_at]));
    return worst;
}

double parity_largest(const float *data, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = MAX(most, fabs((double)data[i]));
    return most;
}

double parity_step(CzDtype dtype)
{
    return dtype == CZ_BF16 ? 1.0 / 128 : dtype == CZ_F16 ? 1.0 / 1024 : (double)FLT_EPSILON;
}

// ---- runs ---------------------------------------------------------------------------------------

void parity_results_clear(ParityResults *results)
{
    g_clear_pointer(&results->data, g_ptr_array_unref);
    g_clear_pointer(&results->counts, g_array_unref);
}

static float *results_add(ParityResults *results, size_t n)
{
    float *data = g_new(float, n);
    g_ptr_array_add(results->data, data);
    g_array_append_val(results->counts, n);
    return data;
}

static bool fill_store(CzStore *store, const ParityJob *job, GError **error)
{
    for (int32_t id = 0; id < cz_graph_n_nodes(job->graph); id++) {
        const CzNode *node = cz_graph_node(job->graph, id);
        if (node->op != CZ_OP_PARAM)
            continue;
        float scale = job->param_scales ? (float)job->param_scales[id] : 1;
        g_autofree float *data = numbers(node->name, cz_shape_count(node->shape), scale, job->seed);
        if (!cz_store_add(store, node->name, node->shape, data, error))
            return false;
    }
    return true;
}

static bool write_inputs(CzPlan *plan, const ParityJob *job, GError **error)
{
    for (int32_t id = 0; id < cz_graph_n_nodes(job->graph); id++) {
        const CzNode *node = cz_graph_node(job->graph, id);
        size_t n = cz_shape_count(node->shape);
        if (node->op != CZ_OP_INPUT)
            continue;
        g_autofree float *data = numbers(node->name, n, 1, job->seed);
        if (!cz_plan_write(plan, (CzValue){id}, data, n, error))
            return false;
    }
    return true;
}

static bool read_results(CzPlan *plan, CzStore *store, const ParityJob *job, ParityResults *results,
                         GError **error)
{
    for (size_t i = 0; i < job->n_outputs; i++) {
        size_t n = cz_shape_count(cz_graph_shape(job->graph, job->outputs[i]));
        if (!cz_plan_read(plan, job->outputs[i], results_add(results, n), n, error))
            return false;
    }
    for (size_t i = 0; i < cz_store_n(store); i++) {
        CzShape shape = cz_shape(1, 1, 1, 1);
        cz_store_has(store, cz_store_name(store, i), &shape);
        float *data = results_add(results, cz_shape_count(shape));
        if (!cz_store_read(store, cz_store_name(store, i), data, error))
            return false;
    }
    return true;
}

bool parity_run(CzEngineDevice *device, const ParityJob *job, ParityResults *results,
                GError **error)
{
    g_autoptr(CzStore) store = cz_store_new(device);
    results->data = g_ptr_array_new_with_free_func(g_free);
    results->counts = g_array_new(FALSE, FALSE, sizeof(size_t));
    g_autoptr(CzPlan) plan = NULL;
    if (fill_store(store, job, error))
        plan = cz_plan_new(device, store, job->graph, job->outputs, job->n_outputs, &job->options,
                           error);
    results->planned = plan != NULL;
    if (plan && write_inputs(plan, job, error) && cz_plan_run(plan, NULL, error) &&
        read_results(plan, store, job, results, error))
        return true;
    g_prefix_error(error, "device %s: ", cz_device_info(device)->id);
    return false;
}

// ---- what was found -----------------------------------------------------------------------------

void train_parity_clear(TrainParity *found)
{
    g_clear_pointer(&found->failures, g_ptr_array_unref);
    *found = (TrainParity){0};
}

unsigned train_parity_n_failed(const TrainParity *found)
{
    return found->failures ? found->failures->len : 0;
}

const char *train_parity_failure(const TrainParity *found)
{
    return found->failures ? found->failures->pdata[0] : NULL;
}

void parity_fail(TrainParity *found, char *sentence)
{
    if (!found->failures)
        found->failures = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(found->failures, sentence);
}

void parity_break(TrainParity *found, const char *what, GError **error)
{
    parity_fail(found, g_strdup_printf("%s: %s", what, (*error)->message));
    found->broken = true;
    g_clear_error(error);
}
