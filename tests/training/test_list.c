// SPDX-License-Identifier: LGPL-3.0-or-later
// Pictures by name: in which order they are visited, out of what, and which are passed over.
#include "archives.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cz/error.h>
#include <cz/memory.h>

#include "list.h"

typedef struct {
    Folder folder;
    GString *seen; // "NAME=CONTENT ", names without the folder's path; "NAME:PASSED OVER! "
    GError *error;
} Bench;

static Bench bench_new(void)
{
    return (Bench){folder_new(), g_string_new(NULL), NULL};
}

static void bench_free(Bench *bench)
{
    folder_free(&bench->folder);
    g_string_free(bench->seen, TRUE);
    g_clear_error(&bench->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Bench, bench_free)

static bool note(void *user, const TrainCandidate *candidate, GError **error)
{
    Bench *bench = user;
    const char *name = candidate->name;

    if (g_str_has_prefix(name, bench->folder.path))
        name += strlen(bench->folder.path);
    if (candidate->n_passed_over > 0) {
        g_assert_null(candidate->bytes);
        g_assert_nonnull(strstr(candidate->problem, candidate->name));
        g_string_append_printf(bench->seen, "%s:%zu! ", name, candidate->n_passed_over);
    } else if (candidate->problem) {
        g_assert_null(candidate->bytes);
        g_string_append_printf(bench->seen, "%s? ", name);
    } else {
        g_string_append_printf(bench->seen, "%s=%.*s ", name, (int)candidate->n_bytes,
                               (const char *)candidate->bytes);
    }
    return TRUE;
}

static void put(const Bench *bench, const char *name, const char *text)
{
    g_autofree char *path = folder_file(&bench->folder, name), *above = g_path_get_dirname(path);

    g_assert_cmpint(g_mkdir_with_parents(above, 0777), ==, 0);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

// Visits paths below the folder ("" is the folder itself); NULL ends them.
static bool visit(Bench *bench, const char *const *names)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);

    for (; *names; names++)
        g_ptr_array_add(paths, **names ? folder_file(&bench->folder, *names)
                                       : g_strdup(bench->folder.path));
    g_string_truncate(bench->seen, 0);
    g_clear_error(&bench->error);
    return train_list_visit((const char *const *)paths->pdata, paths->len, note, bench,
                            &bench->error);
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

static void expect_seen(Bench *bench, const char *const *names, const char *expected)
{
    g_assert_true(visit(bench, names));
    g_assert_no_error(bench->error);
    g_assert_cmpstr(bench->seen->str, ==, expected);
    g_assert_cmpuint(cz_memory_now(), ==, 0);
}

static void folders_come_in_order_of_names(void)
{
    g_auto(Bench) bench = bench_new();

    put(&bench, "b.JPG", "1");
    put(&bench, "a/z.png", "2");
    put(&bench, "a/deep/er/y.webp", "3");
    put(&bench, "c.tif", "4");
    put(&bench, "c.tiff.txt", "no picture");
    put(&bench, "d", "no picture");
    expect_seen(&bench, NAMES(""), "/a/deep/er/y.webp=3 /a/z.png=2 /b.JPG=1 /c.tif=4 ");
}

static void several_paths_come_in_their_order(void)
{
    g_auto(Bench) bench = bench_new();

    put(&bench, "a/1.jpg", "1");
    put(&bench, "b/2.jpg", "2");
    put(&bench, "any name", "3");
    expect_seen(&bench, NAMES("b", "any name", "a"), "/b/2.jpg=2 /any name=3 /a/1.jpg=1 ");
}

static void archives_are_read_however_packed(void)
{
    static const char *const names[] = {"a.tar",     "a.tar.gz",  "a.tgz", "a.tar.xz",
                                        "a.tar.bz2", "a.tar.zst", "a.zip"};
    g_auto(Bench) bench = bench_new();

    put(&bench, "2.jpg", "two");
    put(&bench, "1.png", "one");
    put(&bench, "notes.txt", "none");
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *expected =
            g_strdup_printf("/%s: box/2.jpg=two /%s: box/1.png=one ", names[i], names[i]);

        put_archive(&bench.folder, names[i], NAMES("2.jpg", "notes.txt", "1.png"));
        expect_seen(&bench, NAMES(names[i]), expected);
    }
}

static void broken_archives_are_errors(void)
{
    static const char *const names[] = {"a.tar", "a.tar.gz", "a.zip"};
    g_auto(Bench) bench = bench_new();

    put(&bench, "1.png", "one");
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = folder_file(&bench.folder, names[i]), *bytes = NULL;
        size_t n_bytes;

        put_archive(&bench.folder, names[i], NAMES("1.png"));
        g_assert_true(g_file_get_contents(path, &bytes, &n_bytes, NULL));
        // Of a tar's blocks the header and half of a file's are left.
        n_bytes = g_str_has_suffix(path, ".tar") ? 512 + 1 : n_bytes / 2;
        g_assert_true(g_file_set_contents(path, bytes, (gssize)n_bytes, NULL));
        if (visit(&bench, NAMES(names[i]))) {
            g_test_message("%s, cut to %zu bytes, was read: %s", names[i], n_bytes,
                           bench.seen->str);
            g_test_fail();
            continue;
        }
        g_assert_error(bench.error, CZ_ERROR, CZ_ERROR_FORMAT);
        g_assert_nonnull(strstr(bench.error->message, names[i]));
        g_assert_cmpuint(cz_memory_now(), ==, 0);
    }
}

static void pictures_that_cannot_be_had_go_by_with_a_problem(void)
{
    g_auto(Bench) bench = bench_new();

    put(&bench, "a/empty.png", "");
    put(&bench, "a/good.png", "1");
    expect_seen(&bench, NAMES("a"), "/a/empty.png? /a/good.png=1 ");
    g_assert_false(visit(&bench, NAMES("a", "missing")));
    g_assert_error(bench.error, CZ_ERROR, CZ_ERROR_IO);
    g_assert_cmpstr(bench.seen->str, ==, ""); // known before the first visit
}

// ---- pairs --------------------------------------------------------------------------------------

// root reads all folders, so that the visit is somebody else's.
static void a_closed_folder_stops_no_other(void)
{
    g_auto(Bench) bench = bench_new();
    g_autofree char *closed = folder_file(&bench.folder, "b");
    bool root = geteuid() == 0;

    put(&bench, "a/1.jpg", "1");
    put(&bench, "b/2.jpg", "2");
    put(&bench, "c/3.jpg", "3");
    g_assert_cmpint(chmod(bench.folder.path, 0755) | chmod(closed, 0), ==, 0);
    g_assert_true(!root || seteuid(65534) == 0);
    expect_seen(&bench, NAMES(""), "/a/1.jpg=1 /b? /c/3.jpg=3 ");
    g_assert_false(visit(&bench, NAMES("b"))); // one that was asked for by name
    g_assert_error(bench.error, CZ_ERROR, CZ_ERROR_IO);
    g_assert_true(!root || seteuid(0) == 0);
    g_assert_cmpint(chmod(closed, 0755), ==, 0);
}

static void grey_halves_of_pairs_are_passed_over(void)
{
    g_auto(Bench) bench = bench_new();

    put(&bench, "set/color/0.jpg", "c0");
    put(&bench, "set/color/1.jpg", "c1");
    put(&bench, "set/gray/0.jpg", "g0");
    put(&bench, "set/gray/1.jpg", "g1");
    expect_seen(&bench, NAMES(""), "/set/color/0.jpg=c0 /set/color/1.jpg=c1 /set/gray:2! ");
    expect_seen(&bench, NAMES("set"), "/set/color/0.jpg=c0 /set/color/1.jpg=c1 /set/gray:2! ");
    // Who names it wants it.
    expect_seen(&bench, NAMES("set/gray"), "/set/gray/0.jpg=g0 /set/gray/1.jpg=g1 ");
    // What has no other half is a picture as any.
    put(&bench, "set/gray/2.jpg", "g2");
    expect_seen(&bench, NAMES("set"),
                "/set/color/0.jpg=c0 /set/color/1.jpg=c1 /set/gray/2.jpg=g2 /set/gray:2! ");
}

static void pairs_lie_deeper_and_are_spelled_otherwise(void)
{
    g_auto(Bench) bench = bench_new();

    put(&bench, "Colour/sea/0.jpg", "c");
    put(&bench, "Grey/sea/0.jpg", "g");
    put(&bench, "Grey/land/0.jpg", "g");
    expect_seen(&bench, NAMES(""), "/Colour/sea/0.jpg=c /Grey/land/0.jpg=g /Grey/sea:1! ");
}

static void a_gray_folder_alone_is_a_folder(void)
{
    g_auto(Bench) bench = bench_new();

    put(&bench, "gray/0.jpg", "g");
    put(&bench, "colors/0.jpg", "c");
    expect_seen(&bench, NAMES(""), "/colors/0.jpg=c /gray/0.jpg=g ");
}

static void pairs_are_known_in_archives_in_any_order(void)
{
    g_auto(Bench) bench = bench_new();

    put(&bench, "gray/0.jpg", "g0");
    put(&bench, "gray/1.jpg", "g1");
    put(&bench, "color/0.jpg", "c0");
    put_archive(&bench.folder, "a.tar.gz", NAMES("gray/0.jpg", "gray/1.jpg", "color/0.jpg"));
    put_archive(&bench.folder, "b.zip", NAMES("color/0.jpg", "gray/0.jpg"));
    expect_seen(&bench, NAMES("a.tar.gz", "b.zip"),
                "/a.tar.gz: box/gray/1.jpg=g1 /a.tar.gz: box/color/0.jpg=c0 /a.tar.gz:1! "
                "/b.zip: box/color/0.jpg=c0 /b.zip:1! ");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define ADD(claim) g_test_add_func("/training/list/" #claim, claim)
    ADD(folders_come_in_order_of_names);
    ADD(several_paths_come_in_their_order);
    ADD(archives_are_read_however_packed);
    ADD(broken_archives_are_errors);
    ADD(pictures_that_cannot_be_had_go_by_with_a_problem);
    ADD(a_closed_folder_stops_no_other);
    ADD(grey_halves_of_pairs_are_passed_over);
    ADD(pairs_lie_deeper_and_are_spelled_otherwise);
    ADD(a_gray_folder_alone_is_a_folder);
    ADD(pairs_are_known_in_archives_in_any_order);
    return g_test_run();
}
