// SPDX-License-Identifier: LGPL-3.0-or-later
// The backend for GPUs on the doubles of the driver and of cuDNN: what runs cost, what is
// remembered, and what happens when any call fails.
#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include <cz/error.h>
#include <cz/ops.h>
#include <cz/plan.h>
#include <cz/rng.h>

#include "double.h"

// Of the driver's double; what a reset forgets.
int cuInit(unsigned flags);

static const CzShape scalar = {1, 1, 1, 1};

static void expect_clean(const char *what)
{
    if (double_complaints() > 0)
        g_test_fail_printf("%s: %s", what, double_complaint_text());
    if (double_leaks() > 0) {
        g_autofree char *text = double_leak_text();
        g_test_fail_printf("%s: left: %s", what, text);
    }
    if (double_cudnn_leaks() > 0)
        g_test_fail_printf("%s: %u of cuDNN's left", what, double_cudnn_leaks());
    double_clear_complaints();
}

// ---- two pieces of work -------------------------------------------------------------------------

enum { N_RUNS = 4, MOST_RESULTS = 4096 };

typedef struct {
    CzGraph *graph;
    CzValue outputs[3];
    size_t n_outputs;
    bool frozen;
} Work;

static CzConvParams padded(CzActivation activation)
{
    return (CzConvParams){
        .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1, .activation = activation};
}

// Every kind of action: casts of filters, fused and plain convolutions, own kernels.
static Work inference(CzDtype dtype)
{
    Work work = {.graph = cz_graph_new(), .frozen = true};
    CzGraph *graph = work.graph;
    CzValue bias = cz_param(graph, "bias", cz_shape(1, 8, 1, 1));
    CzValue x = cz_cast(graph, cz_input(graph, "x", cz_shape(1, 3, 8, 9)), dtype);
    CzValue y = cz_conv2d(graph, x, cz_param(graph, "first", cz_shape(8, 3, 3, 3)), bias, CZ_NONE,
                          padded(CZ_ACT_RELU));
    CzConvParams wise = padded(CZ_ACT_RELU6);
    wise.groups = 8;
    CzValue z =
        cz_conv2d(graph, y, cz_param(graph, "wise", cz_shape(8, 1, 3, 3)), bias, CZ_NONE, wise);
    z = cz_conv2d(graph, z, cz_param(graph, "last", cz_shape(8, 8, 3, 3)), bias, y,
                  padded(CZ_ACT_LEAKY));
    work.outputs[0] = cz_cast(graph, cz_resize(graph, z, 5, 5), CZ_F32);
    work.n_outputs = 1;
    return work;
}

static Work training(CzDtype dtype)
{
    Work work = {.graph = cz_graph_new()};
    CzGraph *graph = work.graph;
    CzShape shape = {8, 3, 3, 3};
    CzValue filter = cz_param(graph, "first", shape), grad;
    CzValue second = cz_param(graph, "last", cz_shape(4, 8, 3, 3));
    CzValue x = cz_cast(graph, cz_input(graph, "x", cz_shape(2, 3, 6, 7)), dtype);
    x = cz_conv2d(graph, x, filter, CZ_NONE, CZ_NONE, padded(CZ_ACT_RELU));
    x = cz_conv2d(graph, x, second, CZ_NONE, CZ_NONE, padded(CZ_ACT_NONE));
    x = cz_sub(graph, cz_cast(graph, x, CZ_F32), cz_input(graph, "truth", cz_shape(2, 4, 6, 7)));
    work.outputs[0] = cz_mean(graph, cz_huber(graph, x, 0.1f), scalar);
    cz_graph_gradient(graph, work.outputs[0], &filter, 1, &grad);
    CzValue gate = cz_step_gate(graph, cz_dot(graph, grad, grad), 1);
    work.outputs[1] =
        cz_adamw(graph, filter, grad, cz_param(graph, "m", shape), cz_param(graph, "v", shape),
                 CZ_NONE, cz_input(graph, "rates", cz_shape(1, 4, 1, 1)), gate,
                 (CzAdamParams){0.9f, 0.99f, 1e-8f, 0.01f, 1});
    work.n_outputs = 2;
    return work;
}

// Normal ones, but for what an optimizer keeps.
static float *numbers(const CzNode *node, size_t n)
{
    static const float rates[] = {0.003f, 0.1f, 0.01f, 0};
    float *data = g_new(float, n);
    CzRng rng = cz_rng(1, g_str_hash(node->name));
    bool state = g_str_equal(node->name, "m") || g_str_equal(node->name, "v");
    for (size_t i = 0; i < n; i++)
        data[i] = state ? 0 : 0.2f * cz_rng_normal(&rng);
    if (g_str_equal(node->name, "rates"))
        memcpy(data, rates, sizeof rates);
    return data;
}

static bool fill(const Work *work, CzStore *store, CzPlan *plan, GError **error)
{
    for (int32_t id = 0; id < cz_graph_n_nodes(work->graph); id++) {
        const CzNode *node = cz_graph_node(work->graph, id);
        bool input = node->op == CZ_OP_INPUT;
        if (plan ? !input : node->op != CZ_OP_PARAM)
            continue;
        size_t n = cz_shape_count(node->shape);
        g_autofree float *data = numbers(node, n);
        if (plan ? !cz_plan_write(plan, (CzValue){id}, data, n, error)
                 : !cz_store_add(store, node->name, node->shape, data, error))
            return false;
    }
    return true;
}

// What a few runs on a device give: outputs of the last one, then the first filter.
typedef struct {
    float data[MOST_RESULTS];
    size_t n;
    unsigned allocations, launches, uploads, waits; // of the last run with its data in and out
} Results;

static unsigned allocations(void)
{
    return double_calls("cuMemAlloc_v2") + double_calls("cuMemHostAlloc") +
           double_calls("cuEventCreate") + double_cudnn_calls("cudnnBackendCreateDescriptor");
}

static bool read_all(const Work *work, CzPlan *plan, Results *results, GError **error)
{
    results->n = 0;
    for (size_t i = 0; i < work->n_outputs; i++) {
        size_t n = cz_shape_count(cz_graph_shape(work->graph, work->outputs[i]));
        g_assert_cmpuint(results->n + n, <=, MOST_RESULTS);
        if (!cz_plan_read(plan, work->outputs[i], results->data + results->n, n, error))
            return false;
        results->n += n;
    }
    return true;
}

static bool run_all(const Work *work, CzStore *store, CzPlan *plan, Results *results,
                    GError **error)
{
    for (int i = 0; i < N_RUNS; i++) {
        unsigned before[] = {
            allocations(),
            double_calls("cuLaunchKernel") + double_cudnn_calls("cudnnBackendExecute"),
            double_calls("cuMemcpyHtoDAsync_v2"), double_calls("cuStreamSynchronize")};
        if (!fill(work, NULL, plan, error) || !cz_plan_run(plan, NULL, error) ||
            !read_all(work, plan, results, error))
            return false;
        results->allocations = allocations() - before[0];
        results->launches =
            double_calls("cuLaunchKernel") + double_cudnn_calls("cudnnBackendExecute") - before[1];
        results->uploads = double_calls("cuMemcpyHtoDAsync_v2") - before[2];
        results->waits = double_calls("cuStreamSynchronize") - before[3];
    }
    CzShape shape;
    g_assert_true(cz_store_has(store, "first", &shape));
    float *filter = results->data + results->n;
    results->n += cz_shape_count(shape);
    return cz_store_read(store, "first", filter, error);
}

static bool run_on(const char *device_id, const CzDeviceOptions *options, const Work *work,
                   Results *results, GError **error)
{
    g_autoptr(CzEngineDevice) device = cz_device_open_with(device_id, options, error);
    if (!device)
        return false;
    g_autoptr(CzStore) store = cz_store_new(device);
    if (!fill(work, store, NULL, error))
        return false;
    g_autoptr(CzPlan) plan = cz_plan_new(device, store, work->graph, work->outputs, work->n_outputs,
                                         &(CzPlanOptions){.frozen = work->frozen}, error);
    return plan && run_all(work, store, plan, results, error);
}

static void expect_near(const Results *right, const Results *found, double bound, const char *what)
{
    g_assert_cmpuint(right->n, ==, found->n);
    for (size_t i = 0; i < right->n; i++)
        if (!(fabs((double)right->data[i] - (double)found->data[i]) <= bound)) {
            g_test_fail_printf("%s: [%zu]: reference %g, found %g", what, i, (double)right->data[i],
                               (double)found->data[i]);
            return;
        }
}

// ---- what runs cost -----------------------------------------------------------------------------

typedef Work (*MakeWork)(CzDtype dtype);

static const struct {
    const char *name;
    MakeWork make;
    CzDtype dtype;
    double bound;
    unsigned uploads, waits;
} works[] = {
    {"inference", inference, CZ_F32, 1e-5, 1, 1},
    {"inference", inference, CZ_BF16, 0.03, 1, 1},
    {"training", training, CZ_F32, 1e-5, 3, 2},
    {"training", training, CZ_BF16, 0.03, 3, 2},
};

static void runs_are_right_and_cheap(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(works); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *what =
            g_strdup_printf("%s in %s", works[i].name, cz_dtype_name(works[i].dtype));
        Work work = works[i].make(works[i].dtype);
        static Results right, found;
        g_assert_true(run_on("reference", NULL, &work, &right, &error));
        g_assert_no_error(error);
        g_assert_true(run_on("cuda:0", NULL, &work, &found, &error));
        g_assert_no_error(error);
        expect_near(&right, &found, works[i].bound, what);
        // A run from the third on: the graph alone is started, nothing is made.
        g_assert_cmpuint(found.allocations, ==, 0);
        g_assert_cmpuint(found.launches, ==, 0);
        g_assert_cmpuint(found.uploads, ==, works[i].uploads);
        g_assert_cmpuint(found.waits, ==, works[i].waits);
        expect_clean(what);
        cz_graph_free(work.graph);
    }
}

// ---- every call fails ---------------------------------------------------------------------------

static const int driver_codes[] = {2, 999, 700}, cudnn_codes[] = {4003, 5000, 3000};

// TRUE if the fault struck. Whatever the device answers, the reference completes the work.
static bool fail_one(const Work *work, const Results *right, double bound, const char *what)
{
    g_autoptr(GError) error = NULL;
    static Results found;
    bool done = run_on("cuda:0", NULL, work, &found, &error);
    bool struck = double_failed() || double_cudnn_failed();
    double_fail_call(NULL, 0, 0);
    double_cudnn_fail_call(NULL, 0, 0);
    if (done)
        expect_near(right, &found, bound, what);
    else if (!error || strlen(error->message) < 10)
        g_test_fail_printf("%s: no sentence: %s", what, error ? error->message : "no error");
    else if (!g_error_matches(error, CZ_ERROR, CZ_ERROR_BACKEND) &&
             !g_error_matches(error, CZ_ERROR, CZ_ERROR_MEMORY))
        g_test_fail_printf("%s: error %d: %s", what, error->code, error->message);
    expect_clean(what);
    return struck;
}

// One of each kind; COLORIZE_SLOW=1: all.
static void any_call_may_fail(void)
{
    bool all = g_strcmp0(g_getenv("COLORIZE_SLOW"), "1") == 0;
    for (size_t i = all ? 0 : 1; i < (all ? G_N_ELEMENTS(works) : 3); i++) {
        Work work = works[i].make(works[i].dtype);
        static Results right;
        unsigned n_faults[2] = {0};
        g_assert_true(run_on("reference", NULL, &work, &right, NULL));
        for (int library = 0; library < 2; library++)
            for (unsigned n = 1;; n++) {
                int code = (library ? cudnn_codes : driver_codes)[n % 3];
                g_autofree char *what = g_strdup_printf(
                    "%s in %s, call %u of the %s answers %d", works[i].name,
                    cz_dtype_name(works[i].dtype), n, library ? "library" : "driver", code);
                (library ? double_cudnn_fail_call : double_fail_call)(NULL, n, code);
                if (!fail_one(&work, &right, works[i].bound, what))
                    break;
                n_faults[library]++;
            }
        g_test_message("%s in %s: %u calls of the driver and %u of cuDNN failed, one at a time",
                       works[i].name, cz_dtype_name(works[i].dtype), n_faults[0], n_faults[1]);
        g_assert_cmpuint(n_faults[0], >, 50);
        g_assert_cmpuint(n_faults[1], >, 100);
        cz_graph_free(work.graph);
    }
}

static void a_device_may_be_lost_at_any_call(void)
{
    Work work = training(CZ_F32);
    unsigned n_lost = 0;
    for (unsigned n = 1;; n += 3) {
        g_autoptr(GError) error = NULL;
        static Results found;
        g_autofree char *what = g_strdup_printf("lost at call %u", n);
        double_lose_device(n, n % 2 ? 719 : 700);
        bool done = run_on("cuda:0", NULL, &work, &found, &error);
        bool lost = !done;
        if (lost)
            g_assert_true(error && strlen(error->message) > 10);
        g_clear_error(&error);
        g_assert_true(run_on("reference", NULL, &work, &found, &error));
        g_assert_no_error(error);
        // A lost device frees nothing that it is asked to; what is ours is gone all the same.
        if (double_cudnn_leaks() > 0 || double_complaints() > 0)
            g_test_fail_printf("%s: %u of cuDNN's left; %s", what, double_cudnn_leaks(),
                               double_complaint_text());
        double_cudnn_reset();
        double_reset();
        cuInit(0);
        if (!lost)
            break;
        n_lost++;
    }
    g_test_message("lost at %u calls", n_lost);
    g_assert_cmpuint(n_lost, >, 30);
    cz_graph_free(work.graph);
}

// ---- memory -------------------------------------------------------------------------------------

static void less_memory_means_less_workspace_then_an_error(void)
{
    Work work = inference(CZ_F32);
    static Results right, found;
    g_autoptr(GError) error = NULL;
    g_assert_true(run_on("reference", NULL, &work, &right, NULL));
    size_t before = double_memory_used();
    g_assert_true(run_on("cuda:0", NULL, &work, &found, &error));
    size_t peak = double_memory_peak();
    g_assert_cmpuint(double_memory_used(), ==, before);
    bool fits = true, small = false;
    size_t least = 0;
    for (size_t limit = peak; fits && limit > 8192; limit -= 8192) {
        double_set_memory(limit);
        fits = run_on("cuda:0", NULL, &work, &found, &error);
        small = small || (fits && limit < peak);
        least = fits ? limit : least;
        if (fits)
            expect_near(&right, &found, 1e-5, "with less memory");
        expect_clean("with less memory");
    }
    g_test_message("%zu bytes at most, %zu at least", peak, least);
    g_assert_true(small);
    g_assert_error(error, CZ_ERROR, CZ_ERROR_MEMORY);
    g_test_message("%s", error->message);
    double_set_memory((size_t)8 << 30);
    cz_graph_free(work.graph);
}

// A plan that is held keeps what it has while another finds less memory; and with memory again, the
// next one has engines that want it.
static void a_shortage_is_the_business_of_one_plan(void)
{
    Work work = inference(CZ_F32);
    g_autoptr(GError) error = NULL;
    static Results before, after;
    CzEngineDevice *device = cz_device_open("cuda:0", &error);
    CzStore *store = cz_store_new(device);
    const CzPlanOptions options = {.frozen = true};
    CzPlan *plans[3] = {NULL};
    g_assert_true(fill(&work, store, NULL, &error));
    for (int i = 0; i < 3; i++) {
        if (i == 1) // none for a workspace
            double_set_memory(double_memory_used() + 20000);
        plans[i] =
            cz_plan_new(device, store, work.graph, work.outputs, work.n_outputs, &options, &error);
        g_assert_no_error(error);
        double_set_memory((size_t)8 << 30);
        g_assert_true(run_all(&work, store, plans[0], i ? &after : &before, &error));
        g_assert_no_error(error);
    }
    g_assert_cmpmem(before.data, before.n * sizeof(float), after.data, after.n * sizeof(float));
    g_autofree char *first = cz_plan_dump(plans[0]), *second = cz_plan_dump(plans[1]),
                    *third = cz_plan_dump(plans[2]);
    // The double's engines 4 and 5 want a workspace, 4 is the faster one; 6 wants none.
    g_assert_nonnull(strstr(first, "engine 4"));
    g_assert_nonnull(strstr(second, "engine 6"));
    g_assert_nonnull(strstr(third, "engine 4"));
    for (int i = 0; i < 3; i++)
        cz_plan_free(plans[i]);
    cz_store_free(store);
    cz_device_close(device);
    expect_clean("a shortage");
    cz_graph_free(work.graph);
}

// ---- engines ------------------------------------------------------------------------------------

static unsigned executions_of(const CzDeviceOptions *options, const Work *work, char **kernels)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CzEngineDevice) device = cz_device_open_with("cuda:0", options, &error);
    g_assert_no_error(error);
    g_autoptr(CzStore) store = cz_store_new(device);
    unsigned before = double_cudnn_executions();
    g_assert_true(fill(work, store, NULL, &error));
    g_autoptr(CzPlan) plan = cz_plan_new(device, store, work->graph, work->outputs, work->n_outputs,
                                         &(CzPlanOptions){.frozen = work->frozen}, &error);
    g_assert_no_error(error);
    *kernels = cz_plan_dump(plan);
    return double_cudnn_executions() - before;
}

static void engines_are_timed_once_and_remembered(void)
{
    Work work = inference(CZ_F32);
    const CzDeviceOptions repeated = {.deterministic = true}, rounded = {.tf32 = true};
    g_autofree char *first = NULL, *second = NULL, *third = NULL, *fourth = NULL, *fifth = NULL;
    g_autofree char *cache =
        g_build_filename(g_get_user_cache_dir(), "colorize", "cuda-engines", NULL);
    g_unlink(cache);
    // Of the double's engines 4, 5 and 6 are exact and compiled; 4 is not deterministic.
    double_cudnn_set_duration(5, 3);
    g_assert_cmpuint(executions_of(NULL, &work, &first), >, 0);
    g_assert_nonnull(strstr(first, "engine 5"));
    g_assert_true(g_file_test(cache, G_FILE_TEST_EXISTS));
    // Slower now, but nobody looks again.
    double_cudnn_set_duration(5, 1000);
    g_assert_cmpuint(executions_of(NULL, &work, &second), ==, 0);
    g_assert_nonnull(strstr(second, "engine 5"));
    g_assert_cmpuint(executions_of(&repeated, &work, &third), ==, 0);
    g_assert_nonnull(strstr(third, "engine 5"));
    g_assert_null(strstr(third, "engine 4"));
    // With TF32 tensor cores are no obstacle.
    double_cudnn_set_duration(0, 1);
    g_assert_cmpuint(executions_of(&rounded, &work, &fourth), >, 0);
    g_assert_nonnull(strstr(fourth, "engine 0"));
    // A damaged file is as none.
    g_assert_true(g_file_set_contents(cache, "nonsense\n", -1, NULL));
    g_assert_cmpuint(executions_of(NULL, &work, &fifth), >, 0);
    g_assert_null(strstr(fifth, "engine 5"));
    expect_clean("engines");
    cz_graph_free(work.graph);
}

static void deterministic_runs_repeat_to_the_bit(void)
{
    Work work = training(CZ_BF16);
    const CzDeviceOptions options = {.deterministic = true};
    static Results first, second;
    g_assert_true(run_on("cuda:0", &options, &work, &first, NULL));
    g_assert_true(run_on("cuda:0", &options, &work, &second, NULL));
    g_assert_cmpmem(first.data, first.n * sizeof(float), second.data, second.n * sizeof(float));
    cz_graph_free(work.graph);
}

static void timed_plans_tell_times(void)
{
    g_autoptr(GError) error = NULL;
    Work work = inference(CZ_F32);
    g_autoptr(CzEngineDevice) device = cz_device_open("cuda:0", &error);
    g_autoptr(CzStore) store = cz_store_new(device);
    g_assert_true(fill(&work, store, NULL, &error));
    g_autoptr(CzPlan) plan = cz_plan_new(device, store, work.graph, work.outputs, work.n_outputs,
                                         &(CzPlanOptions){.frozen = true, .timed = true}, &error);
    g_assert_true(fill(&work, NULL, plan, &error));
    g_assert_true(cz_plan_run(plan, NULL, &error));
    g_autofree char *text = cz_plan_dump(plan);
    g_assert_null(strstr(text, "] 0.0 us"));
    g_clear_pointer(&plan, cz_plan_free);
    cz_graph_free(work.graph);
}

static void devices_are_found_by_index_and_by_name(void)
{
    static const struct {
        const char *id, *found;
    } cases[] = {{"auto", "cuda:0"},        {"cuda", "cuda:0"},
                 {"cuda:0", "cuda:0"},      {"cuda:1", NULL},
                 {"cuda:double", "cuda:0"}, {"cuda:Nvidia Dou", "cuda:0"},
                 {"cuda:geforce", NULL},    {"cuda:", NULL}};
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(CzEngineDevice) device = cz_device_open(cases[i].id, &error);
        g_assert_cmpstr(device ? cz_device_info(device)->id : NULL, ==, cases[i].found);
        g_assert_true((device != NULL) == (error == NULL));
    }
    expect_clean("opening");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_autofree char *folder = g_dir_make_tmp("colorize-gpu-XXXXXX", NULL);
    g_setenv("XDG_CACHE_HOME", folder, TRUE);
    size_t n;
    const char *const *notes;
    cz_devices(&n, &notes);
    if (n < 2)
        g_error("the double does not serve: %s", notes[0] ? notes[0] : "no reason given");
#define CASE(name) g_test_add_func("/gpu/backend/" #name, name)
    CASE(devices_are_found_by_index_and_by_name);
    CASE(runs_are_right_and_cheap);
    CASE(deterministic_runs_repeat_to_the_bit);
    CASE(timed_plans_tell_times);
    CASE(engines_are_timed_once_and_remembered);
    CASE(less_memory_means_less_workspace_then_an_error);
    CASE(a_shortage_is_the_business_of_one_plan);
    CASE(any_call_may_fail);
    CASE(a_device_may_be_lost_at_any_call);
    return g_test_run();
}
