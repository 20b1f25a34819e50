// SPDX-License-Identifier: LGPL-3.0-or-later
// The cuDNN backend as a module: opens the libraries, and tells why there is no device.
#include "libs.h"

#include <gmodule.h>
#include <stdio.h>

#include <cz/error.h>

#include "first_use.h"

G_MODULE_EXPORT const CzBackend *cz_backend_query(const CzHost *host);

// Set once, when the module is loaded; constant from then on.
static const CzHost *the_host;
// Made by the one call of probe(), constant from then on.
static char reason[1024];
static GPtrArray *refused;

// In a child: the driver is initialised there before it is here.
static FirstUseAnswer try_start(void *user, GError **error)
{
    int n_devices;
    bool started = libs_start(the_host, user, &n_devices, error);
    return started ? FIRST_USE_WORKS : FIRST_USE_UNDECIDED;
}

static bool start(Libs *libs, int *n_devices, GError **error)
{
    g_autofree char *what = libs_describe(libs);
    g_autofree char *key = libs_key(libs);
    const FirstUse use = {.what = what, .key = key, .probe = try_start, .user = libs};
    return first_use_ok(the_host, &use, error) && libs_start(the_host, libs, n_devices, error);
}

static int probe(CzDeviceInfo *infos, int max_infos, const char **why)
{
    g_autoptr(GError) error = NULL;
    int n_devices = 0;
    refused = g_ptr_array_new();
    g_autoptr(Libs) libs = libs_open(the_host, refused, &error);
    g_ptr_array_add(refused, NULL);
    if (libs && start(libs, &n_devices, &error)) {
        g_autofree char *what = libs_describe(libs);
        snprintf(reason, sizeof reason,
                 "%s and a driver with %d %s are here, but this version runs no plans on them",
                 what, n_devices, n_devices == 1 ? "device" : "devices");
    } else
        g_strlcpy(reason, error->message, sizeof reason);
    *why = reason;
    return 0;
}

static const char *const *details(void)
{
    return (const char *const *)refused->pdata;
}

static bool open_device(const char *device_id, const CzDeviceOptions *options, CzDevice **device,
                        GError **error)
{
    g_set_error(error, the_host->error_domain, CZ_ERROR_BACKEND, "no device %s: %s", device_id,
                reason);
    return false;
}

// ---- what a device would need -------------------------------------------------------------------

// open_device() gives none, so that none of these is ever called.

static void close_device(CzDevice *device)
{
}

static bool supports(const CzDevice *device, const CzNode *node)
{
    return false;
}

static bool alloc(CzDevice *device, size_t n_bytes, CzBuffer **buffer, GError **error)
{
    return open_device("cuda", NULL, NULL, error);
}

static void release(CzDevice *device, CzBuffer *buffer)
{
}

static bool upload(CzDevice *device, CzBuffer *dst, size_t offset, const void *src, size_t n_bytes,
                   GError **error)
{
    return open_device("cuda", NULL, NULL, error);
}

static bool download(CzDevice *device, void *dst, const CzBuffer *src, size_t offset,
                     size_t n_bytes, GError **error)
{
    return open_device("cuda", NULL, NULL, error);
}

static bool compile(CzDevice *device, const CzPlanView *plan, CzProgram **program, GError **error)
{
    return open_device("cuda", NULL, NULL, error);
}

static size_t program_bytes(const CzProgram *program)
{
    return 0;
}

static bool run(CzProgram *program, const CzProgress *progress, GError **error)
{
    return open_device("cuda", NULL, NULL, error);
}

static void discard(CzProgram *program)
{
}

static const CzBackend backend = {
    .abi = CZ_BACKEND_ABI,
    .name = "cudnn",
    .probe = probe,
    .open = open_device,
    .close = close_device,
    .supports = supports,
    .alloc = alloc,
    .release = release,
    .upload = upload,
    .download = download,
    .compile = compile,
    .program_bytes = program_bytes,
    .run = run,
    .discard = discard,
    .details = details,
};

const CzBackend *cz_backend_query(const CzHost *host)
{
    if (host->abi != CZ_BACKEND_ABI)
        return NULL;
    the_host = host;
    return &backend;
}
