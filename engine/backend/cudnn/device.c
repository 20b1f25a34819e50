// SPDX-License-Identifier: LGPL-3.0-or-later
// Opening a GPU, its memory, and what crosses the bus.
#include "device.h"

#include <stdio.h>
#include <string.h>

#include <cz/error.h>

#include "conv.h"
#include "kernels_ptx.h"

// The oldest GPUs that our kernels are compiled for.
#define LEAST_SM 75
// The first that computes in BF16.
#define BF16_SM 80

bool device_check(const CzDevice *device, CUresult result, const char *action, GError **error)
{
    return libs_check_cuda(device->host, device->libs, result, action, error);
}

bool device_enter(const CzDevice *device, GError **error)
{
    return device_check(device, device->libs->cuda.cuCtxSetCurrent(device->context),
                        "taking up the GPU", error);
}

// ---- what a GPU is ------------------------------------------------------------------------------

typedef struct {
    CUdevice device;
    char name[96];
    int sm, n_sms;
    size_t n_bytes;
} Model;

static bool read_model(const CzHost *host, const Libs *libs, int ordinal, Model *model,
                       GError **error)
{
    const CudaApi *cuda = &libs->cuda;
    int major = 0, minor = 0;
    CUresult result = cuda->cuDeviceGet(&model->device, ordinal);
    if (result == CUDA_SUCCESS)
        result = cuda->cuDeviceGetName(model->name, sizeof model->name, model->device);
    if (result == CUDA_SUCCESS)
        result = cuda->cuDeviceTotalMem_v2(&model->n_bytes, model->device);
    if (result == CUDA_SUCCESS)
        result = cuda->cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                                            model->device);
    if (result == CUDA_SUCCESS)
        result = cuda->cuDeviceGetAttribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
                                            model->device);
    if (result == CUDA_SUCCESS)
        result = cuda->cuDeviceGetAttribute(&model->n_sms, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
                                            model->device);
    model->name[sizeof model->name - 1] = '\0';
    model->sm = 10 * major + minor;
    if (!libs_check_cuda(host, libs, result, "asking the GPU what it is", error))
        return false;
    if (model->sm >= LEAST_SM)
        return true;
    g_set_error(error, host->error_domain, CZ_ERROR_BACKEND,
                "%s: compute capability %d.%d is too old, %d.%d or later is needed", model->name,
                major, minor, LEAST_SM / 10, LEAST_SM % 10);
    return false;
}

// The kernels compiled when the module was built, for the newest GPU that is not newer than this
// one, if there are some for its major version.
static const CudnnCubin *find_cubin(int sm)
{
    const CudnnCubin *best = NULL;
    for (const CudnnCubin *cubin = cudnn_cubins; cubin->image; cubin++)
        if (cubin->sm / 10 == sm / 10 && cubin->sm <= sm)
            best = cubin;
    return best;
}

// All that the last bit of a result hangs on: the GPU and how many parts it has, the driver's
// release (it compiles kernels, unless they are compiled already), cuDNN, our kernels.
static void describe_bits(const Libs *libs, const Model *model, char *text, size_t size)
{
    const CudnnCubin *cubin = find_cubin(model->sm);
    g_autofree char *cudnn = libs_version(libs), *driver = libs_driver(libs);
    g_autofree char *code = cubin ? g_strdup_printf("sm_%d", cubin->sm) : g_strdup("PTX");
    snprintf(text, size, "%s, %d SMs, %s, cuDNN %s, kernels %08x %s", model->name, model->n_sms,
             driver, cudnn, g_str_hash(cudnn_kernels_ptx), code);
}

bool device_describe(const CzHost *host, const Libs *libs, int ordinal, CzDeviceInfo *info,
                     GError **error)
{
    Model model;
    if (!read_model(host, libs, ordinal, &model, error))
        return false;
    *info = (CzDeviceInfo){.bf16 = model.sm >= BF16_SM, .f16 = true};
    snprintf(info->id, sizeof info->id, "cuda:%d", ordinal);
    g_autofree char *cudnn = libs_version(libs);
    snprintf(info->name, sizeof info->name, "%s, %zu MiB, cuDNN %s", model.name,
             model.n_bytes >> 20, cudnn);
    describe_bits(libs, &model, info->same_bits, sizeof info->same_bits);
    return true;
}

// ---- opening ------------------------------------------------------------------------------------

static bool open_context(CzDevice *device, GError **error)
{
    const CudaApi *cuda = &device->libs->cuda;
    // Waiting sleeps; by default it keeps a core busy. A driver that will not spins as ever.
    cuda->cuDevicePrimaryCtxSetFlags_v2(device->device, CU_CTX_SCHED_BLOCKING_SYNC);
    // The primary context, as cuDNN's own runtime takes that.
    device->retained =
        device_check(device, cuda->cuDevicePrimaryCtxRetain(&device->context, device->device),
                     "opening the GPU", error);
    return device->retained && device_enter(device, error) &&
           device_check(device, cuda->cuStreamCreate(&device->stream, CU_STREAM_NON_BLOCKING),
                        "opening the GPU's stream", error) &&
           device_check(device, cuda->cuStreamCreate(&device->copies, CU_STREAM_NON_BLOCKING),
                        "opening the GPU's stream", error);
}

static bool open_staging(CzDevice *device, GError **error)
{
    const CudaApi *cuda = &device->libs->cuda;
    Staging *staging = &device->staging;
    size_t n_bytes = STAGING_SLOTS * STAGING_SLOT_BYTES;
    CUresult result = cuda->cuMemHostAlloc((void **)&staging->host, n_bytes + STAGING_SLOT_BYTES,
                                           CU_MEMHOSTALLOC_PORTABLE);
    if (result == CUDA_SUCCESS)
        result = cuda->cuMemAlloc_v2(&staging->landing, n_bytes);
    for (int i = 0; result == CUDA_SUCCESS && i < STAGING_SLOTS; i++) {
        // The host waits for this one: asleep, whatever the context says.
        result = cuda->cuEventCreate(&staging->copied[i],
                                     CU_EVENT_DISABLE_TIMING | CU_EVENT_BLOCKING_SYNC);
        if (result == CUDA_SUCCESS)
            result = cuda->cuEventCreate(&staging->moved[i], CU_EVENT_DISABLE_TIMING);
    }
    return device_check(device, result, "memory for copies", error);
}

static bool open_cubin(CzDevice *device)
{
    const CudnnCubin *cubin = find_cubin(device->sm);
    return cubin && device->libs->cuda.cuModuleLoadDataEx(&device->module, cubin->image, 0, NULL,
                                                          NULL) == CUDA_SUCCESS;
}

// Else the driver compiles them for this GPU, and keeps them in its own cache.
static bool open_kernels(CzDevice *device, GError **error)
{
    if (open_cubin(device))
        return true;
    device->module = NULL;
    char log[512] = "";
    CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
    void *values[] = {log, (void *)(uintptr_t)(sizeof log - 1)};
    CUresult result = device->libs->cuda.cuModuleLoadDataEx(&device->module, cudnn_kernels_ptx,
                                                            G_N_ELEMENTS(options), options, values);
    if (device_check(device, result, "compiling kernels for the GPU", error))
        return true;
    if (*log)
        g_prefix_error(error, "%s: ", g_strchomp(log));
    return false;
}

static bool open_cudnn(CzDevice *device, GError **error)
{
    const CudnnApi *cudnn = &device->libs->cudnn;
    cudnnStatus_t status = cudnn->cudnnCreate(&device->cudnn);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnn->cudnnSetStream(device->cudnn, device->stream);
    return descriptor_check(device, status, "opening cuDNN", error);
}

static char *choices_key(const CzDevice *device, const Model *model)
{
    g_autofree char *cudnn = libs_version(device->libs);
    return g_strdup_printf("%s, sm_%d, %d SMs, driver %d, cuDNN %s, %s", model->name, model->sm,
                           model->n_sms, device->libs->driver_version, cudnn,
                           device->options.tf32 ? "TF32" : "exact");
}

bool device_open(const CzHost *host, const Libs *libs, int ordinal, const CzDeviceOptions *options,
                 CzDevice **out, GError **error)
{
    Model model;
    if (!read_model(host, libs, ordinal, &model, error))
        return false;
    CzDevice *device = g_new0(CzDevice, 1);
    device->host = host;
    device->libs = libs;
    device->options = *options;
    device->device = model.device;
    device->sm = model.sm;
    device->key = choices_key(device, &model);
    snprintf(device->id, sizeof device->id, "cuda:%d", ordinal);
    device->convs = conv_plans_new();
    if (open_context(device, error) && open_staging(device, error) && open_kernels(device, error) &&
        open_cudnn(device, error)) {
        *out = device;
        return true;
    }
    device_close(device);
    return false;
}

static void close_staging(CzDevice *device)
{
    const CudaApi *cuda = &device->libs->cuda;
    Staging *staging = &device->staging;
    for (int i = 0; i < STAGING_SLOTS; i++) {
        if (staging->copied[i])
            cuda->cuEventDestroy_v2(staging->copied[i]);
        if (staging->moved[i])
            cuda->cuEventDestroy_v2(staging->moved[i]);
    }
    if (staging->landing)
        cuda->cuMemFree_v2(staging->landing);
    if (staging->host)
        cuda->cuMemFreeHost(staging->host);
}

// Also of what a lost device leaves behind: each call may fail, and the next is made all the same.
void device_close(CzDevice *device)
{
    if (!device)
        return;
    const CudaApi *cuda = &device->libs->cuda;
    if (device->context && device_enter(device, NULL))
        device_wait(device, NULL);
    nccl_close(device->nccl);
    g_free(device->sums);
    conv_plans_free(device->convs);
    if (device->cudnn)
        device->libs->cudnn.cudnnDestroy(device->cudnn);
    if (device->module)
        cuda->cuModuleUnload(device->module);
    close_staging(device);
    if (device->copies)
        cuda->cuStreamDestroy_v2(device->copies);
    if (device->stream)
        cuda->cuStreamDestroy_v2(device->stream);
    if (device->retained)
        cuda->cuDevicePrimaryCtxRelease_v2(device->device);
    g_free(device->key);
    g_free(device);
}

void device_join(CzDevice *device, const CzRanks *ranks)
{
    const CudaApi *cuda = &device->libs->cuda;
    const CUdevice_attribute attributes[] = {CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID,
                                             CU_DEVICE_ATTRIBUTE_PCI_BUS_ID,
                                             CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID};
    int place[G_N_ELEMENTS(attributes)] = {0};
    if (device->sums || !device_enter(device, NULL))
        return;
    // Where the driver does not tell, all GPUs seem to be one, and NCCL is not used.
    for (size_t i = 0; i < G_N_ELEMENTS(attributes); i++)
        cuda->cuDeviceGetAttribute(&place[i], attributes[i], device->device);
    g_autofree char *address = g_strdup_printf("%04x:%02x:%02x.0", place[0], place[1], place[2]);
    g_autofree char *why_not = NULL;
    device->nccl = nccl_open(device->host, ranks, address, &why_not);
    device->sums = device->nccl ? g_strdup("sum over ranks by NCCL")
                                : g_strdup_printf("sum over ranks by the host: %s", why_not);
}

// ---- memory -------------------------------------------------------------------------------------

bool device_alloc(CzDevice *device, size_t n_bytes, CzBuffer **buffer, GError **error)
{
    CUdeviceptr address;
    if (!device_enter(device, error))
        return false;
    if (!device_check(device, device->libs->cuda.cuMemAlloc_v2(&address, n_bytes),
                      "allocating on the GPU", error)) {
        g_prefix_error(error, "%zu MiB: ", (n_bytes + ((size_t)1 << 20) - 1) >> 20);
        return false;
    }
    *buffer = g_new0(CzBuffer, 1);
    **buffer = (CzBuffer){address, n_bytes};
    return true;
}

void device_release(CzDevice *device, CzBuffer *buffer)
{
    if (!buffer)
        return;
    if (device_enter(device, NULL))
        device_wait(device, NULL);
    device->libs->cuda.cuMemFree_v2(buffer->address);
    g_free(buffer);
}

static bool in_buffer(const CzDevice *device, const CzBuffer *buffer, size_t offset, size_t n_bytes,
                      const char *what, GError **error)
{
    if (offset <= buffer->n_bytes && n_bytes <= buffer->n_bytes - offset)
        return true;
    g_set_error(error, device->host->error_domain, CZ_ERROR_BACKEND,
                "%s: expected at most %zu bytes, found %zu from byte %zu on", what, buffer->n_bytes,
                n_bytes, offset);
    return false;
}

static CUresult upload_slot(CzDevice *device, CUdeviceptr dst, const void *src, size_t n_bytes)
{
    const CudaApi *cuda = &device->libs->cuda;
    Staging *staging = &device->staging;
    unsigned slot = staging->next++ % STAGING_SLOTS;
    char *host = staging->host + slot * STAGING_SLOT_BYTES;
    CUdeviceptr landing = staging->landing + slot * STAGING_SLOT_BYTES;
    CUresult result = CUDA_SUCCESS;
    if (staging->used[slot])
        result = cuda->cuEventSynchronize(staging->copied[slot]);
    if (result == CUDA_SUCCESS && staging->used[slot])
        result = cuda->cuStreamWaitEvent(device->copies, staging->moved[slot], 0);
    if (result != CUDA_SUCCESS)
        return result;
    memcpy(host, src, n_bytes);
    result = cuda->cuMemcpyHtoDAsync_v2(landing, host, n_bytes, device->copies);
    if (result == CUDA_SUCCESS)
        result = cuda->cuEventRecord(staging->copied[slot], device->copies);
    if (result == CUDA_SUCCESS)
        result = cuda->cuStreamWaitEvent(device->stream, staging->copied[slot], 0);
    if (result == CUDA_SUCCESS)
        result = cuda->cuMemcpyDtoDAsync_v2(dst, landing, n_bytes, device->stream);
    if (result == CUDA_SUCCESS)
        result = cuda->cuEventRecord(staging->moved[slot], device->stream);
    staging->used[slot] = result == CUDA_SUCCESS;
    return result;
}

bool device_upload(CzDevice *device, CzBuffer *dst, size_t offset, const void *src, size_t n_bytes,
                   GError **error)
{
    if (!in_buffer(device, dst, offset, n_bytes, "upload", error) || !device_enter(device, error))
        return false;
    CUresult result = CUDA_SUCCESS;
    for (size_t done = 0; result == CUDA_SUCCESS && done < n_bytes; done += STAGING_SLOT_BYTES)
        result = upload_slot(device, dst->address + offset + done, (const char *)src + done,
                             MIN(STAGING_SLOT_BYTES, n_bytes - done));
    return device_check(device, result, "copying to the GPU", error);
}

bool device_download(CzDevice *device, void *dst, const CzBuffer *src, size_t offset,
                     size_t n_bytes, GError **error)
{
    const CudaApi *cuda = &device->libs->cuda;
    char *host = device->staging.host + STAGING_SLOTS * STAGING_SLOT_BYTES;
    if (!in_buffer(device, src, offset, n_bytes, "download", error) || !device_enter(device, error))
        return false;
    for (size_t done = 0; done < n_bytes; done += STAGING_SLOT_BYTES) {
        size_t n = MIN(STAGING_SLOT_BYTES, n_bytes - done);
        CUresult result =
            cuda->cuMemcpyDtoHAsync_v2(host, src->address + offset + done, n, device->stream);
        if (result == CUDA_SUCCESS)
            result = cuda->cuStreamSynchronize(device->stream);
        if (!device_check(device, result, "copying from the GPU", error))
            return false;
        memcpy((char *)dst + done, host, n);
    }
    return true;
}

// ---- work ---------------------------------------------------------------------------------------

bool device_prepare(CzDevice *device, KernelId kernel, GError **error)
{
    CUfunction *function = &device->functions[kernel];
    if (*function)
        return true;
    CUresult result =
        device->libs->cuda.cuModuleGetFunction(function, device->module, kernel_name(kernel));
    if (device_check(device, result, "finding a kernel", error))
        return true;
    *function = NULL;
    g_prefix_error(error, "%s: ", kernel_name(kernel));
    return false;
}

bool device_launch(const CzDevice *device, const Launch *launch, GError **error)
{
    void *args[] = {(void *)&launch->args};
    const uint32_t *grid = launch->grid, *block = launch->block;
    CUresult result = device->libs->cuda.cuLaunchKernel(
        device->functions[launch->kernel], grid[0], grid[1], grid[2], block[0], block[1], block[2],
        launch->shared_bytes, device->stream, args, NULL);
    return device_check(device, result, kernel_name(launch->kernel), error);
}

bool device_wait(const CzDevice *device, GError **error)
{
    const CudaApi *cuda = &device->libs->cuda;
    CUresult result = CUDA_SUCCESS;
    if (device->copies)
        result = cuda->cuStreamSynchronize(device->copies);
    if (device->stream) {
        CUresult other = cuda->cuStreamSynchronize(device->stream);
        result = result == CUDA_SUCCESS ? other : result;
    }
    return device_check(device, result, "waiting for the GPU", error);
}
