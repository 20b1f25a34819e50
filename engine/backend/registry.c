// SPDX-License-Identifier: LGPL-3.0-or-later
// Finds, loads and ranks backends; opens devices by id.
#include "backend/registry.h"

#include <string.h>

#include <gmodule.h>

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/threads.h>

#include "backend/reference/ref.h"

enum { MAX_INFOS = 16 };

// Of the ids of GPUs.
#define GPU_PREFIX "cuda:"

// Backends that come as modules, in the order of the list of devices.
static const struct {
    const char *module, *label;
} modules[] = {
    {"onednn", "oneDNN (CPU)"},
    {"cudnn", "cuDNN (NVIDIA GPUs)"},
};

typedef struct {
    GArray *infos;       // CzDeviceInfo
    GPtrArray *backends; // const CzBackend *, one for each info
    GPtrArray *notes;    // char *, NULL-terminated
    GPtrArray *details;  // char *, NULL-terminated
} Registry;

static bool backend_fault(void)
{
    return cz_fault(CZ_FAULT_BACKEND);
}

// Modules keep the pointer for as long as they like. The quark is put in before the first load.
static const CzHost *host(void)
{
    static CzHost table = {
        .abi = CZ_BACKEND_ABI,
        .memory_alloc = cz_memory_alloc,
        .memory_free = cz_memory_free,
        .fault = backend_fault,
        .threads = cz_threads_get,
    };
    table.error_domain = CZ_ERROR;
    return &table;
}

static void note(Registry *registry, const char *label, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static void note(Registry *registry, const char *label, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_ptr_array_add(registry->notes, g_strdup_printf("%s: %s", label, text));
}

static void add_devices(Registry *registry, const CzBackend *backend, const char *label)
{
    CzDeviceInfo infos[MAX_INFOS] = {0};
    const char *why = NULL;
    int n = backend->probe(infos, MAX_INFOS, &why);
    if (n < 1)
        note(registry, label, "%s", why ? why : "no device found");
    for (int i = 0; i < MIN(n, MAX_INFOS); i++) {
        infos[i].id[sizeof infos[i].id - 1] = '\0';
        infos[i].name[sizeof infos[i].name - 1] = '\0';
        g_array_append_val(registry->infos, infos[i]);
        g_ptr_array_add(registry->backends, (gpointer)backend);
    }
}

static void add_details(Registry *registry, const CzBackend *backend, const char *label)
{
    const char *const *line = backend->details ? backend->details() : NULL;
    for (; line && *line; line++)
        g_ptr_array_add(registry->details, g_strdup_printf("%s: %s", label, *line));
}

static bool is_complete(const CzBackend *backend)
{
    return backend->name && backend->probe && backend->open && backend->close &&
           backend->supports && backend->alloc && backend->release && backend->upload &&
           backend->download && backend->compile && backend->program_bytes && backend->run &&
           backend->discard;
}

// The module's table, or NULL with a note. A module that was taken stays loaded: its threads and
// static data must outlive every device.
static const CzBackend *load_module(Registry *registry, const char *path, const char *label)
{
    // Not lazy: a symbol that its library lacks must show here, not end the process in a run.
    GModule *module = g_module_open(path, G_MODULE_BIND_LOCAL);
    if (!module) {
        note(registry, label, "cannot load %s: %s", path, g_module_error());
        return NULL;
    }
    CzBackendQuery query;
    const CzBackend *backend = NULL;
    if (!g_module_symbol(module, CZ_BACKEND_SYMBOL, (gpointer *)&query) || !query)
        note(registry, label, "%s has no function %s", path, CZ_BACKEND_SYMBOL);
    else if (!(backend = query(host())))
        note(registry, label, "%s refuses this program", path);
    else if (backend->abi != CZ_BACKEND_ABI)
        note(registry, label, "%s is for another version: expected interface %u, found %u", path,
             CZ_BACKEND_ABI, backend->abi);
    else if (!is_complete(backend))
        note(registry, label, "%s lacks functions that a backend must have", path);
    else {
        g_module_make_resident(module);
        return backend;
    }
    g_module_close(module);
    return NULL;
}

static void find_module(Registry *registry, const char *name, const char *label)
{
    const char *chosen = g_getenv("COLORIZE_MODULE_DIR");
    g_auto(GStrv) folders = g_strsplit(chosen && *chosen ? chosen : CZ_MODULE_DIR, ":", -1);
    g_autofree char *file = g_strdup_printf("libcolorize-%s.so", name);
    for (char **folder = folders; *folder; folder++) {
        // A relative folder would let a file in the working folder into the process.
        if (!g_path_is_absolute(*folder))
            continue;
        g_autofree char *path = g_build_filename(*folder, file, NULL);
        if (!g_file_test(path, G_FILE_TEST_EXISTS))
            continue;
        const CzBackend *backend = load_module(registry, path, label);
        if (backend) {
            add_devices(registry, backend, label);
            add_details(registry, backend, label);
        }
        return;
    }
    g_autofree char *places = g_strjoinv(", ", folders);
    note(registry, label, "not installed: no %s in %s", file, places);
}

static Registry *make_registry(void)
{
    Registry *registry = g_new0(Registry, 1);
    registry->infos = g_array_new(FALSE, TRUE, sizeof(CzDeviceInfo));
    registry->backends = g_ptr_array_new();
    registry->notes = g_ptr_array_new();
    registry->details = g_ptr_array_new();
    for (size_t i = 0; i < G_N_ELEMENTS(modules); i++)
        find_module(registry, modules[i].module, modules[i].label);
    add_devices(registry, cz_reference_backend(), "reference");
    g_ptr_array_add(registry->notes, NULL);
    g_ptr_array_add(registry->details, NULL);
    return registry;
}

// Made once per process, never freed or changed afterwards.
static const Registry *registry_get(void)
{
    static const Registry *registry;
    if (g_once_init_enter(&registry))
        g_once_init_leave(&registry, make_registry());
    return registry;
}

const CzDeviceInfo *cz_devices(size_t *n_devices, const char *const **notes)
{
    const Registry *registry = registry_get();
    if (n_devices)
        *n_devices = registry->infos->len;
    if (notes)
        *notes = (const char *const *)registry->notes->pdata;
    return (const CzDeviceInfo *)registry->infos->data;
}

const char *const *cz_device_details(void)
{
    return (const char *const *)registry_get()->details->pdata;
}

// ---- opening ------------------------------------------------------------------------------------

static const CzDeviceInfo *info_at(const Registry *registry, guint i)
{
    return &g_array_index(registry->infos, CzDeviceInfo, i);
}

// Index of the device with this id; -1 if none.
static int find_device(const Registry *registry, const char *id)
{
    for (guint i = 0; i < registry->infos->len; i++)
        if (g_str_equal(info_at(registry, i)->id, id))
            return (int)i;
    return -1;
}

// What is opened, and how.
typedef struct {
    const Registry *registry;
    CzDeviceOptions options;
} Opening;

static CzEngineDevice *open_at(const Opening *opening, int index, GError **error)
{
    const Registry *registry = opening->registry;
    const CzBackend *backend = g_ptr_array_index(registry->backends, index);
    const CzDeviceInfo *info = info_at(registry, (guint)index);
    CzDevice *device;
    if (!backend->open(info->id, &opening->options, &device, error)) {
        g_prefix_error(error, "device %s: ", info->id);
        return NULL;
    }
    CzEngineDevice *made = g_new0(CzEngineDevice, 1);
    made->backend = backend;
    made->device = device;
    made->info = *info;
    return made;
}

// The first device that opens of those whose ids begin so; NULL with the last one's error, and
// *error as it was if there is none.
static CzEngineDevice *open_first(const Opening *opening, const char *prefix, GError **error)
{
    const Registry *registry = opening->registry;
    for (guint i = 0; i < registry->infos->len; i++) {
        if (!g_str_has_prefix(info_at(registry, i)->id, prefix))
            continue;
        g_clear_error(error);
        CzEngineDevice *device = open_at(opening, (int)i, error);
        if (device)
            return device;
    }
    return NULL;
}

// GPUs first, then the fast CPU backend, then the reference; the last one's error counts.
static CzEngineDevice *open_best(const Opening *opening, GError **error)
{
    static const char *const ranking[] = {GPU_PREFIX, "cpu", "reference"};
    GError *last = NULL;
    for (size_t r = 0; r < G_N_ELEMENTS(ranking); r++) {
        CzEngineDevice *device = open_first(opening, ranking[r], &last);
        if (device)
            return device;
    }
    g_propagate_error(error, last);
    return NULL;
}

// Index of the first GPU that has the text in its name; -1 if none, or if it is a number.
static int find_by_name(const Registry *registry, const char *text)
{
    g_autofree char *wanted = g_utf8_casefold(text, -1);
    bool number = !wanted[strspn(wanted, "0123456789")];
    for (guint i = 0; !number && i < registry->infos->len; i++) {
        g_autofree char *name = g_utf8_casefold(info_at(registry, i)->name, -1);
        if (g_str_has_prefix(info_at(registry, i)->id, GPU_PREFIX) && strstr(name, wanted))
            return (int)i;
    }
    return -1;
}

static void set_unknown(const Registry *registry, const char *id, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_printf(text, "device '%s' is not here; expected auto", id);
    if (find_device(registry, "cpu") < 0)
        g_string_append(text, ", cpu");
    for (guint i = 0; i < registry->infos->len; i++)
        g_string_append_printf(text, ", %s", info_at(registry, i)->id);
    const char *separator = " (";
    for (char **line = (char **)registry->notes->pdata; *line; line++) {
        g_string_append_printf(text, "%s%s", separator, *line);
        separator = "; ";
    }
    if (*separator == ';')
        g_string_append_c(text, ')');
    g_set_error_literal(error, CZ_ERROR, CZ_ERROR_BACKEND, text->str);
}

CzEngineDevice *cz_device_open_with(const char *id, const CzDeviceOptions *options, GError **error)
{
    const Registry *registry = registry_get();
    const Opening opening = {registry, options ? *options : (CzDeviceOptions){0}};
    if (!id || g_str_equal(id, "auto"))
        return open_best(&opening, error);
    int index = find_device(registry, id);
    if (index < 0 && g_str_equal(id, "cuda")) {
        GError *last = NULL;
        CzEngineDevice *device = open_first(&opening, GPU_PREFIX, &last);
        if (last && !device)
            g_propagate_error(error, last);
        if (last || device)
            return device;
    }
    if (index < 0 && g_str_has_prefix(id, GPU_PREFIX))
        index = find_by_name(registry, id + strlen(GPU_PREFIX));
    if (index < 0 && g_str_equal(id, "cpu"))
        index = find_device(registry, "reference");
    if (index >= 0)
        return open_at(&opening, index, error);
    set_unknown(registry, id, error);
    return NULL;
}

CzEngineDevice *cz_device_open(const char *id, GError **error)
{
    return cz_device_open_with(id, NULL, error);
}

void cz_device_close(CzEngineDevice *device)
{
    if (!device)
        return;
    device->backend->close(device->device);
    g_free(device);
}

void cz_device_set_ranks(CzEngineDevice *device, const CzRanks *ranks)
{
    device->ranks = ranks;
    if (ranks && device->backend->join)
        device->backend->join(device->device, ranks);
}

const CzRanks *cz_device_ranks(const CzEngineDevice *device)
{
    return device->ranks;
}

const CzDeviceInfo *cz_device_info(const CzEngineDevice *device)
{
    return &device->info;
}
