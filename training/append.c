// SPDX-License-Identifier: LGPL-3.0-or-later
// Appending to files without ever leaving half a record behind.
#include "append.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/model.h>

// Bytes of the first n lines, and how many lines there are, n at most. Half a line is none.
static int64_t measure(int fd, int64_t limit, int64_t n, int64_t *lines)
{
    char block[65536];
    int64_t at = 0, end = 0;
    ssize_t got;
    *lines = 0;
    while (at < limit && (n < 0 || *lines < n) && (got = pread(fd, block, sizeof block, at)) > 0) {
        for (ssize_t i = 0; i < got && at + i < limit && (n < 0 || *lines < n); i++)
            if (block[i] == '\n')
                (*lines)++, end = at + i + 1;
        at += got;
    }
    return end;
}

bool train_append_open(TrainAppend *file, const char *path, int64_t keep_bytes, int64_t keep_lines,
                       GError **error)
{
    struct stat info = {0};
    *file = (TrainAppend){.path = g_strdup(path), .fd = -1};
    if (!cz_fault(CZ_FAULT_FILE))
        file->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file->fd < 0 || fstat(file->fd, &info) != 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot write %s: %s", path, g_strerror(errno));
        train_append_close(file);
        return false;
    }
    file->size = info.st_size;
    if (keep_bytes >= 0)
        file->size = MIN(file->size, keep_bytes);
    int64_t end = measure(file->fd, file->size, keep_lines, &file->lines);
    if (keep_lines >= 0)
        file->size = end;
    // Not every file can be cut (a pipe, a device): it is written all the same.
    if (file->size < info.st_size && ftruncate(file->fd, file->size) != 0)
        file->size = info.st_size;
    lseek(file->fd, 0, SEEK_END);
    return true;
}

void train_append_close(TrainAppend *file)
{
    if (file->path && file->fd >= 0)
        close(file->fd);
    g_clear_pointer(&file->path, g_free);
    file->fd = -1;
}

bool train_append(TrainAppend *file, const void *data, size_t n_bytes)
{
    if (!file->path || file->fd < 0)
        return false;
    if (!cz_file_write(file->fd, data, n_bytes)) {
        if (!file->told)
            fprintf(stderr,
                    "colorizer train: cannot write %s: %s; the training goes on without it\n",
                    file->path, g_strerror(errno));
        file->told = true;
        if (ftruncate(file->fd, file->size) == 0)
            lseek(file->fd, file->size, SEEK_SET);
        return false;
    }
    file->size += (int64_t)n_bytes;
    for (const char *at = data, *end = at + n_bytes;
         (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
        file->lines++;
    return true;
}

void train_append_sync(TrainAppend *file)
{
    if (file->path && file->fd >= 0)
        fdatasync(file->fd);
}
