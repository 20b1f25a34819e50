// SPDX-License-Identifier: LGPL-3.0-or-later
// Folders of invented files, made into a set, and what was told of each.
#pragma once

#include "archives.h"
#include "pictures.h"

#include "prepare.h"

// ---- files of every kind ------------------------------------------------------------------------

static inline void put_image(const Folder *folder, const char *name, Look look, int w, int h,
                             int number)
{
    g_autofree char *path = folder_file(folder, name), *above = g_path_get_dirname(path);

    g_assert_cmpint(g_mkdir_with_parents(above, 0777), ==, 0);
    write_image(make_image(look, w, h, number), path);
}

static inline void copy_file(const Folder *folder, const char *from, const char *to, double part)
{
    g_autofree char *src = folder_file(folder, from), *dst = folder_file(folder, to), *bytes = NULL;
    size_t n_bytes;

    g_assert_true(g_file_get_contents(src, &bytes, &n_bytes, NULL));
    g_assert_true(g_file_set_contents(dst, bytes, (gssize)((double)n_bytes * part), NULL));
}

static inline void put_text(const Folder *folder, const char *name, const char *text)
{
    g_autofree char *path = folder_file(folder, name);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

// ---- what becomes of them -----------------------------------------------------------------------

typedef struct {
    GPtrArray *lines; // "NAME: verdict (detail)", names without their folder
} Log;

static inline void note(void *user, size_t number, const char *name, TrainVerdict verdict,
                        const char *detail)
{
    Log *log = user;
    const char *slash = strrchr(name, '/');

    g_ptr_array_add(log->lines, g_strdup_printf("%s: %s (%s)", slash ? slash + 1 : name,
                                                train_verdict_text(verdict), detail));
}

typedef struct {
    Folder folder; // for the pictures
    Folder sets;   // for what is written
    char *out;
    TrainPrepareParams params; // what is not zero of near-duplicates
    Log log;
    TrainPrepareCounts counts;
    GError *error;
} Bench;

static inline Bench bench_new(void)
{
    Bench bench = {.folder = folder_new(), .sets = folder_new()};

    bench.out = folder_file(&bench.sets, "out.set");
    bench.log.lines = g_ptr_array_new_with_free_func(g_free);
    return bench;
}

static inline void bench_free(Bench *bench)
{
    folder_free(&bench->folder);
    folder_free(&bench->sets);
    g_free(bench->out);
    g_ptr_array_unref(bench->log.lines);
    g_clear_error(&bench->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Bench, bench_free)

static inline bool prepare(Bench *bench, int32_t side, const char *const *paths, size_t n_paths)
{
    TrainPrepareParams params = bench->params;

    params.out = bench->out;
    params.side = side;
    params.report = note;
    params.user = &bench->log;

    g_ptr_array_set_size(bench->log.lines, 0);
    g_clear_error(&bench->error);
    return train_prepare_set(&params, paths, n_paths, &bench->counts, &bench->error);
}

static inline bool prepare_folder(Bench *bench, int32_t side)
{
    const char *paths[] = {bench->folder.path};

    return prepare(bench, side, paths, 1);
}

static inline void expect_counts(const Bench *bench, const size_t expected[TRAIN_VERDICTS])
{
    for (int i = 0; i < TRAIN_VERDICTS; i++)
        if (bench->counts.n[i] != expected[i]) {
            g_test_message("%s: expected %zu, found %zu", train_verdict_text(i), expected[i],
                           bench->counts.n[i]);
            g_test_fail();
        }
}

static inline void expect_line(const Bench *bench, const char *begin)
{
    for (guint i = 0; i < bench->log.lines->len; i++)
        if (g_str_has_prefix(bench->log.lines->pdata[i], begin))
            return;
    g_test_message("nothing begins with '%s' among:", begin);
    for (guint i = 0; i < bench->log.lines->len; i++)
        g_test_message("    %s", (char *)bench->log.lines->pdata[i]);
    g_test_fail();
}
