// SPDX-License-Identifier: LGPL-3.0-or-later
#include "descriptor.h"

#include <string.h>

#include <cz/error.h>

void descriptors_init(Descriptors *all, const CzDevice *device)
{
    *all = (Descriptors){.api = &device->libs->cudnn, .made = g_ptr_array_new()};
}

void descriptors_clear(Descriptors *all)
{
    for (guint i = all->made ? all->made->len : 0; i-- > 0;)
        all->api->cudnnBackendDestroyDescriptor(all->made->pdata[i]);
    g_clear_pointer(&all->made, g_ptr_array_unref);
}

static void read_words(const CudnnApi *api, char *words, size_t size)
{
    api->cudnnGetLastErrorString(words, size);
    words[size - 1] = '\0';
    words[strcspn(words, "\n")] = '\0';
}

static void note(Descriptors *all, cudnnStatus_t status)
{
    if (status == CUDNN_STATUS_SUCCESS || all->status != CUDNN_STATUS_SUCCESS)
        return;
    all->status = status;
    read_words(all->api, all->words, sizeof all->words);
}

cudnnBackendDescriptor_t descriptor_make(Descriptors *all, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t made = NULL;
    if (all->status != CUDNN_STATUS_SUCCESS)
        return NULL;
    note(all, all->api->cudnnBackendCreateDescriptor(type, &made));
    if (all->status != CUDNN_STATUS_SUCCESS)
        return NULL;
    g_ptr_array_add(all->made, made);
    return made;
}

void descriptor_set(Descriptors *all, cudnnBackendDescriptor_t made,
                    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n,
                    const void *elements)
{
    if (all->status == CUDNN_STATUS_SUCCESS)
        note(all, all->api->cudnnBackendSetAttribute(made, name, type, n, elements));
}

void descriptor_set_child(Descriptors *all, cudnnBackendDescriptor_t made,
                          cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t child)
{
    descriptor_set(all, made, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &child);
}

void descriptor_set_int(Descriptors *all, cudnnBackendDescriptor_t made,
                        cudnnBackendAttributeName_t name, int64_t value)
{
    descriptor_set(all, made, name, CUDNN_TYPE_INT64, 1, &value);
}

void descriptor_set_enum(Descriptors *all, cudnnBackendDescriptor_t made,
                         cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                         int value)
{
    descriptor_set(all, made, name, type, 1, &value);
}

void descriptor_get(Descriptors *all, cudnnBackendDescriptor_t made,
                    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t max,
                    int64_t *n, void *elements)
{
    int64_t found = 0;
    if (all->status == CUDNN_STATUS_SUCCESS)
        note(all, all->api->cudnnBackendGetAttribute(made, name, type, max, &found, elements));
    if (n)
        *n = found;
}

void descriptor_finalize(Descriptors *all, cudnnBackendDescriptor_t made)
{
    if (all->status == CUDNN_STATUS_SUCCESS)
        note(all, all->api->cudnnBackendFinalize(made));
}

static bool check(const CzDevice *device, cudnnStatus_t status, const char *words,
                  const char *action, GError **error)
{
    if (status == CUDNN_STATUS_SUCCESS)
        return true;
    bool memory = status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
                  status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
    g_set_error(error, device->host->error_domain, memory ? CZ_ERROR_MEMORY : CZ_ERROR_BACKEND,
                "%s: %s (%d)%s%s", action, device->libs->cudnn.cudnnGetErrorString(status),
                (int)status, *words ? ", " : "", words);
    return false;
}

bool descriptors_check(const Descriptors *all, const CzDevice *device, const char *action,
                       GError **error)
{
    return check(device, all->status, all->words, action, error);
}

bool descriptor_check(const CzDevice *device, cudnnStatus_t status, const char *action,
                      GError **error)
{
    char words[256] = "";
    if (status != CUDNN_STATUS_SUCCESS)
        read_words(&device->libs->cudnn, words, sizeof words);
    return check(device, status, words, action, error);
}
