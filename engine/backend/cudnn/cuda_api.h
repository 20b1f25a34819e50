// SPDX-License-Identifier: LGPL-3.0-or-later
// What is used of the CUDA driver's interface, declared anew: no header of NVIDIA's is needed.
//
// Names, values and prototypes are those of cuda.h; tests/gpu/test_api_headers.py holds every row
// here against the real header. The names with _v2 are the library's own symbols, which cuda.h
// hides behind macros, and a 64-bit program must use those.
#pragma once

#include <stddef.h>
#include <stdint.h>

// clang-format off

// X(name, value)
#define CUDA_RESULTS(X) \
    X(CUDA_SUCCESS, 0) \
    X(CUDA_ERROR_INVALID_VALUE, 1) \
    X(CUDA_ERROR_OUT_OF_MEMORY, 2) \
    X(CUDA_ERROR_NOT_INITIALIZED, 3) \
    X(CUDA_ERROR_DEINITIALIZED, 4) \
    X(CUDA_ERROR_STUB_LIBRARY, 34) \
    X(CUDA_ERROR_DEVICE_UNAVAILABLE, 46) \
    X(CUDA_ERROR_NO_DEVICE, 100) \
    X(CUDA_ERROR_INVALID_DEVICE, 101) \
    X(CUDA_ERROR_INVALID_IMAGE, 200) \
    X(CUDA_ERROR_INVALID_CONTEXT, 201) \
    X(CUDA_ERROR_NO_BINARY_FOR_GPU, 209) \
    X(CUDA_ERROR_ECC_UNCORRECTABLE, 214) \
    X(CUDA_ERROR_INVALID_PTX, 218) \
    X(CUDA_ERROR_JIT_COMPILER_NOT_FOUND, 221) \
    X(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, 222) \
    X(CUDA_ERROR_OPERATING_SYSTEM, 304) \
    X(CUDA_ERROR_INVALID_HANDLE, 400) \
    X(CUDA_ERROR_NOT_FOUND, 500) \
    X(CUDA_ERROR_NOT_READY, 600) \
    X(CUDA_ERROR_ILLEGAL_ADDRESS, 700) \
    X(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, 701) \
    X(CUDA_ERROR_LAUNCH_TIMEOUT, 702) \
    X(CUDA_ERROR_CONTEXT_IS_DESTROYED, 709) \
    X(CUDA_ERROR_ASSERT, 710) \
    X(CUDA_ERROR_HARDWARE_STACK_ERROR, 714) \
    X(CUDA_ERROR_ILLEGAL_INSTRUCTION, 715) \
    X(CUDA_ERROR_MISALIGNED_ADDRESS, 716) \
    X(CUDA_ERROR_INVALID_ADDRESS_SPACE, 717) \
    X(CUDA_ERROR_INVALID_PC, 718) \
    X(CUDA_ERROR_LAUNCH_FAILED, 719) \
    X(CUDA_ERROR_NOT_PERMITTED, 800) \
    X(CUDA_ERROR_NOT_SUPPORTED, 801) \
    X(CUDA_ERROR_SYSTEM_NOT_READY, 802) \
    X(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, 803) \
    X(CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE, 804) \
    X(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, 900) \
    X(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, 901) \
    X(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, 904) \
    X(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, 906) \
    X(CUDA_ERROR_UNKNOWN, 999)

#define CUDA_DEVICE_ATTRIBUTES(X) \
    X(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1) \
    X(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, 5) \
    X(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y, 6) \
    X(CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 7) \
    X(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK, 8) \
    X(CU_DEVICE_ATTRIBUTE_WARP_SIZE, 10) \
    X(CU_DEVICE_ATTRIBUTE_CLOCK_RATE, 13) \
    X(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 16) \
    X(CU_DEVICE_ATTRIBUTE_INTEGRATED, 18) \
    X(CU_DEVICE_ATTRIBUTE_COMPUTE_MODE, 20) \
    X(CU_DEVICE_ATTRIBUTE_PCI_BUS_ID, 33) \
    X(CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID, 34) \
    X(CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE, 36) \
    X(CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH, 37) \
    X(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, 38) \
    X(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR, 39) \
    X(CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID, 50) \
    X(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 75) \
    X(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, 76) \
    X(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, 81) \
    X(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 97)

#define CUDA_FUNCTION_ATTRIBUTES(X) \
    X(CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 0) \
    X(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, 1) \
    X(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES, 3) \
    X(CU_FUNC_ATTRIBUTE_NUM_REGS, 4) \
    X(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 8)

#define CUDA_JIT_OPTIONS(X) \
    X(CU_JIT_INFO_LOG_BUFFER, 3) \
    X(CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES, 4) \
    X(CU_JIT_ERROR_LOG_BUFFER, 5) \
    X(CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, 6) \
    X(CU_JIT_LOG_VERBOSE, 12)

#define CUDA_CAPTURE_MODES(X) \
    X(CU_STREAM_CAPTURE_MODE_GLOBAL, 0) \
    X(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, 1) \
    X(CU_STREAM_CAPTURE_MODE_RELAXED, 2)

#define CUDA_CAPTURE_STATES(X) \
    X(CU_STREAM_CAPTURE_STATUS_NONE, 0) \
    X(CU_STREAM_CAPTURE_STATUS_ACTIVE, 1) \
    X(CU_STREAM_CAPTURE_STATUS_INVALIDATED, 2)

// Bits and values that are passed as plain unsigned integers.
#define CUDA_FLAGS(X) \
    X(CU_CTX_SCHED_BLOCKING_SYNC, 4) \
    X(CU_STREAM_DEFAULT, 0) \
    X(CU_STREAM_NON_BLOCKING, 1) \
    X(CU_EVENT_DEFAULT, 0) \
    X(CU_EVENT_BLOCKING_SYNC, 1) \
    X(CU_EVENT_DISABLE_TIMING, 2) \
    X(CU_MEMHOSTALLOC_PORTABLE, 1) \
    X(CU_COMPUTEMODE_DEFAULT, 0) \
    X(CU_COMPUTEMODE_PROHIBITED, 2) \
    X(CU_COMPUTEMODE_EXCLUSIVE_PROCESS, 3)

#define CUDA_CONSTANTS(X) \
    CUDA_RESULTS(X) CUDA_DEVICE_ATTRIBUTES(X) CUDA_FUNCTION_ATTRIBUTES(X) CUDA_JIT_OPTIONS(X) \
    CUDA_CAPTURE_MODES(X) CUDA_CAPTURE_STATES(X) CUDA_FLAGS(X)

#define CUDA_ENUMERATOR(name, value) name = value,
typedef enum { CUDA_RESULTS(CUDA_ENUMERATOR) } CUresult;
typedef enum { CUDA_DEVICE_ATTRIBUTES(CUDA_ENUMERATOR) } CUdevice_attribute;
typedef enum { CUDA_FUNCTION_ATTRIBUTES(CUDA_ENUMERATOR) } CUfunction_attribute;
typedef enum { CUDA_JIT_OPTIONS(CUDA_ENUMERATOR) } CUjit_option;
typedef enum { CUDA_CAPTURE_MODES(CUDA_ENUMERATOR) } CUstreamCaptureMode;
typedef enum { CUDA_CAPTURE_STATES(CUDA_ENUMERATOR) } CUstreamCaptureStatus;
enum { CUDA_FLAGS(CUDA_ENUMERATOR) };
#undef CUDA_ENUMERATOR

typedef int CUdevice;
typedef unsigned long long CUdeviceptr; // an address of the device; uint64_t everywhere else here
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;   // the runtime's cudaStream_t is the same type
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph;     // the runtime's cudaGraph_t
typedef struct CUgraphExec_st *CUgraphExec;

// X(type): whose size, alignment and signedness are held against the real ones
#define CUDA_TYPES(X) \
    X(CUresult) X(CUdevice_attribute) X(CUfunction_attribute) X(CUjit_option) \
    X(CUstreamCaptureMode) X(CUstreamCaptureStatus) X(CUdevice) X(CUdeviceptr) X(CUcontext) \
    X(CUmodule) X(CUfunction) X(CUstream) X(CUevent) X(CUgraph) X(CUgraphExec)

// X(returned type, symbol, (parameters))
#define CUDA_FUNCTIONS(X) \
    X(CUresult, cuInit, (unsigned flags)) \
    X(CUresult, cuDriverGetVersion, (int *version)) \
    X(CUresult, cuGetErrorName, (CUresult result, const char **name)) \
    X(CUresult, cuGetErrorString, (CUresult result, const char **text)) \
    X(CUresult, cuDeviceGetCount, (int *count)) \
    X(CUresult, cuDeviceGet, (CUdevice *device, int ordinal)) \
    X(CUresult, cuDeviceGetName, (char *name, int size, CUdevice device)) \
    X(CUresult, cuDeviceGetAttribute, (int *value, CUdevice_attribute attribute, CUdevice device)) \
    X(CUresult, cuDeviceTotalMem_v2, (size_t *n_bytes, CUdevice device)) \
    X(CUresult, cuDevicePrimaryCtxSetFlags_v2, (CUdevice device, unsigned flags)) \
    X(CUresult, cuDevicePrimaryCtxRetain, (CUcontext *context, CUdevice device)) \
    X(CUresult, cuDevicePrimaryCtxRelease_v2, (CUdevice device)) \
    X(CUresult, cuCtxSetCurrent, (CUcontext context)) \
    X(CUresult, cuMemGetInfo_v2, (size_t *free_bytes, size_t *total_bytes)) \
    X(CUresult, cuMemAlloc_v2, (CUdeviceptr *address, size_t n_bytes)) \
    X(CUresult, cuMemFree_v2, (CUdeviceptr address)) \
    X(CUresult, cuMemHostAlloc, (void **memory, size_t n_bytes, unsigned flags)) \
    X(CUresult, cuMemFreeHost, (void *memory)) \
    X(CUresult, cuMemcpyHtoDAsync_v2, \
      (CUdeviceptr dst, const void *src, size_t n_bytes, CUstream stream)) \
    X(CUresult, cuMemcpyDtoHAsync_v2, (void *dst, CUdeviceptr src, size_t n_bytes, CUstream stream)) \
    X(CUresult, cuMemcpyDtoDAsync_v2, \
      (CUdeviceptr dst, CUdeviceptr src, size_t n_bytes, CUstream stream)) \
    X(CUresult, cuMemsetD8Async, \
      (CUdeviceptr dst, unsigned char value, size_t n_bytes, CUstream stream)) \
    X(CUresult, cuStreamCreate, (CUstream *stream, unsigned flags)) \
    X(CUresult, cuStreamDestroy_v2, (CUstream stream)) \
    X(CUresult, cuStreamSynchronize, (CUstream stream)) \
    X(CUresult, cuStreamWaitEvent, (CUstream stream, CUevent event, unsigned flags)) \
    X(CUresult, cuEventCreate, (CUevent *event, unsigned flags)) \
    X(CUresult, cuEventDestroy_v2, (CUevent event)) \
    X(CUresult, cuEventRecord, (CUevent event, CUstream stream)) \
    X(CUresult, cuEventSynchronize, (CUevent event)) \
    X(CUresult, cuEventElapsedTime, (float *time_ms, CUevent start, CUevent end)) \
    X(CUresult, cuModuleLoadDataEx, \
      (CUmodule *module, const void *image, unsigned n_options, CUjit_option *options, \
       void **values)) \
    X(CUresult, cuModuleUnload, (CUmodule module)) \
    X(CUresult, cuModuleGetFunction, (CUfunction *function, CUmodule module, const char *name)) \
    X(CUresult, cuLaunchKernel, \
      (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, \
       unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream, void **args, \
       void **extra)) \
    X(CUresult, cuStreamBeginCapture_v2, (CUstream stream, CUstreamCaptureMode mode)) \
    X(CUresult, cuStreamEndCapture, (CUstream stream, CUgraph *graph)) \
    X(CUresult, cuGraphInstantiateWithFlags, \
      (CUgraphExec *exec, CUgraph graph, unsigned long long flags)) \
    X(CUresult, cuGraphLaunch, (CUgraphExec exec, CUstream stream)) \
    X(CUresult, cuGraphExecDestroy, (CUgraphExec exec)) \
    X(CUresult, cuGraphDestroy, (CUgraph graph))

#define CUDA_POINTER(returned, name, parameters) returned (*name) parameters;
typedef struct { CUDA_FUNCTIONS(CUDA_POINTER) } CudaApi;
#undef CUDA_POINTER
// clang-format on
