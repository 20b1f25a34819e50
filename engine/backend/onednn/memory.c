// SPDX-License-Identifier: LGPL-3.0-or-later
// Buffers: plain aligned memory from the host.
#include "lower.h"

#include <stdio.h>
#include <string.h>

bool onednn_alloc(CzDevice *device, size_t n_bytes, CzBuffer **buffer, GError **error)
{
    char *data = device->host->memory_alloc(n_bytes, "a device buffer", error);
    if (!data)
        return false;
    *buffer = g_new0(CzBuffer, 1);
    **buffer = (CzBuffer){.data = data, .n_bytes = n_bytes};
    return true;
}

void onednn_release(CzDevice *device, CzBuffer *buffer)
{
    if (!buffer)
        return;
    device->host->memory_free(buffer->data);
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

bool onednn_upload(CzDevice *device, CzBuffer *dst, size_t offset, const void *src, size_t n_bytes,
                   GError **error)
{
    if (!in_buffer(device, dst, offset, n_bytes, "upload", error))
        return false;
    memcpy(dst->data + offset, src, n_bytes);
    return true;
}

bool onednn_download(CzDevice *device, void *dst, const CzBuffer *src, size_t offset,
                     size_t n_bytes, GError **error)
{
    if (!in_buffer(device, src, offset, n_bytes, "download", error))
        return false;
    memcpy(dst, src->data + offset, n_bytes);
    return true;
}

size_t onednn_free_bytes(void)
{
    size_t kib = 0;
    char line[128];
    FILE *file = fopen("/proc/meminfo", "r");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %zu kB", &kib) == 1)
            break;
    fclose(file);
    return kib * 1024;
}
