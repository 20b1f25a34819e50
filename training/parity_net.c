// SPDX-License-Identifier: LGPL-3.0-or-later
// A small network and its gradients on one device against another.
#include "parity.h"

#include <float.h>
#include <math.h>

#include <cz/ops.h>
#include <cz/unet.h>

#include "parity_job.h"

// He et al. 2015: keeps the size of activations from layer to layer. Biases small.
static double *start_scales(const CzGraph *graph)
{
    double *scales = g_new0(double, cz_graph_n_nodes(graph));
    for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++) {
        CzShape s = cz_graph_node(graph, id)->shape;
        scales[id] = s.n == 1 && s.h == 1 ? 0.1 : sqrt(2.0 / ((double)s.c * s.h * s.w));
    }
    return scales;
}

// The small network on one odd-sized picture, and what a training asks of it.
typedef struct {
    CzGraph *graph;
    GArray *outputs; // CzValue
} Network;

static void network_clear(Network *net)
{
    g_array_unref(net->outputs);
    cz_graph_free(net->graph);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Network, network_clear)

static Network make_network(CzDtype dtype, bool gradients)
{
    const CzUnetParams params = {.n_inputs = 1, .widths = {24, 16, 16, 8}, .context = 1};
    Network net = {cz_graph_new(), g_array_new(FALSE, FALSE, sizeof(CzValue))};
    CzValue x = cz_input(net.graph, "x", cz_shape(2, 1, 38, 45));
    CzUnetOutput out = cz_unet_build(net.graph, x, &params, dtype);
    if (!gradients) {
        g_array_append_val(net.outputs, out.chroma);
        g_array_append_val(net.outputs, out.features);
        return net;
    }
    CzValue truth = cz_input(net.graph, "x truth", cz_graph_shape(net.graph, out.chroma));
    CzValue loss = cz_sub(net.graph, out.chroma, truth);
    loss = cz_mean(net.graph, cz_huber(net.graph, loss, 0.1f), cz_shape(1, 1, 1, 1));
    g_array_append_val(net.outputs, loss);
    g_autoptr(GArray) wrt = g_array_new(FALSE, FALSE, sizeof(CzValue));
    for (int32_t id = 0; id < cz_graph_n_nodes(net.graph); id++)
        if (cz_graph_node(net.graph, id)->op == CZ_OP_PARAM)
            g_array_append_val(wrt, id);
    g_autofree CzValue *grads = g_new(CzValue, wrt->len);
    if (cz_graph_gradient(net.graph, loss, (const CzValue *)wrt->data, wrt->len, grads))
        g_array_append_vals(net.outputs, grads, wrt->len);
    return net;
}

typedef struct {
    CzDtype dtype;
    bool gradients, frozen;
    uint64_t seed;
} Case;

static bool run_case(CzEngineDevice *device, Case c, ParityResults *results, GError **error)
{
    g_auto(Network) net = make_network(c.dtype, c.gradients);
    g_autofree double *scales = start_scales(net.graph);
    const ParityJob job = {net.graph,        (const CzValue *)net.outputs->data,
                           net.outputs->len, {.frozen = c.frozen},
                           scales,           c.seed};
    return cz_graph_check(net.graph, error) && parity_run(device, &job, results, error);
}

// Relative to each tensor's largest number. Errors grow from layer to layer (about 60 of them), so
// these bounds are steps of the type times a factor, not a formula.
static double bound_of(CzDtype dtype)
{
    return dtype == CZ_F32 ? 200 * (double)FLT_EPSILON : 16 * parity_step(dtype);
}

static size_t n_outputs(Case c, const ParityResults *results)
{
    return c.gradients ? results->data->len / 2 + 1 : 2; // the store's own tensors come after
}

// The worst difference over bound, of the outputs; the first that is beyond it has a sentence.
// Infinite with *error: something did not run.
static double compare_case(const TrainPair *pair, Case c, char **failure, GError **error)
{
    g_auto(ParityResults) expected = {0}, got = {0};
    double worst = 0;
    Case right = c;
    right.frozen = false;
    if (!run_case(pair->right, right, &expected, error) || !run_case(pair->device, c, &got, error))
        return INFINITY;
    for (guint i = 0; i < n_outputs(c, &expected); i++) {
        g_autofree char *what =
            g_strdup_printf("%s on %s, %s, output %u", c.gradients ? "gradients" : "network",
                            cz_device_info(pair->device)->id, cz_dtype_name(c.dtype), i);
        size_t n = parity_count(&expected, i);
        double size = parity_largest(expected.data->pdata[i], n);
        const ParityBound bound = {what, bound_of(c.dtype) * size + (double)FLT_MIN, 0};
        double ratio = parity_compare(&bound, expected.data->pdata[i], got.data->pdata[i], n,
                                      *failure ? NULL : failure);
        worst = MAX(worst, ratio);
        if (size > 0)
            continue;
        g_free(*failure);
        *failure = g_strdup_printf("%s: all zero", what);
        return INFINITY;
    }
    return worst;
}

void train_parity_network(const TrainPair *pair, CzDtype dtype, bool frozen, TrainParity *found)
{
    const Case c = {dtype, false, frozen, 1 + frozen};
    g_autoptr(GError) error = NULL;
    char *failure = NULL;
    found->n++;
    found->worst = MAX(found->worst, compare_case(pair, c, &failure, &error));
    if (error)
        parity_break(found, "network", &error);
    else if (failure)
        parity_fail(found, failure);
}

// Of this network's 550,000 activations one may lie so near to a ReLU's kink that rounding decides
// on which side, and then all gradients before it differ by a little (measured: with two of six
// sets of numbers, each by one activation of 2e-6 or less). A fault in a gradient shows with all
// numbers. So three sets of ten must agree.
void train_parity_gradients(const TrainPair *pair, TrainParity *found)
{
    enum { MOST = 10, WANTED = 3 };
    unsigned n_agree = 0, n = 0;
    double agreed = 0, least = INFINITY;
    g_autofree char *first = NULL;
    for (uint64_t seed = 1; seed <= MOST && n_agree < WANTED; seed++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *failure = NULL;
        double worst = compare_case(pair, (Case){CZ_F32, true, false, seed}, &failure, &error);
        n++;
        if (error) {
            parity_break(found, "gradients", &error);
            break;
        }
        least = MIN(least, worst);
        n_agree += worst <= 1;
        agreed = worst <= 1 ? MAX(agreed, worst) : agreed;
        if (failure && !first)
            first = g_steal_pointer(&failure);
    }
    found->n += n;
    found->worst = MAX(found->worst, n_agree == WANTED ? agreed : MAX(least, agreed));
    if (n_agree < WANTED && first)
        parity_fail(found, g_strdup_printf("%u sets of numbers of %u agree, expected %d: %s",
                                           n_agree, n, WANTED, first));
}

static double rms_difference(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += pow((double)a[i] - (double)b[i], 2);
    return sqrt(sum / (double)n);
}

// Rounding flips ReLUs, and single numbers differ by a third. So what counts is the distance of a
// gradient to that in F32, against the other device's: of one tensor it is a matter of luck (up to
// 2.1 times, where all is right), over all of them it is not (0.71 to 1.01). Where a device rounds
// a bias, too (ops.h), the gradient of the last one moves by a step.
#define MOST_OF_ONE 4.0
#define MOST_OF_ALL 1.25

void train_parity_half_gradients(const TrainPair *pair, CzDtype dtype, TrainParity *found)
{
    const Case f32 = {CZ_F32, true, false, 1}, half = {dtype, true, false, 1};
    g_auto(ParityResults) exact = {0}, expected = {0}, got = {0};
    g_autoptr(GError) error = NULL;
    double logs = 0;
    unsigned n_logs = 0;
    found->n++;
    if (!run_case(pair->right, f32, &exact, &error) ||
        !run_case(pair->right, half, &expected, &error) ||
        !run_case(pair->device, half, &got, &error)) {
        parity_break(found, "gradients", &error);
        return;
    }
    for (guint i = 1; i < n_outputs(f32, &exact); i++) { // 0 is the loss
        size_t n = parity_count(&exact, i);
        double size = parity_largest(exact.data->pdata[i], n);
        double right = rms_difference(exact.data->pdata[i], expected.data->pdata[i], n);
        double away = rms_difference(exact.data->pdata[i], got.data->pdata[i], n);
        double bound = MOST_OF_ONE * right + parity_step(dtype) * size;
        found->worst = MAX(found->worst, bound > 0 ? away / bound : 0);
        if (right > 0 && away > 0) {
            logs += log(away / right);
            n_logs++;
        }
        if (!(away <= bound))
            parity_fail(found, g_strdup_printf("gradient %u on %s, %s: RMS distance to F32 %.3g, "
                                               "expected %.3g, bound %.3g, largest %.3g",
                                               i, cz_device_info(pair->device)->id,
                                               cz_dtype_name(dtype), away, right, bound, size));
    }
    double typical = exp(logs / MAX(n_logs, 1));
    found->worst = MAX(found->worst, typical / MOST_OF_ALL);
    if (!(typical <= MOST_OF_ALL) || n_logs == 0)
        parity_fail(found, g_strdup_printf("gradients on %s, %s: distance to F32 %.2f times the "
                                           "other's in the mean of %u, at most %.2f",
                                           cz_device_info(pair->device)->id, cz_dtype_name(dtype),
                                           typical, n_logs, MOST_OF_ALL));
}
