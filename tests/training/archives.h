// SPDX-License-Identifier: LGPL-3.0-or-later
// Archives of a test's own files, written with libarchive.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include "folder.h"

// Files of a folder into an archive of the folder; NULL ends the members. Each is stored as
// "box/MEMBER". The name's end says how: .tar, .tar.gz, .tar.xz, .tar.bz2, .tar.zst, .zip.
static inline void put_archive(const Folder *folder, const char *name, const char *const *members)
{
    g_autofree char *path = folder_file(folder, name);
    struct archive *archive = archive_write_new();

    if (g_str_has_suffix(name, ".tar.zst")) { // the one that libarchive does not know by its end
        g_assert_cmpint(archive_write_set_format_pax_restricted(archive), ==, ARCHIVE_OK);
        g_assert_cmpint(archive_write_add_filter_zstd(archive), ==, ARCHIVE_OK);
    } else {
        g_assert_cmpint(archive_write_set_format_filter_by_ext(archive, name), ==, ARCHIVE_OK);
    }
    g_assert_cmpint(archive_write_open_filename(archive, path), ==, ARCHIVE_OK);
    for (; *members; members++) {
        g_autofree char *src = folder_file(folder, *members), *bytes = NULL;
        g_autofree char *stored = g_build_filename("box", *members, NULL);
        struct archive_entry *entry = archive_entry_new();
        size_t n_bytes;

        g_assert_true(g_file_get_contents(src, &bytes, &n_bytes, NULL));
        archive_entry_set_pathname(entry, stored);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        archive_entry_set_size(entry, (la_int64_t)n_bytes);
        g_assert_cmpint(archive_write_header(archive, entry), ==, ARCHIVE_OK);
        g_assert_cmpint(archive_write_data(archive, bytes, n_bytes), ==, (la_ssize_t)n_bytes);
        archive_entry_free(entry);
    }
    g_assert_cmpint(archive_write_close(archive), ==, ARCHIVE_OK);
    archive_write_free(archive);
}
