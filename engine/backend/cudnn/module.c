// SPDX-License-Identifier: LGPL-3.0-or-later
// The cuDNN backend as a module: opens the libraries, and tells what devices there are, or why
// none.
#include <gmodule.h>
#include <string.h>

#include <cz/error.h>

#include "first_use.h"
#include "lower.h"
#include "trial.h"

#define ID_PREFIX "cuda:"

// A library of a gigabyte is read, and the driver compiles all kernels.
#define TRIAL_LIMIT_MS 90000

G_MODULE_EXPORT const CzBackend *cz_backend_query(const CzHost *host);

// Set once, when the module is loaded; constant from then on.
static const CzHost *the_host;
// Made by the one call of probe(), constant from then on.
static Libs *the_libs; // NULL: there is no device
static char reason[1024];
static GPtrArray *refused;

// In a child: the libraries do all that they will be asked for here, once.
static FirstUseAnswer try_out(void *user, GError **error)
{
    int n_devices;
    if (!libs_start(the_host, user, &n_devices, error))
        return FIRST_USE_UNDECIDED;
    return trial_run(the_host, user, error);
}

static bool start(Libs *libs, int *n_devices, GError **error)
{
    g_autofree char *what = libs_describe(libs);
    g_autofree char *key = libs_key(libs);
    const FirstUse use = {
        .what = what, .key = key, .probe = try_out, .user = libs, .limit_ms = TRIAL_LIMIT_MS};
    return first_use_ok(the_host, &use, error) && libs_start(the_host, libs, n_devices, error);
}

// Those that are new enough; what is wrong with others is told among what was refused.
static int describe_all(int n_devices, CzDeviceInfo *infos, int max_infos)
{
    int n = 0;
    for (int i = 0; i < n_devices && n < max_infos; i++) {
        g_autoptr(GError) error = NULL;
        if (device_describe(the_host, the_libs, i, &infos[n], &error))
            n++;
        else
            g_ptr_array_add(refused, g_strdup(error->message));
    }
    return n;
}

static int probe(CzDeviceInfo *infos, int max_infos, const char **why)
{
    g_autoptr(GError) error = NULL;
    int n_devices = 0, n = 0;
    refused = g_ptr_array_new();
    g_autoptr(Libs) libs = libs_open(the_host, refused, &error);
    if (libs && start(libs, &n_devices, &error)) {
        the_libs = g_steal_pointer(&libs);
        n = describe_all(n_devices, infos, max_infos);
    }
    if (n == 0)
        g_strlcpy(reason,
                  error              ? error->message
                  : refused->len > 0 ? (const char *)refused->pdata[refused->len - 1]
                                     : "no device found",
                  sizeof reason);
    g_ptr_array_add(refused, NULL);
    *why = reason;
    return n;
}

static const char *const *details(void)
{
    return (const char *const *)refused->pdata;
}

static bool open_device(const char *device_id, const CzDeviceOptions *options, CzDevice **device,
                        GError **error)
{
    gint64 ordinal = -1;
    if (the_libs && g_str_has_prefix(device_id, ID_PREFIX))
        g_ascii_string_to_signed(device_id + strlen(ID_PREFIX), 10, 0, G_MAXINT32, &ordinal, NULL);
    if (ordinal >= 0)
        return device_open(the_host, the_libs, (int)ordinal, options, device, error);
    g_set_error(error, the_host->error_domain, CZ_ERROR_BACKEND, "no device %s: %s", device_id,
                *reason ? reason : "expected cuda:NUMBER");
    return false;
}

static const CzBackend backend = {
    .abi = CZ_BACKEND_ABI,
    .name = "cudnn",
    .probe = probe,
    .open = open_device,
    .close = device_close,
    .supports = cudnn_supports,
    .alloc = device_alloc,
    .release = device_release,
    .upload = device_upload,
    .download = device_download,
    .compile = cudnn_compile,
    .program_bytes = cudnn_program_bytes,
    .run = cudnn_run,
    .step_kernel = cudnn_step_kernel,
    .discard = cudnn_discard,
    .join = device_join,
    .in_place = cudnn_in_place,
    .details = details,
};

const CzBackend *cz_backend_query(const CzHost *host)
{
    if (host->abi != CZ_BACKEND_ABI)
        return NULL;
    the_host = host;
    return &backend;
}
