// SPDX-License-Identifier: LGPL-3.0-or-later
#include "trial.h"

#include <math.h>

#include <cz/error.h>

#include "lower.h"

// A GPU with less free memory than this is nearly full: libraries fail there with codes that name
// other causes (cuDNN with 1001, 4000 and on, 5000 and on).
#define FULL_BYTES ((size_t)512 << 20)

// A picture of ones under filters of small fractions: every sum is exact.
enum {
    CHANNELS = 8,
    SIDE = 8,
    FILTER = 3,
    MAPS = CHANNELS * SIDE * SIDE,
    TAPS = CHANNELS * FILTER * FILTER, // of one channel
    WEIGHTS = CHANNELS * TAPS,
    SLOT = (MAPS > WEIGHTS ? MAPS : WEIGHTS),         // elements
    MIDDLE = (SIDE / 2 * SIDE + SIDE / 2) * CHANNELS, // where the whole filter lies in the picture
    CENTER = FILTER * FILTER / 2 * CHANNELS,          // of a filter
};
enum { X, FILTER_ID, Y, HALF, D_X, D_FILTER, STEEP, BIAS, CLIPPED, LEAKING, N_NODES };

// clang-format off
static const struct {
    const char *what; // NULL: an input
    CzOp op;
    CzShape shape;
    int32_t n_src, src[3];
    CzActivation activation;
    bool cudnn; // by our own kernels it would tell nothing of cuDNN
} rows[N_NODES] = {
    [X] = {NULL, CZ_OP_INPUT, {1, CHANNELS, SIDE, SIDE}, 0, {0}, CZ_ACT_NONE, false},
    [FILTER_ID] = {NULL, CZ_OP_INPUT, {CHANNELS, CHANNELS, FILTER, FILTER}, 0, {0}, CZ_ACT_NONE, false},
    [Y] = {"a convolution", CZ_OP_CONV2D, {1, CHANNELS, SIDE, SIDE}, 2, {X, FILTER_ID}, CZ_ACT_NONE, true},
    [HALF] = {"a kernel", CZ_OP_SCALE, {1, CHANNELS, SIDE, SIDE}, 1, {Y}, CZ_ACT_NONE, false},
    [D_X] = {"a data gradient", CZ_OP_CONV2D_GRAD_SRC, {1, CHANNELS, SIDE, SIDE}, 2, {X, FILTER_ID}, CZ_ACT_NONE, true},
    [D_FILTER] = {"a weight gradient", CZ_OP_CONV2D_GRAD_FILTER, {CHANNELS, CHANNELS, FILTER, FILTER}, 2, {X, X},
                  CZ_ACT_NONE, true},
    [STEEP] = {NULL, CZ_OP_INPUT, {CHANNELS, CHANNELS, FILTER, FILTER}, 0, {0}, CZ_ACT_NONE, false},
    [BIAS] = {NULL, CZ_OP_INPUT, {1, CHANNELS, 1, 1}, 0, {0}, CZ_ACT_NONE, false},
    [CLIPPED] = {"a convolution with ReLU6", CZ_OP_CONV2D, {1, CHANNELS, SIDE, SIDE}, 3, {X, STEEP, BIAS},
                 CZ_ACT_RELU6, false},
    [LEAKING] = {"a convolution with leaky ReLU", CZ_OP_CONV2D, {1, CHANNELS, SIDE, SIDE}, 3, {X, STEEP, BIAS},
                 CZ_ACT_LEAKY, false},
};
// clang-format on

// Of STEEP and BIAS, by channel in turns: the sums are -3, 4 and 9.
static const float steep[] = {-0.125f, 0.0625f, 0.25f}, biases[] = {6, -0.5f, -9};

static const struct {
    int32_t id;
    size_t at;
    float expected;
} checks[] = {
    {Y, MIDDLE, TAPS},        {HALF, MIDDLE, 0.5f * TAPS},
    {D_X, MIDDLE, TAPS},      {D_FILTER, CENTER, SIDE *SIDE},
    {CLIPPED, MIDDLE, 0},     {CLIPPED, MIDDLE + 1, 4},
    {CLIPPED, MIDDLE + 2, 6}, {LEAKING, MIDDLE, -3 * CZ_LEAKY_SLOPE},
    {LEAKING, MIDDLE + 1, 4}, {LEAKING, MIDDLE + 2, 9},
};

static const CzOpClass op_class = {.name = "trial"};

typedef struct {
    CzNode nodes[N_NODES];
    const CzNode *by_id[N_NODES];
    CzSlot slots[N_NODES];
    int32_t steps[N_NODES];
    CzPlanView plan;
} Graph;

static void make_graph(Graph *graph, CzBuffer *buffer)
{
    size_t n_steps = 0;
    for (int32_t id = 0; id < N_NODES; id++) {
        CzNode *node = &graph->nodes[id];
        *node = (CzNode){.id = id,
                         .op = rows[id].op,
                         .op_class = &op_class,
                         .shape = rows[id].shape,
                         .n_src = rows[id].n_src,
                         .src = rows[id].src};
        if (rows[id].op == CZ_OP_SCALE)
            node->params.linear.scale = 0.5f;
        else
            node->params.conv = (CzConvParams){.stride = 1,
                                               .dilation = 1,
                                               .groups = 1,
                                               .pad_top = 1,
                                               .pad_left = 1,
                                               .pad_bottom = 1,
                                               .pad_right = 1,
                                               .activation = rows[id].activation,
                                               .has_bias = rows[id].n_src > 2};
        graph->by_id[id] = node;
        graph->slots[id] = (CzSlot){.buffer = buffer, .offset = (size_t)id * SLOT * sizeof(float)};
        if (rows[id].n_src > 0)
            graph->steps[n_steps++] = id;
    }
    graph->plan = (CzPlanView){.nodes = graph->by_id,
                               .slots = graph->slots,
                               .n_nodes = N_NODES,
                               .steps = graph->steps,
                               .n_steps = n_steps};
}

static float number(int32_t id, size_t i)
{
    switch (id) {
    case STEEP:
        return steep[i / TAPS % G_N_ELEMENTS(steep)];
    case BIAS:
        return biases[i % G_N_ELEMENTS(biases)];
    default:
        return 1;
    }
}

static bool upload(CzDevice *device, CzBuffer *buffer, const Graph *graph, GError **error)
{
    float numbers[SLOT];
    for (int32_t id = 0; id < N_NODES; id++) {
        size_t n = cz_shape_count(rows[id].shape);
        if (rows[id].n_src > 0)
            continue;
        for (size_t i = 0; i < n; i++)
            numbers[i] = number(id, i);
        if (!device_upload(device, buffer, graph->slots[id].offset, numbers, n * sizeof *numbers,
                           error))
            return false;
    }
    return true;
}

// An installation that lacks a part has no engines, and our own kernels would hide that.
static bool uses_cudnn(const CzDevice *device, const Graph *graph, const CzProgram *program,
                       GError **error)
{
    for (size_t i = 0; i < graph->plan.n_steps; i++) {
        int32_t id = graph->steps[i];
        if (!rows[id].cudnn || g_str_has_prefix(cudnn_step_kernel(program, i, NULL), "cudnn "))
            continue;
        g_set_error(error, device->host->error_domain, CZ_ERROR_BACKEND,
                    "cuDNN has no engine for %s", rows[id].what);
        return false;
    }
    return true;
}

static FirstUseAnswer compare(CzDevice *device, const CzBuffer *buffer, const Graph *graph,
                              GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(checks); i++) {
        int32_t id = checks[i].id;
        float found = NAN;
        size_t offset = graph->slots[id].offset + checks[i].at * sizeof found;
        if (!device_download(device, &found, buffer, offset, sizeof found, error))
            return FIRST_USE_FAILS;
        // The slope alone is no exact number. NaN is far from all.
        if (fabsf(found - checks[i].expected) <= 1e-5f)
            continue;
        g_set_error(error, device->host->error_domain, CZ_ERROR_BACKEND,
                    "%s: expected %g, found %g", rows[id].what, (double)checks[i].expected,
                    (double)found);
        return FIRST_USE_WRONG;
    }
    return FIRST_USE_WORKS;
}

static FirstUseAnswer run(CzDevice *device, CzBuffer *buffer, GError **error)
{
    Graph graph;
    CzProgram *program = NULL;
    FirstUseAnswer answer = FIRST_USE_FAILS;
    make_graph(&graph, buffer);
    if (upload(device, buffer, &graph, error) &&
        cudnn_compile(device, &graph.plan, &program, error) &&
        uses_cudnn(device, &graph, program, error) && cudnn_run(program, NULL, error))
        answer = compare(device, buffer, &graph, error);
    cudnn_discard(program);
    return answer;
}

// Also where the device could not be opened: it has to be, for the question.
static bool is_nearly_full(const CudaApi *cuda, int ordinal)
{
    CUdevice device;
    CUcontext context;
    size_t free_bytes = 0, total_bytes;
    if (cuda->cuDeviceGet(&device, ordinal) != CUDA_SUCCESS)
        return false;
    CUresult result = cuda->cuDevicePrimaryCtxRetain(&context, device);
    if (result != CUDA_SUCCESS)
        return result == CUDA_ERROR_OUT_OF_MEMORY;
    bool full = cuda->cuCtxSetCurrent(context) == CUDA_SUCCESS &&
                cuda->cuMemGetInfo_v2(&free_bytes, &total_bytes) == CUDA_SUCCESS &&
                free_bytes < FULL_BYTES;
    cuda->cuDevicePrimaryCtxRelease_v2(device);
    return full;
}

FirstUseAnswer trial_run(const CzHost *host, const Libs *libs, GError **error)
{
    // One choice, no timing: what is tried is whether it works at all.
    const CzDeviceOptions options = {.deterministic = true};
    CzDevice *device = NULL;
    CzDeviceInfo info;
    CzBuffer *buffer = NULL;
    GError *cause = NULL;
    FirstUseAnswer answer = FIRST_USE_FAILS;
    int n_devices = 0, ordinal = 0;
    libs->cuda.cuDeviceGetCount(&n_devices);
    while (ordinal < n_devices && !device_describe(host, libs, ordinal, &info, NULL))
        ordinal++;
    if (ordinal == n_devices)
        return FIRST_USE_UNDECIDED;
    if (device_open(host, libs, ordinal, &options, &device, &cause) &&
        device_alloc(device, N_NODES * SLOT * sizeof(float), &buffer, &cause))
        answer = run(device, buffer, &cause);
    if (answer == FIRST_USE_FAILS && (g_error_matches(cause, host->error_domain, CZ_ERROR_MEMORY) ||
                                      is_nearly_full(&libs->cuda, ordinal)))
        answer = FIRST_USE_UNDECIDED;
    if (device)
        device_release(device, buffer);
    device_close(device);
    if (cause)
        g_propagate_error(error, cause);
    return answer;
}
