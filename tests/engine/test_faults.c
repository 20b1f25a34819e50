// SPDX-License-Identifier: LGPL-3.0-or-later
// The n-th allocation, file operation or backend call fails, for every n: always an error with a
// sentence, never a crash, and nothing is left over. Then the same work succeeds.
#include <cz/plan.h>

#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include <cz/error.h>
#include <cz/generator.h>
#include <cz/memory.h>
#include <cz/ops.h>
#include <cz/rng.h>

static const CzShape scalar = {1, 1, 1, 1};
static char *folder;

// ---- work that can fail -------------------------------------------------------------------------

typedef bool (*Work)(const char *device_id, const char *path, GError **error);

// A small training step: BF16 convolutions, gradients, AdamW. outputs: loss, then the effect.
static CzGraph *make_step(CzValue inputs[3], CzValue outputs[2])
{
    CzGraph *graph = cz_graph_new();
    CzConvParams same = {.pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1};
    CzConvParams wise = {.groups = 8, .stride = 2, .activation = CZ_ACT_RELU6};
    CzShape dense = {8, 3, 3, 3};
    inputs[0] = cz_input(graph, "x", cz_shape(2, 3, 8, 8));
    inputs[1] = cz_input(graph, "truth", cz_shape(2, 8, 6, 6));
    inputs[2] = cz_input(graph, "rates", cz_shape(1, 4, 1, 1));
    CzValue filter = cz_param(graph, "dense", dense);
    CzValue x = cz_cast(graph, inputs[0], CZ_BF16);
    x = cz_conv2d(graph, x, filter, cz_param(graph, "bias", cz_shape(1, 8, 1, 1)), CZ_NONE, same);
    x = cz_activation(graph, x, CZ_ACT_RELU);
    x = cz_conv2d(graph, x, cz_param(graph, "wise", cz_shape(8, 1, 3, 3)), CZ_NONE, CZ_NONE, wise);
    x = cz_cast(graph, cz_resize(graph, x, 6, 6), CZ_F32);
    x = cz_mean(graph, cz_huber(graph, cz_sub(graph, x, inputs[1]), 0.1f), scalar);
    CzValue grad;
    cz_graph_gradient(graph, x, &filter, 1, &grad);
    CzValue gate = cz_step_gate(graph, cz_dot(graph, grad, grad), 1);
    outputs[0] = x;
    outputs[1] =
        cz_adamw(graph, filter, grad, cz_param(graph, "m", dense), cz_param(graph, "v", dense),
                 CZ_NONE, inputs[2], gate, (CzAdamParams){0.9f, 0.99f, 1e-8f, 0.01f, 1});
    return graph;
}

// Adds all PARAMs of a graph; small numbers, the same every time.
static bool fill_store(CzStore *store, const CzGraph *graph, GError **error)
{
    for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++) {
        const CzNode *node = cz_graph_node(graph, id);
        if (node->op != CZ_OP_PARAM)
            continue;
        size_t n = cz_shape_count(node->shape);
        g_autofree float *data = g_new(float, n);
        CzRng rng = cz_rng(1, g_str_hash(node->name));
        for (size_t i = 0; i < n; i++)
            data[i] = 0.1f * cz_rng_normal(&rng);
        // Without data: zeros, which the store allocates.
        bool zero = g_str_equal(node->name, "m") || g_str_equal(node->name, "v");
        if (!cz_store_add(store, node->name, node->shape, zero ? NULL : data, error))
            return false;
    }
    return true;
}

static bool write_inputs(CzPlan *plan, const CzGraph *graph, GError **error)
{
    for (int32_t id = 0; id < cz_graph_n_nodes(graph); id++) {
        const CzNode *node = cz_graph_node(graph, id);
        size_t n = cz_shape_count(node->shape);
        if (node->op != CZ_OP_INPUT)
            continue;
        g_autofree float *data = g_new(float, n);
        for (size_t i = 0; i < n; i++)
            data[i] = 0.5f + (float)(i % 7) / 16;
        if (!cz_plan_write(plan, (CzValue){id}, data, n, error))
            return false;
    }
    return true;
}

static bool save(CzStore *store, const char *path, GError **error)
{
    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    return cz_store_save(store, writer, NULL, false, CZ_F16, error) &&
           cz_model_writer_commit(writer, path, error);
}

static bool load(CzStore *store, const char *path, GError **error)
{
    g_autoptr(CzModelFile) file = cz_model_file_open(path, error);
    return file && cz_store_load(store, file, error);
}

// Open, fill, step, save, load again.
static bool training_step(const char *device_id, const char *path, GError **error)
{
    CzValue inputs[3], outputs[2];
    float loss = NAN;
    g_autoptr(CzGraph) graph = make_step(inputs, outputs);
    g_autoptr(CzEngineDevice) device = cz_device_open(device_id, error);
    if (!device)
        return false;
    g_autoptr(CzStore) store = cz_store_new(device);
    if (!fill_store(store, graph, error))
        return false;
    g_autoptr(CzPlan) plan = cz_plan_new(device, store, graph, outputs, 2, NULL, error);
    if (!plan || !write_inputs(plan, graph, error) || !cz_plan_run(plan, NULL, error) ||
        !cz_plan_read(plan, outputs[0], &loss, 1, error))
        return false;
    g_assert_true(isfinite(loss) && loss > 0);
    return save(store, path, error) && load(store, path, error);
}

// A network as it is used: frozen filters, one run.
static bool infer(const CzGeneratorParams *params, const char *device_id, GError **error)
{
    const CzGeneratorUse use = {.dtype = CZ_F32};
    const CzPlanOptions options = {.frozen = true};
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue x = cz_input(graph, "x", cz_shape(1, 1, 16, 16));
    CzGeneratorOutput out;
    cz_generator_build(graph, x, params, &use, &out);
    cz_generator_clear(&out);
    g_autoptr(CzEngineDevice) device = cz_device_open(device_id, error);
    if (!device)
        return false;
    g_autoptr(CzStore) store = cz_store_new(device);
    if (!fill_store(store, graph, error))
        return false;
    g_autoptr(CzPlan) plan = cz_plan_new(device, store, graph, &out.chroma, 1, &options, error);
    float chroma[2 * 16 * 16];
    size_t n = cz_shape_count(cz_graph_shape(graph, out.chroma));
    return plan && write_inputs(plan, graph, error) && cz_plan_run(plan, NULL, error) &&
           cz_plan_read(plan, out.chroma, chroma, n, error);
}

static bool infer_unet(const char *device_id, const char *path, GError **error)
{
    const CzGeneratorParams params = {
        .unet = {.n_inputs = 1, .widths = {8, 8, 8, 8}, .context = 1, .attention = 8}};
    return infer(&params, device_id, error);
}

static bool infer_pix2pix(const char *device_id, const char *path, GError **error)
{
    const CzGeneratorParams params = {
        .architecture = CZ_GENERATOR_PIX2PIX,
        .pix2pix = {.n_inputs = 1, .width = 1, .levels = 4, .range = 110}};
    return infer(&params, device_id, error);
}

// ---- failing at every n -------------------------------------------------------------------------

static const char *const kinds[] = {"allocation", "file operation", "backend call"};

// Whether the n-th call of this kind was reached. The work must fail then, and must not otherwise.
static bool fail_at(Work work, const char *device_id, const char *path, CzFault kind,
                    unsigned long n)
{
    GError *error = NULL;
    size_t before = cz_memory_now();
    cz_fault_arm(kind, n);
    bool done = work(device_id, path, &error);
    bool reached = cz_fault_arm(kind, 0) >= n;
    if (done == reached)
        g_test_fail_printf("%s: %s %lu of the work %s, but the work %s", device_id, kinds[kind], n,
                           reached ? "failed" : "was never due", done ? "succeeded" : "failed");
    if (done == (error != NULL))
        g_test_fail_printf("%s: %s %lu: the result does not fit the error", device_id, kinds[kind],
                           n);
    if (error && (error->domain != CZ_ERROR || strlen(error->message) < 10))
        g_test_fail_printf("%s: %s %lu: no sentence: %s", device_id, kinds[kind], n,
                           error->message);
    if (cz_memory_now() != before)
        g_test_fail_printf("%s: %s %lu: %zu bytes held before, %zu after", device_id, kinds[kind],
                           n, before, cz_memory_now());
    g_clear_error(&error);
    return reached;
}

// every: at each n; else at ever larger steps, for work that takes long.
static void fail_everywhere(Work work, bool every)
{
    size_t n_devices;
    const CzDeviceInfo *infos = cz_devices(&n_devices, NULL);
    g_autofree char *path = g_build_filename(folder, "faults.safetensors", NULL);
    for (size_t d = 0; d < n_devices; d++) {
        g_autoptr(GError) error = NULL;
        // Whatever is made once and kept (libraries, pools) is made here.
        g_assert_true(work(infos[d].id, path, &error));
        g_assert_no_error(error);
        for (int kind = 0; kind < CZ_FAULT_KINDS; kind++) {
            unsigned long n = 1, n_failed = 0;
            while (!g_test_failed() && fail_at(work, infos[d].id, path, (CzFault)kind, n)) {
                n += every ? 1 : 1 + n / 4;
                n_failed++;
            }
            g_test_message("%s: failed %lu times at fewer than %lu %ss", infos[d].id, n_failed, n,
                           kinds[kind]);
            if (kind != CZ_FAULT_FILE || work == training_step)
                g_assert_cmpuint(n_failed, >, 4);
        }
    }
}

static void a_training_step_fails_cleanly_at_every_call(void)
{
    fail_everywhere(training_step, true);
}

static void the_network_fails_cleanly_throughout(void)
{
    fail_everywhere(infer_unet, false);
    fail_everywhere(infer_pix2pix, false);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    folder = g_dir_make_tmp("colorize-XXXXXX", NULL);
#define CASE(name) g_test_add_func("/engine/faults/" #name, name)
    CASE(a_training_step_fails_cleanly_at_every_call);
    CASE(the_network_fails_cleanly_throughout);
    int status = g_test_run();
    g_autofree char *path = g_build_filename(folder, "faults.safetensors", NULL);
    g_unlink(path);
    g_rmdir(folder);
    g_free(folder);
    return status;
}
