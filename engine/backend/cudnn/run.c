// SPDX-License-Identifier: LGPL-3.0-or-later
// Running a program: action by action, step by step with a clock, or as recorded graphs.
#include <cz/error.h>

#include "lower_private.h"

static bool sum_over_ranks(const CzProgram *program, const Action *action, GError **error)
{
    const CzDevice *device = program->device;
    if (device->nccl)
        return nccl_sum(device->nccl, action->sum.address, action->sum.n_elements, device->stream,
                        error);
    const CudaApi *cuda = &device->libs->cuda;
    const CzRanks *ranks = action->sum.ranks;
    size_t n_bytes = action->sum.n_elements * sizeof(float);
    CUresult result = cuda->cuMemcpyDtoHAsync_v2(program->host_sums, action->sum.address, n_bytes,
                                                 device->stream);
    if (result == CUDA_SUCCESS)
        result = cuda->cuStreamSynchronize(device->stream);
    if (result == CUDA_SUCCESS) {
        ranks->sum(ranks->user, program->host_sums, action->sum.n_elements);
        result = cuda->cuMemcpyHtoDAsync_v2(action->sum.address, program->host_sums, n_bytes,
                                            device->stream);
    }
    return device_check(device, result, "summing over ranks", error);
}

static bool act(const CzProgram *program, guint index, GError **error)
{
    const Action *action = &g_array_index(program->actions, Action, index);
    switch (action->kind) {
    case ACTION_LAUNCH:
        return device_launch(program->device, &action->launch, error);
    case ACTION_CONV:
        return conv_execute(program->device, action->conv.plan, action->conv.pack, error);
    default:
        return sum_over_ranks(program, action, error);
    }
}

static bool act_all(const CzProgram *program, guint first, guint end, GError **error)
{
    for (guint i = first; i < end; i++)
        if (!act(program, i, error))
            return false;
    return true;
}

// ---- with a clock -------------------------------------------------------------------------------

static bool run_timed(CzProgram *program, GError **error)
{
    const CzDevice *device = program->device;
    const CudaApi *cuda = &device->libs->cuda;
    size_t n = program->plan->n_steps;
    CUresult result = cuda->cuEventRecord(program->events[0], device->stream);
    for (size_t i = 0; result == CUDA_SUCCESS && i < n; i++) {
        if (!act_all(program, program->steps[i].first, program->steps[i].end, error))
            return false;
        result = cuda->cuEventRecord(program->events[i + 1], device->stream);
    }
    if (result == CUDA_SUCCESS)
        result = cuda->cuStreamSynchronize(device->stream);
    for (size_t i = 0; result == CUDA_SUCCESS && i < n; i++) {
        float time_ms = 0;
        result = cuda->cuEventElapsedTime(&time_ms, program->events[i], program->events[i + 1]);
        program->times_us[i] = 1e3 * (double)time_ms;
    }
    return device_check(device, result, "timing steps", error);
}

// ---- as graphs ----------------------------------------------------------------------------------

// Kernels and convolutions of one part become one graph, which the driver starts at once. FALSE: a
// library does not let itself be recorded, and nothing has run.
static bool record(CzProgram *program, Range *part)
{
    const CzDevice *device = program->device;
    const CudaApi *cuda = &device->libs->cuda;
    CUgraph graph = NULL;
    if (cuda->cuStreamBeginCapture_v2(device->stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL) !=
        CUDA_SUCCESS)
        return false;
    bool acted = act_all(program, part->first, part->end, NULL);
    bool ended = cuda->cuStreamEndCapture(device->stream, &graph) == CUDA_SUCCESS && graph;
    bool good =
        acted && ended && cuda->cuGraphInstantiateWithFlags(&part->graph, graph, 0) == CUDA_SUCCESS;
    if (!good)
        part->graph = NULL;
    if (graph)
        cuda->cuGraphDestroy(graph);
    return good;
}

static bool run_part(CzProgram *program, Range *part, GError **error)
{
    const CzDevice *device = program->device;
    if (part->first == part->end)
        return true;
    // Recording costs about as much as a run, and pays from the third on.
    if (!part->graph && !program->no_graphs && program->runs > 0)
        program->no_graphs = !record(program, part);
    if (part->graph)
        return device_check(device, device->libs->cuda.cuGraphLaunch(part->graph, device->stream),
                            "starting a graph", error);
    return act_all(program, part->first, part->end, error);
}

// Before each sum over ranks, and after the last, lies one part.
static bool run_parts(CzProgram *program, GError **error)
{
    for (guint i = 0; i < program->parts->len; i++) {
        Range *part = &g_array_index(program->parts, Range, i);
        bool last = i + 1 == program->parts->len;
        if (!run_part(program, part, error) || (!last && !act(program, part->end, error)))
            return false;
    }
    return true;
}

// ---- a run --------------------------------------------------------------------------------------

// Asked once: from here on the GPU works by itself, and is through in the time of a few questions.
static bool may_begin(const CzProgram *program, const CzProgress *progress, GError **error)
{
    if (!progress || !progress->report || progress->report(progress->user, 0))
        return true;
    g_set_error_literal(error, program->device->host->error_domain, CZ_ERROR_CANCELLED,
                        "cancelled");
    return false;
}

bool cudnn_run(CzProgram *program, const CzProgress *progress, GError **error)
{
    if (!may_begin(program, progress, error) || !device_enter(program->device, error))
        return false;
    if (program->runs == 0 && !act_all(program, 0, program->n_once, error))
        return false;
    bool done = program->events ? run_timed(program, error) : run_parts(program, error);
    program->runs += done;
    return done;
}
