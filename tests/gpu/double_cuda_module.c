// SPDX-License-Identifier: LGPL-3.0-or-later
// A double of the CUDA driver: modules of PTX text, and launches of kernels by name.
#include "double_cuda.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool (*double_kernel_run)(const char *name, const void *args, const unsigned grid[3],
                          const unsigned block[3], size_t shared);

enum { MAX_PARAMS = 16, MAX_THREADS = 1024, PLAIN_SHARED = 49152 };

typedef struct Module Module;

typedef struct {
    Object object;
    Module *module;
    char *name;
    size_t sizes[MAX_PARAMS], aligns[MAX_PARAMS];
    unsigned n_params;
    unsigned max_threads;
    size_t max_shared;
} Function;

struct Module {
    Object object;
    GPtrArray *functions; // Function *, owned by the objects' list
};

static void finish_function(void *object)
{
    g_free(((Function *)object)->name);
}

static void finish_module(void *object)
{
    Module *module = object;
    for (unsigned i = 0; i < module->functions->len; i++)
        double_object_end(g_ptr_array_index(module->functions, i));
    g_ptr_array_unref(module->functions);
}

// ".param .align 8 .b8 name[32]" or ".param .u64 name": false where it is neither.
static bool parse_param(const char *text, size_t *size, size_t *align)
{
    char type[8];
    unsigned given = 0, n_elements = 1, bits;
    int used = 0;
    if (sscanf(text, ".param .align %u%n", &given, &used) < 1)
        used = strlen(".param");
    if (sscanf(text + used, " .%7[a-z0-9]", type) != 1 ||
        sscanf(type + strspn(type, "bsuf"), "%u", &bits) != 1)
        return false;
    size_t length = strcspn(text, ",)\n");
    const char *bracket = memchr(text, '[', length);
    if (bracket != NULL && sscanf(bracket, "[%u]", &n_elements) != 1)
        return false;
    *size = (size_t)bits / 8 * n_elements;
    *align = given > 0 ? given : bits / 8;
    return *size > 0 && *align > 0;
}

// text: behind ".entry". Returns NULL where it makes no sense.
static Function *parse_entry(const char *text)
{
    text += strspn(text, " \t\n");
    size_t length =
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$");
    const char *body = strchr(text, '{');
    const char *open = text + length + strspn(text + length, " \t\n");
    const char *close = *open == '(' ? strchr(open, ')') : open;
    if (length == 0 || body == NULL || close == NULL || close > body)
        return NULL;
    Function *function = double_object_new(KIND_FUNCTION, sizeof *function, finish_function);
    function->name = g_strndup(text, length);
    function->max_threads = MAX_THREADS;
    function->max_shared = PLAIN_SHARED;
    for (const char *at = open; (at = strstr(at, ".param")) != NULL && at < close; at++) {
        unsigned i = function->n_params++;
        if (i == MAX_PARAMS || !parse_param(at, &function->sizes[i], &function->aligns[i]))
            return NULL;
    }
    const char *limit = strstr(close, ".maxntid");
    unsigned x, y = 1, z = 1;
    if (limit != NULL && limit < body && sscanf(limit, ".maxntid %u, %u, %u", &x, &y, &z) > 0)
        function->max_threads = x * y * z;
    return function;
}

// The PTX version that a driver's compiler knows: CUDA 11.x has 7.x, 12.x has 8.x, 13.x has 9.x.
static int known_ptx(void)
{
    int version = double_driver_version();
    return (version / 1000 - 4) * 10 + version / 10 % 10;
}

static CUresult check_header(const char *text)
{
    int major, minor, target;
    const char *version = strstr(text, ".version"), *at = strstr(text, ".target");
    if (version == NULL || at == NULL)
        return CUDA_ERROR_INVALID_IMAGE;
    if (sscanf(version, ".version %d.%d", &major, &minor) != 2 ||
        sscanf(at, ".target sm_%d", &target) != 1)
        return CUDA_ERROR_INVALID_PTX;
    if (major * 10 + minor > known_ptx())
        return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
    return target > double_get_sm() ? CUDA_ERROR_NO_BINARY_FOR_GPU : CUDA_SUCCESS;
}

static CUresult parse_module(Module *module, const char *text)
{
    CUresult result = check_header(text);
    for (const char *at = text; result == CUDA_SUCCESS && (at = strstr(at, ".entry")) != NULL;) {
        at += strlen(".entry");
        Function *function = parse_entry(at);
        if (function == NULL)
            return CUDA_ERROR_INVALID_PTX;
        function->module = module;
        g_ptr_array_add(module->functions, function);
    }
    return result;
}

static void write_log(const char *text, unsigned n_options, const int *options, void **values)
{
    char *buffer = NULL;
    size_t size = 0;
    for (unsigned i = 0; i < n_options; i++) {
        if (options[i] == CU_JIT_ERROR_LOG_BUFFER)
            buffer = values[i];
        if (options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES) {
            size = (uintptr_t)values[i];
            values[i] = (void *)(uintptr_t)MIN(size, strlen(text) + 1);
        }
    }
    if (buffer != NULL && size > 0)
        g_strlcpy(buffer, text, size);
}

DOUBLE_EXPORT CUresult cuModuleLoadDataEx(CUmodule *handle, const void *image, unsigned n_options,
                                          int *options, void **values)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT | NEEDS_NO_CAPTURE);
    // No generation's own code: what runs here is the host's.
    if (memcmp(image, "\177ELF", 4) == 0)
        return CUDA_ERROR_NO_BINARY_FOR_GPU;
    Module *module = double_object_new(KIND_MODULE, sizeof *module, finish_module);
    module->functions = g_ptr_array_new();
    CUresult result = parse_module(module, image);
    write_log(result == CUDA_SUCCESS ? "" : "the double cannot use this PTX", n_options, options,
              values);
    if (result != CUDA_SUCCESS)
        double_object_end(module);
    else
        *handle = (void *)module;
    return result;
}

// Waits for all work, as what runs needs the code.
DOUBLE_EXPORT CUresult cuModuleUnload(CUmodule handle)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT | NEEDS_NO_CAPTURE | RELEASES);
    Module *module = double_object_find(handle, KIND_MODULE, __func__);
    if (module == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    double_streams_drain();
    double_object_end(module);
    return entered;
}

DOUBLE_EXPORT CUresult cuModuleGetFunction(CUfunction *handle, CUmodule module_handle,
                                           const char *name)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    const Module *module = double_object_find(module_handle, KIND_MODULE, __func__);
    if (module == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    for (unsigned i = 0; i < module->functions->len; i++) {
        Function *function = g_ptr_array_index(module->functions, i);
        if (strcmp(function->name, name) == 0) {
            *handle = (void *)function;
            return CUDA_SUCCESS;
        }
    }
    return CUDA_ERROR_NOT_FOUND;
}

// Registers and the like are unknown: the kernel was compiled for the host.
DOUBLE_EXPORT CUresult cuFuncGetAttribute(int *value, int attribute, CUfunction handle)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    const Function *function = double_object_find(handle, KIND_FUNCTION, __func__);
    if (function == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    *value = 0;
    if (attribute == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK)
        *value = (int)function->max_threads;
    if (attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)
        *value = (int)function->max_shared;
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuFuncSetAttribute(CUfunction handle, int attribute, int value)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    Function *function = double_object_find(handle, KIND_FUNCTION, __func__);
    if (function == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 ||
        value > double_shared_optin())
        return CUDA_ERROR_INVALID_VALUE;
    function->max_shared = value;
    return CUDA_SUCCESS;
}

typedef struct {
    Function *function;
    void *args;
    unsigned grid[3], block[3];
    size_t shared;
} Launch;

// A program that knows nothing of the double has its kernels from a library of its environment's.
static void find_host_kernels(void)
{
    const char *path = g_getenv("COLORIZE_DOUBLE_KERNELS");
    void *library = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    void *symbol = library != NULL ? dlsym(library, "host_kernel_run") : NULL;
    memcpy(&double_kernel_run, &symbol, sizeof symbol);
}

static void run_launch(void *data)
{
    const Launch *launch = data;
    double_clock_advance(5);
    if (launch->function->object.dead) {
        double_complain("a kernel of an unloaded module was to run");
        double_set_lost(CUDA_ERROR_ILLEGAL_ADDRESS);
        return;
    }
    const char *name = launch->function->name;
    if (double_kernel_run == NULL)
        find_host_kernels();
    if (double_kernel_run == NULL)
        double_complain("%s: the test gave nothing to run kernels with", name);
    else if (double_kernel_run(name, launch->args, launch->grid, launch->block, launch->shared))
        return;
    else
        double_complain("%s: the kernel failed", name);
    double_set_lost(CUDA_ERROR_LAUNCH_FAILED);
}

static void free_launch(void *data)
{
    Launch *launch = data;
    g_free(launch->args);
    g_free(launch);
}

static bool launch_allowed(const Launch *launch)
{
    const unsigned *grid = launch->grid, *block = launch->block;
    for (int i = 0; i < 3; i++)
        if (grid[i] == 0 || block[i] == 0 || grid[i] > (i == 0 ? 0x7fffffffu : 65535u) ||
            block[i] > (i == 2 ? 64u : MAX_THREADS))
            return false;
    return (size_t)block[0] * block[1] * block[2] <= launch->function->max_threads &&
           launch->shared <= launch->function->max_shared;
}

// The parameters are the caller's only until the call returns.
static void *copy_params(const Function *function, void **params)
{
    size_t total = 0;
    for (unsigned i = 0; i < function->n_params; i++) {
        size_t align = function->aligns[i];
        total = (total + align - 1) / align * align + function->sizes[i];
    }
    uint8_t *args = g_malloc0(total + 1);
    size_t offset = 0;
    for (unsigned i = 0; i < function->n_params; i++) {
        size_t align = function->aligns[i];
        offset = (offset + align - 1) / align * align;
        memcpy(args + offset, params[i], function->sizes[i]);
        offset += function->sizes[i];
    }
    return args;
}

DOUBLE_EXPORT CUresult cuLaunchKernel(CUfunction handle, unsigned grid_x, unsigned grid_y,
                                      unsigned grid_z, unsigned block_x, unsigned block_y,
                                      unsigned block_z, unsigned shared, CUstream stream,
                                      void **params, void **extra)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    Launch launch = {
        .grid = {grid_x, grid_y, grid_z}, .block = {block_x, block_y, block_z}, .shared = shared};
    launch.function = double_object_find(handle, KIND_FUNCTION, __func__);
    if (launch.function == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!launch_allowed(&launch) || extra != NULL ||
        (params == NULL && launch.function->n_params > 0)) {
        double_complain("cuLaunchKernel: %s: grid %u %u %u, block %u %u %u, %u bytes shared: "
                        "not allowed",
                        launch.function->name, grid_x, grid_y, grid_z, block_x, block_y, block_z,
                        shared);
        return CUDA_ERROR_INVALID_VALUE;
    }
    launch.args = copy_params(launch.function, params);
    Work work = {run_launch, free_launch, NULL, g_memdup2(&launch, sizeof launch)};
    return double_enqueue(stream, &work, __func__);
}
