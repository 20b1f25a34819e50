// SPDX-License-Identifier: LGPL-3.0-or-later
// What tests of the doubles share: the libraries opened as a module opens them, and graphs of one
// convolution built, planned and run through them.
#pragma once

#include <glib.h>

#include "double.h"
#include "double_api.h"

// X(name, (parameters)): what the tests call of each library.
#define KIT_CUDA(X)                                                                               \
    X(cuInit, (unsigned flags))                                                                   \
    X(cuDevicePrimaryCtxRetain, (CUcontext * context, CUdevice device))                           \
    X(cuDevicePrimaryCtxRelease_v2, (CUdevice device))                                            \
    X(cuCtxSetCurrent, (CUcontext context))                                                       \
    X(cuCtxSynchronize, (void))                                                                   \
    X(cuMemAlloc_v2, (CUdeviceptr * address, size_t n_bytes))                                     \
    X(cuMemFree_v2, (CUdeviceptr address))                                                        \
    X(cuMemHostAlloc, (void **address, size_t n_bytes, unsigned flags))                           \
    X(cuMemFreeHost, (void *address))                                                             \
    X(cuMemcpyHtoDAsync_v2, (CUdeviceptr dst, const void *src, size_t n_bytes, CUstream stream))  \
    X(cuMemcpyDtoHAsync_v2, (void *dst, CUdeviceptr src, size_t n_bytes, CUstream stream))        \
    X(cuMemsetD8Async, (CUdeviceptr dst, unsigned char value, size_t n, CUstream stream))         \
    X(cuMemsetD32Async, (CUdeviceptr dst, unsigned value, size_t n, CUstream stream))             \
    X(cuStreamCreate, (CUstream * stream, unsigned flags))                                        \
    X(cuStreamDestroy_v2, (CUstream stream))                                                      \
    X(cuStreamSynchronize, (CUstream stream))                                                     \
    X(cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned flags))                        \
    X(cuEventCreate, (CUevent * event, unsigned flags))                                           \
    X(cuEventDestroy_v2, (CUevent event))                                                         \
    X(cuEventRecord, (CUevent event, CUstream stream))                                            \
    X(cuEventSynchronize, (CUevent event))                                                        \
    X(cuEventElapsedTime, (float *milliseconds, CUevent start, CUevent end))                      \
    X(cuModuleLoadDataEx,                                                                         \
      (CUmodule * module, const void *image, unsigned n, int *options, void **values))            \
    X(cuModuleUnload, (CUmodule module))                                                          \
    X(cuModuleGetFunction, (CUfunction * function, CUmodule module, const char *name))            \
    X(cuLaunchKernel,                                                                             \
      (CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,      \
       unsigned bz, unsigned shared, CUstream stream, void **params, void **extra))               \
    X(cuStreamBeginCapture_v2, (CUstream stream, int mode))                                       \
    X(cuStreamEndCapture, (CUstream stream, CUgraph * graph))                                     \
    X(cuGraphInstantiateWithFlags, (CUgraphExec * exec, CUgraph graph, unsigned long long flags)) \
    X(cuGraphLaunch, (CUgraphExec exec, CUstream stream))                                         \
    X(cuGraphExecDestroy, (CUgraphExec exec))                                                     \
    X(cuGraphDestroy, (CUgraph graph))

#define KIT_CUDNN(X)                                                                               \
    X(cudnnCreate, (cudnnHandle_t * handle))                                                       \
    X(cudnnDestroy, (cudnnHandle_t handle))                                                        \
    X(cudnnSetStream, (cudnnHandle_t handle, CUstream stream))                                     \
    X(cudnnBackendCreateDescriptor, (int type, void **made))                                       \
    X(cudnnBackendDestroyDescriptor, (void *made))                                                 \
    X(cudnnBackendSetAttribute, (void *made, int name, int type, int64_t n, const void *elements)) \
    X(cudnnBackendGetAttribute,                                                                    \
      (void *made, int name, int type, int64_t max, int64_t *n, void *elements))                   \
    X(cudnnBackendFinalize, (void *made))                                                          \
    X(cudnnBackendExecute, (cudnnHandle_t handle, void *plan, void *pack))

#define KIT_POINTER(name, parameters) int(*name) parameters;
extern struct Cuda {
    KIT_CUDA(KIT_POINTER)
} cuda;
extern struct Cudnn {
    KIT_CUDNN(KIT_POINTER)
} cudnn;
#undef KIT_POINTER
extern size_t (*kit_cudnn_version)(void);

// From the folder in COLORIZE_DOUBLE_DIR. Ends the process where it cannot.
void kit_open(void);

typedef struct {
    CUcontext context;
    CUstream stream;
    cudnnHandle_t handle;
} Device;

// False where a call failed; what was made is unmade then.
bool device_start(Device *device);
void device_stop(Device *device);

typedef struct {
    int kind; // an operation's descriptor type
    int type;
    int64_t n, c, h, w, k, r, s; // of x and of the filter
    int64_t stride, before, after;
    int64_t filter_c; // channels of a group; 0: c
    bool bias_relu;   // of a forward convolution
    float beta;       // how much of the result's old numbers is added
} Problem;

int64_t problem_out(const Problem *problem, int64_t size, int64_t taps);

// Numbers of the tensors. V1 and V2 are virtual, between the operations.
enum { UID_X = 1, UID_W, UID_Y, UID_BIAS, UID_V1, UID_V2 };

typedef struct {
    void *made[160];
    int n_made, n_engines, n_left; // engines offered, and those that pass the filter
    void *graph, *plan;
    int64_t workspace;
} Plan;

// Filters out engines that are compiled at run time, not deterministic or use tensor cores, and
// plans the first that remains. On failure nothing is left.
int plan_make(const Device *device, const Problem *problem, Plan *plan);
void plan_free(Plan *plan);
int plan_pack(const int64_t *uids, void *const *pointers, int64_t n, void *workspace, void **pack);
