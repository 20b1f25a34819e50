// SPDX-License-Identifier: LGPL-3.0-or-later
// Plans: from a graph's nodes to a program on a device, and its runs.
#include "plan/plan_private.h"

#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>

#include "backend/registry.h"
#include "plan/store.h"

// ---- what runs ----------------------------------------------------------------------------------

static bool check_outputs(const CzGraph *graph, const CzValue *outputs, size_t n_outputs,
                          GError **error)
{
    if (!cz_graph_check(graph, error))
        return false;
    if (n_outputs == 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "plan: expected outputs, found none");
        return false;
    }
    for (size_t i = 0; i < n_outputs; i++) {
        if (outputs[i].id >= 0 && outputs[i].id < cz_graph_n_nodes(graph))
            continue;
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                    "plan: output %zu: expected a value of the graph, found id %d", i,
                    outputs[i].id);
        return false;
    }
    return true;
}

// Marks what the outputs need and lists it in the order of appending. That order also keeps reads
// of a PARAM on their side of the effects that change it.
static void choose_steps(CzPlan *plan, const CzValue *outputs, size_t n_outputs)
{
    for (size_t i = 0; i < n_outputs; i++)
        plan->outputs[outputs[i].id] = plan->needed[outputs[i].id] = true;
    for (size_t id = plan->n_nodes; id-- > 0;) {
        const CzNode *node = plan->nodes[id];
        for (int32_t i = 0; plan->needed[id] && i < node->n_src; i++)
            if (node->src[i] >= 0)
                plan->needed[node->src[i]] = true;
    }
    for (size_t id = 0; id < plan->n_nodes; id++) {
        CzOp op = plan->nodes[id]->op;
        if (plan->needed[id] && op != CZ_OP_INPUT && op != CZ_OP_PARAM)
            plan->steps[plan->n_steps++] = (int32_t)id;
    }
}

static bool check_steps(const CzPlan *plan, GError **error)
{
    const CzEngineDevice *device = plan->device;
    for (size_t i = 0; i < plan->n_steps; i++) {
        const CzNode *node = plan->nodes[plan->steps[i]];
        const char *name = node->op_class->name;
        if (plan->options.frozen && node->op_class->effect) {
            g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                        "plan: expected no op that changes parameters in a frozen plan, found %s",
                        name);
            return false;
        }
        if (!device->backend->supports(device->device, node)) {
            g_autofree char *shape = cz_shape_format(node->shape);
            g_set_error(error, CZ_ERROR, CZ_ERROR_BACKEND, "device %s does not run %s %s %s",
                        device->info.id, name, shape, cz_dtype_name(node->dtype));
            return false;
        }
    }
    return true;
}

// ---- where it lies ------------------------------------------------------------------------------

static bool bind_param(CzPlan *plan, const CzStore *store, const CzNode *node, GError **error)
{
    CzShape found;
    CzBuffer *buffer = store ? cz_store_buffer(store, node->name, &found) : NULL;
    if (buffer && cz_shape_equal(found, node->shape)) {
        plan->slots[node->id].buffer = buffer;
        return true;
    }
    g_autofree char *expected = cz_shape_format(node->shape);
    g_autofree char *text = buffer ? cz_shape_format(found) : g_strdup("none in the store");
    g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL, "parameter '%s': expected %s, found %s",
                node->name, expected, text);
    return false;
}

static bool bind_params(CzPlan *plan, const CzStore *store, GError **error)
{
    for (size_t id = 0; id < plan->n_nodes; id++)
        if (plan->needed[id] && plan->nodes[id]->op == CZ_OP_PARAM &&
            !bind_param(plan, store, plan->nodes[id], error))
            return false;
    return true;
}

static bool make_arena(CzPlan *plan, GError **error)
{
    const CzEngineDevice *device = plan->device;
    const CzMemoryRequest request = {
        .nodes = plan->nodes,
        .n_nodes = plan->n_nodes,
        .steps = plan->steps,
        .n_steps = plan->n_steps,
        .needed = plan->needed,
        .outputs = plan->outputs,
        .in_place = device->backend->in_place,
    };
    if (!cz_memory_plan_init(&plan->memory, &request, error))
        return false;
    // Plans whose outputs are all parameters need none; a buffer of no bytes is asking for trouble.
    size_t n_bytes = MAX(plan->memory.arena_bytes, CZ_ARENA_ALIGNMENT);
    if (!device->backend->alloc(device->device, n_bytes, &plan->arena, error)) {
        g_prefix_error(error, "plan: activations: ");
        return false;
    }
    for (size_t id = 0; id < plan->n_nodes; id++) {
        int32_t region = plan->memory.region_of[id];
        if (region >= 0)
            plan->slots[id] =
                (CzSlot){plan->arena, plan->memory.regions[region].offset, plan->memory.shared[id]};
    }
    return true;
}

static size_t node_bytes(const CzNode *node)
{
    return cz_shape_count(node->shape) * cz_dtype_size(node->dtype);
}

// Allocated now, so that neither runs nor reads do.
static bool make_staging(CzPlan *plan, GError **error)
{
    size_t n_bytes = 0;
    for (size_t id = 0; id < plan->n_nodes; id++)
        if (plan->outputs[id] && plan->nodes[id]->dtype != CZ_F32)
            n_bytes = MAX(n_bytes, node_bytes(plan->nodes[id]));
    for (size_t i = 0; plan->options.poison && i < plan->memory.n_regions; i++)
        n_bytes = MAX(n_bytes, plan->memory.regions[i].n_bytes);
    if (n_bytes == 0)
        return true;
    plan->staging = cz_memory_alloc(n_bytes, "reading outputs", error);
    return plan->staging != NULL;
}

static bool compile(CzPlan *plan, GError **error)
{
    const CzEngineDevice *device = plan->device;
    size_t n = plan->options.poison ? plan->n_steps : 1;
    plan->programs = g_new0(CzProgram *, n + 1);
    plan->views = g_new0(CzPlanView, n + 1);
    for (size_t i = 0; i < n; i++) {
        plan->views[i] = (CzPlanView){
            .nodes = plan->nodes,
            .slots = plan->slots,
            .n_nodes = plan->n_nodes,
            .steps = plan->options.poison ? &plan->steps[i] : plan->steps,
            .n_steps = plan->options.poison ? 1 : plan->n_steps,
            .frozen = plan->options.frozen,
            .timed = plan->options.timed,
        };
        if (!device->backend->compile(device->device, &plan->views[i], &plan->programs[i], error))
            return false;
        plan->n_programs++;
    }
    return true;
}

CzPlan *cz_plan_new(CzEngineDevice *device, CzStore *store, const CzGraph *graph,
                    const CzValue *outputs, size_t n_outputs, const CzPlanOptions *options,
                    GError **error)
{
    if (!check_outputs(graph, outputs, n_outputs, error))
        return NULL;
    size_t n = (size_t)cz_graph_n_nodes(graph);
    CzPlan *plan = g_new0(CzPlan, 1);
    *plan = (CzPlan){
        .device = device,
        .options = options ? *options : (CzPlanOptions){0},
        .n_nodes = n,
        .nodes = g_new(const CzNode *, n),
        .needed = g_new0(bool, n),
        .outputs = g_new0(bool, n),
        .written = g_new0(bool, n),
        .steps = g_new(int32_t, n),
        .slots = g_new0(CzSlot, n),
    };
    for (size_t id = 0; id < n; id++)
        plan->nodes[id] = cz_graph_node(graph, (int32_t)id);
    choose_steps(plan, outputs, n_outputs);
    if (check_steps(plan, error) && bind_params(plan, store, error) && make_arena(plan, error) &&
        make_staging(plan, error) && compile(plan, error))
        return plan;
    cz_plan_free(plan);
    return NULL;
}

void cz_plan_free(CzPlan *plan)
{
    if (!plan)
        return;
    const CzEngineDevice *device = plan->device;
    for (size_t i = 0; i < plan->n_programs; i++)
        device->backend->discard(plan->programs[i]);
    if (plan->arena)
        device->backend->release(device->device, plan->arena);
    cz_memory_free(plan->staging);
    cz_memory_plan_clear(&plan->memory);
    g_free(plan->programs);
    g_free(plan->views);
    g_free(plan->nodes);
    g_free(plan->needed);
    g_free(plan->outputs);
    g_free(plan->written);
    g_free(plan->steps);
    g_free(plan->slots);
    g_free(plan);
}

size_t cz_plan_arena_bytes(const CzPlan *plan)
{
    return plan->memory.arena_bytes;
}

size_t cz_plan_total_bytes(const CzPlan *plan)
{
    size_t n_bytes = plan->memory.arena_bytes;
    for (size_t i = 0; i < plan->n_programs; i++)
        n_bytes += plan->device->backend->program_bytes(plan->programs[i]);
    return n_bytes;
}

// ---- data in and out ----------------------------------------------------------------------------

// The node of a value that the caller means to write or read, if n_elements fit.
static const CzNode *find_value(const CzPlan *plan, CzValue value, const char *role,
                                size_t n_elements, GError **error)
{
    if (value.id < 0 || (size_t)value.id >= plan->n_nodes) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                    "plan: %s: expected a value of the graph, found id %d", role, value.id);
        return NULL;
    }
    const CzNode *node = plan->nodes[value.id];
    if (cz_shape_count(node->shape) == n_elements)
        return node;
    g_autofree char *shape = cz_shape_format(node->shape);
    g_set_error(error, CZ_ERROR, CZ_ERROR_SHAPE, "%s '%s': expected %zu numbers (%s), found %zu",
                role, node->name ? node->name : node->op_class->name, cz_shape_count(node->shape),
                shape, n_elements);
    return NULL;
}

bool cz_plan_write(CzPlan *plan, CzValue input, const float *data, size_t n_elements,
                   GError **error)
{
    const CzNode *node = find_value(plan, input, "input", n_elements, error);
    if (!node)
        return false;
    if (node->op != CZ_OP_INPUT) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "plan: expected an input, found %s",
                    node->op_class->name);
        return false;
    }
    const CzSlot *slot = &plan->slots[node->id];
    if (!slot->buffer)
        return true; // nothing that this plan computes depends on it
    const CzEngineDevice *device = plan->device;
    if (!device->backend->upload(device->device, slot->buffer, slot->offset, data,
                                 n_elements * sizeof *data, error)) {
        g_prefix_error(error, "input '%s': ", node->name);
        return false;
    }
    plan->written[node->id] = true;
    return true;
}

bool cz_plan_read(CzPlan *plan, CzValue output, float *data, size_t n_elements, GError **error)
{
    const CzNode *node = find_value(plan, output, "output", n_elements, error);
    if (!node)
        return false;
    if (!plan->outputs[node->id] || !plan->has_run) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "plan: cannot read %%%d %s: %s", node->id,
                    node->op_class->name,
                    plan->has_run ? "it is not one of the outputs" : "no run has succeeded yet");
        return false;
    }
    const CzSlot *slot = &plan->slots[node->id];
    const CzEngineDevice *device = plan->device;
    bool direct = node->dtype == CZ_F32;
    if (!device->backend->download(device->device, direct ? (void *)data : plan->staging,
                                   slot->buffer, slot->offset, node_bytes(node), error)) {
        g_prefix_error(error, "output %%%d %s: ", node->id, node->op_class->name);
        return false;
    }
    if (!direct)
        cz_view_to_f32(data, &(CzView){node->shape, node->dtype, plan->staging});
    return true;
}

// ---- runs ---------------------------------------------------------------------------------------

static bool check_written(const CzPlan *plan, GError **error)
{
    for (size_t id = 0; id < plan->n_nodes; id++) {
        const CzNode *node = plan->nodes[id];
        if (plan->needed[id] && node->op == CZ_OP_INPUT && !plan->written[id]) {
            g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                        "input '%s': expected data before the run, found none", node->name);
            return false;
        }
    }
    return true;
}

// All bits set is not a number in F32, in BF16 and in F16.
static bool poison_regions(CzPlan *plan, int32_t step, bool before, GError **error)
{
    const CzEngineDevice *device = plan->device;
    for (size_t i = 0; i < plan->memory.n_regions; i++) {
        const CzRegion *region = &plan->memory.regions[i];
        if ((before ? region->first : region->last) != step)
            continue;
        memset(plan->staging, 0xff, region->n_bytes);
        if (!device->backend->upload(device->device, plan->arena, region->offset, plan->staging,
                                     region->n_bytes, error))
            return false;
    }
    return true;
}

// Outputs are held from the start of a run, but not written by the host: spoil them too.
static bool poison_outputs(CzPlan *plan, GError **error)
{
    const CzEngineDevice *device = plan->device;
    for (size_t id = 0; id < plan->n_nodes; id++) {
        const CzNode *node = plan->nodes[id];
        if (!plan->outputs[id] || plan->memory.region_of[id] < 0 || node->op == CZ_OP_INPUT)
            continue;
        memset(plan->staging, 0xff, node_bytes(node));
        if (!device->backend->upload(device->device, plan->arena, plan->slots[id].offset,
                                     plan->staging, node_bytes(node), error))
            return false;
    }
    return true;
}

static bool run_poisoned(CzPlan *plan, const CzProgress *progress, GError **error)
{
    if (!poison_outputs(plan, error))
        return false;
    for (size_t i = 0; i < plan->n_steps; i++) {
        double fraction = (double)i / (double)plan->n_steps;
        if (progress && progress->report && !progress->report(progress->user, fraction)) {
            g_set_error(error, CZ_ERROR, CZ_ERROR_CANCELLED, "cancelled");
            return false;
        }
        if (!poison_regions(plan, (int32_t)i, true, error) ||
            !plan->device->backend->run(plan->programs[i], NULL, error) ||
            !poison_regions(plan, (int32_t)i, false, error))
            return false;
    }
    return true;
}

bool cz_plan_run(CzPlan *plan, const CzProgress *progress, GError **error)
{
    if (!check_written(plan, error))
        return false;
    plan->has_run = plan->options.poison
                        ? run_poisoned(plan, progress, error)
                        : plan->device->backend->run(plan->programs[0], progress, error);
    memset(plan->written, 0, plan->n_nodes * sizeof *plan->written);
    return plan->has_run;
}
