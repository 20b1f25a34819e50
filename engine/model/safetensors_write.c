// SPDX-License-Identifier: LGPL-3.0-or-later
// Writer of safetensors files: all in memory first, then atomically into place.
#include <cz/model.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include <cz/error.h>
#include <cz/memory.h>

struct CzModelWriter {
    json_t *header, *meta;
    GByteArray *data;
};

CzModelWriter *cz_model_writer_new(void)
{
    CzModelWriter *writer = g_new0(CzModelWriter, 1);
    writer->header = json_object();
    writer->meta = json_object();
    writer->data = g_byte_array_new();
    return writer;
}

void cz_model_writer_free(CzModelWriter *writer)
{
    if (!writer)
        return;
    json_decref(writer->header);
    json_decref(writer->meta);
    g_byte_array_free(writer->data, TRUE);
    g_free(writer);
}

void cz_model_writer_meta(CzModelWriter *writer, const char *key, const char *value)
{
    json_object_set_new(writer->meta, key, json_string(value));
}

bool cz_model_writer_add(CzModelWriter *writer, const char *name, int rank, const int32_t *dims,
                         const float *data, CzDtype dtype, GError **error)
{
    gsize n = 1, n_bytes = 0;
    json_t *shape = json_array();
    bool sound = rank >= 0 && rank <= 4 && !json_object_get(writer->header, name);
    for (int i = 0; sound && i < rank; i++) {
        sound = dims[i] >= 1 && g_size_checked_mul(&n, n, (gsize)dims[i]);
        json_array_append_new(shape, json_integer(dims[i]));
    }
    // GByteArray counts in guint.
    sound = sound && g_size_checked_mul(&n_bytes, n, cz_dtype_size(dtype)) &&
            n_bytes <= G_MAXUINT - 1 - writer->data->len;
    if (!sound) {
        json_decref(shape);
        g_set_error(error, CZ_ERROR, CZ_ERROR_SHAPE,
                    "tensor '%s': its name is taken, or its shape cannot be stored", name);
        return false;
    }
    guint begin = writer->data->len;
    g_byte_array_set_size(writer->data, begin + (guint)n_bytes);
    // The array's memory is aligned for two bytes because every tensor has an even size.
    CzView view = {cz_shape(1, 1, 1, 1), dtype, writer->data->data + begin};
    if (dtype == CZ_F32)
        memcpy(view.data, data, n_bytes);
    else if (dtype == CZ_BF16)
        cz_f32_to_bf16(view.data, data, n);
    else
        cz_f32_to_f16(view.data, data, n);
    json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", cz_dtype_name(dtype), "shape", shape,
                              "data_offsets", (json_int_t)begin, (json_int_t)(begin + n_bytes));
    json_object_set_new(writer->header, name, entry);
    return true;
}

// The header is padded with spaces to a multiple of 8, so that F32 data is aligned when mapped.
bool cz_model_writer_commit(CzModelWriter *writer, const char *path, GError **error)
{
    g_autoptr(GByteArray) file = g_byte_array_new();
    json_t *root = json_object();
    if (json_object_size(writer->meta))
        json_object_set(root, "__metadata__", writer->meta);
    json_object_update(root, writer->header);
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    size_t length = strlen(text), padded = (length + 7) / 8 * 8;
    guint8 prefix[8];
    for (int i = 0; i < 8; i++)
        prefix[i] = (guint8)((uint64_t)padded >> (8 * i));
    g_byte_array_append(file, prefix, sizeof prefix);
    g_byte_array_append(file, (const guint8 *)text, (guint)length);
    for (size_t i = length; i < padded; i++)
        g_byte_array_append(file, (const guint8 *)" ", 1);
    free(text);
    g_byte_array_append(file, writer->data->data, writer->data->len);
    return cz_file_replace(path, file->data, file->len, error);
}

static bool write_all(int fd, const char *data, size_t n_bytes)
{
    while (n_bytes > 0) {
        ssize_t n = cz_fault(CZ_FAULT_FILE) ? (errno = ENOSPC, -1) : write(fd, data, n_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

// The rename itself is on disk only when the folder is: without this a power cut could bring the
// old file back, which is harmless, so a folder that cannot be synced is no error.
static void sync_folder(const char *path)
{
    g_autofree char *folder = g_path_get_dirname(path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

bool cz_file_replace(const char *path, const void *data, size_t n_bytes, GError **error)
{
    g_autofree char *temporary = g_strdup_printf("%s.XXXXXX", path);
    const char *doing = "create";
    int fd = cz_fault(CZ_FAULT_FILE) ? (errno = EACCES, -1)
                                     : g_mkstemp_full(temporary, O_RDWR | O_CLOEXEC, 0666);
    bool done = fd >= 0;
    if (done) {
        doing = "write";
        done = write_all(fd, data, n_bytes) && (!cz_fault(CZ_FAULT_FILE) || (errno = EIO, false)) &&
               fsync(fd) == 0;
        int cause = errno;
        done = (close(fd) == 0) && done;
        errno = done ? 0 : cause;
    }
    if (done) {
        doing = "replace";
        done = !cz_fault(CZ_FAULT_FILE) ? rename(temporary, path) == 0 : (errno = EACCES, false);
    }
    if (!done) {
        int cause = errno;
        if (fd >= 0)
            unlink(temporary);
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot %s %s: %s", doing, path,
                    g_strerror(cause));
        return false;
    }
    sync_folder(path);
    return true;
}
