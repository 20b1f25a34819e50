// SPDX-License-Identifier: LGPL-3.0-or-later
// One GPU: its context, its stream of work, and memory in and out of it.
//
// All work of a device goes through one stream, in order. Uploads cross the bus in a second one,
// into memory of their own, and are moved to where they belong by the first: the input of the next
// run is copied while this one still works. The host waits for the device in device_download(), in
// device_upload() when all slots are on their way, in sums over ranks that it makes itself, and
// where a life time ends.
#pragma once

#include <stdbool.h>

#include "launch.h"
#include "libs.h"
#include "nccl.h"

// Host memory that the bus reads and writes by itself, in slots.
#define STAGING_SLOTS      8
#define STAGING_SLOT_BYTES ((size_t)2 << 20)

typedef struct {
    char *host;                    // one slot more than landing: of downloads
    CUdeviceptr landing;           // on the device
    CUevent copied[STAGING_SLOTS]; // from host into landing
    CUevent moved[STAGING_SLOTS];  // out of landing
    bool used[STAGING_SLOTS];
    unsigned next;
} Staging;

typedef struct ConvPlans ConvPlans; // conv.h

struct CzDevice {
    const CzHost *host;
    const Libs *libs;
    CzDeviceOptions options;
    char id[32];
    char *key; // all that choices for this GPU hang on: model, driver, cuDNN, options
    int sm;    // compute capability, as 86
    CUdevice device;
    bool retained;
    CUcontext context;
    CUstream stream, copies;
    cudnnHandle_t cudnn;
    CUmodule module;
    CUfunction functions[N_KERNELS]; // NULL until they are asked for
    Staging staging;
    ConvPlans *convs;
    Nccl *nccl; // NULL: sums over ranks are the host's
    char *sums; // who makes them, as steps are named; NULL before device_join()
};

struct CzBuffer {
    CUdeviceptr address;
    size_t n_bytes;
};

// What is known of a GPU without opening it. FALSE with CZ_ERROR_BACKEND if it is too old (below
// sm_75) or does not answer.
bool device_describe(const CzHost *host, const Libs *libs, int ordinal, CzDeviceInfo *info,
                     GError **error);

// libs: must outlive the device. CZ_ERROR_BACKEND, CZ_ERROR_MEMORY.
bool device_open(const CzHost *host, const Libs *libs, int ordinal, const CzDeviceOptions *options,
                 CzDevice **device, GError **error);
void device_close(CzDevice *device); // accepts NULL

// Makes the device's context the calling thread's. Before everything below.
bool device_enter(const CzDevice *device, GError **error);
// FALSE with CZ_ERROR_MEMORY if the device has no memory left, else with CZ_ERROR_BACKEND.
bool device_check(const CzDevice *device, CUresult result, const char *action, GError **error);

// Whether sums over these ranks go by NCCL is found out by all of them together, in the same place.
void device_join(CzDevice *device, const CzRanks *ranks);

bool device_alloc(CzDevice *device, size_t n_bytes, CzBuffer **buffer, GError **error);
void device_release(CzDevice *device, CzBuffer *buffer); // accepts NULL
bool device_upload(CzDevice *device, CzBuffer *dst, size_t offset, const void *src, size_t n_bytes,
                   GError **error);
bool device_download(CzDevice *device, void *dst, const CzBuffer *src, size_t offset,
                     size_t n_bytes, GError **error);

// Loads what a launch needs; the first time may take long. Not while work is being captured.
bool device_prepare(CzDevice *device, KernelId kernel, GError **error);
// Queues a kernel that has been prepared.
bool device_launch(const CzDevice *device, const Launch *launch, GError **error);
// Waits until all work is done, in both streams.
bool device_wait(const CzDevice *device, GError **error);
