// SPDX-License-Identifier: LGPL-3.0-or-later
// A driver that does no more than start: for tests of how it is found and tried.
//
// FAKE_CUINIT: what cuInit() answers, or "crash", "exit" or "hang". FAKE_DEVICES: how many there
// are, 1 if not set. FAKE_DRIVER_VERSION: 12040 if not set. FAKE_COUNT: a file that gets a byte for
// each cuInit().
#include <cuda_api.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Every symbol but those below, with no prototype to hold: nobody calls them.
#define cuInit             unused_cuInit
#define cuDeviceGetCount   unused_cuDeviceGetCount
#define cuDriverGetVersion unused_cuDriverGetVersion
#define cuGetErrorName     unused_cuGetErrorName
#define cuGetErrorString   unused_cuGetErrorString
// clang-format off
#define EMPTY(returned, name, parameters) int name(void); int name(void) { return CUDA_ERROR_UNKNOWN; }
CUDA_FUNCTIONS(EMPTY)
// clang-format on
#undef cuInit
#undef cuDeviceGetCount
#undef cuDriverGetVersion
#undef cuGetErrorName
#undef cuGetErrorString

CUresult cuInit(unsigned flags);
CUresult cuDeviceGetCount(int *count);
CUresult cuDriverGetVersion(int *version);
CUresult cuGetErrorName(CUresult result, const char **name);
CUresult cuGetErrorString(CUresult result, const char **text);

CUresult cuInit(unsigned flags)
{
    const char *answer = getenv("FAKE_CUINIT"), *count = getenv("FAKE_COUNT");
    int fd = count ? open(count, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (fd >= 0 && write(fd, "i", 1) != 1)
        return CUDA_ERROR_UNKNOWN;
    if (answer && strcmp(answer, "crash") == 0)
        abort();
    if (answer && strcmp(answer, "exit") == 0)
        _exit(3);
    while (answer && strcmp(answer, "hang") == 0)
        pause();
    return answer ? (CUresult)atoi(answer) : CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count)
{
    const char *devices = getenv("FAKE_DEVICES");
    *count = devices ? atoi(devices) : 1;
    return CUDA_SUCCESS;
}

CUresult cuDriverGetVersion(int *version)
{
    const char *driver = getenv("FAKE_DRIVER_VERSION");
    *version = driver ? atoi(driver) : 12040;
    return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult result, const char **name)
{
    *name = result == CUDA_ERROR_NO_DEVICE ? "CUDA_ERROR_NO_DEVICE" : NULL;
    return *name ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult result, const char **text)
{
    *text = result == CUDA_ERROR_NO_DEVICE ? "no CUDA-capable device is detected" : NULL;
    return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
