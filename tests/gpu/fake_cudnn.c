// SPDX-License-Identifier: LGPL-3.0-or-later
// A cuDNN that does no more than tell its version: for tests of how it is found and tried.
//
// FAKE_CUDNN_VERSION: 91900 if not set. FAKE_CUDNN_LOAD: "crash" or "exit" while it is being
// loaded. Compiled with LACKING, it has all functions but cudnnBackendExecute.
#include <cudnn_api.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define cudnnGetVersion       unused_cudnnGetVersion
#define cudnnGetCudartVersion unused_cudnnGetCudartVersion
#ifdef LACKING
#define cudnnBackendExecute unused_cudnnBackendExecute
#endif
// clang-format off
#define EMPTY(returned, name, parameters) int name(void); int name(void) { return CUDNN_STATUS_INTERNAL_ERROR; }
CUDNN_FUNCTIONS(EMPTY)
// clang-format on
#undef cudnnGetVersion
#undef cudnnGetCudartVersion

size_t cudnnGetVersion(void);
size_t cudnnGetCudartVersion(void);

size_t cudnnGetVersion(void)
{
    const char *version = getenv("FAKE_CUDNN_VERSION");
    return version ? (size_t)atoi(version) : 91900;
}

size_t cudnnGetCudartVersion(void)
{
    return 12080;
}

__attribute__((constructor)) static void load(void)
{
    const char *how = getenv("FAKE_CUDNN_LOAD");
    if (how && strcmp(how, "crash") == 0)
        *(volatile int *)NULL = 0;
    if (how && strcmp(how, "exit") == 0)
        _exit(3);
}
