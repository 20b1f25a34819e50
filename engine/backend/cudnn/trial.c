// SPDX-License-Identifier: LGPL-3.0-or-later
#include "trial.h"

#include <math.h>

#include <cz/error.h>

#include "lower.h"

// A picture of ones under a filter of ones: every result is a small whole number.
enum {
    CHANNELS = 8,
    SIDE = 8,
    FILTER = 3,
    MAPS = CHANNELS * SIDE * SIDE,
    WEIGHTS = CHANNELS * CHANNELS * FILTER * FILTER,
    SLOT = (MAPS > WEIGHTS ? MAPS : WEIGHTS), // elements
};
enum { X, FILTER_ID, Y, HALF, D_X, D_FILTER, N_NODES };

static const CzOpClass op_class = {.name = "trial"};

typedef struct {
    CzNode nodes[N_NODES];
    const CzNode *by_id[N_NODES];
    CzSlot slots[N_NODES];
    CzBuffer *buffer;
    int32_t src[N_NODES][2];
} Graph;

static void add(Graph *graph, int32_t id, CzOp op, CzShape shape, int32_t a, int32_t b)
{
    CzNode *node = &graph->nodes[id];
    graph->src[id][0] = a;
    graph->src[id][1] = b;
    *node = (CzNode){.id = id,
                     .op = op,
                     .op_class = &op_class,
                     .shape = shape,
                     .n_src = (a >= 0) + (b >= 0),
                     .src = graph->src[id]};
    if (op == CZ_OP_SCALE)
        node->params.linear.scale = 0.5f;
    else
        node->params.conv = (CzConvParams){.stride = 1,
                                           .dilation = 1,
                                           .groups = 1,
                                           .pad_top = 1,
                                           .pad_left = 1,
                                           .pad_bottom = 1,
                                           .pad_right = 1};
    graph->by_id[id] = node;
    graph->slots[id] =
        (CzSlot){.buffer = graph->buffer, .offset = (size_t)id * SLOT * sizeof(float)};
}

static const struct {
    int32_t id;
    size_t at; // in the middle, where the whole filter lies in the picture
    float expected;
    const char *what;
} checks[] = {
    {Y, MAPS / 2 + 4 * CHANNELS, 9 * CHANNELS, "a convolution"},
    {HALF, MAPS / 2 + 4 * CHANNELS, 4.5f * CHANNELS, "a kernel"},
    {D_X, MAPS / 2 + 4 * CHANNELS, 9 * CHANNELS, "a data gradient"},
    {D_FILTER, 4 * CHANNELS, SIDE *SIDE, "a weight gradient"},
};

static bool run(CzDevice *device, Graph *graph, GError **error)
{
    const CzShape maps = {1, CHANNELS, SIDE, SIDE}, filter = {CHANNELS, CHANNELS, FILTER, FILTER};
    static const int32_t steps[] = {Y, HALF, D_X, D_FILTER};
    float ones[SLOT];
    for (int i = 0; i < SLOT; i++)
        ones[i] = 1;
    add(graph, X, CZ_OP_INPUT, maps, -1, -1);
    add(graph, FILTER_ID, CZ_OP_INPUT, filter, -1, -1);
    add(graph, Y, CZ_OP_CONV2D, maps, X, FILTER_ID);
    add(graph, HALF, CZ_OP_SCALE, maps, Y, -1);
    add(graph, D_X, CZ_OP_CONV2D_GRAD_SRC, maps, X, FILTER_ID);
    add(graph, D_FILTER, CZ_OP_CONV2D_GRAD_FILTER, filter, X, X);
    const CzPlanView plan = {.nodes = graph->by_id,
                             .slots = graph->slots,
                             .n_nodes = N_NODES,
                             .steps = steps,
                             .n_steps = G_N_ELEMENTS(steps)};
    CzProgram *program = NULL;
    bool done = device_upload(device, graph->buffer, 0, ones, sizeof ones, error) &&
                device_upload(device, graph->buffer, graph->slots[FILTER_ID].offset, ones,
                              sizeof ones, error) &&
                cudnn_compile(device, &plan, &program, error) && cudnn_run(program, NULL, error);
    for (size_t i = 0; done && i < G_N_ELEMENTS(checks); i++) {
        float found = NAN;
        size_t offset = graph->slots[checks[i].id].offset + checks[i].at * sizeof found;
        done = device_download(device, &found, graph->buffer, offset, sizeof found, error);
        if (done && found != checks[i].expected) {
            g_set_error(error, device->host->error_domain, CZ_ERROR_BACKEND,
                        "%s: expected %g, found %g", checks[i].what, (double)checks[i].expected,
                        (double)found);
            done = false;
        }
    }
    cudnn_discard(program);
    return done;
}

FirstUseAnswer trial_run(const CzHost *host, const Libs *libs, GError **error)
{
    // One choice, no timing: what is tried is whether it works at all.
    const CzDeviceOptions options = {.deterministic = true};
    CzDevice *device = NULL;
    CzDeviceInfo info;
    Graph graph = {.buffer = NULL};
    GError *cause = NULL;
    int n_devices = 0, ordinal = 0;
    libs->cuda.cuDeviceGetCount(&n_devices);
    while (ordinal < n_devices && !device_describe(host, libs, ordinal, &info, NULL))
        ordinal++;
    if (ordinal == n_devices)
        return FIRST_USE_UNDECIDED;
    bool works = device_open(host, libs, ordinal, &options, &device, &cause) &&
                 device_alloc(device, N_NODES * SLOT * sizeof(float), &graph.buffer, &cause) &&
                 run(device, &graph, &cause);
    if (device)
        device_release(device, graph.buffer);
    device_close(device);
    if (works)
        return FIRST_USE_WORKS;
    bool memory = g_error_matches(cause, host->error_domain, CZ_ERROR_MEMORY);
    g_propagate_error(error, cause);
    return memory ? FIRST_USE_UNDECIDED : FIRST_USE_FAILS;
}
