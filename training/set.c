// SPDX-License-Identifier: LGPL-3.0-or-later
// The set, read: a mapped file of which every number is checked before it is used.
#include "set.h"

#include "set_format.h"

#include <stdarg.h>
#include <stdio.h>

#include <glib/gstdio.h>

#include <cz/error.h>
#include <cz/memory.h>

struct TrainSet {
    GMappedFile *file;
    const uint8_t *bytes;
    const uint8_t *index;
    const char *names;
    size_t n, n_bytes, names_bytes;
    uint64_t hash;
};

uint64_t train_picture_hash(const uint8_t *rgb, int32_t width, int32_t height)
{
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
    size_t row = (size_t)width * 3;
    uint8_t size[8];

    put_u32(size, (uint32_t)width);
    put_u32(size + 4, (uint32_t)height);
    g_checksum_update(sum, size, sizeof size);
    for (int32_t y = 0; y < height; y++)
        g_checksum_update(sum, rgb + (size_t)y * row, (gssize)row);
    return checksum_finish(sum);
}

G_GNUC_PRINTF(3, 4)
static bool broken(GError **error, const char *path, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, CZ_ERROR, CZ_ERROR_FORMAT, "set '%s': %s", path, what);
    return FALSE;
}

static bool check_header(const TrainSet *set, const char *path, GError **error)
{
    const uint8_t *header = set->bytes;

    if (set->n_bytes < SET_HEADER_BYTES || memcmp(header, SET_MAGIC, 8) != 0)
        return broken(error, path, "is not a set made by colorizer prepare");
    if (get_u32(header + 8) != SET_VERSION)
        return broken(error, path, "expected version %u, found %u", SET_VERSION,
                      get_u32(header + 8));
    if (get_u32(header + 12) != SET_ENTRY_BYTES)
        return broken(error, path, "expected entries of %u bytes, found %u", SET_ENTRY_BYTES,
                      get_u32(header + 12));
    if (get_u64(header + 48) != set->n_bytes)
        return broken(error, path, "expected %" G_GUINT64_FORMAT " bytes, found %zu",
                      get_u64(header + 48), set->n_bytes);
    return TRUE;
}

// The tables lie where the writer puts them: index right behind the pixels, names to the end.
static bool check_tables(TrainSet *set, const char *path, GError **error)
{
    uint64_t n = get_u64(set->bytes + 16), index = get_u64(set->bytes + 24);
    uint64_t names = get_u64(set->bytes + 32), names_bytes = get_u64(set->bytes + 40);
    uint64_t size = set->n_bytes;
    GChecksum *sum;

    if (n > UINT32_MAX || index < SET_HEADER_BYTES || index > size ||
        n * SET_ENTRY_BYTES > size - index)
        return broken(error, path, "the index (%" G_GUINT64_FORMAT " pictures) leaves the file", n);
    if (names != index + n * SET_ENTRY_BYTES || names_bytes != size - names)
        return broken(error, path, "the names are not between index and end");
    if (names_bytes > 0 && set->bytes[size - 1] != 0)
        return broken(error, path, "the last name has no end");
    set->n = (size_t)n;
    set->index = set->bytes + index;
    set->names = (const char *)set->bytes + names;
    set->names_bytes = (size_t)names_bytes;
    sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, set->index, (gssize)(size - index));
    set->hash = checksum_finish(sum);
    if (set->hash != get_u64(set->bytes + 56))
        return broken(error, path, "index and names do not match their checksum");
    return TRUE;
}

static bool check_entry(const TrainSet *set, size_t i, const char *path, GError **error)
{
    const uint8_t *entry = set->index + i * SET_ENTRY_BYTES;
    uint64_t offset = get_u64(entry), name = get_u64(entry + 16);
    uint64_t limit = (uint64_t)(set->index - set->bytes);
    uint32_t width = get_u32(entry + 24), height = get_u32(entry + 28);

    if (width < 1 || height < 1 || width > TRAIN_SET_MAX_SIDE || height > TRAIN_SET_MAX_SIDE)
        return broken(error, path, "picture %zu: a size of %ux%u, allowed is 1 to %d", i, width,
                      height, TRAIN_SET_MAX_SIDE);
    if (offset < SET_HEADER_BYTES || offset > limit ||
        (uint64_t)width * height * 3 > limit - offset)
        return broken(error, path, "picture %zu: its pixels leave their place in the file", i);
    if (name >= set->names_bytes)
        return broken(error, path, "picture %zu: its name lies outside the names", i);
    if (!g_utf8_validate(set->names + name, -1, NULL))
        return broken(error, path, "picture %zu: its name is not UTF-8", i);
    return TRUE;
}

static bool check(TrainSet *set, const char *path, GError **error)
{
    if (!check_header(set, path, error) || !check_tables(set, path, error))
        return FALSE;
    for (size_t i = 0; i < set->n; i++)
        if (!check_entry(set, i, path, error))
            return FALSE;
    return TRUE;
}

bool train_set_is(const char *path)
{
    char magic[8] = {0};
    // A pipe would wait, and what is taken from it would be missed by its real reader.
    FILE *file = g_file_test(path, G_FILE_TEST_IS_REGULAR) ? g_fopen(path, "rb") : NULL;
    bool is = file && fread(magic, 1, sizeof magic, file) == sizeof magic &&
              memcmp(magic, SET_MAGIC, sizeof magic) == 0;

    if (file)
        fclose(file);
    return is;
}

TrainSet *train_set_open(const char *path, GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(TrainSet) set = g_new0(TrainSet, 1);

    if (cz_fault(CZ_FAULT_FILE)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot open set '%s': fault injected", path);
        return NULL;
    }
    if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot open set '%s': it is a folder", path);
        return NULL;
    }
    set->file = g_mapped_file_new(path, FALSE, &cause);
    if (!set->file) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot open set: %s", cause->message);
        return NULL;
    }
    set->bytes = (const uint8_t *)g_mapped_file_get_contents(set->file);
    set->n_bytes = g_mapped_file_get_length(set->file);
    return check(set, path, error) ? g_steal_pointer(&set) : NULL;
}

void train_set_free(TrainSet *set)
{
    if (!set)
        return;
    g_clear_pointer(&set->file, g_mapped_file_unref);
    g_free(set);
}

size_t train_set_n(const TrainSet *set)
{
    return set->n;
}

uint64_t train_set_hash(const TrainSet *set)
{
    return set->hash;
}

TrainPicture train_set_picture(const TrainSet *set, size_t index)
{
    const uint8_t *entry = set->index + index * SET_ENTRY_BYTES;

    return (TrainPicture){
        .width = (int32_t)get_u32(entry + 24),
        .height = (int32_t)get_u32(entry + 28),
        .hash = get_u64(entry + 8),
        .name = set->names + get_u64(entry + 16),
        .rgb = set->bytes + get_u64(entry),
    };
}

bool train_picture_held_back(const TrainPicture *picture, double share)
{
    // The 53 upper bits are exact in a double, so that 0 holds nothing back and 1 everything.
    return (double)(picture->hash >> 11) * 0x1p-53 < share;
}

uint32_t *train_set_split(const TrainSet *set, double share, bool held_back, size_t *n)
{
    uint32_t *indices = g_new(uint32_t, set->n + 1);

    *n = 0;
    for (size_t i = 0; i < set->n; i++) {
        TrainPicture picture = train_set_picture(set, i);

        if (train_picture_held_back(&picture, share) == held_back)
            indices[(*n)++] = (uint32_t)i;
    }
    return indices;
}
