// SPDX-License-Identifier: LGPL-3.0-or-later
// Reader of safetensors files: the header through jansson, every byte checked before it is used.
#include <cz/model.h>

#include <string.h>

#include <jansson.h>

#include <cz/error.h>
#include <cz/memory.h>

#define MAX_HEADER  (4u << 20)
#define MAX_TENSORS 65536u
// jansson refuses deeper nesting itself; a header needs three levels.

struct CzModelFile {
    GMappedFile *map;
    char *path;
    json_t *header; // names and metadata are borrowed from it
    GArray *tensors;
    GHashTable *by_name; // name -> index + 1
    char **meta_keys;
};

static bool broken(const char *path, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);

static bool broken(const char *path, GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, CZ_ERROR, CZ_ERROR_FORMAT, "%s is not a sound safetensors file: %s", path,
                text);
    return false;
}

static bool parse_dtype(const char *text, CzDtype *dtype)
{
    for (CzDtype d = CZ_F32; d <= CZ_F16; d++)
        if (g_strcmp0(text, cz_dtype_name(d)) == 0) {
            *dtype = d;
            return true;
        }
    return false;
}

// Shape, element count and byte range of one entry; begin and end are relative to the data.
static bool parse_entry(const char *path, const char *name, json_t *entry, CzTensor *tensor,
                        size_t *begin, size_t *end, GError **error)
{
    json_t *shape = json_object_get(entry, "shape"),
           *offsets = json_object_get(entry, "data_offsets");
    *tensor = (CzTensor){.name = name, .rank = (int)json_array_size(shape), .dims = {1, 1, 1, 1}};
    if (!parse_dtype(json_string_value(json_object_get(entry, "dtype")), &tensor->dtype))
        return broken(path, error, "tensor '%s': element type is none of F32, F16, BF16", name);
    if (!json_is_array(shape) || json_array_size(shape) > 4)
        return broken(path, error, "tensor '%s': expected a shape of at most 4 numbers", name);
    gsize n_bytes = cz_dtype_size(tensor->dtype);
    for (int i = 0; i < tensor->rank; i++) {
        json_t *dim = json_array_get(shape, (size_t)i);
        json_int_t value = json_integer_value(dim);
        if (!json_is_integer(dim) || value < 1 || value > INT32_MAX ||
            !g_size_checked_mul(&n_bytes, n_bytes, (gsize)value))
            return broken(path, error,
                          "tensor '%s': dimension %d is not a positive number of sensible size",
                          name, i);
        tensor->dims[i] = (int32_t)value;
    }
    json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(first) || !json_is_integer(last) ||
        json_integer_value(first) < 0 || json_integer_value(last) < json_integer_value(first))
        return broken(path, error, "tensor '%s': expected two rising data_offsets", name);
    *begin = (size_t)json_integer_value(first);
    *end = (size_t)json_integer_value(last);
    if (*end - *begin != n_bytes)
        return broken(path, error,
                      "tensor '%s': expected %zu bytes for its shape, offsets give %zu", name,
                      (size_t)n_bytes, *end - *begin);
    tensor->n_elements = n_bytes / cz_dtype_size(tensor->dtype);
    return true;
}

// Where each tensor begins is kept in its data pointer's place until all are known and sorted.
static int by_offset(const void *a, const void *b)
{
    const char *x = ((const CzTensor *)a)->data, *y = ((const CzTensor *)b)->data;
    return (x > y) - (x < y);
}

static bool parse_tensors(CzModelFile *file, const char *data, size_t n_data, GError **error)
{
    const char *name;
    json_t *entry;
    json_object_foreach(file->header, name, entry)
    {
        CzTensor tensor;
        size_t begin = 0, end = 0;
        if (strcmp(name, "__metadata__") == 0)
            continue;
        if (file->tensors->len >= MAX_TENSORS)
            return broken(file->path, error, "more than %u tensors", MAX_TENSORS);
        if (!parse_entry(file->path, name, entry, &tensor, &begin, &end, error))
            return false;
        if (end > n_data)
            return broken(file->path, error,
                          "tensor '%s' ends at byte %zu of the data, which has %zu: truncated?",
                          name, end, n_data);
        tensor.data = data + begin;
        g_array_append_val(file->tensors, tensor);
    }
    g_array_sort(file->tensors, by_offset);
    size_t expected = 0;
    for (guint i = 0; i < file->tensors->len; i++) {
        const CzTensor *t = &g_array_index(file->tensors, CzTensor, i);
        size_t begin = (size_t)((const char *)t->data - data);
        if (begin != expected)
            return broken(file->path, error,
                          "tensor '%s' begins at byte %zu, expected %zu: hole or overlap", t->name,
                          begin, expected);
        expected += t->n_elements * cz_dtype_size(t->dtype);
        g_hash_table_insert(file->by_name, (char *)t->name, GUINT_TO_POINTER(i + 1));
    }
    if (expected != n_data)
        return broken(file->path, error, "%zu bytes of data, tensors fill %zu", n_data, expected);
    return true;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool parse_meta(CzModelFile *file, GError **error)
{
    json_t *meta = json_object_get(file->header, "__metadata__");
    if (meta && !json_is_object(meta))
        return broken(file->path, error, "__metadata__ is not an object");
    const char *key;
    json_t *value;
    size_t n = 0;
    file->meta_keys = g_new0(char *, json_object_size(meta) + 1);
    json_object_foreach(meta, key, value)
    {
        if (!json_is_string(value))
            return broken(file->path, error, "metadata '%s' is not a string", key);
        file->meta_keys[n++] = (char *)key;
    }
    if (n)
        qsort(file->meta_keys, n, sizeof *file->meta_keys, by_text);
    return true;
}

static bool parse(CzModelFile *file, GError **error)
{
    const unsigned char *bytes = (const unsigned char *)g_mapped_file_get_contents(file->map);
    size_t n_bytes = g_mapped_file_get_length(file->map);
    if (n_bytes < 8)
        return broken(file->path, error, "it has %zu bytes, the least is 8", n_bytes);
    uint64_t n_header = 0;
    for (int i = 7; i >= 0; i--)
        n_header = n_header << 8 | bytes[i];
    if (n_header > MAX_HEADER || n_header > n_bytes - 8)
        return broken(file->path, error,
                      "it says its header has %" G_GUINT64_FORMAT
                      " bytes, at most %zu are possible",
                      n_header, MIN((size_t)MAX_HEADER, n_bytes - 8));
    json_error_t where;
    file->header =
        json_loadb((const char *)bytes + 8, (size_t)n_header, JSON_REJECT_DUPLICATES, &where);
    if (!file->header)
        return broken(file->path, error, "header, byte %d: %s", where.position, where.text);
    if (!json_is_object(file->header))
        return broken(file->path, error, "the header is not an object");
    return parse_meta(file, error) && parse_tensors(file, (const char *)bytes + 8 + n_header,
                                                    n_bytes - 8 - (size_t)n_header, error);
}

CzModelFile *cz_model_file_open(const char *path, GError **error)
{
    g_autoptr(GError) local = NULL;
    GMappedFile *map = cz_fault(CZ_FAULT_FILE) ? NULL : g_mapped_file_new(path, FALSE, &local);
    if (!map) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot open %s: %s", path,
                    local ? local->message : "read error");
        return NULL;
    }
    CzModelFile *file = g_new0(CzModelFile, 1);
    file->map = map;
    file->path = g_strdup(path);
    file->tensors = g_array_new(FALSE, FALSE, sizeof(CzTensor));
    file->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    if (!parse(file, error))
        g_clear_pointer(&file, cz_model_file_free);
    return file;
}

void cz_model_file_free(CzModelFile *file)
{
    if (!file)
        return;
    g_hash_table_destroy(file->by_name);
    g_array_free(file->tensors, TRUE);
    g_free(file->meta_keys);
    json_decref(file->header);
    g_mapped_file_unref(file->map);
    g_free(file->path);
    g_free(file);
}

size_t cz_model_file_n_tensors(const CzModelFile *file)
{
    return file->tensors->len;
}

const CzTensor *cz_model_file_tensor(const CzModelFile *file, size_t index)
{
    return &g_array_index(file->tensors, CzTensor, index);
}

const CzTensor *cz_model_file_find(const CzModelFile *file, const char *name)
{
    guint at = GPOINTER_TO_UINT(g_hash_table_lookup(file->by_name, name));
    return at ? cz_model_file_tensor(file, at - 1) : NULL;
}

// Data in a file is unaligned: pieces go through an aligned buffer.
void cz_tensor_to_f32(const CzTensor *tensor, float *dst)
{
    uint16_t piece[1024];
    const char *src = tensor->data;
    if (tensor->dtype == CZ_F32) {
        memcpy(dst, src, tensor->n_elements * sizeof *dst);
        return;
    }
    for (size_t done = 0; done < tensor->n_elements;) {
        size_t n = MIN(tensor->n_elements - done, G_N_ELEMENTS(piece));
        memcpy(piece, src + 2 * done, 2 * n);
        if (tensor->dtype == CZ_BF16)
            cz_bf16_to_f32(dst + done, piece, n);
        else
            cz_f16_to_f32(dst + done, piece, n);
        done += n;
    }
}

const char *cz_model_file_path(const CzModelFile *file)
{
    return file->path;
}

const char *cz_model_file_meta(const CzModelFile *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}

const char *const *cz_model_file_meta_keys(const CzModelFile *file)
{
    return (const char *const *)file->meta_keys;
}
