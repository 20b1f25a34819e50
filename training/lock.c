// SPDX-License-Identifier: LGPL-3.0-or-later
// An advisory lock on a file that stays.
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include <cz/error.h>

static void tell_holder(const char *folder, int fd, GError **error)
{
    char text[32] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    int process = n > 0 ? atoi(text) : 0;
    g_autofree char *name = process > 0 ? g_strdup_printf(" (process %d)", process) : g_strdup("");
    g_set_error(error, CZ_ERROR, CZ_ERROR_IO,
                "%s is in use by another colorizer train%s: one process trains in a folder", folder,
                name);
}

int train_lock_folder(const char *folder, GError **error)
{
    g_autofree char *path = g_build_filename(folder, "lock", NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot write %s: %s", path, g_strerror(errno));
        return -1;
    }
    // A file system without locks is no reason not to train.
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        tell_holder(folder, fd, error);
        close(fd);
        return -1;
    }
    if (ftruncate(fd, 0) == 0)
        dprintf(fd, "%d\n", (int)getpid());
    return fd;
}
