// SPDX-License-Identifier: LGPL-3.0-or-later
// Where a training step's time goes: every op of the network, against the best rates seen.
//
// A program, not a test. Each step's least time of several runs is compared with what it would take
// at the highest arithmetic rate and the highest memory rate that any step reached, whichever is
// longer; the list is sorted by the time lost to that. Names like "ref" or "gemm" are fall-backs.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/ops.h>
#include <cz/plan.h>
#include <cz/rng.h>
#include <cz/threads.h>
#include <cz/unet.h>

#include "backend/registry.h"
#include "plan/plan_private.h"

// Rates of steps shorter than this are those of the clock and the caches.
#define TRUST_US 100.0

static const char *device_id = "cpu";
static int batch = 16, size = 128, n_runs = 5, n_threads = 1;
static gboolean bf16, inference;

static const GOptionEntry entries[] = {
    {"device", 'd', 0, G_OPTION_ARG_STRING, (gpointer)&device_id, "device (cpu)", "ID"},
    {"batch", 'n', 0, G_OPTION_ARG_INT, &batch, "pictures (16)", "N"},
    {"size", 's', 0, G_OPTION_ARG_INT, &size, "edge of a picture (128)", "PX"},
    {"runs", 'r', 0, G_OPTION_ARG_INT, &n_runs, "runs to take the least of (5)", "N"},
    {"threads", 't', 0, G_OPTION_ARG_INT, &n_threads, "threads (1)", "N"},
    {"bf16", 'b', 0, G_OPTION_ARG_NONE, &bf16, "activations in BF16", NULL},
    {"inference", 'i', 0, G_OPTION_ARG_NONE, &inference, "forward only, frozen", NULL},
    {NULL},
};

typedef struct {
    CzGraph *graph;
    GArray *outputs; // of CzValue
    GArray *tensors; // of CzUnetTensor
} Network;

typedef struct {
    CzEngineDevice *device;
    CzStore *store;
    CzPlan *plan;
} Run;

// One kind of step, all of its occurrences taken together.
typedef struct {
    char *key;
    double time_us, flop, bytes, lost_us;
    int count;
} Row;

static bool collect(void *user, const CzUnetTensor *tensor)
{
    g_array_append_val((GArray *)user, *tensor);
    return true;
}

static CzValue state(CzGraph *graph, const char *prefix, const CzUnetTensor *tensor)
{
    g_autofree char *name = g_strconcat(prefix, tensor->name, NULL);
    return cz_param(graph, name, tensor->shape);
}

static void build_training(Network *network, CzValue chroma)
{
    CzGraph *graph = network->graph;
    const guint n = network->tensors->len;
    const CzShape scalar = {1, 1, 1, 1};
    const CzAdamParams adam = {.beta1 = 0.9f, .beta2 = 0.99f, .epsilon = 1e-8f, .rate_scale = 1};
    g_autofree CzValue *wrt = g_new(CzValue, n), *grads = g_new(CzValue, n);
    CzValue truth = cz_input(graph, "chroma", cz_graph_shape(graph, chroma));
    CzValue rates = cz_input(graph, "rates", cz_shape(1, 4, 1, 1));
    CzValue loss = cz_mean(graph, cz_huber(graph, cz_sub(graph, chroma, truth), 0.1f), scalar);
    CzValue total = cz_constant(graph, scalar, CZ_F32, 0);
    for (guint i = 0; i < n; i++) {
        const CzUnetTensor *tensor = &g_array_index(network->tensors, CzUnetTensor, i);
        wrt[i] = cz_param(graph, tensor->name, tensor->shape);
    }
    cz_graph_gradient(graph, loss, wrt, n, grads);
    for (guint i = 0; i < n; i++)
        total = cz_add(graph, total, cz_dot(graph, grads[i], grads[i]));
    CzValue gate = cz_step_gate(graph, total, 1);
    for (guint i = 0; i < n; i++) {
        const CzUnetTensor *tensor = &g_array_index(network->tensors, CzUnetTensor, i);
        CzValue update =
            cz_adamw(graph, wrt[i], grads[i], state(graph, "m.", tensor),
                     state(graph, "v.", tensor), state(graph, "ema.", tensor), rates, gate, adam);
        g_array_append_val(network->outputs, update);
    }
}

static void network_init(Network *network)
{
    const CzUnetParams params = cz_unet_default;
    network->graph = cz_graph_new();
    network->outputs = g_array_new(FALSE, FALSE, sizeof(CzValue));
    network->tensors = g_array_new(FALSE, FALSE, sizeof(CzUnetTensor));
    cz_unet_each(&params, collect, network->tensors);
    CzValue lightness = cz_input(network->graph, "lightness", cz_shape(batch, 1, size, size));
    CzUnetOutput output =
        cz_unet_build(network->graph, lightness, &params, bf16 ? CZ_BF16 : CZ_F32);
    if (inference)
        g_array_append_val(network->outputs, output.chroma);
    else
        build_training(network, output.chroma);
}

static void network_clear(Network *network)
{
    cz_graph_free(network->graph);
    g_array_free(network->outputs, TRUE);
    g_array_free(network->tensors, TRUE);
}

// Small random numbers, so that nothing overflows or turns denormal; moments positive.
static float *random_data(const CzNode *node, GError **error)
{
    const size_t n = cz_shape_count(node->shape);
    float *data = cz_memory_alloc(n * sizeof *data, node->name, error);
    if (!data)
        return NULL;
    CzRng rng = cz_rng(1, (uint64_t)node->id);
    const float deviation = 1.0f / sqrtf((float)(n / (size_t)node->shape.n));
    for (size_t i = 0; i < n; i++)
        data[i] = cz_rng_normal(&rng) * deviation;
    if (g_str_has_prefix(node->name, "v."))
        for (size_t i = 0; i < n; i++)
            data[i] = 1e-4f + fabsf(data[i]) * 1e-3f;
    // As in the middle of a training: weights that run away close the gate, and updates cost
    // nothing.
    static const float rates[4] = {1e-6f, 1, 1, 0.999f};
    if (strcmp(node->name, "rates") == 0)
        memcpy(data, rates, sizeof rates);
    return data;
}

static bool fill_store(Run *run, const CzGraph *graph, GError **error)
{
    bool done = true;
    for (int32_t i = 0; done && i < cz_graph_n_nodes(graph); i++) {
        const CzNode *node = cz_graph_node(graph, i);
        if (node->op != CZ_OP_PARAM)
            continue;
        float *data = random_data(node, error);
        done = data && cz_store_add(run->store, node->name, node->shape, data, error);
        cz_memory_free(data);
    }
    return done;
}

static bool write_inputs(Run *run, const CzGraph *graph, GError **error)
{
    bool done = true;
    for (int32_t i = 0; done && i < cz_graph_n_nodes(graph); i++) {
        const CzNode *node = cz_graph_node(graph, i);
        if (node->op != CZ_OP_INPUT)
            continue;
        float *data = random_data(node, error);
        done = data &&
               cz_plan_write(run->plan, (CzValue){i}, data, cz_shape_count(node->shape), error);
        cz_memory_free(data);
    }
    return done;
}

static bool run_init(Run *run, const Network *network, GError **error)
{
    const CzPlanOptions options = {.frozen = inference};
    run->device = cz_device_open(device_id, error);
    if (!run->device)
        return false;
    run->store = cz_store_new(run->device);
    if (!fill_store(run, network->graph, error))
        return false;
    run->plan = cz_plan_new(run->device, run->store, network->graph,
                            (const CzValue *)network->outputs->data, network->outputs->len,
                            &options, error);
    return run->plan != NULL;
}

static void run_clear(Run *run)
{
    cz_plan_free(run->plan);
    cz_store_free(run->store);
    cz_device_close(run->device);
}

static double node_bytes(const CzPlan *plan, const CzNode *node)
{
    double bytes = (double)cz_shape_count(node->shape) * (double)cz_dtype_size(node->dtype);
    for (int32_t i = 0; i < node->n_src; i++) {
        if (node->src[i] < 0)
            continue;
        const CzNode *src = plan->nodes[node->src[i]];
        double n = (double)cz_shape_count(src->shape) * (double)cz_dtype_size(src->dtype);
        // Updates write what they read.
        bytes += node->op_class->effect && src->op == CZ_OP_PARAM ? 2 * n : n;
    }
    return bytes;
}

// Multiplications and additions of a convolution: two for each output and each filter tap.
static double node_flop(const CzPlan *plan, const CzNode *node)
{
    const CzNode *dst = node, *filter;
    if (node->op != CZ_OP_CONV2D && node->op != CZ_OP_CONV2D_GRAD_SRC &&
        node->op != CZ_OP_CONV2D_GRAD_FILTER)
        return 0;
    filter = plan->nodes[node->src[1]];
    if (node->op == CZ_OP_CONV2D_GRAD_SRC)
        dst = plan->nodes[node->src[0]];
    if (node->op == CZ_OP_CONV2D_GRAD_FILTER)
        dst = filter, filter = node;
    return 2.0 * (double)cz_shape_count(dst->shape) * filter->shape.c * filter->shape.h *
           filter->shape.w;
}

static char *node_key(const CzPlan *plan, const CzNode *node, const char *kernel)
{
    GString *key = g_string_new(node->op_class->name);
    for (int32_t i = 0; i < node->n_src && i < 4; i++) {
        g_autofree char *shape =
            node->src[i] < 0 ? g_strdup("-") : cz_shape_format(plan->nodes[node->src[i]]->shape);
        g_string_append_printf(key, "%s%s", i ? "," : " ", shape);
    }
    g_autofree char *shape = cz_shape_format(node->shape);
    g_string_append_printf(key, " -> %s %s", shape, cz_dtype_name(node->dtype));
    if (node_flop(plan, node) > 0 && node->params.conv.stride > 1)
        g_string_append_printf(key, " /%d", node->params.conv.stride);
    g_string_append_printf(key, "  [%s]", kernel);
    return g_string_free(key, FALSE);
}

static bool measure(Run *run, const CzGraph *graph, double *least, double *whole_us, GError **error)
{
    const CzPlan *plan = run->plan;
    *whole_us = G_MAXDOUBLE;
    for (int r = 0; r <= n_runs; r++) {
        if (!write_inputs(run, graph, error))
            return false;
        const gint64 before = g_get_monotonic_time();
        if (!cz_plan_run(run->plan, NULL, error))
            return false;
        if (r > 0)
            *whole_us = MIN(*whole_us, (double)(g_get_monotonic_time() - before));
        for (size_t i = 0; i < plan->n_steps; i++) {
            double time_us = 0;
            run->device->backend->step_kernel(plan->programs[0], i, &time_us);
            least[i] = r <= 1 ? time_us : MIN(least[i], time_us);
        }
    }
    return true;
}

static GArray *gather(const Run *run, const double *least)
{
    const CzPlan *plan = run->plan;
    GArray *rows = g_array_new(FALSE, TRUE, sizeof(Row));
    for (size_t i = 0; i < plan->n_steps; i++) {
        const CzNode *node = plan->nodes[plan->steps[i]];
        const char *kernel = run->device->backend->step_kernel(plan->programs[0], i, NULL);
        g_autofree char *key = node_key(plan, node, kernel);
        guint at = 0;
        while (at < rows->len && strcmp(g_array_index(rows, Row, at).key, key) != 0)
            at++;
        if (at == rows->len) {
            const Row row = {.key = g_strdup(key)};
            g_array_append_val(rows, row);
        }
        Row *row = &g_array_index(rows, Row, at);
        row->time_us += least[i];
        row->flop += node_flop(plan, node);
        row->bytes += node_bytes(plan, node);
        row->count++;
    }
    return rows;
}

static gint by_loss(gconstpointer a, gconstpointer b)
{
    const double x = ((const Row *)a)->lost_us, y = ((const Row *)b)->lost_us;
    return x < y ? 1 : x > y ? -1 : 0;
}

static void report(const Run *run, GArray *rows, double whole_us)
{
    double flop_rate = 1, byte_rate = 1, sum_us = 0, lost_us = 0;
    for (guint i = 0; i < rows->len; i++) {
        const Row *row = &g_array_index(rows, Row, i);
        sum_us += row->time_us;
        if (row->time_us / row->count < TRUST_US)
            continue;
        flop_rate = MAX(flop_rate, row->flop / row->time_us);
        byte_rate = MAX(byte_rate, row->bytes / row->time_us);
    }
    for (guint i = 0; i < rows->len; i++) {
        Row *row = &g_array_index(rows, Row, i);
        row->lost_us = MAX(0, row->time_us - MAX(row->flop / flop_rate, row->bytes / byte_rate));
        lost_us += row->lost_us;
    }
    g_array_sort(rows, by_loss);
    printf("%s, %d thread(s), %d pictures of %d, %s %s\n", run->device->info.name, cz_threads_get(),
           batch, size, bf16 ? "BF16" : "F32", inference ? "inference" : "training step");
    printf("whole %.1f ms, steps %.1f ms (%.1f images/s), lost %.1f ms against %.0f GFLOP/s and "
           "%.1f GB/s; arena %.0f MiB, program %.1f MiB\n",
           whole_us * 1e-3, sum_us * 1e-3, batch * 1e6 / whole_us, lost_us * 1e-3, flop_rate * 1e-3,
           byte_rate * 1e-3, (double)cz_plan_arena_bytes(run->plan) / 1048576.0,
           (double)(cz_plan_total_bytes(run->plan) - cz_plan_arena_bytes(run->plan)) / 1048576.0);
    printf("%8s %8s %4s %8s %7s\n", "lost ms", "time ms", "n", "GFLOP/s", "GB/s");
    for (guint i = 0; i < rows->len; i++) {
        Row *row = &g_array_index(rows, Row, i);
        printf("%8.3f %8.3f %4d %8.1f %7.1f  %s\n", row->lost_us * 1e-3, row->time_us * 1e-3,
               row->count, row->flop / row->time_us * 1e-3, row->bytes / row->time_us * 1e-3,
               row->key);
        g_free(row->key);
    }
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_autoptr(GError) error = NULL;
    g_autoptr(GOptionContext) context = g_option_context_new("- time of every op");
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return 2;
    }
    cz_threads_set(n_threads);
    Network network = {0};
    Run run = {0};
    network_init(&network);
    bool done = cz_graph_check(network.graph, &error) && run_init(&run, &network, &error);
    double whole_us = 0;
    g_autofree double *least = g_new0(double, done ? run.plan->n_steps : 1);
    done = done && measure(&run, network.graph, least, &whole_us, &error);
    if (done) {
        GArray *rows = gather(&run, least);
        report(&run, rows, whole_us);
        g_array_free(rows, TRUE);
    } else {
        fprintf(stderr, "%s\n", error->message);
    }
    run_clear(&run);
    network_clear(&network);
    return done ? 0 : 1;
}
