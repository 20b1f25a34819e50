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

typedef struct {
    void *data;
    size_t n_bytes;
} Piece;

struct CzModelWriter {
    json_t *header, *meta;
    GArray *pieces; // of Piece: a tensor each, in order; cz_memory_alloc's
    size_t n_bytes; // of all pieces
};

CzModelWriter *cz_model_writer_new(void)
{
    CzModelWriter *writer = g_new0(CzModelWriter, 1);
    writer->header = json_object();
    writer->meta = json_object();
    writer->pieces = g_array_new(FALSE, FALSE, sizeof(Piece));
    return writer;
}

void cz_model_writer_free(CzModelWriter *writer)
{
    if (!writer)
        return;
    json_decref(writer->header);
    json_decref(writer->meta);
    for (guint i = 0; i < writer->pieces->len; i++)
        cz_memory_free(g_array_index(writer->pieces, Piece, i).data);
    g_array_free(writer->pieces, TRUE);
    g_free(writer);
}

void cz_model_writer_meta(CzModelWriter *writer, const char *key, const char *value)
{
    g_autofree char *valid = g_utf8_make_valid(value, -1); // JSON takes nothing else
    json_object_set_new(writer->meta, key, json_string(valid));
}

static bool name_is_free(const CzModelWriter *writer, const char *name)
{
    return g_utf8_validate(name, -1, NULL) && strcmp(name, "__metadata__") != 0 &&
           !json_object_get(writer->header, name);
}

// Number of elements; FALSE if the format or this machine cannot hold them.
static bool count_elements(const CzModelWriter *writer, int rank, const int32_t *dims,
                           CzDtype dtype, gsize *n)
{
    gsize n_bytes;
    *n = 1;
    if (rank < 0 || rank > 4)
        return false;
    for (int i = 0; i < rank; i++)
        if (dims[i] < 1 || !g_size_checked_mul(n, *n, (gsize)dims[i]))
            return false;
    return g_size_checked_mul(&n_bytes, *n, cz_dtype_size(dtype)) &&
           g_size_checked_add(&n_bytes, n_bytes, writer->n_bytes) && n_bytes <= G_MAXSSIZE;
}

bool cz_model_writer_add(CzModelWriter *writer, const char *name, int rank, const int32_t *dims,
                         const float *data, CzDtype dtype, GError **error)
{
    gsize n;
    if (!name_is_free(writer, name) || !count_elements(writer, rank, dims, dtype, &n)) {
        g_autofree char *valid = g_utf8_make_valid(name, -1);
        g_set_error(error, CZ_ERROR, CZ_ERROR_SHAPE,
                    "tensor '%s': its name is taken or no text, or its shape cannot be stored",
                    valid);
        return false;
    }
    Piece piece = {.n_bytes = n * cz_dtype_size(dtype)};
    piece.data = cz_memory_alloc(piece.n_bytes, name, error);
    if (!piece.data)
        return false;
    if (dtype == CZ_F32)
        memcpy(piece.data, data, piece.n_bytes);
    else if (dtype == CZ_BF16)
        cz_f32_to_bf16(piece.data, data, n);
    else
        cz_f32_to_f16(piece.data, data, n);
    json_t *shape = json_array();
    for (int i = 0; i < rank; i++)
        json_array_append_new(shape, json_integer(dims[i]));
    json_int_t begin = (json_int_t)writer->n_bytes, end = begin + (json_int_t)piece.n_bytes;
    json_object_set_new(writer->header, name,
                        json_pack("{s:s, s:o, s:[I, I]}", "dtype", cz_dtype_name(dtype), "shape",
                                  shape, "data_offsets", begin, end));
    g_array_append_val(writer->pieces, piece);
    writer->n_bytes += piece.n_bytes;
    return true;
}

static bool replace(const char *path, const Piece *pieces, size_t n_pieces, GError **error);

// The header is padded with spaces to a multiple of 8, so that F32 data is aligned when mapped.
bool cz_model_writer_commit(CzModelWriter *writer, const char *path, GError **error)
{
    json_t *root = json_object();
    if (json_object_size(writer->meta))
        json_object_set(root, "__metadata__", writer->meta);
    json_object_update(root, writer->header);
    char *text = json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (!text) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_MEMORY, "no memory for the header of %s", path);
        return false;
    }
    size_t length = strlen(text), padded = (length + 7) / 8 * 8;
    g_autofree char *head = g_malloc(8 + padded);
    for (int i = 0; i < 8; i++)
        head[i] = (char)((uint64_t)padded >> (8 * i));
    memcpy(head + 8, text, length);
    memset(head + 8 + length, ' ', padded - length);
    free(text);
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(Piece));
    Piece first = {head, 8 + padded};
    g_array_append_val(all, first);
    g_array_append_vals(all, writer->pieces->data, writer->pieces->len);
    return replace(path, (const Piece *)(const void *)all->data, all->len, error);
}

// ---- files --------------------------------------------------------------------------------------

bool cz_file_write(int fd, const void *data, size_t n_bytes)
{
    const char *at = data;
    while (n_bytes > 0) {
        ssize_t n = cz_fault(CZ_FAULT_FILE) ? (errno = ENOSPC, -1) : write(fd, at, n_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += n;
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

static bool write_pieces(int fd, const Piece *pieces, size_t n_pieces)
{
    for (size_t i = 0; i < n_pieces; i++)
        if (!cz_file_write(fd, pieces[i].data, pieces[i].n_bytes))
            return false;
    return !cz_fault(CZ_FAULT_FILE) ? fsync(fd) == 0 : (errno = EIO, false);
}

static bool replace(const char *path, const Piece *pieces, size_t n_pieces, GError **error)
{
    g_autofree char *temporary = g_strdup_printf("%s.XXXXXX", path);
    const char *doing = "create";
    int fd = cz_fault(CZ_FAULT_FILE) ? (errno = EACCES, -1)
                                     : g_mkstemp_full(temporary, O_RDWR | O_CLOEXEC, 0666);
    bool done = fd >= 0;
    if (done) {
        doing = "write";
        done = write_pieces(fd, pieces, n_pieces);
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

bool cz_file_replace(const char *path, const void *data, size_t n_bytes, GError **error)
{
    return replace(path, &(const Piece){(void *)data, n_bytes}, 1, error);
}
