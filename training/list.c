// SPDX-License-Identifier: LGPL-3.0-or-later
// Pictures by name: folders with all below them, single files, and archives (tar, also packed).
#include "list.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <glib/gstdio.h>

#include <archive.h>
#include <archive_entry.h>

#include <cz/error.h>
#include <cz/memory.h>

enum { MAX_DEPTH = 64 };

typedef struct {
    TrainVisit visit;
    void *user;
} Visitor;

static bool ends_with_any(const char *name, const char *const *ends)
{
    g_autofree char *lower = g_ascii_strdown(name, -1);

    for (; *ends; ends++)
        if (g_str_has_suffix(lower, *ends))
            return TRUE;
    return FALSE;
}

static bool is_picture_name(const char *name)
{
    static const char *const ends[] = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", NULL};

    return ends_with_any(name, ends);
}

static bool is_archive_name(const char *name)
{
    static const char *const ends[] = {".tar",     ".tar.gz", ".tgz",     ".tar.xz",
                                       ".tar.bz2", ".txz",    ".tar.zst", NULL};

    return ends_with_any(name, ends);
}

// ---- files --------------------------------------------------------------------------------------

// The file's bytes; NULL with *problem (the caller frees) when they cannot be had, or with error
// when memory is out.
static uint8_t *read_file(const char *path, size_t *n_bytes, char **problem, GError **error)
{
    struct stat info;
    uint8_t *bytes;
    FILE *file = cz_fault(CZ_FAULT_FILE) ? NULL : g_fopen(path, "rb");

    if (!file) {
        *problem = g_strdup(g_strerror(errno));
        return NULL;
    }
    if (fstat(fileno(file), &info) != 0 || !S_ISREG(info.st_mode) || info.st_size < 1 ||
        (uint64_t)info.st_size > TRAIN_LIST_MAX_BYTES) {
        *problem = g_strdup("not a file of 1 byte to 512 MiB");
        fclose(file);
        return NULL;
    }
    *n_bytes = (size_t)info.st_size;
    bytes = cz_memory_alloc(*n_bytes, "a picture's file", error);
    if (bytes && fread(bytes, 1, *n_bytes, file) != *n_bytes) {
        *problem = g_strdup("it cannot be read to its end");
        g_clear_pointer(&bytes, cz_memory_free);
    }
    fclose(file);
    return bytes;
}

static bool visit_file(const Visitor *visitor, const char *path, GError **error)
{
    g_autofree char *problem = NULL;
    TrainCandidate candidate = {.name = path};
    uint8_t *bytes = read_file(path, &candidate.n_bytes, &problem, error);
    bool ok;

    if (!bytes && !problem)
        return FALSE;
    candidate.bytes = bytes;
    candidate.problem = problem;
    ok = visitor->visit(visitor->user, &candidate, error);
    cz_memory_free(bytes);
    return ok;
}

// ---- archives -----------------------------------------------------------------------------------

static bool archive_failed(struct archive *archive, const char *path, GError **error)
{
    const char *text = archive_error_string(archive);

    g_set_error(error, CZ_ERROR, CZ_ERROR_FORMAT, "cannot read archive '%s': %s", path,
                text ? text : "unknown error");
    return FALSE;
}

static bool visit_member(const Visitor *visitor, struct archive *archive, int64_t size,
                         const char *path, const char *member, GError **error)
{
    g_autofree char *name = g_strdup_printf("%s: %s", path, member);
    TrainCandidate candidate = {.name = name, .n_bytes = (size_t)size};
    uint8_t *bytes;
    bool ok;

    if (size < 1 || (uint64_t)size > TRAIN_LIST_MAX_BYTES) {
        candidate.n_bytes = 0;
        candidate.problem = "not a file of 1 byte to 512 MiB";
        return visitor->visit(visitor->user, &candidate, error);
    }
    bytes = cz_memory_alloc(candidate.n_bytes, "a picture's file", error);
    if (!bytes)
        return FALSE;
    candidate.bytes = bytes;
    if (archive_read_data(archive, bytes, candidate.n_bytes) == (la_ssize_t)size)
        ok = visitor->visit(visitor->user, &candidate, error);
    else
        ok = archive_failed(archive, path, error);
    cz_memory_free(bytes);
    return ok;
}

static bool visit_members(const Visitor *visitor, struct archive *archive, const char *path,
                          GError **error)
{
    struct archive_entry *entry;
    int status;

    while ((status = archive_read_next_header(archive, &entry)) == ARCHIVE_OK ||
           status == ARCHIVE_WARN) {
        const char *member = archive_entry_pathname(entry);

        if (!member || archive_entry_filetype(entry) != AE_IFREG || !is_picture_name(member))
            continue;
        if (!visit_member(visitor, archive, archive_entry_size(entry), path, member, error))
            return FALSE;
    }
    return status == ARCHIVE_EOF || archive_failed(archive, path, error);
}

static bool visit_archive(const Visitor *visitor, const char *path, GError **error)
{
    struct archive *archive = archive_read_new();
    bool ok;

    if (!archive) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_MEMORY, "no memory to read archive '%s'", path);
        return FALSE;
    }
    archive_read_support_filter_all(archive);
    archive_read_support_format_tar(archive);
    if (cz_fault(CZ_FAULT_FILE) || archive_read_open_filename(archive, path, 1 << 16) != ARCHIVE_OK)
        ok = archive_failed(archive, path, error);
    else
        ok = visit_members(visitor, archive, path, error);
    archive_read_free(archive);
    return ok;
}

// ---- folders ------------------------------------------------------------------------------------

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static GPtrArray *sorted_names(const char *path, GError **error)
{
    g_autoptr(GError) cause = NULL;
    GDir *folder = g_dir_open(path, 0, &cause);
    GPtrArray *names;
    const char *name;

    if (!folder) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot read folder: %s", cause->message);
        return NULL;
    }
    names = g_ptr_array_new_with_free_func(g_free);
    while ((name = g_dir_read_name(folder)))
        g_ptr_array_add(names, g_strdup(name));
    g_dir_close(folder);
    g_ptr_array_sort(names, compare_names);
    return names;
}

static bool visit_folder(const Visitor *visitor, const char *path, int depth, GError **error)
{
    g_autoptr(GPtrArray) names = NULL;

    if (depth > MAX_DEPTH) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "folder '%s' lies more than %d folders deep",
                    path, MAX_DEPTH);
        return FALSE;
    }
    names = sorted_names(path, error);
    for (guint i = 0; names && i < names->len; i++) {
        g_autofree char *below = g_build_filename(path, names->pdata[i], NULL);
        bool ok = TRUE;

        if (g_file_test(below, G_FILE_TEST_IS_DIR))
            ok = g_file_test(below, G_FILE_TEST_IS_SYMLINK) ||
                 visit_folder(visitor, below, depth + 1, error);
        else if (is_archive_name(below))
            ok = visit_archive(visitor, below, error);
        else if (is_picture_name(below))
            ok = visit_file(visitor, below, error);
        if (!ok)
            return FALSE;
    }
    return names != NULL;
}

bool train_list_visit(const char *const *paths, size_t n_paths, TrainVisit visit, void *user,
                      GError **error)
{
    const Visitor visitor = {visit, user};

    for (size_t i = 0; i < n_paths; i++)
        if (!g_file_test(paths[i], G_FILE_TEST_EXISTS)) {
            g_set_error(error, CZ_ERROR, CZ_ERROR_IO,
                        "cannot read '%s': there is no such file or folder", paths[i]);
            return FALSE;
        }
    for (size_t i = 0; i < n_paths; i++) {
        bool ok;

        if (g_file_test(paths[i], G_FILE_TEST_IS_DIR))
            ok = visit_folder(&visitor, paths[i], 0, error);
        else if (is_archive_name(paths[i]))
            ok = visit_archive(&visitor, paths[i], error);
        else
            ok = visit_file(&visitor, paths[i], error);
        if (!ok)
            return FALSE;
    }
    return TRUE;
}
