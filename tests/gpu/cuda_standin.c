// SPDX-License-Identifier: LGPL-3.0-or-later
// A libcuda.so.1 for machines without a driver, so that cuDNN's libraries load and judge graphs for
// a device that is only described. It runs nothing: that is the driver's double's task. Its name
// in the file system is another one: nobody finds it by accident.
#include <stddef.h>

enum { SUCCESS = 0, NO_DEVICE = 100, DRIVER_VERSION = 13000 };

#define NO(name)          \
    int name(void)        \
    {                     \
        return NO_DEVICE; \
    }
#define YES(name)       \
    int name(void)      \
    {                   \
        return SUCCESS; \
    }
// Hands out a handle, the first parameter.
#define HANDLE(name)          \
    int name(void **handle)   \
    {                         \
        *handle = (void *)16; \
        return SUCCESS;       \
    }

NO(cuInit)
NO(cuDeviceGetCount)
NO(cuDeviceGet)
NO(cuCtxGetCurrent)
NO(cuCtxGetLimit)
NO(cuCtxPushCurrent)
NO(cuCtxPopCurrent)
NO(cuStreamGetCtx)
NO(cuLinkCreate)
NO(cuLinkAddData)
NO(cuLinkComplete)
NO(cuLinkDestroy)
NO(cuLaunchKernel)
NO(cuLaunchKernelEx)
NO(cuLaunchCooperativeKernel)
NO(cuLibraryLoadFromFile)
NO(cuOccupancyMaxPotentialClusterSize)
NO(cuGetErrorName)
NO(cuTensorMapEncodeTiled)
NO(cuTensorMapEncodeIm2col)
HANDLE(cuLibraryLoadData)
HANDLE(cuLibraryGetKernel)
HANDLE(cuKernelGetFunction)
HANDLE(cuModuleLoadData)
HANDLE(cuModuleGetFunction)
YES(cuLibraryUnload)
YES(cuModuleUnload)
YES(cuKernelSetAttribute)
YES(cuFuncSetAttribute)

int cuKernelGetAttribute(int *value)
{
    *value = 0;
    return SUCCESS;
}

int cuDriverGetVersion(int *version)
{
    *version = DRIVER_VERSION;
    return SUCCESS;
}

int cuGetErrorString(int code, const char **text)
{
    *text = "stand-in";
    return SUCCESS;
}
