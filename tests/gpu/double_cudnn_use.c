// SPDX-License-Identifier: LGPL-3.0-or-later
// A double of cuDNN's backend: reading attributes, and executing plans.
#include "double_cudnn.h"

#include <string.h>

static cudnnStatus_t give(const void *data, int64_t n, size_t size, int64_t max, int64_t *count,
                          void *elements)
{
    if (count != NULL)
        *count = n;
    if (elements != NULL && max > 0)
        memcpy(elements, data, (size_t)MIN(n, max) * size);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t give_notes(unsigned bits, int64_t max, int64_t *count, void *elements)
{
    int notes[32];
    int64_t n = 0;
    for (int bit = 0; bit < 32; bit++)
        if (bits & 1u << bit)
            notes[n++] = bit;
    return give(notes, n, sizeof *notes, max, count, elements);
}

// Children that cuDNN fills: the caller made them, and gets them finalized.
static void fill_child(Descriptor *child, const Descriptor *parent, int64_t engine)
{
    child->finalized = true;
    child->engine = engine;
    child->program = parent->program != NULL ? g_atomic_rc_box_acquire(parent->program) : NULL;
}

static cudnnStatus_t give_children(Descriptor *descriptor, const AttributeRow *row, int64_t max,
                                   int64_t *count, void **elements)
{
    Engine engines[8];
    int64_t n = 0;
    if (row->name == CUDNN_ATTR_ENGINEHEUR_RESULTS)
        n = graph_engines(descriptor->program,
                          (int)descriptor_number(descriptor, CUDNN_ATTR_ENGINEHEUR_MODE, 0),
                          engines);
    else if (row->name == CUDNN_ATTR_ENGINECFG_ENGINE)
        n = 1;
    if (count != NULL)
        *count = n;
    for (int64_t i = 0; elements != NULL && i < MIN(n, max); i++) {
        int64_t engine =
            row->name == CUDNN_ATTR_ENGINECFG_ENGINE ? descriptor->engine : engines[i].index;
        fill_child(elements[i], descriptor, engine);
    }
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t check_empty_children(const AttributeRow *row, int64_t n, void *const *children)
{
    for (int64_t i = 0; children != NULL && i < n; i++) {
        const Descriptor *child = descriptor_find(children[i], "cudnnBackendGetAttribute");
        if (child == NULL)
            return refuse(CUDNN_STATUS_BAD_PARAM, "no such descriptor");
        if (child->finalized)
            return refuse(CUDNN_STATUS_BAD_PARAM, "a descriptor to be filled is finalized");
        cudnnStatus_t status = descriptor_check(child, row->child, false);
        if (status != CUDNN_STATUS_SUCCESS)
            return status;
    }
    return CUDNN_STATUS_SUCCESS;
}

// What the double makes up where there is no real library.
static cudnnStatus_t pretend(Descriptor *descriptor, const AttributeRow *row, int64_t max,
                             int64_t *count, void *elements)
{
    Engine engine = {0};
    engine_find(descriptor->engine, &engine);
    switch (row->name) {
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
        return give_notes(engine.numerical, max, count, elements);
    case CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE:
        return give_notes(engine.behavior, max, count, elements);
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
        return give(&descriptor->engine, 1, sizeof(int64_t), max, count, elements);
    case CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE:
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        return give(&engine.workspace, 1, sizeof(int64_t), max, count, elements);
    case CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION: {
        g_autofree char *json = g_strdup_printf("{\"double\":%d}", (int)descriptor->engine);
        return give(json, (int64_t)strlen(json) + 1, 1, max, count, elements);
    }
    case CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT:
        return give(&(int64_t){7}, 1, sizeof(int64_t), max, count, elements);
    default:
        if (row->child != NO_CHILD)
            return give_children(descriptor, row, max, count, elements);
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "attribute %d was not set", row->name);
    }
}

static cudnnStatus_t ask_real(Descriptor *descriptor, const AttributeRow *row, int type,
                              int64_t max, int64_t *count, void *elements)
{
    int64_t n = 0;
    cudnnStatus_t status = real_get(descriptor, row->name, type, max, &n, elements);
    if (count != NULL)
        *count = n;
    if (status != CUDNN_STATUS_SUCCESS || row->child == NO_CHILD || elements == NULL)
        return status;
    for (int64_t i = 0; i < MIN(n, max); i++)
        fill_child(((Descriptor **)elements)[i], descriptor, descriptor->engine);
    return status;
}

DOUBLE_EXPORT cudnnStatus_t cudnnBackendGetAttribute(void *handle, int name, int type, int64_t max,
                                                     int64_t *count, void *elements)
{
    ENTER_OR_RETURN();
    Descriptor *descriptor = descriptor_find(handle, __func__);
    if (descriptor == NULL)
        return refuse(CUDNN_STATUS_BAD_PARAM, "no such descriptor");
    if (!descriptor->finalized)
        return refuse(CUDNN_STATUS_NOT_INITIALIZED, "the descriptor was not finalized");
    const AttributeRow *row;
    cudnnStatus_t status = attribute_check(descriptor, name, type, &row);
    if (status == CUDNN_STATUS_SUCCESS && !row->gettable)
        status = refuse(CUDNN_STATUS_NOT_SUPPORTED, "attribute %d cannot be read", name);
    if (status == CUDNN_STATUS_SUCCESS && row->child != NO_CHILD)
        status = check_empty_children(row, max, elements);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    const Attribute *attribute = descriptor_get(descriptor, name);
    if (attribute != NULL && row->child == NO_CHILD && attribute->type == type)
        return give(attribute->data, attribute->n, attribute_size(type), max, count, elements);
    return descriptor->real != NULL ? ask_real(descriptor, row, type, max, count, elements)
                                    : pretend(descriptor, row, max, count, elements);
}

static cudnnStatus_t bind(const Descriptor *pack, Run *run)
{
    const Attribute *uids = descriptor_get(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const Attribute *data = descriptor_get(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    for (int i = 0; i < run->program->n_tensors; i++) {
        const Tensor *tensor = &run->program->tensors[i];
        for (int64_t j = 0; !tensor->is_virtual && j < uids->n; j++)
            if (((int64_t *)uids->data)[j] == tensor->uid)
                run->pointers[i] = ((void **)data->data)[j];
        if (tensor->is_virtual)
            continue;
        if (run->pointers[i] == NULL)
            return refuse(CUDNN_STATUS_BAD_PARAM, "no memory was given for tensor %d",
                          (int)tensor->uid);
        if ((uintptr_t)run->pointers[i] % (uint64_t)tensor->alignment != 0)
            return refuse(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER,
                          "tensor %d is not aligned to %d bytes", (int)tensor->uid,
                          (int)tensor->alignment);
    }
    if (run->workspace_bytes > 0 && run->workspace == NULL)
        return refuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "the plan needs a workspace of %zu",
                      run->workspace_bytes);
    return CUDNN_STATUS_SUCCESS;
}

static Run *make_run(const Descriptor *plan, const Descriptor *pack)
{
    Run *run = g_new0(Run, 1);
    run->program = g_atomic_rc_box_acquire(plan->program);
    run->pointers = g_new0(void *, run->program->n_tensors);
    run->workspace_bytes = (size_t)plan->workspace;
    run->duration = engine_duration(plan->engine);
    const Attribute *workspace = descriptor_get(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    run->workspace = workspace != NULL ? *(void **)workspace->data : NULL;
    return run;
}

DOUBLE_EXPORT cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, void *plan_handle,
                                                void *pack_handle)
{
    ENTER_OR_RETURN();
    bool known;
    void *stream = handle_stream(handle, &known);
    const Descriptor *plan = descriptor_find(plan_handle, __func__),
                     *pack = descriptor_find(pack_handle, __func__);
    if (!known || plan == NULL || pack == NULL)
        return refuse(CUDNN_STATUS_BAD_PARAM, "no such handle, plan or pack");
    cudnnStatus_t status = descriptor_check(plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, true);
    if (status == CUDNN_STATUS_SUCCESS)
        status = descriptor_check(pack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, true);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    Run *run = make_run(plan, pack);
    status = bind(pack, run);
    if (status != CUDNN_STATUS_SUCCESS) {
        run_free(run);
        return status;
    }
    int result = double_stream_enqueue(stream, run_execute, run, run_free);
    return result == CUDA_SUCCESS
               ? CUDNN_STATUS_SUCCESS
               : refuse(CUDNN_STATUS_EXECUTION_FAILED, "the driver answered %d", result);
}
