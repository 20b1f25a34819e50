// SPDX-License-Identifier: LGPL-3.0-or-later
// Pictures by name: folders with all below them, single files, and archives (tar, also packed;
// zip).
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
    static const char *const ends[] = {".tar",     ".tar.gz",  ".tgz", ".tar.xz", ".txz",
                                       ".tar.bz2", ".tar.zst", ".zip", NULL};

    return ends_with_any(name, ends);
}

// ---- pairs of colour and grey ------------------------------------------------------------------

static bool is_one_of(const char *name, const char *a, const char *b)
{
    return g_ascii_strcasecmp(name, a) == 0 || g_ascii_strcasecmp(name, b) == 0;
}

static bool is_colour(const char *name)
{
    return is_one_of(name, "color", "colour");
}

static bool is_grey(const char *name)
{
    return is_one_of(name, "gray", "grey");
}

static bool tell_passed_over(const Visitor *visitor, const char *path, size_t n, GError **error)
{
    g_autofree char *sentence =
        g_strdup_printf("'%s': %zu pictures are passed over, the grey halves of pairs whose other "
                        "half lies in a folder of colour ones",
                        path, n);
    const TrainCandidate candidate = {.name = path, .problem = sentence, .n_passed_over = n};

    return n == 0 || visitor->visit(visitor->user, &candidate, error);
}

// A member's path as it would be called among the colour halves; *grey: it was another before.
static char *colour_key(const char *member, bool *grey)
{
    g_auto(GStrv) parts = g_strsplit(member, "/", -1);

    *grey = FALSE;
    for (char **part = parts; *part && part[1]; part++)
        if (is_colour(*part) || is_grey(*part)) {
            *grey = *grey || is_grey(*part);
            g_free(*part);
            *part = g_strdup("color");
        }
    return g_strjoinv("/", parts);
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

// The next picture of an archive; *status as libarchive has it, anything but ARCHIVE_OK at the end.
static struct archive_entry *next_picture(struct archive *archive, int *status)
{
    struct archive_entry *entry;

    while ((*status = archive_read_next_header(archive, &entry)) == ARCHIVE_OK ||
           *status == ARCHIVE_WARN) {
        const char *member = archive_entry_pathname(entry);

        if (member && archive_entry_filetype(entry) == AE_IFREG && is_picture_name(member))
            return entry;
    }
    return NULL;
}

static bool visit_members(const Visitor *visitor, struct archive *archive, const char *path,
                          GHashTable *colours, GError **error)
{
    struct archive_entry *entry;
    size_t n_passed_over = 0;
    int status;

    while ((entry = next_picture(archive, &status))) {
        const char *member = archive_entry_pathname(entry);
        bool grey;
        g_autofree char *key = colour_key(member, &grey);

        if (grey && g_hash_table_contains(colours, key))
            n_passed_over++;
        else if (!visit_member(visitor, archive, archive_entry_size(entry), path, member, error))
            return FALSE;
    }
    if (status != ARCHIVE_EOF)
        return archive_failed(archive, path, error);
    return tell_passed_over(visitor, path, n_passed_over, error);
}

// Which pictures in folders for colour an archive holds, in a first pass over it: the grey ones may
// lie before them.
static bool find_colours(struct archive *archive, const char *path, GHashTable *colours,
                         GError **error)
{
    struct archive_entry *entry;
    int status;

    while ((entry = next_picture(archive, &status))) {
        bool grey;
        g_autofree char *key = colour_key(archive_entry_pathname(entry), &grey);

        if (!grey)
            g_hash_table_add(colours, g_steal_pointer(&key));
    }
    return status == ARCHIVE_EOF || archive_failed(archive, path, error);
}

static struct archive *open_archive(const char *path, GError **error)
{
    struct archive *archive = archive_read_new();

    if (!archive) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_MEMORY, "no memory to read archive '%s'", path);
        return NULL;
    }
    archive_read_support_filter_all(archive);
    archive_read_support_format_tar(archive);
    // By its table at the end: read as a stream, a zip that was cut off would pass for a shorter
    // one.
    archive_read_support_format_zip_seekable(archive);
    if (!cz_fault(CZ_FAULT_FILE) &&
        archive_read_open_filename(archive, path, 1 << 16) == ARCHIVE_OK)
        return archive;
    archive_failed(archive, path, error);
    archive_read_free(archive);
    return NULL;
}

static bool visit_archive(const Visitor *visitor, const char *path, GError **error)
{
    GHashTable *colours = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    struct archive *archive = open_archive(path, error);
    bool ok = archive && find_colours(archive, path, colours, error);

    archive_read_free(archive);
    archive = ok ? open_archive(path, error) : NULL;
    ok = archive && visit_members(visitor, archive, path, colours, error);
    archive_read_free(archive);
    g_hash_table_unref(colours);
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

// The folder beside name that holds the colour halves of what name, a folder of grey ones, holds;
// NULL: none. in_colour: the colour half of the folder that both lie in, NULL if that is none.
static char *colour_half(const char *path, const GPtrArray *names, const char *name,
                         const char *in_colour)
{
    if (in_colour)
        return g_build_filename(in_colour, name, NULL);
    for (guint i = 0; is_grey(name) && i < names->len; i++)
        if (is_colour(names->pdata[i]))
            return g_build_filename(path, names->pdata[i], NULL);
    return NULL;
}

static bool exists_in(const char *folder, const char *name)
{
    g_autofree char *path = folder ? g_build_filename(folder, name, NULL) : NULL;

    return path && g_file_test(path, G_FILE_TEST_IS_REGULAR);
}

// colour: where the colour halves lie of what is in this folder, or NULL.
static bool visit_folder(const Visitor *visitor, const char *path, const char *colour, int depth,
                         GError **error)
{
    g_autoptr(GPtrArray) names = NULL;
    g_autoptr(GError) closed = NULL;
    size_t n_passed_over = 0;

    if (depth > MAX_DEPTH) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "folder '%s' lies more than %d folders deep",
                    path, MAX_DEPTH);
        return FALSE;
    }
    names = sorted_names(path, depth > 0 ? &closed : error);
    if (closed) { // one that lies in another is no reason to stop
        const TrainCandidate candidate = {.name = path, .problem = closed->message};
        return visitor->visit(visitor->user, &candidate, error);
    }
    for (guint i = 0; names && i < names->len; i++) {
        const char *name = names->pdata[i];
        g_autofree char *below = g_build_filename(path, name, NULL);
        g_autofree char *half = colour_half(path, names, name, colour);
        bool ok = TRUE;

        if (g_file_test(below, G_FILE_TEST_IS_DIR))
            ok = g_file_test(below, G_FILE_TEST_IS_SYMLINK) ||
                 visit_folder(visitor, below, half, depth + 1, error);
        else if (is_archive_name(below))
            ok = visit_archive(visitor, below, error);
        else if (is_picture_name(below) && exists_in(colour, name))
            n_passed_over++;
        else if (is_picture_name(below))
            ok = visit_file(visitor, below, error);
        if (!ok)
            return FALSE;
    }
    return names && tell_passed_over(visitor, path, n_passed_over, error);
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
            ok = visit_folder(&visitor, paths[i], NULL, 0, error);
        else if (is_archive_name(paths[i]))
            ok = visit_archive(&visitor, paths[i], error);
        else
            ok = visit_file(&visitor, paths[i], error);
        if (!ok)
            return FALSE;
    }
    return TRUE;
}
