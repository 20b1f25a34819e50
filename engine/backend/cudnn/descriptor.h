// SPDX-License-Identifier: LGPL-3.0-or-later
// cuDNN's descriptors, made many at a time: the first failure sticks, and what follows does
// nothing.
#pragma once

#include "device.h"

typedef struct {
    const CudnnApi *api;
    GPtrArray *made;      // cudnnBackendDescriptor_t, destroyed in the opposite order
    cudnnStatus_t status; // of the first call that failed
    char words[256];      // the library's own on that
} Descriptors;

void descriptors_init(Descriptors *all, const CzDevice *device);
void descriptors_clear(Descriptors *all); // also of one that is all zero
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Descriptors, descriptors_clear)

// NULL after a failure. It dies with all.
cudnnBackendDescriptor_t descriptor_make(Descriptors *all, cudnnBackendDescriptorType_t type);
void descriptor_set(Descriptors *all, cudnnBackendDescriptor_t made,
                    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t n,
                    const void *elements);
void descriptor_set_child(Descriptors *all, cudnnBackendDescriptor_t made,
                          cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t child);
void descriptor_set_int(Descriptors *all, cudnnBackendDescriptor_t made,
                        cudnnBackendAttributeName_t name, int64_t value);
// Enumerators: type says which.
void descriptor_set_enum(Descriptors *all, cudnnBackendDescriptor_t made,
                         cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                         int value);
// *n: how many there are, which may be more than max; may be NULL.
void descriptor_get(Descriptors *all, cudnnBackendDescriptor_t made,
                    cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t max,
                    int64_t *n, void *elements);
void descriptor_finalize(Descriptors *all, cudnnBackendDescriptor_t made);

// FALSE with CZ_ERROR_MEMORY if memory is out, else with CZ_ERROR_BACKEND.
bool descriptors_check(const Descriptors *all, const CzDevice *device, const char *action,
                       GError **error);
// The same for a call outside of them, right after it.
bool descriptor_check(const CzDevice *device, cudnnStatus_t status, const char *action,
                      GError **error);
