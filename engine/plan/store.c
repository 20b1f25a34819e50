// SPDX-License-Identifier: LGPL-3.0-or-later
// Named tensors on a device. In memory they are OHWI (NHWC), in files OIHW.
#include "plan/store.h"

#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>

#include "backend/registry.h"

typedef struct {
    char *name;
    CzShape shape;
    CzBuffer *buffer;
} Entry;

struct CzStore {
    CzEngineDevice *device;
    GPtrArray *entries; // Entry *, in order of adding
    GHashTable *by_name;
};

CzStore *cz_store_new(CzEngineDevice *device)
{
    CzStore *store = g_new0(CzStore, 1);
    store->device = device;
    store->entries = g_ptr_array_new();
    store->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    return store;
}

void cz_store_free(CzStore *store)
{
    if (!store)
        return;
    g_hash_table_unref(store->by_name);
    for (guint i = 0; i < store->entries->len; i++) {
        Entry *entry = store->entries->pdata[i];
        store->device->backend->release(store->device->device, entry->buffer);
        g_free(entry->name);
        g_free(entry);
    }
    g_ptr_array_unref(store->entries);
    g_free(store);
}

static size_t entry_bytes(const Entry *entry)
{
    return cz_shape_count(entry->shape) * sizeof(float);
}

static bool entry_upload(CzStore *store, Entry *entry, const float *data, GError **error)
{
    const CzEngineDevice *device = store->device;
    float *zeros = NULL;
    if (!data) {
        data = zeros = cz_memory_alloc(entry_bytes(entry), entry->name, error);
        if (!zeros)
            return false;
        memset(zeros, 0, entry_bytes(entry));
    }
    bool done =
        device->backend->upload(device->device, entry->buffer, 0, data, entry_bytes(entry), error);
    cz_memory_free(zeros);
    if (!done)
        g_prefix_error(error, "tensor '%s': ", entry->name);
    return done;
}

static bool set_shape_error(const char *name, CzShape expected, CzShape found, GError **error)
{
    g_autofree char *a = cz_shape_format(expected);
    g_autofree char *b = cz_shape_format(found);
    g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL, "tensor '%s': expected %s, found %s", name, a, b);
    return false;
}

static bool add_entry(CzStore *store, const char *name, CzShape shape, const float *data,
                      GError **error)
{
    const CzEngineDevice *device = store->device;
    size_t n_bytes;
    CzBuffer *buffer;
    if (!cz_shape_bytes(shape, CZ_F32, &n_bytes, error) ||
        !device->backend->alloc(device->device, n_bytes, &buffer, error)) {
        g_prefix_error(error, "tensor '%s': ", name);
        return false;
    }
    Entry *entry = g_new0(Entry, 1);
    *entry = (Entry){g_strdup(name), shape, buffer};
    if (!entry_upload(store, entry, data, error)) {
        device->backend->release(device->device, buffer);
        g_free(entry->name);
        g_free(entry);
        return false;
    }
    g_ptr_array_add(store->entries, entry);
    g_hash_table_insert(store->by_name, entry->name, entry);
    return true;
}

bool cz_store_add(CzStore *store, const char *name, CzShape shape, const float *data,
                  GError **error)
{
    Entry *entry = g_hash_table_lookup(store->by_name, name);
    if (!entry)
        return add_entry(store, name, shape, data, error);
    if (!cz_shape_equal(entry->shape, shape))
        return set_shape_error(name, entry->shape, shape, error);
    return entry_upload(store, entry, data, error);
}

bool cz_store_has(const CzStore *store, const char *name, CzShape *shape)
{
    const Entry *entry = g_hash_table_lookup(store->by_name, name);
    if (entry && shape)
        *shape = entry->shape;
    return entry != NULL;
}

CzBuffer *cz_store_buffer(const CzStore *store, const char *name, CzShape *shape)
{
    const Entry *entry = g_hash_table_lookup(store->by_name, name);
    if (!entry)
        return NULL;
    *shape = entry->shape;
    return entry->buffer;
}

static Entry *find_entry(const CzStore *store, const char *name, GError **error)
{
    Entry *entry = g_hash_table_lookup(store->by_name, name);
    if (!entry)
        g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL, "tensor '%s': not in the store", name);
    return entry;
}

static bool entry_download(CzStore *store, const Entry *entry, float *data, GError **error)
{
    const CzEngineDevice *device = store->device;
    if (device->backend->download(device->device, data, entry->buffer, 0, entry_bytes(entry),
                                  error))
        return true;
    g_prefix_error(error, "tensor '%s': ", entry->name);
    return false;
}

bool cz_store_read(CzStore *store, const char *name, float *data, GError **error)
{
    const Entry *entry = find_entry(store, name, error);
    return entry && entry_download(store, entry, data, error);
}

bool cz_store_write(CzStore *store, const char *name, const float *data, GError **error)
{
    Entry *entry = find_entry(store, name, error);
    return entry && entry_upload(store, entry, data, error);
}

size_t cz_store_n(const CzStore *store)
{
    return store->entries->len;
}

const char *cz_store_name(const CzStore *store, size_t index)
{
    g_return_val_if_fail(index < store->entries->len, NULL);
    return ((const Entry *)store->entries->pdata[index])->name;
}

// ---- files --------------------------------------------------------------------------------------

// dst[n][b][a] = src[n][a][b]: channels go last (a = c, b = h * w) or come back (a = h * w, b = c).
static void swap_inner(float *restrict dst, const float *restrict src, size_t n, size_t a, size_t b)
{
    for (size_t i = 0; i < n; i++, src += a * b, dst += a * b)
        for (size_t k = 0; k < b; k++)
            for (size_t j = 0; j < a; j++)
                dst[k * a + j] = src[j * b + k];
}

static bool shape_of_file(const CzTensor *tensor, CzShape *shape, GError **error)
{
    const int32_t *d = tensor->dims;
    if (tensor->rank == 4)
        *shape = cz_shape(d[0], d[1], d[2], d[3]);
    else if (tensor->rank == 1)
        *shape = cz_shape(1, d[0], 1, 1);
    else if (tensor->rank == 0)
        *shape = cz_shape(1, 1, 1, 1);
    else {
        g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL,
                    "tensor '%s': expected rank 4, 1 or 0, found %d", tensor->name, tensor->rank);
        return false;
    }
    if (cz_shape_bytes(*shape, CZ_F32, NULL, error))
        return true;
    g_prefix_error(error, "tensor '%s': ", tensor->name);
    return false;
}

// Whether every tensor of the file can be added, so that none is if one cannot.
static bool check_file(const CzStore *store, const CzModelFile *file, GError **error)
{
    for (size_t i = 0; i < cz_model_file_n_tensors(file); i++) {
        const CzTensor *tensor = cz_model_file_tensor(file, i);
        CzShape shape, known;
        if (!shape_of_file(tensor, &shape, error))
            return false;
        if (cz_store_has(store, tensor->name, &known) && !cz_shape_equal(known, shape))
            return set_shape_error(tensor->name, known, shape, error);
    }
    return true;
}

static bool load_tensor(CzStore *store, const CzTensor *tensor, float *scratch, GError **error)
{
    CzShape s;
    if (!shape_of_file(tensor, &s, error))
        return false;
    float *turned = scratch + tensor->n_elements;
    cz_tensor_to_f32(tensor, scratch);
    swap_inner(turned, scratch, (size_t)s.n, (size_t)s.c, (size_t)s.h * (size_t)s.w);
    return cz_store_add(store, tensor->name, s, turned, error);
}

// Room for two F32 copies of a tensor, in file order and turned.
static float *turning_room(size_t n_elements, GError **error)
{
    gsize n_bytes;
    if (!g_size_checked_mul(&n_bytes, n_elements, 2 * sizeof(float)))
        n_bytes = SIZE_MAX; // refused by the allocation
    return cz_memory_alloc(n_bytes, "turning tensors", error);
}

bool cz_store_load(CzStore *store, const CzModelFile *file, GError **error)
{
    size_t n = cz_model_file_n_tensors(file), largest = 1;
    for (size_t i = 0; i < n; i++)
        largest = MAX(largest, cz_model_file_tensor(file, i)->n_elements);
    bool sound = check_file(store, file, error);
    float *scratch = sound ? turning_room(largest, error) : NULL;
    sound = scratch != NULL;
    for (size_t i = 0; i < n && sound; i++)
        sound = load_tensor(store, cz_model_file_tensor(file, i), scratch, error);
    cz_memory_free(scratch);
    if (!sound)
        g_prefix_error(error, "%s: ", cz_model_file_path(file));
    return sound;
}

static bool save_entry(CzStore *store, const Entry *entry, CzModelWriter *writer, const char *name,
                       float *scratch, CzDtype dtype, GError **error)
{
    CzShape s = entry->shape;
    const int32_t dims[] = {s.n, s.c, s.h, s.w};
    bool flat = s.n == 1 && s.h == 1 && s.w == 1;
    float *turned = scratch + cz_shape_count(s);
    if (!entry_download(store, entry, scratch, error))
        return false;
    swap_inner(turned, scratch, (size_t)s.n, (size_t)s.h * (size_t)s.w, (size_t)s.c);
    return cz_model_writer_add(writer, name, flat ? 1 : 4, flat ? &dims[1] : dims, turned, dtype,
                               error);
}

bool cz_store_save(CzStore *store, CzModelWriter *writer, const char *prefix, bool strip,
                   CzDtype dtype, GError **error)
{
    size_t largest = 1, cut = strip && prefix ? strlen(prefix) : 0;
    for (guint i = 0; i < store->entries->len; i++)
        largest = MAX(largest, cz_shape_count(((const Entry *)store->entries->pdata[i])->shape));
    float *scratch = turning_room(largest, error);
    bool sound = scratch != NULL;
    for (guint i = 0; i < store->entries->len && sound; i++) {
        const Entry *entry = store->entries->pdata[i];
        if (!prefix || g_str_has_prefix(entry->name, prefix))
            sound = save_entry(store, entry, writer, entry->name + cut, scratch, dtype, error);
    }
    cz_memory_free(scratch);
    return sound;
}
