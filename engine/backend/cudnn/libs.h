// SPDX-License-Identifier: LGPL-3.0-or-later
// The foreign libraries of this backend: found and opened at run time, never linked.
//
// The driver is libcuda.so.1 as the loader finds it, or the file that COLORIZE_CUDA_DRIVER names
// (absolute). cuDNN and the cuBLASLt that it needs are looked for, in this order:
//   1. below each folder in COLORIZE_CUDA_ROOT (absolute, with colons between): in the folder
//      itself, lib/, lib64/, nvidia/*/lib/, lib/python3*/site-packages/nvidia/*/lib/; so a toolkit,
//      a virtual environment and its site-packages all do;
//   2. as the loader finds them by name;
//   3. /usr/local/cuda/lib64, /usr/lib/x86_64-linux-gnu.
// COLORIZE_CUDA_ONLY=1 leaves out 2 and 3. The user's home is not searched.
//
// For tests alone: COLORIZE_CUDA_PROC, a folder in place of /proc/driver/nvidia/gpus.
#pragma once

#include <stdbool.h>

#include <cz/backend.h>

#include "cudnn_api.h"

typedef struct {
    CudaApi cuda;
    CudnnApi cudnn;
    char *driver_path, *cudnn_path, *cublas_path; // as the loader has them
    int driver_version;                           // the newest CUDA that it knows: 12040 is 12.4
    size_t cudnn_version;                         // 91900 is 9.19.0
    size_t cudart_version;                        // the CUDA that cuDNN was made for: 13000
} Libs;

// Opens driver, cuDNN (9.8 or later) and cuBLASLt; cuInit() is not called, so that a first use can
// still be tried in a child process (first_use.h). cuDNN itself is loaded in a child first.
//
// Each candidate that was refused is told in a sentence of its own, "PATH: REASON", as a char *
// appended to told. CZ_ERROR_BACKEND says in one sentence why nothing was opened. What is open
// stays loaded until the process ends: libraries of this size do not survive being unloaded.
Libs *libs_open(const CzHost *host, GPtrArray *told, GError **error);
void libs_free(Libs *libs); // accepts NULL; the libraries stay loaded
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Libs, libs_free)

// Initialises the driver in this process. FALSE with CZ_ERROR_BACKEND also where it has no device.
bool libs_start(const CzHost *host, const Libs *libs, int *n_devices, GError **error);

// A function's place in a table of functions.
typedef struct {
    const char *name;
    size_t offset;
    bool optional; // NULL in the table where the library has none
} LibsSymbol;

// Another library, looked for in the order that is cuDNN's: fills table from the first file of this
// name that loads and has the functions. path: where the loader has it. FALSE: why says in a
// sentence what was wrong with the first that was there. The caller frees path and why. It stays
// loaded.
bool libs_open_other(const char *soname, const LibsSymbol *symbols, size_t n_symbols, void *table,
                     char **path, char **why);

// The driver's file, which names its release: "libcuda.so.550.54.14"; the caller frees.
char *libs_driver(const Libs *libs);
char *libs_version(const Libs *libs); // of cuDNN, "9.19.0"; the caller frees
// "cuDNN 9.19.0 at /usr/lib/x86_64-linux-gnu/libcudnn.so.9"; the caller frees.
char *libs_describe(const Libs *libs);
// All that a verdict on these libraries and GPUs hangs on, for FirstUse.key; asks nothing of the
// driver. The caller frees.
char *libs_key(const Libs *libs);

// FALSE with CZ_ERROR_BACKEND, "ACTION: CUDA_ERROR_NO_DEVICE (100), no CUDA-capable device is
// detected"; CZ_ERROR_MEMORY where the device's memory is out.
bool libs_check_cuda(const CzHost *host, const Libs *libs, CUresult result, const char *action,
                     GError **error);
