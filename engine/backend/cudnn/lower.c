// SPDX-License-Identifier: LGPL-3.0-or-later
// From a plan to the list of actions, and the memory that they need beside the plan's.
#include <string.h>

#include <cz/error.h>

#include "lower_private.h"

#define ALIGNMENT 256u

static size_t align(size_t n_bytes)
{
    return (n_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

// ---- what is supported --------------------------------------------------------------------------

static bool is_dense_conv(const CzNode *node)
{
    bool conv = node->op == CZ_OP_CONV2D || node->op == CZ_OP_CONV2D_GRAD_SRC ||
                node->op == CZ_OP_CONV2D_GRAD_FILTER;
    return conv && node->params.conv.groups == 1;
}

static bool is_sum_over_ranks(const CzNode *node)
{
    return node->op == CZ_OP_ALL_REDUCE && node->params.ranks;
}

bool cudnn_supports(const CzDevice *device, const CzNode *node)
{
    if (node->dtype == CZ_BF16 && device->sm < 80)
        return false;
    return node->op == CZ_OP_INPUT || node->op == CZ_OP_PARAM || is_dense_conv(node) ||
           is_sum_over_ranks(node) || launch_supports(node);
}

bool cudnn_in_place(const CzNode *node, int32_t src)
{
    bool residual =
        node->op == CZ_OP_CONV2D && node->params.conv.has_residual && src == node->n_src - 1;
    return !(residual && is_dense_conv(node));
}

// ---- actions ------------------------------------------------------------------------------------

uint64_t emit_scratch(Emit *emit, size_t n_bytes)
{
    uint64_t at = emit->scratch + emit->scratch_used;
    emit->scratch_used += align(n_bytes);
    return at;
}

uint64_t emit_address(const Emit *emit, int32_t id)
{
    const CzSlot *slot = &emit->program->plan->slots[id];
    return slot->buffer ? slot->buffer->address + slot->offset : 0;
}

// The last action, where it is a launch that may grow.
static Launch *last_launch(const Emit *emit)
{
    GArray *actions = emit->program->actions;
    Action *last = actions->len > emit->program->n_once
                       ? &g_array_index(actions, Action, actions->len - 1)
                       : NULL;
    return last && last->kind == ACTION_LAUNCH && !emit->program->plan->timed ? &last->launch
                                                                              : NULL;
}

void emit_launches(Emit *emit, GArray *launches)
{
    for (guint i = 0; i < launches->len; i++) {
        Launch *last = last_launch(emit);
        if (last && launch_join(last, &g_array_index(launches, Launch, i)))
            continue;
        const Action action = {.kind = ACTION_LAUNCH, .launch = g_array_index(launches, Launch, i)};
        g_array_append_val(emit->program->actions, action);
    }
    g_array_set_size(launches, 0);
}

void emit_own(Emit *emit)
{
    const CzNode *node = emit->node;
    const CzNode *const *nodes = emit->program->plan->nodes;
    g_autofree uint64_t *src = g_new0(uint64_t, (gsize)node->n_src + 1);
    for (int32_t i = 0; i < node->n_src; i++)
        src[i] = node->src[i] < 0 ? 0 : emit_address(emit, node->src[i]);
    size_t n_scratch = launch_scratch_bytes(node, nodes);
    const LaunchMemory memory = {
        .src = src,
        .dst = emit_address(emit, node->id),
        .scratch = n_scratch ? emit_scratch(emit, n_scratch) : 0,
        .turned = launch_wants_turned(node) ? emit_packed(emit, 1, node->dtype, PACK_TURNED) : 0};
    g_autoptr(GArray) launches = g_array_new(FALSE, FALSE, sizeof(Launch));
    launch_append(launches, node, nodes, &memory);
    emit_launches(emit, launches);
}

static void emit_sum_over_ranks(Emit *emit)
{
    const CzNode *node = emit->node;
    uint64_t src = emit_address(emit, node->src[0]), dst = emit_address(emit, node->id);
    size_t n = cz_shape_count(node->shape);
    if (src != dst) {
        g_autoptr(GArray) launches = g_array_new(FALSE, FALSE, sizeof(Launch));
        launch_append_cast(launches, dst, CZ_F32, src, CZ_F32, n);
        emit_launches(emit, launches);
    }
    const Action action = {.kind = ACTION_SUM_RANKS, .sum = {node->params.ranks, dst, n}};
    g_array_append_val(emit->program->actions, action);
}

static bool emit_step(Emit *emit, GError **error)
{
    const CzNode *node = emit->node;
    emit->scratch_used = 0;
    if (is_dense_conv(node)) {
        if (!emit_conv(emit, error))
            return false;
    } else if (is_sum_over_ranks(node)) {
        emit_sum_over_ranks(emit);
    } else {
        emit_own(emit);
    }
    if (node->op == CZ_OP_ADAMW || node->op == CZ_OP_EMA)
        packs_forget(emit->program, node);
    return true;
}

static bool emit_all(CzProgram *program, uint64_t scratch, uint64_t packed, GError **error)
{
    const CzPlanView *plan = program->plan;
    Emit emit = {.program = program, .scratch = scratch, .packed = packed};
    g_array_set_size(program->actions, 0);
    packs_begin(program);
    emit_frozen_packs(&emit);
    program->scratch_bytes = 0;
    for (size_t i = 0; i < plan->n_steps; i++) {
        emit.node = plan->nodes[plan->steps[i]];
        program->steps[i].first = program->actions->len;
        if (!emit_step(&emit, error)) {
            g_prefix_error(error, "%s: ", emit.node->op_class->name);
            return false;
        }
        program->steps[i].end = program->actions->len;
        program->scratch_bytes = MAX(program->scratch_bytes, emit.scratch_used);
    }
    return true;
}

// ---- memory -------------------------------------------------------------------------------------

static bool make_buffer(CzProgram *program, size_t n_bytes, CzBuffer **buffer, GError **error)
{
    return n_bytes == 0 || device_alloc(program->device, n_bytes, buffer, error);
}

static void drop_buffers(CzProgram *program)
{
    device_release(program->device, g_steal_pointer(&program->scratch));
    device_release(program->device, g_steal_pointer(&program->packed));
}

static bool emit_with_memory(CzProgram *program, GError **error)
{
    if (!emit_all(program, 0, 0, error) ||
        !make_buffer(program, program->scratch_bytes, &program->scratch, error) ||
        !make_buffer(program, program->pack_bytes, &program->packed, error))
        return false;
    return emit_all(program, program->scratch ? program->scratch->address : 0,
                    program->packed ? program->packed->address : 0, error);
}

// Memory that is out is tried again with engines that need less of it. Not where runs have to
// repeat themselves: other engines give other bits.
static bool emit_and_shrink(CzProgram *program, GError **error)
{
    const CzDevice *device = program->device;
    size_t *limit = &program->workspace_limit;
    for (*limit = CONV_WORKSPACE_LIMIT;; *limit = *limit > ((size_t)1 << 20) ? *limit / 8 : 0) {
        GError *cause = NULL;
        if (emit_with_memory(program, &cause))
            return true;
        bool memory = g_error_matches(cause, device->host->error_domain, CZ_ERROR_MEMORY);
        if (!memory || *limit == 0 || device->options.deterministic) {
            g_propagate_error(error, cause);
            return false;
        }
        g_error_free(cause);
        drop_buffers(program);
    }
}

static bool make_host_sums(CzProgram *program, GError **error)
{
    size_t most = 0;
    for (guint i = 0; !program->device->nccl && i < program->actions->len; i++) {
        const Action *action = &g_array_index(program->actions, Action, i);
        if (action->kind == ACTION_SUM_RANKS)
            most = MAX(most, action->sum.n_elements);
    }
    const CzDevice *device = program->device;
    return most == 0 || device_check(device,
                                     device->libs->cuda.cuMemHostAlloc((void **)&program->host_sums,
                                                                       most * sizeof(float),
                                                                       CU_MEMHOSTALLOC_PORTABLE),
                                     "memory for sums over ranks", error);
}

static bool make_events(CzProgram *program, GError **error)
{
    const CzPlanView *plan = program->plan;
    const CzDevice *device = program->device;
    CUresult result = CUDA_SUCCESS;
    if (!plan->timed)
        return true;
    program->events = g_new0(CUevent, plan->n_steps + 1);
    program->times_us = g_new0(double, plan->n_steps + 1);
    for (size_t i = 0; result == CUDA_SUCCESS && i <= plan->n_steps; i++)
        result = device->libs->cuda.cuEventCreate(&program->events[i], CU_EVENT_DEFAULT);
    return device_check(device, result, "events to time with", error);
}

// ---- a program ----------------------------------------------------------------------------------

// Between sums over ranks, which are not recorded: the host makes them, or NCCL, whose graphs of
// several ranks would have to be started by all or none.
static void cut_into_parts(CzProgram *program)
{
    Range part = {.first = program->n_once};
    for (guint i = program->n_once; i < program->actions->len; i++) {
        const Action *action = &g_array_index(program->actions, Action, i);
        if (action->kind != ACTION_SUM_RANKS)
            continue;
        part.end = i;
        g_array_append_val(program->parts, part);
        part.first = i + 1;
    }
    part.end = program->actions->len;
    g_array_append_val(program->parts, part);
}

static bool prepare(CzProgram *program, GError **error)
{
    CzDevice *device = program->device;
    for (guint i = 0; i < program->actions->len; i++) {
        Action *action = &g_array_index(program->actions, Action, i);
        if (action->kind == ACTION_LAUNCH && !device_prepare(device, action->launch.kernel, error))
            return false;
        if (action->kind == ACTION_CONV &&
            !conv_bind(device, &action->conv.problem, &action->conv.memory, &action->conv.pack,
                       error))
            return false;
    }
    return true;
}

bool cudnn_compile(CzDevice *device, const CzPlanView *plan, CzProgram **out, GError **error)
{
    if (!device_enter(device, error))
        return false;
    CzProgram *program = g_new0(CzProgram, 1);
    program->device = device;
    program->plan = plan;
    program->actions = g_array_new(FALSE, TRUE, sizeof(Action));
    program->parts = g_array_new(FALSE, TRUE, sizeof(Range));
    program->packs = g_array_new(FALSE, TRUE, sizeof(Pack));
    program->steps = g_new0(Range, plan->n_steps + 1);
    if (emit_and_shrink(program, error) && prepare(program, error) &&
        make_host_sums(program, error) && make_events(program, error)) {
        cut_into_parts(program);
        conv_keep_choices(device);
        *out = program;
        return true;
    }
    cudnn_discard(program);
    return false;
}

size_t cudnn_program_bytes(const CzProgram *program)
{
    return program->scratch_bytes + program->pack_bytes;
}

const char *cudnn_step_kernel(const CzProgram *program, size_t step, double *time_us)
{
    const Range *range = &program->steps[step];
    if (time_us)
        *time_us = program->times_us ? program->times_us[step] : 0;
    // The last action is the one that makes the step's result; casts come before.
    for (guint i = range->end; i-- > range->first;) {
        const Action *action = &g_array_index(program->actions, Action, i);
        if (action->kind == ACTION_CONV)
            return action->conv.plan->name;
        if (action->kind == ACTION_SUM_RANKS)
            return program->device->sums ? program->device->sums : "sum over ranks by the host";
    }
    if (is_dense_conv(program->plan->nodes[program->plan->steps[step]]))
        return "no engine: own kernels";
    return range->end > range->first
               ? kernel_name(g_array_index(program->actions, Action, range->end - 1).launch.kernel)
               : "with the step before";
}

void cudnn_discard(CzProgram *program)
{
    if (!program)
        return;
    const CzDevice *device = program->device;
    const CudaApi *cuda = &device->libs->cuda;
    if (device_enter(device, NULL))
        device_wait(device, NULL);
    for (guint i = 0; i < program->parts->len; i++) {
        CUgraphExec graph = g_array_index(program->parts, Range, i).graph;
        if (graph)
            cuda->cuGraphExecDestroy(graph);
    }
    for (guint i = 0; i < program->actions->len; i++) {
        const Action *action = &g_array_index(program->actions, Action, i);
        if (action->kind == ACTION_CONV && action->conv.pack)
            device->libs->cudnn.cudnnBackendDestroyDescriptor(action->conv.pack);
    }
    for (size_t i = 0; program->events && i <= program->plan->n_steps; i++)
        if (program->events[i])
            cuda->cuEventDestroy_v2(program->events[i]);
    if (program->host_sums)
        cuda->cuMemFreeHost(program->host_sums);
    drop_buffers(program);
    g_array_unref(program->actions);
    g_array_unref(program->parts);
    g_array_unref(program->packs);
    g_free(program->events);
    g_free(program->times_us);
    g_free(program->steps);
    g_free(program);
}
