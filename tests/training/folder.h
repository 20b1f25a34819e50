// SPDX-License-Identifier: LGPL-3.0-or-later
// A folder of a test's own, gone after it; and sets made of invented pictures.
#pragma once

#include <string.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#include <cz/rng.h>

#include "set.h"

typedef struct {
    char *path;
} Folder;

static inline Folder folder_new(void)
{
    GError *error = NULL;
    Folder folder = {g_dir_make_tmp("colorize-test-XXXXXX", &error)};

    g_assert_no_error(error);
    return folder;
}

static inline char *folder_file(const Folder *folder, const char *name)
{
    return g_build_filename(folder->path, name, NULL);
}

// How many files and folders lie in a folder.
static inline guint folder_count(const Folder *folder)
{
    GDir *dir = g_dir_open(folder->path, 0, NULL);
    guint n = 0;

    while (dir && g_dir_read_name(dir))
        n++;
    g_clear_pointer(&dir, g_dir_close);
    return n;
}

static inline void folder_remove_below(const char *path)
{
    GDir *dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *below = g_build_filename(path, name, NULL);

        if (g_file_test(below, G_FILE_TEST_IS_DIR) && !g_file_test(below, G_FILE_TEST_IS_SYMLINK))
            folder_remove_below(below);
        else
            g_unlink(below);
    }
    g_clear_pointer(&dir, g_dir_close);
    g_rmdir(path);
}

static inline void folder_free(Folder *folder)
{
    folder_remove_below(folder->path);
    g_clear_pointer(&folder->path, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Folder, folder_free)

// A picture of many colours that seed decides; the caller frees.
static inline uint8_t *make_pixels(int32_t width, int32_t height, uint64_t seed)
{
    size_t n = (size_t)width * (size_t)height * 3;
    uint8_t *rgb = g_malloc(n);
    CzRng rng = cz_rng(seed, 77);

    for (size_t i = 0; i < n; i++)
        rgb[i] = (uint8_t)cz_rng_below(&rng, 256);
    return rgb;
}

// A set of n pictures: number i is make_pixels(width + i % 5, height + i % 3, seed + i).
static inline void make_set(const char *path, int n, int32_t width, int32_t height, uint64_t seed)
{
    GError *error = NULL;
    g_autoptr(TrainSetWriter) writer = train_set_writer_new(path, &error);

    g_assert_no_error(error);
    for (int i = 0; i < n; i++) {
        int32_t w = width + i % 5, h = height + i % 3;
        g_autofree uint8_t *rgb = make_pixels(w, h, seed + (uint64_t)i);
        g_autofree char *name = g_strdup_printf("picture-%d", i);
        TrainPicture picture = {w, h, train_picture_hash(rgb, w, h), name, rgb};

        train_set_writer_add(writer, &picture, &error);
        g_assert_no_error(error);
    }
    train_set_writer_finish(writer, &error);
    g_assert_no_error(error);
}
