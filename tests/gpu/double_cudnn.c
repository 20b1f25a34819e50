// SPDX-License-Identifier: LGPL-3.0-or-later
// A double of cuDNN's backend: counting and injected faults, handles, descriptors.
#include "double_cudnn.h"

#include <stdarg.h>
#include <string.h>

GRecMutex cudnn_lock;

static struct {
    GHashTable *descriptors; // Descriptor *, those that the user holds
    GHashTable *handles;     // -> stream
    GHashTable *calls;
    GHashTable *durations; // engine -> double *
    unsigned n_calls, fail_in;
    int fail_status;
    char *fail_name;
    bool fault_struck;
    int n_executions;
    char error[1024];
} state;

static void descriptor_unref(void *pointer);

static void clear(void)
{
    g_clear_pointer(&state.descriptors, g_hash_table_unref);
    g_clear_pointer(&state.handles, g_hash_table_unref);
    g_clear_pointer(&state.calls, g_hash_table_unref);
    g_clear_pointer(&state.durations, g_hash_table_unref);
    g_clear_pointer(&state.fail_name, g_free);
}

__attribute__((constructor)) void double_cudnn_reset(void)
{
    g_autoptr(GRecMutexLocker) locker = g_rec_mutex_locker_new(&cudnn_lock);
    clear();
    memset(&state, 0, sizeof state);
    state.descriptors = g_hash_table_new_full(NULL, NULL, descriptor_unref, NULL);
    state.handles = g_hash_table_new_full(NULL, NULL, g_free, NULL);
    state.calls = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    state.durations = g_hash_table_new_full(NULL, NULL, NULL, g_free);
}

__attribute__((destructor)) static void leave(void)
{
    if (double_cudnn_leaks() > 0)
        double_complain("%u handles and descriptors of cuDNN were left", double_cudnn_leaks());
    clear();
}

unsigned double_cudnn_calls(const char *name)
{
    return name == NULL ? state.n_calls : GPOINTER_TO_UINT(g_hash_table_lookup(state.calls, name));
}

void double_cudnn_fail_call(const char *name, unsigned n, int status)
{
    g_free(state.fail_name);
    state.fail_name = g_strdup(name);
    state.fail_in = n;
    state.fail_status = status;
    state.fault_struck = false;
}

bool double_cudnn_failed(void)
{
    return state.fault_struck;
}

unsigned double_cudnn_leaks(void)
{
    return g_hash_table_size(state.descriptors) + g_hash_table_size(state.handles);
}

unsigned double_cudnn_executions(void)
{
    return (unsigned)g_atomic_int_get(&state.n_executions);
}

void count_execution(void)
{
    g_atomic_int_inc(&state.n_executions);
}

void double_cudnn_set_duration(int64_t engine, double microseconds)
{
    g_hash_table_insert(state.durations, GINT_TO_POINTER((int)engine + 1),
                        g_memdup2(&microseconds, sizeof microseconds));
}

double engine_duration(int64_t engine)
{
    const double *set = g_hash_table_lookup(state.durations, GINT_TO_POINTER((int)engine + 1));
    return set != NULL ? *set : 10.0 + (double)engine;
}

cudnnStatus_t refuse(cudnnStatus_t status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_vsnprintf(state.error, sizeof state.error, format, arguments);
    va_end(arguments);
    return status;
}

cudnnStatus_t cudnn_enter(const char *name)
{
    state.n_calls++;
    g_hash_table_replace(state.calls, g_strdup(name),
                         GUINT_TO_POINTER(double_cudnn_calls(name) + 1));
    if (state.fail_in == 0 || (state.fail_name != NULL && strcmp(state.fail_name, name) != 0) ||
        --state.fail_in > 0)
        return CUDNN_STATUS_SUCCESS;
    state.fault_struck = true;
    return refuse(state.fail_status, "%s: a fault that the test asked for", name);
}

static void attribute_free(void *pointer)
{
    Attribute *attribute = pointer;
    if (attribute->type == CUDNN_TYPE_BACKEND_DESCRIPTOR)
        for (int64_t i = 0; i < attribute->n; i++)
            descriptor_unref(((Descriptor **)attribute->data)[i]);
    g_free(attribute->data);
    g_free(attribute);
}

static void descriptor_unref(void *pointer)
{
    Descriptor *descriptor = pointer;
    if (--descriptor->refs > 0)
        return;
    g_hash_table_unref(descriptor->attributes);
    g_clear_pointer(&descriptor->program, program_unref);
    g_free(descriptor);
}

Descriptor *descriptor_find(void *handle, const char *caller)
{
    if (g_hash_table_contains(state.descriptors, handle))
        return handle;
    double_complain("%s: %p is no descriptor, or was destroyed", caller, handle);
    return NULL;
}

const Attribute *descriptor_get(const Descriptor *descriptor, int name)
{
    // Names start at 0, which is NULL as a key and as good as any.
    return g_hash_table_lookup(descriptor->attributes, GINT_TO_POINTER(name));
}

double descriptor_number(const Descriptor *descriptor, int name, double fallback)
{
    const Attribute *attribute = descriptor_get(descriptor, name);
    if (attribute == NULL || attribute->n < 1)
        return fallback;
    switch (attribute->type) {
    case CUDNN_TYPE_INT64:
        return (double)*(int64_t *)attribute->data;
    case CUDNN_TYPE_DOUBLE:
        return *(double *)attribute->data;
    case CUDNN_TYPE_FLOAT:
        return *(float *)attribute->data;
    case CUDNN_TYPE_BOOLEAN:
        return *(bool *)attribute->data;
    default:
        return *(int *)attribute->data;
    }
}

Descriptor *descriptor_child(const Descriptor *descriptor, int name, int64_t i)
{
    const Attribute *attribute = descriptor_get(descriptor, name);
    if (attribute == NULL || attribute->type != CUDNN_TYPE_BACKEND_DESCRIPTOR || i >= attribute->n)
        return NULL;
    return ((Descriptor **)attribute->data)[i];
}

cudnnStatus_t descriptor_check(const Descriptor *descriptor, int type, bool finalized)
{
    if (descriptor->type != type && !(type == OPERATION_CHILD && is_operation(descriptor->type)))
        return refuse(CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE,
                      "a descriptor of type %d where one of type %d belongs", descriptor->type,
                      type);
    if (finalized && !descriptor->finalized)
        return refuse(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED,
                      "a descriptor of type %d is used before it was finalized", type);
    return CUDNN_STATUS_SUCCESS;
}

void *handle_stream(cudnnHandle_t handle, bool *known)
{
    *known = g_hash_table_contains(state.handles, handle);
    if (!*known)
        double_complain("%p is no handle of cuDNN", (void *)handle);
    return g_hash_table_lookup(state.handles, handle);
}

DOUBLE_EXPORT size_t cudnnGetVersion(void)
{
    g_autoptr(GRecMutexLocker) locker = g_rec_mutex_locker_new(&cudnn_lock);
    return real_wanted() ? real_version() : 91900;
}

DOUBLE_EXPORT size_t cudnnGetCudartVersion(void)
{
    g_autoptr(GRecMutexLocker) locker = g_rec_mutex_locker_new(&cudnn_lock);
    return real_wanted() ? real_cudart_version() : 13010;
}

DOUBLE_EXPORT size_t cudnnGetMaxDeviceVersion(void)
{
    return 1210;
}

DOUBLE_EXPORT const char *cudnnGetErrorString(cudnnStatus_t status)
{
    switch ((int)status) {
    case CUDNN_STATUS_SUCCESS:
        return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_NOT_INITIALIZED:
        return "CUDNN_STATUS_NOT_INITIALIZED";
    case CUDNN_STATUS_BAD_PARAM:
        return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_NOT_SUPPORTED:
        return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_EXECUTION_FAILED:
        return "CUDNN_STATUS_EXECUTION_FAILED";
    default:
        return "CUDNN_STATUS_OTHER";
    }
}

// As the real one, it tells an error once.
DOUBLE_EXPORT void cudnnGetLastErrorString(char *text, size_t size)
{
    g_autoptr(GRecMutexLocker) locker = g_rec_mutex_locker_new(&cudnn_lock);
    g_strlcpy(text, state.error, size);
    state.error[0] = '\0';
}

DOUBLE_EXPORT cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    ENTER_OR_RETURN();
    if (double_context_check() != CUDA_SUCCESS)
        return refuse(CUDNN_STATUS_NOT_INITIALIZED, "no context of the driver is current");
    *handle = g_malloc0(1);
    g_hash_table_insert(state.handles, *handle, NULL);
    return CUDNN_STATUS_SUCCESS;
}

DOUBLE_EXPORT cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    ENTER();
    bool known;
    handle_stream(handle, &known);
    g_hash_table_remove(state.handles, handle);
    return known ? entered : CUDNN_STATUS_BAD_PARAM;
}

DOUBLE_EXPORT cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, CUstream stream)
{
    ENTER_OR_RETURN();
    bool known;
    handle_stream(handle, &known);
    if (!known)
        return refuse(CUDNN_STATUS_BAD_PARAM, "no such handle");
    g_hash_table_steal(state.handles, handle);
    g_hash_table_insert(state.handles, handle, stream);
    return CUDNN_STATUS_SUCCESS;
}

DOUBLE_EXPORT cudnnStatus_t cudnnBackendCreateDescriptor(int type, void **made)
{
    ENTER_OR_RETURN();
    void *real = NULL;
    if (real_wanted()) {
        cudnnStatus_t status = real_create(type, &real);
        if (status != CUDNN_STATUS_SUCCESS)
            return status;
    }
    Descriptor *descriptor = g_new0(Descriptor, 1);
    descriptor->type = type;
    descriptor->refs = 1;
    descriptor->real = real;
    descriptor->engine = -1;
    descriptor->attributes = g_hash_table_new_full(NULL, NULL, NULL, attribute_free);
    g_hash_table_add(state.descriptors, descriptor);
    *made = descriptor;
    return CUDNN_STATUS_SUCCESS;
}

// Others that were given it keep what they need, as in the real library.
DOUBLE_EXPORT cudnnStatus_t cudnnBackendDestroyDescriptor(void *handle)
{
    ENTER();
    if (handle == NULL)
        return entered;
    Descriptor *descriptor = descriptor_find(handle, __func__);
    if (descriptor == NULL)
        return refuse(CUDNN_STATUS_BAD_PARAM, "no such descriptor");
    real_destroy(g_steal_pointer(&descriptor->real));
    g_hash_table_remove(state.descriptors, descriptor);
    return entered;
}

cudnnStatus_t attribute_check(const Descriptor *descriptor, int name, int type,
                              const AttributeRow **row)
{
    *row = attribute_find(descriptor->type, name);
    if (*row == NULL)
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "descriptors of type %d have no attribute %d",
                      descriptor->type, name);
    bool scalar = type == CUDNN_TYPE_FLOAT || type == CUDNN_TYPE_DOUBLE;
    if (type != (*row)->type && !((*row)->type == TYPE_SCALAR && scalar))
        return refuse(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "attribute %d is not of type %d", name,
                      type);
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t check_children(const AttributeRow *row, int64_t n, void *const *children)
{
    for (int64_t i = 0; i < n; i++) {
        const Descriptor *child = descriptor_find(children[i], "cudnnBackendSetAttribute");
        cudnnStatus_t status = child == NULL ? refuse(CUDNN_STATUS_BAD_PARAM, "no such descriptor")
                                             : descriptor_check(child, row->child, true);
        if (status != CUDNN_STATUS_SUCCESS)
            return status;
    }
    return CUDNN_STATUS_SUCCESS;
}

static void record(Descriptor *descriptor, int name, int type, int64_t n, const void *elements)
{
    Attribute *attribute = g_new0(Attribute, 1);
    *attribute = (Attribute){type, n, g_memdup2(elements, (size_t)n * attribute_size(type))};
    if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR)
        for (int64_t i = 0; i < n; i++)
            ((Descriptor **)attribute->data)[i]->refs++;
    g_hash_table_replace(descriptor->attributes, GINT_TO_POINTER(name), attribute);
}

DOUBLE_EXPORT cudnnStatus_t cudnnBackendSetAttribute(void *handle, int name, int type, int64_t n,
                                                     const void *elements)
{
    ENTER_OR_RETURN();
    Descriptor *descriptor = descriptor_find(handle, __func__);
    if (descriptor == NULL)
        return refuse(CUDNN_STATUS_BAD_PARAM, "no such descriptor");
    if (descriptor->finalized)
        return refuse(CUDNN_STATUS_NOT_INITIALIZED, "the descriptor was finalized before");
    const AttributeRow *row;
    cudnnStatus_t status = attribute_check(descriptor, name, type, &row);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (n < row->min || n > row->max)
        return refuse(CUDNN_STATUS_BAD_PARAM, "attribute %d cannot have %d elements", name, (int)n);
    if (elements == NULL && n > 0)
        return refuse(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "attribute %d: no elements", name);
    if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR)
        status = check_children(row, n, elements);
    if (status == CUDNN_STATUS_SUCCESS)
        status = real_set(descriptor, name, type, n, elements);
    if (status == CUDNN_STATUS_SUCCESS)
        record(descriptor, name, type, n, elements);
    return status;
}

DOUBLE_EXPORT cudnnStatus_t cudnnBackendFinalize(void *handle)
{
    ENTER_OR_RETURN();
    Descriptor *descriptor = descriptor_find(handle, __func__);
    if (descriptor == NULL)
        return refuse(CUDNN_STATUS_BAD_PARAM, "no such descriptor");
    if (descriptor->finalized)
        return refuse(CUDNN_STATUS_BAD_PARAM, "finalized twice");
    cudnnStatus_t status = real_finalize(descriptor);
    if (status == CUDNN_STATUS_SUCCESS)
        status = descriptor_judge(descriptor);
    descriptor->finalized = status == CUDNN_STATUS_SUCCESS;
    if (!descriptor->finalized)
        g_clear_pointer(&descriptor->program, program_unref);
    return status;
}
