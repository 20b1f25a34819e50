// SPDX-License-Identifier: LGPL-3.0-or-later
// What is used of NCCL's interface, declared anew: no header of NVIDIA's is needed.
//
// Names, values and prototypes are those of nccl.h; tests/gpu/test_api_headers.py holds every row
// here against the real header.
#pragma once

#include "cuda_api.h"

// The first whose sums may be captured; up to 2.8 versions were counted another way, too.
#define NCCL_VERSION_NEEDED 20900

// clang-format off

// X(name, value)
#define NCCL_RESULTS(X) \
    X(ncclSuccess, 0) \
    X(ncclUnhandledCudaError, 1) \
    X(ncclSystemError, 2) \
    X(ncclInternalError, 3) \
    X(ncclInvalidArgument, 4) \
    X(ncclInvalidUsage, 5) \
    X(ncclRemoteError, 6) \
    X(ncclInProgress, 7)
#define NCCL_DATA_TYPES(X) X(ncclFloat32, 7)
#define NCCL_OPERATIONS(X) X(ncclSum, 0)
#define NCCL_SIZES(X) X(NCCL_UNIQUE_ID_BYTES, 128)
#define NCCL_CONSTANTS(X) NCCL_RESULTS(X) NCCL_DATA_TYPES(X) NCCL_OPERATIONS(X) NCCL_SIZES(X)

#define NCCL_ENUMERATOR(name, value) name = value,
typedef enum { NCCL_RESULTS(NCCL_ENUMERATOR) } ncclResult_t;
typedef enum { NCCL_DATA_TYPES(NCCL_ENUMERATOR) } ncclDataType_t;
typedef enum { NCCL_OPERATIONS(NCCL_ENUMERATOR) } ncclRedOp_t;
enum { NCCL_SIZES(NCCL_ENUMERATOR) };
#undef NCCL_ENUMERATOR

// Made by one rank and handed to all: how they find each other.
typedef struct { char internal[NCCL_UNIQUE_ID_BYTES]; } ncclUniqueId;
typedef struct ncclComm *ncclComm_t;

// X(type): whose size, alignment and signedness are held against the real ones
#define NCCL_TYPES(X) X(ncclResult_t) X(ncclDataType_t) X(ncclRedOp_t) X(ncclUniqueId) X(ncclComm_t)

// X(returned type, symbol, (parameters))
#define NCCL_FUNCTIONS(X) \
    X(ncclResult_t, ncclGetVersion, (int *version)) \
    X(ncclResult_t, ncclGetUniqueId, (ncclUniqueId *id)) \
    X(ncclResult_t, ncclCommInitRank, (ncclComm_t *comm, int n_ranks, ncclUniqueId id, int rank)) \
    X(ncclResult_t, ncclCommDestroy, (ncclComm_t comm)) \
    X(ncclResult_t, ncclCommAbort, (ncclComm_t comm)) \
    X(ncclResult_t, ncclAllReduce, \
      (const void *src, void *dst, size_t n, ncclDataType_t type, ncclRedOp_t operation, \
       ncclComm_t comm, CUstream stream)) \
    X(const char *, ncclGetErrorString, (ncclResult_t result))
// NULL in the table where the library has none: they make errors earlier and their words better.
#define NCCL_OPTIONAL_FUNCTIONS(X) \
    X(ncclResult_t, ncclCommGetAsyncError, (ncclComm_t comm, ncclResult_t *state)) \
    X(const char *, ncclGetLastError, (ncclComm_t comm))

#define NCCL_POINTER(returned, name, parameters) returned (*name) parameters;
typedef struct { NCCL_FUNCTIONS(NCCL_POINTER) NCCL_OPTIONAL_FUNCTIONS(NCCL_POINTER) } NcclApi;
#undef NCCL_POINTER
// clang-format on
