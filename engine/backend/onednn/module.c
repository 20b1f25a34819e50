// SPDX-License-Identifier: LGPL-3.0-or-later
// The oneDNN backend as a module: its one device "cpu", and its table of functions.
#include "lower.h"

#include <gmodule.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

G_MODULE_EXPORT const CzBackend *cz_backend_query(const CzHost *host);

// Set once, when the module is loaded; constant from then on.
static const CzHost *the_host;

static void cpu_brand(char *brand, size_t size)
{
    unsigned words[13] = {0};
#if defined(__x86_64__)
    for (unsigned i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
                         &words[4 * i + 3]))
            words[0] = 0;
#endif
    char text[sizeof words];
    memcpy(text, words, sizeof text);
    g_strlcpy(brand, text[0] ? g_strstrip(text) : "CPU", size);
}

static int probe(CzDeviceInfo *infos, int max_infos, const char **why)
{
    if (max_infos < 1)
        return 0;
    char brand[64];
    const dnnl_version_t *version = dnnl_version();
    cpu_brand(brand, sizeof brand);
    CzDeviceInfo info = {.id = "cpu", .free_bytes = onednn_free_bytes()};
    snprintf(info.name, sizeof info.name, "%s, oneDNN %d.%d.%d, %s", brand, version->major,
             version->minor, version->patch, onednn_isa_name());
    info.bf16 = onednn_isa_has(dnnl_cpu_isa_avx512_core_bf16);
    infos[0] = info;
    return 1;
}

static void close_device(CzDevice *device)
{
    if (!device)
        return;
    if (device->stream)
        dnnl_stream_destroy(device->stream);
    if (device->engine)
        dnnl_engine_destroy(device->engine);
    g_free(device);
}

static bool open_device(const char *device_id, const CzDeviceOptions *options, CzDevice **out,
                        GError **error)
{
    if (g_strcmp0(device_id, "cpu") != 0) {
        g_set_error(error, the_host->error_domain, CZ_ERROR_BACKEND,
                    "oneDNN device: expected cpu, found %s", device_id ? device_id : "nothing");
        return false;
    }
    CzDevice *device = g_new0(CzDevice, 1);
    device->host = the_host;
    dnnl_status_t status =
        the_host->fault() ? dnnl_out_of_memory : dnnl_engine_create(&device->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = the_host->fault() ? dnnl_out_of_memory
                                   : dnnl_stream_create(&device->stream, device->engine,
                                                        dnnl_stream_default_flags);
    if (!onednn_check(the_host, status, "opening the CPU", error)) {
        close_device(device);
        return false;
    }
    *out = device;
    return true;
}

static bool supports(const CzDevice *device, const CzNode *node)
{
    return node->dtype != CZ_F16 &&
           (node->op == CZ_OP_INPUT || node->op == CZ_OP_PARAM || node->op_class->reference);
}

static const CzBackend backend = {
    .abi = CZ_BACKEND_ABI,
    .name = "onednn",
    .probe = probe,
    .open = open_device,
    .close = close_device,
    .supports = supports,
    .alloc = onednn_alloc,
    .release = onednn_release,
    .upload = onednn_upload,
    .download = onednn_download,
    .compile = onednn_compile,
    .program_bytes = onednn_program_bytes,
    .run = onednn_run,
    .step_kernel = onednn_step_kernel,
    .discard = onednn_discard,
};

const CzBackend *cz_backend_query(const CzHost *host)
{
    if (host->abi != CZ_BACKEND_ABI)
        return NULL;
    the_host = host;
    return &backend;
}
