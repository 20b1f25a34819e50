// SPDX-License-Identifier: LGPL-3.0-or-later
// Every device against the reference backend: all ops, all examples, both types, then the network
// and its gradients. All through plans and stores, as in use.
#include <cz/plan.h>

#include <float.h>
#include <math.h>
#include <string.h>

#include <cz/error.h>
#include <cz/ops.h>
#include <cz/rng.h>
#include <cz/unet.h>

static const CzShape scalar = {1, 1, 1, 1};

// ---- numbers ------------------------------------------------------------------------------------

// The same for the same name and seed: N(0, 1), or [0.5, 1.5] where the name begins with p.
static float *numbers(const char *name, size_t n, float scale, uint64_t seed)
{
    float *data = g_new(float, n);
    CzRng rng = cz_rng(seed, g_str_hash(name));
    for (size_t i = 0; i < n; i++)
        data[i] = scale * (name[0] == 'p' ? 0.5f + cz_rng_uniform(&rng) : cz_rng_normal(&rng));
    return data;
}

// How many products or addends go into one element of the output.
static double sum_length(const CzGraph *graph, const CzNode *node)
{
    double dst = (double)cz_shape_count(node->shape), most = 1;
    for (int32_t i = 0; i < node->n_src; i++)
        if (node->src[i] >= 0)
            most =
                MAX(most, (double)cz_shape_count(cz_graph_node(graph, node->src[i])->shape) / dst);
    const CzNode *a = node->n_src > 0 ? cz_graph_node(graph, node->src[0]) : NULL;
    const CzNode *b = node->n_src > 1 ? cz_graph_node(graph, node->src[1]) : NULL;
    switch (node->op) {
    case CZ_OP_CONV2D:
        return (double)b->shape.c * b->shape.h * b->shape.w + 2;
    case CZ_OP_CONV2D_GRAD_SRC:
        return (double)b->shape.n / MAX(1, node->params.conv.groups) * b->shape.h * b->shape.w;
    case CZ_OP_CONV2D_GRAD_FILTER:
        return (double)b->shape.n * b->shape.h * b->shape.w;
    case CZ_OP_RESIZE:
    case CZ_OP_RESIZE_GRAD:
        return 4 * most;
    case CZ_OP_DOT:
        return (double)cz_shape_count(a->shape);
    default:
        return most;
    }
}

typedef struct {
    const char *what;
    double absolute, relative; // an element may differ by absolute + relative * |expected|
    double worst;              // of difference / bound so far, over many calls
    bool quiet;                // do not fail; the caller looks at worst
} Bound;

static void compare(Bound *bound, const float *expected, const float *found, size_t n)
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
    bound->worst = MAX(bound->worst, worst);
    if (worst > 1 && !bound->quiet)
        g_test_fail_printf("%s: [%zu]: reference %.9g, found %.9g, bound %.3g", bound->what,
                           worst_at, (double)expected[worst_at], (double)found[worst_at],
                           bound->absolute + bound->relative * fabs((double)expected[worst_at]));
}

static double largest(const float *data, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = MAX(most, fabs((double)data[i]));
    return most;
}

// ---- one graph on one device --------------------------------------------------------------------

// What a run gives back: the outputs, then the PARAMs as effects have left them.
typedef struct {
    GPtrArray *data; // float *
    GArray *counts;  // size_t
} Results;

static void results_clear(Results *results)
{
    g_clear_pointer(&results->data, g_ptr_array_unref);
    g_clear_pointer(&results->counts, g_array_unref);
}

static float *results_add(Results *results, size_t n)
{
    float *data = g_new(float, n);
    g_ptr_array_add(results->data, data);
    g_array_append_val(results->counts, n);
    return data;
}

typedef struct {
    const CzGraph *graph;
    const CzValue *outputs;
    size_t n_outputs;
    CzPlanOptions options;
    double *param_scales; // by node id; NULL: 1
    uint64_t seed;
} Job;

static bool fill_store(CzStore *store, const Job *job, GError **error)
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

static bool write_inputs(CzPlan *plan, const Job *job, GError **error)
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

static bool read_results(CzPlan *plan, CzStore *store, const Job *job, Results *results,
                         GError **error)
{
    for (size_t i = 0; i < job->n_outputs; i++) {
        size_t n = cz_shape_count(cz_graph_shape(job->graph, job->outputs[i]));
        if (!cz_plan_read(plan, job->outputs[i], results_add(results, n), n, error))
            return false;
    }
    for (size_t i = 0; i < cz_store_n(store); i++) {
        CzShape shape = scalar;
        cz_store_has(store, cz_store_name(store, i), &shape);
        float *data = results_add(results, cz_shape_count(shape));
        if (!cz_store_read(store, cz_store_name(store, i), data, error))
            return false;
    }
    return true;
}

static bool run_job(CzEngineDevice *device, const Job *job, Results *results)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CzStore) store = cz_store_new(device);
    results->data = g_ptr_array_new_with_free_func(g_free);
    results->counts = g_array_new(FALSE, FALSE, sizeof(size_t));
    g_autoptr(CzPlan) plan = NULL;
    if (fill_store(store, job, &error))
        plan = cz_plan_new(device, store, job->graph, job->outputs, job->n_outputs, &job->options,
                           &error);
    if (plan && write_inputs(plan, job, &error) && cz_plan_run(plan, NULL, &error) &&
        read_results(plan, store, job, results, &error))
        return true;
    g_test_fail_printf("device %s: %s", cz_device_info(device)->id, error->message);
    return false;
}

// ---- every op -----------------------------------------------------------------------------------

typedef struct {
    CzEngineDevice *reference, *device;
    unsigned n_pairs;
    double worst; // difference / bound
} Sweep;

static void check_example(Sweep *sweep, const CzGraph *graph, CzValue dst, const char *what)
{
    const CzNode *node = cz_graph_of(graph, dst);
    Job job = {.graph = graph, .outputs = &dst, .n_outputs = 1};
    Results expected = {0}, found = {0};
    if (run_job(sweep->reference, &job, &expected) && run_job(sweep->device, &job, &found)) {
        double k = sum_length(graph, node);
        bool sums = node->op == CZ_OP_SUM || node->op == CZ_OP_DOT ||
                    (node->op >= CZ_OP_CONV2D && node->op <= CZ_OP_CONV2D_GRAD_FILTER);
        for (guint i = 0; i < expected.data->len; i++) {
            size_t n = g_array_index(expected.counts, size_t, i);
            const float *right = expected.data->pdata[i];
            // Addends are about 1 in size, and so sums about sqrt(k), even where they cancel.
            double size = MAX(largest(right, n), sums ? sqrt(k) : 0);
            // Both round once: where they differ before, they may be one step of BF16 apart.
            bool rounded = i == 0 && node->dtype == CZ_BF16;
            Bound bound = {what, 4 * (double)FLT_EPSILON * sqrt(k) * size + (double)FLT_MIN,
                           rounded ? 1.0 / 128 : 0, 0};
            compare(&bound, right, found.data->pdata[i], n);
            sweep->worst = MAX(sweep->worst, bound.worst);
        }
    }
    results_clear(&expected);
    results_clear(&found);
}

// The same graph with a node between each input and its readers, so that ops may work in place,
// which they never do on inputs.
static CzGraph *with_reusable_sources(const CzGraph *graph, CzValue *dst)
{
    CzGraph *copy = cz_graph_new();
    g_autofree CzValue *made = g_new(CzValue, cz_graph_n_nodes(graph));
    for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++) {
        const CzNode *node = cz_graph_node(graph, id);
        g_autofree CzValue *src = g_new(CzValue, node->n_src + 1);
        for (int32_t i = 0; i < node->n_src; i++)
            src[i] = node->src[i] < 0 ? CZ_NONE : made[node->src[i]];
        made[id] = cz_graph_append(copy, node->op, src, node->n_src, &node->params, node->shape,
                                   node->dtype, node->name);
        if (node->op == CZ_OP_INPUT)
            made[id] = cz_scale(copy, made[id], 1, 0);
    }
    *dst = made[dst->id];
    g_autoptr(GError) error = NULL;
    cz_graph_check(copy, &error);
    g_assert_no_error(error);
    return copy;
}

static void check_op(Sweep *sweep, const CzOpClass *op, CzDtype dtype)
{
    for (unsigned index = 0;; index++) {
        CzValue dst;
        g_autoptr(CzGraph) graph = cz_graph_new();
        if (!op->example(index, dtype, graph, &dst))
            return;
        g_autofree char *what =
            g_strdup_printf("%s on %s, example %u, %s", op->name, cz_device_info(sweep->device)->id,
                            index, cz_dtype_name(dtype));
        check_example(sweep, graph, dst, what);
        g_autoptr(CzGraph) copy = with_reusable_sources(graph, &dst);
        check_example(sweep, copy, dst, what);
        sweep->n_pairs++;
    }
}

typedef void (*DeviceTest)(CzEngineDevice *reference, CzEngineDevice *device);

static void for_every_device(DeviceTest test)
{
    size_t n, n_tested = 0;
    const CzDeviceInfo *infos = cz_devices(&n, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(CzEngineDevice) reference = cz_device_open("reference", &error);
    g_assert_no_error(error);
    for (size_t i = 0; i < n; i++) {
        if (g_str_equal(infos[i].id, "reference"))
            continue;
        g_autoptr(CzEngineDevice) device = cz_device_open(infos[i].id, &error);
        g_assert_no_error(error);
        g_clear_error(&error);
        if (!device)
            continue;
        test(reference, device);
        n_tested++;
    }
    if (n_tested == 0)
        g_test_skip("no device but the reference opens here");
}

static void sweep_ops(CzEngineDevice *reference, CzEngineDevice *device)
{
    const CzDtype dtypes[] = {CZ_F32, CZ_BF16};
    for (size_t d = 0; d < G_N_ELEMENTS(dtypes); d++) {
        Sweep sweep = {reference, device, 0, 0};
        for (int op = 0; op < CZ_N_OPS; op++)
            check_op(&sweep, cz_op_class((CzOp)op), dtypes[d]);
        g_test_message("%s, %s: %u pairs of op and example, worst at %.2f of its bound",
                       cz_device_info(device)->name, cz_dtype_name(dtypes[d]), sweep.n_pairs,
                       sweep.worst);
        g_assert_cmpuint(sweep.n_pairs, >, CZ_N_OPS / 2);
    }
}

static bool stop_at_once(void *user, double fraction)
{
    g_assert_true(fraction >= 0 && fraction < 0.9);
    ++*(int *)user;
    return false;
}

// Devices may ask as seldom as every 20 ms, so this takes longer.
static void check_cancel(CzEngineDevice *reference, CzEngineDevice *device)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    g_autoptr(GError) error = NULL;
    int calls = 0;
    CzValue x = cz_input(graph, "x", cz_shape(1, 32, 128, 128)), y = x;
    for (int i = 0; i < 1000; i++)
        y = cz_activation(graph, y, CZ_ACT_TANH);
    g_autoptr(CzPlan) plan = cz_plan_new(device, NULL, graph, &y, 1, NULL, &error);
    Job job = {.graph = graph};
    g_assert_true(plan && write_inputs(plan, &job, &error));
    g_assert_false(cz_plan_run(plan, &(CzProgress){stop_at_once, &calls}, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_CANCELLED);
    g_assert_cmpint(calls, ==, 1);
}

static void every_device_can_be_cancelled(void)
{
    for_every_device(check_cancel);
}

static void every_op_agrees_with_the_reference(void)
{
    for_every_device(sweep_ops);
}

// ---- the network --------------------------------------------------------------------------------

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
    loss = cz_mean(net.graph, cz_huber(net.graph, loss, 0.1f), scalar);
    g_array_append_val(net.outputs, loss);
    g_autoptr(GArray) wrt = g_array_new(FALSE, FALSE, sizeof(CzValue));
    for (int32_t id = 0; id < cz_graph_n_nodes(net.graph); id++)
        if (cz_graph_node(net.graph, id)->op == CZ_OP_PARAM)
            g_array_append_val(wrt, id);
    g_autofree CzValue *grads = g_new(CzValue, wrt->len);
    g_assert_true(cz_graph_gradient(net.graph, loss, (const CzValue *)wrt->data, wrt->len, grads));
    g_array_append_vals(net.outputs, grads, wrt->len);
    return net;
}

// Relative to each tensor's largest number. Errors grow from layer to layer (about 60 of them), so
// these bounds are steps of the type times a factor, not a formula.
typedef struct {
    CzDtype dtype;
    bool gradients, frozen;
    uint64_t seed;
} Case;

// The worst difference / bound; more than 1 fails at once but for gradients.
static double check_network(CzEngineDevice *reference, CzEngineDevice *device, Case c)
{
    Network net = make_network(c.dtype, c.gradients);
    g_autofree double *scales = start_scales(net.graph);
    Job job = {net.graph, (const CzValue *)net.outputs->data, net.outputs->len, {0}, scales,
               c.seed};
    Results expected = {0}, found = {0};
    bool ran = run_job(reference, &job, &expected);
    job.options.frozen = c.frozen;
    ran = ran && run_job(device, &job, &found);
    double worst = 0;
    for (guint i = 0; ran && i < net.outputs->len; i++) {
        g_autofree char *what =
            g_strdup_printf("%s on %s, %s, output %u", c.gradients ? "gradients" : "network",
                            cz_device_info(device)->id, cz_dtype_name(c.dtype), i);
        size_t n = g_array_index(expected.counts, size_t, i);
        double size = largest(expected.data->pdata[i], n);
        double steps = c.dtype == CZ_F32 ? 200 * (double)FLT_EPSILON : 1.0 / 8;
        Bound bound = {what, steps * size + (double)FLT_MIN, 0, 0, c.gradients};
        g_assert_cmpfloat(size, >, 0);
        compare(&bound, expected.data->pdata[i], found.data->pdata[i], n);
        worst = MAX(worst, bound.worst);
    }
    g_test_message("%s, %s%s: %s, %u outputs, worst at %.2f of its bound",
                   cz_device_info(device)->id, cz_dtype_name(c.dtype), c.frozen ? ", frozen" : "",
                   c.gradients ? "gradients" : "network", net.outputs->len, worst);
    results_clear(&expected);
    results_clear(&found);
    g_array_unref(net.outputs);
    cz_graph_free(net.graph);
    return ran ? worst : INFINITY;
}

static void check_networks(CzEngineDevice *reference, CzEngineDevice *device)
{
    check_network(reference, device, (Case){CZ_F32, false, false, 1});
    check_network(reference, device, (Case){CZ_F32, false, true, 2});
    check_network(reference, device, (Case){CZ_BF16, false, true, 3});
}

static void the_network_agrees_with_the_reference(void)
{
    for_every_device(check_networks);
}

// Of this network's 550,000 activations one may lie so near to a ReLU's kink that rounding decides
// on which side, and then all gradients before it differ by a little (measured: with two of six
// sets of numbers, each by one activation of 2e-6 or less). A fault in a gradient shows with all
// numbers. So three sets of ten must agree.
static void check_gradients(CzEngineDevice *reference, CzEngineDevice *device)
{
    unsigned n_agree = 0;
    for (uint64_t seed = 1; seed <= 10 && n_agree < 3; seed++)
        n_agree += check_network(reference, device, (Case){CZ_F32, true, false, seed}) <= 1;
    g_assert_cmpuint(n_agree, ==, 3);
}

static bool run_gradients(CzEngineDevice *device, CzDtype dtype, Results *results)
{
    Network net = make_network(dtype, true);
    g_autofree double *scales = start_scales(net.graph);
    Job job = {net.graph, (const CzValue *)net.outputs->data, net.outputs->len, {0}, scales, 1};
    bool ran = run_job(device, &job, results);
    g_array_unref(net.outputs);
    cz_graph_free(net.graph);
    return ran;
}

static double rms_difference(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += pow((double)a[i] - (double)b[i], 2);
    return sqrt(sum / (double)n);
}

// Rounding to BF16 flips ReLUs, and single numbers differ by a third. So what counts is the
// distance to the gradients in F32: a device's may not be twice the reference's.
static void check_bf16_gradients(CzEngineDevice *reference, CzEngineDevice *device)
{
    Results exact = {0}, expected = {0}, found = {0};
    if (run_gradients(reference, CZ_F32, &exact) && run_gradients(reference, CZ_BF16, &expected) &&
        run_gradients(device, CZ_BF16, &found)) {
        double worst = 0;
        for (guint i = 1; i < exact.data->len; i++) { // 0 is the loss
            size_t n = g_array_index(exact.counts, size_t, i);
            double size = largest(exact.data->pdata[i], n);
            double right = rms_difference(exact.data->pdata[i], expected.data->pdata[i], n);
            double error = rms_difference(exact.data->pdata[i], found.data->pdata[i], n);
            double bound = 2 * right + size / 256;
            worst = MAX(worst, error / bound);
            if (!(error <= bound))
                g_test_fail_printf("gradient %u on %s, BF16: RMS distance to F32 %.3g, the "
                                   "reference's %.3g, bound %.3g, largest %.3g",
                                   i, cz_device_info(device)->id, error, right, bound, size);
        }
        g_test_message("%s, BF16: gradients, worst at %.2f of its bound",
                       cz_device_info(device)->id, worst);
    }
    results_clear(&exact);
    results_clear(&expected);
    results_clear(&found);
}

static void bf16_gradients_are_as_near_to_f32_as_the_references(void)
{
    for_every_device(check_bf16_gradients);
}

static void its_gradients_agree_with_the_reference(void)
{
    for_every_device(check_gradients);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define CASE(name) g_test_add_func("/backend/parity/" #name, name)
    CASE(every_op_agrees_with_the_reference);
    CASE(every_device_can_be_cancelled);
    CASE(the_network_agrees_with_the_reference);
    CASE(its_gradients_agree_with_the_reference);
    CASE(bf16_gradients_are_as_near_to_f32_as_the_references);
    return g_test_run();
}
