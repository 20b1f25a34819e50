// SPDX-License-Identifier: LGPL-3.0-or-later
// The trial on the doubles: what it finds of an installation that is broken in one way or another.
#include "backend/cudnn/trial.h"

#include <string.h>

#include <cz/error.h>

#include "double.h"

// Of the driver's double, not of the module's table.
CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active);

enum { NEARLY_FULL = 400 << 20 };

static CzHost host = {.abi = CZ_BACKEND_ABI};
static Libs *libs;
static CudnnApi real; // of the double, as a case may replace what the trial calls

// ---- what may be broken -------------------------------------------------------------------------

static bool for_gradients; // what is asked for now

// The heuristics know no engine.
static cudnnStatus_t no_engines(cudnnBackendDescriptor_t made, cudnnBackendAttributeName_t name,
                                cudnnBackendAttributeType_t type, int64_t max, int64_t *n,
                                void *elements)
{
    if (name != CUDNN_ATTR_ENGINEHEUR_RESULTS)
        return real.cudnnBackendGetAttribute(made, name, type, max, n, elements);
    *n = 0;
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t no_gradient_engines(cudnnBackendDescriptor_t made,
                                         cudnnBackendAttributeName_t name,
                                         cudnnBackendAttributeType_t type, int64_t max, int64_t *n,
                                         void *elements)
{
    return (for_gradients ? no_engines : real.cudnnBackendGetAttribute)(made, name, type, max, n,
                                                                        elements);
}

static cudnnStatus_t watch(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *made)
{
    if (type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
        for_gradients = false;
    if (type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR ||
        type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR)
        for_gradients = true;
    return real.cudnnBackendCreateDescriptor(type, made);
}

// A GPU that computes nothing.
static cudnnStatus_t idle(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                          cudnnBackendDescriptor_t pack)
{
    return CUDNN_STATUS_SUCCESS;
}

static cudnnBackendAttributeName_t forgotten;

static cudnnStatus_t forget(cudnnBackendDescriptor_t made, cudnnBackendAttributeName_t name,
                            cudnnBackendAttributeType_t type, int64_t n, const void *elements)
{
    return name == forgotten ? CUDNN_STATUS_SUCCESS
                             : real.cudnnBackendSetAttribute(made, name, type, n, elements);
}

// ---- cases --------------------------------------------------------------------------------------

static FirstUseAnswer try_out(GError **error)
{
    int n_devices;
    g_assert_true(libs_start(&host, libs, &n_devices, error));
    FirstUseAnswer answer = trial_run(&host, libs, error);
    double_fail_call(NULL, 0, 0);
    double_cudnn_fail_call(NULL, 0, 0);
    return answer;
}

// words: part of the error's sentence, or NULL.
static void expect(const char *what, FirstUseAnswer expected, const char *words)
{
    g_autoptr(GError) error = NULL;
    FirstUseAnswer found = try_out(&error);
    if (found != expected)
        g_test_fail_printf("%s: expected answer %d, found %d: %s", what, expected, found,
                           error ? error->message : "no error");
    if (words && (!error || !strstr(error->message, words)))
        g_test_fail_printf("%s: expected '%s', found '%s'", what, words,
                           error ? error->message : "no error");
    if (!words)
        g_assert_no_error(error);
    if (double_complaints() > 0)
        g_test_fail_printf("%s: %s", what, double_complaint_text());
    if (double_leaks() > 0 || double_cudnn_leaks() > 0)
        g_test_fail_printf("%s: %u of the driver's and %u of cuDNN's left", what, double_leaks(),
                           double_cudnn_leaks());
    libs->cudnn = real;
    double_cudnn_reset();
    double_reset();
}

static void sound_libraries_work(void)
{
    expect("sound", FIRST_USE_WORKS, NULL);
    double_set_memory(NEARLY_FULL);
    expect("sound, with little memory", FIRST_USE_WORKS, NULL);
}

static void wrong_numbers_are_found(void)
{
    libs->cudnn.cudnnBackendExecute = idle;
    expect("idle", FIRST_USE_WRONG, "a convolution: expected 72, found ");
    // However little memory there is: nothing told of a failure.
    double_set_memory(NEARLY_FULL);
    libs->cudnn.cudnnBackendExecute = idle;
    expect("idle, with little memory", FIRST_USE_WRONG, "a convolution: expected 72, found ");
}

static void wrong_activations_are_found(void)
{
    libs->cudnn.cudnnBackendSetAttribute = forget;
    forgotten = CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP;
    expect("no upper clip", FIRST_USE_WRONG, "a convolution with ReLU6: expected 6, found 9");
    libs->cudnn.cudnnBackendSetAttribute = forget;
    forgotten = CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE;
    expect("no slope", FIRST_USE_WRONG, "a convolution with leaky ReLU: expected -0.6, found 0");
}

static void libraries_without_engines_fail(void)
{
    libs->cudnn.cudnnBackendGetAttribute = no_engines;
    expect("no engines", FIRST_USE_FAILS, "cuDNN has no engine for a convolution");
    libs->cudnn.cudnnBackendCreateDescriptor = watch;
    libs->cudnn.cudnnBackendGetAttribute = no_gradient_engines;
    expect("no gradients", FIRST_USE_FAILS, "cuDNN has no engine for a data gradient");
}

static void memory_that_is_out_decides_nothing(void)
{
    double_fail_call("cuMemAlloc_v2", 1, CUDA_ERROR_OUT_OF_MEMORY);
    expect("out of memory", FIRST_USE_UNDECIDED, "CUDA_ERROR_OUT_OF_MEMORY");
    double_set_memory(1 << 20);
    expect("no memory at all", FIRST_USE_UNDECIDED, "CUDA_ERROR_OUT_OF_MEMORY");
}

static void failures_on_a_full_gpu_decide_nothing(void)
{
    static const struct {
        const char *call;
        int status;
    } faults[] = {
        {"cudnnCreate", 1001},         {"cudnnCreate", 4000},         {"cudnnSetStream", 4000},
        {"cudnnBackendExecute", 5000}, {"cudnnBackendExecute", 5003},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(faults); i++)
        for (int full = 0; full < 2; full++) {
            g_autofree char *what =
                g_strdup_printf("%s answers %d%s", faults[i].call, faults[i].status,
                                full ? ", with little memory" : "");
            g_autofree char *words = g_strdup_printf("(%d)", faults[i].status);
            if (full)
                double_set_memory(NEARLY_FULL);
            double_cudnn_fail_call(faults[i].call, 1, faults[i].status);
            expect(what, full ? FIRST_USE_UNDECIDED : FIRST_USE_FAILS, words);
        }
}

static void a_gpu_that_is_taken_fails(void)
{
    double_fail_call("cuDevicePrimaryCtxRetain", 1, CUDA_ERROR_DEVICE_UNAVAILABLE);
    expect("taken", FIRST_USE_FAILS, "opening the GPU: ");
}

// Set before the context is retained; a driver that does not want to is used all the same.
static void waiting_sleeps(void)
{
    unsigned flags = 0;
    int active;
    double_fail_call("cuDevicePrimaryCtxRetain", 1, CUDA_ERROR_DEVICE_UNAVAILABLE);
    g_assert_cmpint(try_out(NULL), ==, FIRST_USE_FAILS);
    g_assert_cmpint(cuDevicePrimaryCtxGetState(0, &flags, &active), ==, CUDA_SUCCESS);
    g_assert_cmpuint(flags, ==, CU_CTX_SCHED_BLOCKING_SYNC);
    g_assert_cmpint(active, ==, 0);
    double_fail_call("cuDevicePrimaryCtxSetFlags_v2", 1, 708);
    expect("flags refused", FIRST_USE_WORKS, NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) told = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *folder = g_dir_make_tmp("colorize-trial-XXXXXX", NULL);
    g_setenv("XDG_CACHE_HOME", folder, TRUE);
    host.error_domain = CZ_ERROR;
    libs = libs_open(&host, told, &error);
    if (!libs)
        g_error("%s", error->message);
    real = libs->cudnn;
#define CASE(name) g_test_add_func("/gpu/trial/" #name, name)
    CASE(sound_libraries_work);
    CASE(wrong_numbers_are_found);
    CASE(wrong_activations_are_found);
    CASE(libraries_without_engines_fail);
    CASE(memory_that_is_out_decides_nothing);
    CASE(failures_on_a_full_gpu_decide_nothing);
    CASE(a_gpu_that_is_taken_fails);
    CASE(waiting_sleeps);
    int status = g_test_run();
    libs_free(libs);
    return status;
}
