// SPDX-License-Identifier: LGPL-3.0-or-later
// The set, written: pixels as they come, tables and header last, then the rename.
#include "set.h"

#include "set_format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include <cz/error.h>
#include <cz/memory.h>

struct TrainSetWriter {
    char *path, *temporary;
    FILE *file; // NULL once it is closed
    uint64_t n_bytes, n;
    GByteArray *index;
    GString *names;
    bool finished;
};

static bool failed(const TrainSetWriter *writer, const char *what, int code, GError **error)
{
    g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot %s '%s': %s", what, writer->path,
                code ? g_strerror(code) : "fault injected");
    return FALSE;
}

static bool put(TrainSetWriter *writer, const void *bytes, size_t n_bytes, GError **error)
{
    if (cz_fault(CZ_FAULT_FILE))
        return failed(writer, "write", 0, error);
    if (n_bytes > 0 && fwrite(bytes, 1, n_bytes, writer->file) != n_bytes)
        return failed(writer, "write", errno, error);
    writer->n_bytes += n_bytes;
    return TRUE;
}

TrainSetWriter *train_set_writer_new(const char *path, GError **error)
{
    static const uint8_t zeros[SET_HEADER_BYTES];
    g_autoptr(TrainSetWriter) writer = g_new0(TrainSetWriter, 1);

    writer->path = g_strdup(path);
    writer->index = g_byte_array_new();
    writer->names = g_string_new(NULL);
    if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot write '%s': it is a folder", path);
        return NULL;
    }
    writer->temporary = g_strdup_printf("%s.tmp-%ld", path, (long)getpid());
    errno = 0;
    writer->file = cz_fault(CZ_FAULT_FILE) ? NULL : g_fopen(writer->temporary, "w+b");
    if (!writer->file) {
        failed(writer, "create", errno, error);
        return NULL;
    }
    return put(writer, zeros, sizeof zeros, error) ? g_steal_pointer(&writer) : NULL;
}

bool train_set_writer_add(TrainSetWriter *writer, const TrainPicture *picture, GError **error)
{
    g_autofree char *name = g_utf8_make_valid(picture->name ? picture->name : "", -1);
    size_t row = (size_t)picture->width * 3;
    uint8_t entry[SET_ENTRY_BYTES];

    if (picture->width < 1 || picture->height < 1 || picture->width > TRAIN_SET_MAX_SIDE ||
        picture->height > TRAIN_SET_MAX_SIDE || writer->n == UINT32_MAX) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_SHAPE,
                    "cannot add '%s': a size of %dx%d, allowed is 1 to %d", name, picture->width,
                    picture->height, TRAIN_SET_MAX_SIDE);
        return FALSE;
    }
    put_u64(entry, writer->n_bytes);
    put_u64(entry + 8, picture->hash);
    put_u64(entry + 16, writer->names->len);
    put_u32(entry + 24, (uint32_t)picture->width);
    put_u32(entry + 28, (uint32_t)picture->height);
    if (!put(writer, picture->rgb, row * (size_t)picture->height, error))
        return FALSE;
    g_byte_array_append(writer->index, entry, sizeof entry);
    g_string_append_len(writer->names, name, (gssize)strlen(name) + 1);
    writer->n++;
    return TRUE;
}

// Bytes of the file to a place before theirs.
static bool move(TrainSetWriter *writer, uint64_t from, uint64_t to, uint64_t n_bytes,
                 GError **error)
{
    g_autofree uint8_t *piece = g_malloc(1 << 16);

    for (uint64_t done = 0, n; done < n_bytes; done += n) {
        n = MIN(n_bytes - done, 1 << 16);
        if (cz_fault(CZ_FAULT_FILE))
            return failed(writer, "write", 0, error);
        if (fseeko(writer->file, (off_t)(from + done), SEEK_SET) != 0 ||
            fread(piece, 1, n, writer->file) != n ||
            fseeko(writer->file, (off_t)(to + done), SEEK_SET) != 0 ||
            fwrite(piece, 1, n, writer->file) != n)
            return failed(writer, "write", errno, error);
    }
    return TRUE;
}

bool train_set_writer_keep(TrainSetWriter *writer, const bool *keep, GError **error)
{
    g_autoptr(GByteArray) index = g_steal_pointer(&writer->index);
    g_autoptr(GString) names = g_steal_pointer(&writer->names);
    uint64_t n = writer->n, end = SET_HEADER_BYTES;

    writer->index = g_byte_array_new();
    writer->names = g_string_new(NULL);
    writer->n = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint8_t *entry = index->data + i * SET_ENTRY_BYTES;
        const char *name = names->str + get_u64(entry + 16);
        uint64_t from = get_u64(entry);
        uint64_t n_bytes = (uint64_t)get_u32(entry + 24) * get_u32(entry + 28) * 3;

        if (!keep[i])
            continue;
        if (from != end && !move(writer, from, end, n_bytes, error))
            return FALSE;
        put_u64(entry, end);
        put_u64(entry + 16, writer->names->len);
        g_byte_array_append(writer->index, entry, SET_ENTRY_BYTES);
        g_string_append_len(writer->names, name, (gssize)strlen(name) + 1);
        end += n_bytes;
        writer->n++;
    }
    writer->n_bytes = end;
    if (fflush(writer->file) != 0 || ftruncate(fileno(writer->file), (off_t)end) != 0 ||
        fseeko(writer->file, (off_t)end, SEEK_SET) != 0)
        return failed(writer, "write", errno, error);
    return TRUE;
}

static void fill_header(const TrainSetWriter *writer, uint64_t index_offset, uint8_t *header)
{
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);

    g_checksum_update(sum, writer->index->data, (gssize)writer->index->len);
    g_checksum_update(sum, (const guchar *)writer->names->str, (gssize)writer->names->len);
    memcpy(header, SET_MAGIC, 8);
    put_u32(header + 8, SET_VERSION);
    put_u32(header + 12, SET_ENTRY_BYTES);
    put_u64(header + 16, writer->n);
    put_u64(header + 24, index_offset);
    put_u64(header + 32, index_offset + writer->index->len);
    put_u64(header + 40, writer->names->len);
    put_u64(header + 48, writer->n_bytes);
    put_u64(header + 56, checksum_finish(sum));
}

// A rename is on the disk only when its folder is; failing here loses nothing but that.
static void sync_folder(const char *path)
{
    g_autofree char *folder = g_path_get_dirname(path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

bool train_set_writer_finish(TrainSetWriter *writer, GError **error)
{
    uint64_t index_offset = writer->n_bytes;
    uint8_t header[SET_HEADER_BYTES];
    FILE *file;

    if (!put(writer, writer->index->data, writer->index->len, error) ||
        !put(writer, writer->names->str, writer->names->len, error))
        return FALSE;
    fill_header(writer, index_offset, header);
    if (fseeko(writer->file, 0, SEEK_SET) != 0)
        return failed(writer, "write", errno, error);
    if (!put(writer, header, sizeof header, error))
        return FALSE;
    if (cz_fault(CZ_FAULT_FILE))
        return failed(writer, "sync", 0, error);
    if (fflush(writer->file) != 0 || fsync(fileno(writer->file)) != 0)
        return failed(writer, "sync", errno, error);
    file = g_steal_pointer(&writer->file);
    if (fclose(file) != 0)
        return failed(writer, "close", errno, error);
    if (cz_fault(CZ_FAULT_FILE))
        return failed(writer, "rename to", 0, error);
    if (g_rename(writer->temporary, writer->path) != 0)
        return failed(writer, "rename to", errno, error);
    writer->finished = TRUE;
    sync_folder(writer->path);
    return TRUE;
}

void train_set_writer_free(TrainSetWriter *writer)
{
    if (!writer)
        return;
    if (writer->file)
        fclose(writer->file);
    if (writer->temporary && !writer->finished)
        g_unlink(writer->temporary);
    g_byte_array_unref(writer->index);
    g_string_free(writer->names, TRUE);
    g_free(writer->temporary);
    g_free(writer->path);
    g_free(writer);
}
