// SPDX-License-Identifier: LGPL-3.0-or-later
// A double of cuDNN's backend: the real library behind it, which judges what it is given for a
// device that is only described.
// dladdr() is not in POSIX.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <glob.h>
#include <string.h>

#include "double_cudnn.h"

static struct {
    bool tried, wanted;
    void *library;
    char *why; // why there is none
    size_t (*version)(void), (*cudart_version)(void);
    void (*last_error)(char *text, size_t size);
    cudnnStatus_t (*create)(int type, void **made);
    cudnnStatus_t (*destroy)(void *made);
    cudnnStatus_t (*set)(void *made, int name, int type, int64_t n, const void *elements);
    cudnnStatus_t (*get)(void *made, int name, int type, int64_t max, int64_t *n, void *elements);
    cudnnStatus_t (*finalize)(void *made);
    void *device; // the description
    int sm;       // that it was made for
} real;

// Where wheels, toolkits and plain folders keep their libraries, below a root.
static const char *const folders[] = {
    "",
    "lib",
    "lib64",
    "lib/x86_64-linux-gnu",
    "nvidia/*/lib",
    "lib/python3*/site-packages/nvidia/*/lib",
};

// The doubles may themselves be what COLORIZE_CUDA_ROOT names.
static const char *real_roots(void)
{
    const char *roots = g_getenv("COLORIZE_DOUBLE_ROOT");
    return roots != NULL ? roots : g_getenv("COLORIZE_CUDA_ROOT");
}

static char *find_library(const char *name)
{
    g_auto(GStrv) roots = g_strsplit(real_roots(), ":", -1);
    for (char **root = roots; *root != NULL; root++)
        for (size_t i = 0; **root != '\0' && i < G_N_ELEMENTS(folders); i++) {
            g_autofree char *pattern = g_build_filename(*root, folders[i], name, NULL);
            glob_t found;
            char *path = NULL;
            if (glob(pattern, 0, NULL, &found) == 0)
                path = g_strdup(found.gl_pathv[0]);
            globfree(&found);
            if (path != NULL)
                return path;
        }
    return NULL;
}

// The stand-in lies beside this library, and answers to the driver's soname from then on.
static bool open_driver(void)
{
    if (dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) != NULL)
        return true;
    Dl_info info;
    if (dladdr((void *)open_driver, &info) == 0)
        return false;
    g_autofree char *folder = g_path_get_dirname(info.dli_fname);
    g_autofree char *path = g_build_filename(folder, "libcuda-standin.so", NULL);
    return dlopen(path, RTLD_NOW | RTLD_GLOBAL) != NULL;
}

// Without it the real library ends the process at its first query.
static bool open_cublaslt(void)
{
    g_autofree char *name = g_strdup_printf("libcublasLt.so.%zu", real.cudart_version() / 1000);
    g_autofree char *path = find_library(name);
    return path != NULL && dlopen(path, RTLD_NOW | RTLD_GLOBAL) != NULL;
}

static bool resolve(void)
{
    const struct {
        const char *name;
        void *target;
    } symbols[] = {
        {"cudnnGetVersion", &real.version},
        {"cudnnGetCudartVersion", &real.cudart_version},
        {"cudnnGetLastErrorString", &real.last_error},
        {"cudnnBackendCreateDescriptor", &real.create},
        {"cudnnBackendDestroyDescriptor", &real.destroy},
        {"cudnnBackendSetAttribute", &real.set},
        {"cudnnBackendGetAttribute", &real.get},
        {"cudnnBackendFinalize", &real.finalize},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(symbols); i++) {
        void *symbol = dlsym(real.library, symbols[i].name);
        if (symbol == NULL)
            return false;
        memcpy(symbols[i].target, &symbol, sizeof symbol);
    }
    return true;
}

static char *open_library(void)
{
    if (real_roots() == NULL || *real_roots() == '\0')
        return g_strdup("COLORIZE_CUDA_ROOT is not set");
    g_autofree char *path = find_library("libcudnn.so.9");
    if (path == NULL)
        return g_strdup("COLORIZE_CUDA_ROOT holds no libcudnn.so.9");
    if (!open_driver())
        return g_strdup("there is no libcuda.so.1, and no stand-in for it");
    real.library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (real.library == NULL)
        return g_strdup(dlerror());
    if (!resolve())
        return g_strdup("the real library lacks a function");
    if (!open_cublaslt())
        return g_strdup("COLORIZE_CUDA_ROOT holds no libcublasLt that fits");
    return NULL;
}

// Once in a process: it cannot be unloaded.
static bool open_once(void)
{
    if (!real.tried)
        real.why = open_library();
    real.tried = true;
    return real.why == NULL;
}

__attribute__((constructor)) static void read_environment(void)
{
    real.wanted = real_roots() != NULL && *real_roots() != '\0' &&
                  g_strcmp0(g_getenv("COLORIZE_DOUBLE_REAL"), "0") != 0;
}

__attribute__((destructor)) static void leave(void)
{
    g_clear_pointer(&real.why, g_free);
}

bool double_cudnn_use_real(bool use, char **why)
{
    g_autoptr(GRecMutexLocker) locker = g_rec_mutex_locker_new(&cudnn_lock);
    real.wanted = use;
    bool good = !use || open_once();
    if (!good && why != NULL)
        *why = g_strdup(real.why);
    return good;
}

bool real_wanted(void)
{
    return real.wanted && open_once();
}

size_t real_version(void)
{
    return real.version();
}

size_t real_cudart_version(void)
{
    return real.cudart_version();
}

static cudnnStatus_t judged(cudnnStatus_t status, const char *what)
{
    if (status == CUDNN_STATUS_SUCCESS)
        return status;
    char text[768] = "";
    real.last_error(text, sizeof text);
    return refuse(status, "%s: %s", what, text);
}

cudnnStatus_t real_create(int type, void **made)
{
    return judged(real.create(type, made), "create");
}

void real_destroy(void *made)
{
    if (made != NULL)
        real.destroy(made);
}

static void *const *translate(int64_t n, void *const *children)
{
    void **list = g_new(void *, MAX(n, 1));
    for (int64_t i = 0; i < n; i++)
        list[i] = ((Descriptor *)children[i])->real;
    return list;
}

// There is no handle where there is no device: the description takes its place at the end.
static bool is_handle(int name)
{
    return name == CUDNN_ATTR_EXECUTION_PLAN_HANDLE || name == CUDNN_ATTR_OPERATIONGRAPH_HANDLE ||
           name == CUDNN_ATTR_DEVICEPROP_HANDLE;
}

cudnnStatus_t real_set(const Descriptor *descriptor, int name, int type, int64_t n,
                       const void *elements)
{
    if (descriptor->real == NULL || is_handle(name))
        return CUDNN_STATUS_SUCCESS;
    if (type != CUDNN_TYPE_BACKEND_DESCRIPTOR)
        return judged(real.set(descriptor->real, name, type, n, elements), "set");
    g_autofree void *list = (void *)translate(n, elements);
    return judged(real.set(descriptor->real, name, type, n, list), "set");
}

cudnnStatus_t real_get(const Descriptor *descriptor, int name, int type, int64_t max, int64_t *n,
                       void *elements)
{
    int64_t count = 0;
    g_autofree void *list = NULL;
    void *target = elements;
    if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR && elements != NULL)
        target = list = (void *)translate(max, elements);
    cudnnStatus_t status = real.get(descriptor->real, name, type, max, &count, target);
    if (n != NULL)
        *n = count;
    return judged(status, "get");
}

static cudnnStatus_t describe_device(void)
{
    if (real.device != NULL && real.sm == double_get_sm())
        return CUDNN_STATUS_SUCCESS;
    real_destroy(g_steal_pointer(&real.device));
    g_autofree char *json = double_device_json();
    cudnnStatus_t status = real.create(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &real.device);
    if (status == CUDNN_STATUS_SUCCESS)
        status = real.set(real.device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                          (int64_t)strlen(json), json);
    if (status == CUDNN_STATUS_SUCCESS)
        status = real.finalize(real.device);
    real.sm = double_get_sm();
    status = judged(status, "the description of the device");
    if (status != CUDNN_STATUS_SUCCESS)
        real_destroy(g_steal_pointer(&real.device));
    return status;
}

cudnnStatus_t real_finalize(const Descriptor *descriptor)
{
    if (descriptor->real == NULL)
        return CUDNN_STATUS_SUCCESS;
    int name = descriptor->type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR
                   ? CUDNN_ATTR_ENGINEHEUR_DEVICEPROP
               : descriptor->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR
                   ? CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP
               : descriptor->type == CUDNN_BACKEND_ENGINE_DESCRIPTOR ? CUDNN_ATTR_ENGINE_DEVICEPROP
                                                                     : -1;
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
    if (name >= 0 && descriptor_get(descriptor, name) == NULL) {
        status = describe_device();
        if (status == CUDNN_STATUS_SUCCESS)
            status = judged(
                real.set(descriptor->real, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &real.device),
                "the device of a descriptor");
    }
    return status == CUDNN_STATUS_SUCCESS ? judged(real.finalize(descriptor->real), "finalize")
                                          : status;
}
