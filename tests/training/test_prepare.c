// SPDX-License-Identifier: LGPL-3.0-or-later
// Pictures into a set: each kind of picture meets its verdict, and the program says so.
#include "folder.h"
#include "pictures.h"

#include <archive.h>
#include <archive_entry.h>

#include <cz/error.h>
#include <cz/memory.h>

#include "decode.h"
#include "prepare.h"

// ---- files of every kind ------------------------------------------------------------------------

static void put_image(const Folder *folder, const char *name, Look look, int w, int h, int number)
{
    g_autofree char *path = folder_file(folder, name), *above = g_path_get_dirname(path);

    g_assert_cmpint(g_mkdir_with_parents(above, 0777), ==, 0);
    write_image(make_image(look, w, h, number), path);
}

static void copy_file(const Folder *folder, const char *from, const char *to, double part)
{
    g_autofree char *src = folder_file(folder, from), *dst = folder_file(folder, to), *bytes = NULL;
    size_t n_bytes;

    g_assert_true(g_file_get_contents(src, &bytes, &n_bytes, NULL));
    g_assert_true(g_file_set_contents(dst, bytes, (gssize)((double)n_bytes * part), NULL));
}

static void put_text(const Folder *folder, const char *name, const char *text)
{
    g_autofree char *path = folder_file(folder, name);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

// Files of a folder into an archive; NULL ends the names. Each is stored as "box/NAME".
static void put_archive(const Folder *folder, const char *name, const char *const *members)
{
    g_autofree char *path = folder_file(folder, name);
    struct archive *archive = archive_write_new();

    archive_write_set_format_pax_restricted(archive);
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
        archive_write_header(archive, entry);
        archive_write_data(archive, bytes, n_bytes);
        archive_entry_free(entry);
    }
    archive_write_close(archive);
    archive_write_free(archive);
}

// ---- what becomes of them -----------------------------------------------------------------------

typedef struct {
    GPtrArray *lines; // "NAME: verdict (detail)", names without their folder
} Log;

static void note(void *user, const char *name, TrainVerdict verdict, const char *detail)
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
    Log log;
    TrainPrepareCounts counts;
    GError *error;
} Bench;

static Bench bench_new(void)
{
    Bench bench = {.folder = folder_new(), .sets = folder_new()};

    bench.out = folder_file(&bench.sets, "out.set");
    bench.log.lines = g_ptr_array_new_with_free_func(g_free);
    return bench;
}

static void bench_free(Bench *bench)
{
    folder_free(&bench->folder);
    folder_free(&bench->sets);
    g_free(bench->out);
    g_ptr_array_unref(bench->log.lines);
    g_clear_error(&bench->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Bench, bench_free)

static bool prepare(Bench *bench, int32_t side, const char *const *paths, size_t n_paths)
{
    TrainPrepareParams params = {bench->out, side, note, &bench->log};

    g_ptr_array_set_size(bench->log.lines, 0);
    g_clear_error(&bench->error);
    return train_prepare_set(&params, paths, n_paths, &bench->counts, &bench->error);
}

static bool prepare_folder(Bench *bench, int32_t side)
{
    const char *paths[] = {bench->folder.path};

    return prepare(bench, side, paths, 1);
}

static void expect_counts(const Bench *bench, const size_t expected[TRAIN_VERDICTS])
{
    for (int i = 0; i < TRAIN_VERDICTS; i++)
        if (bench->counts.n[i] != expected[i]) {
            g_test_message("%s: expected %zu, found %zu", train_verdict_text(i), expected[i],
                           bench->counts.n[i]);
            g_test_fail();
        }
}

static void expect_line(const Bench *bench, const char *begin)
{
    for (guint i = 0; i < bench->log.lines->len; i++)
        if (g_str_has_prefix(bench->log.lines->pdata[i], begin))
            return;
    g_test_message("nothing begins with '%s' among:", begin);
    for (guint i = 0; i < bench->log.lines->len; i++)
        g_test_message("    %s", (char *)bench->log.lines->pdata[i]);
    g_test_fail();
}

static void judges_every_kind(void)
{
    static const char *const box[] = {"good.jpg", "other.webp", "text.jpg", NULL};
    g_auto(Bench) bench = bench_new();
    const Folder *folder = &bench.folder;

    put_image(folder, "good.jpg", LOOK_COLOUR, 240, 160, 1);
    put_image(folder, "just.png", LOOK_COLOUR, 96, 150, 2);
    put_image(folder, "UPPER.TIF", LOOK_COLOUR, 130, 120, 3);
    put_image(folder, "deep/er/still.jpeg", LOOK_COLOUR, 120, 130, 4);
    put_image(folder, "tiny.png", LOOK_COLOUR, 95, 400, 5);
    put_image(folder, "grey.png", LOOK_GREY, 150, 150, 6);
    put_image(folder, "sepia.jpg", LOOK_SEPIA, 150, 150, 7);
    put_image(folder, "flat.png", LOOK_FLAT, 150, 150, 8);
    put_image(folder, "other.webp", LOOK_COLOUR, 140, 130, 9);
    put_text(folder, "text.jpg", "no picture");
    put_text(folder, "empty.png", "");
    put_text(folder, "notes.txt", "not looked at");
    copy_file(folder, "good.jpg", "zz-again.jpg", 1.0);
    copy_file(folder, "good.jpg", "cut.jpg", 0.6);
    put_archive(folder, "box.tar", box);
    g_assert_true(prepare_folder(&bench, 128));
    g_assert_no_error(bench.error);
    // The archive comes before good.jpg, so that the files beside it are the ones seen before.
    expect_counts(&bench, (const size_t[]){[TRAIN_TAKEN] = 5,
                                           [TRAIN_BROKEN] = 4,
                                           [TRAIN_TINY] = 1,
                                           [TRAIN_GREY] = 1,
                                           [TRAIN_TINTED] = 2,
                                           [TRAIN_DUPLICATE] = 3});
    expect_line(&bench, "tiny.png: too small (95x400, the shorter side must have 96)");
    expect_line(&bench, "grey.png: grey (mean chroma");
    expect_line(&bench, "sepia.jpg: of one tint (mean chroma");
    expect_line(&bench, "flat.png: of one tint (mean chroma");
    expect_line(&bench, "text.jpg: cannot be read (cannot read '");
    expect_line(&bench, "empty.png: cannot be read (not a file of 1 byte");
    expect_line(&bench, "cut.jpg: cannot be read (cannot read '");
    expect_line(&bench, "zz-again.jpg: seen before");
    g_assert_cmpuint(folder_count(&bench.sets), ==, 1);
    g_assert_cmpuint(cz_memory_now(), ==, 0);
}

static void keeps_shape_and_side(void)
{
    g_auto(Bench) bench = bench_new();
    g_autoptr(GError) error = NULL;

    put_image(&bench.folder, "1.png", LOOK_COLOUR, 400, 200, 1);
    put_image(&bench.folder, "2.png", LOOK_COLOUR, 100, 140, 2);
    put_image(&bench.folder, "3.png", LOOK_COLOUR, 300, 301, 3);
    g_assert_true(prepare_folder(&bench, 128));
    g_autoptr(TrainSet) set = train_set_open(bench.out, &error);
    g_assert_no_error(error);
    static const int sizes[][2] = {{256, 128}, {100, 140}, {128, 128}};
    for (size_t i = 0; i < 3; i++) {
        TrainPicture picture = train_set_picture(set, i);

        g_assert_cmpint(picture.width, ==, sizes[i][0]);
        g_assert_cmpint(picture.height, ==, sizes[i][1]);
    }
    TrainPicture first = train_set_picture(set, 0);
    double rgb[3];
    look_pixel(LOOK_COLOUR, 200.5 / 256, 60.5 / 128, 1, rgb);
    for (int c = 0; c < 3; c++)
        g_assert_cmpfloat_with_epsilon(first.rgb[(60 * 256 + 200) * 3 + c], rgb[c], 2);
    g_assert_true(g_str_has_suffix(first.name, "/1.png"));
}

static void takes_files_named_anyhow(void)
{
    g_auto(Bench) bench = bench_new();

    put_image(&bench.folder, "a.png", LOOK_COLOUR, 120, 120, 1);
    copy_file(&bench.folder, "a.png", "picture", 1.0);
    g_autofree char *path = folder_file(&bench.folder, "picture");
    const char *paths[] = {path};
    g_assert_true(prepare(&bench, 256, paths, 1));
    g_assert_cmpuint(bench.counts.n[TRAIN_TAKEN], ==, 1);
}

static void same_pictures_same_file(void)
{
    g_auto(Bench) bench = bench_new();
    g_autofree char *first = NULL, *second = NULL;
    size_t n_first, n_second;

    for (int i = 0; i < 6; i++) {
        g_autofree char *name = g_strdup_printf("%d.png", (i * 7) % 6);

        put_image(&bench.folder, name, LOOK_COLOUR, 120, 100, i);
    }
    g_assert_true(prepare_folder(&bench, 100));
    g_assert_true(g_file_get_contents(bench.out, &first, &n_first, NULL));
    g_assert_true(prepare_folder(&bench, 100));
    g_assert_true(g_file_get_contents(bench.out, &second, &n_second, NULL));
    g_assert_cmpmem(first, n_first, second, n_second);
}

static void failures_leave_nothing_behind(void)
{
    static const char *const box[] = {"a.png", NULL};
    g_auto(Bench) bench = bench_new();

    put_image(&bench.folder, "a.png", LOOK_COLOUR, 120, 120, 1);
    put_archive(&bench.folder, "box.tar", box);
    copy_file(&bench.folder, "box.tar", "cut.tar", 0.5);
    g_autofree char *good = folder_file(&bench.folder, "a.png");
    g_autofree char *missing = folder_file(&bench.folder, "missing.jpg");
    g_autofree char *cut = folder_file(&bench.folder, "cut.tar");
    const char *with_missing[] = {good, missing}, *with_cut[] = {good, cut};

    g_assert_false(prepare(&bench, 256, with_missing, 2));
    g_assert_error(bench.error, CZ_ERROR, CZ_ERROR_IO);
    g_assert_nonnull(strstr(bench.error->message, "missing.jpg"));
    g_assert_cmpuint(bench.log.lines->len, ==, 0); // checked before the first picture
    g_assert_false(prepare(&bench, 256, with_cut, 2));
    g_assert_error(bench.error, CZ_ERROR, CZ_ERROR_FORMAT);
    g_assert_nonnull(strstr(bench.error->message, "cut.tar"));
    g_assert_cmpuint(folder_count(&bench.sets), ==, 0);
    g_assert_cmpuint(cz_memory_now(), ==, 0);
}

static void nothing_to_take_is_a_failure(void)
{
    g_auto(Bench) bench = bench_new();

    put_image(&bench.folder, "grey.png", LOOK_GREY, 150, 150, 1);
    g_assert_false(prepare_folder(&bench, 256));
    g_assert_error(bench.error, CZ_ERROR, CZ_ERROR_ARGUMENT);
    g_assert_nonnull(strstr(bench.error->message, "no picture in colour"));
    g_assert_cmpuint(folder_count(&bench.sets), ==, 0);
}

static void folders_in_circles_end(void)
{
    g_auto(Bench) bench = bench_new();
    g_autofree char *link = folder_file(&bench.folder, "again");

    put_image(&bench.folder, "a.png", LOOK_COLOUR, 120, 120, 1);
    g_assert_cmpint(symlink(bench.folder.path, link), ==, 0);
    g_assert_true(prepare_folder(&bench, 256));
    expect_counts(&bench, (const size_t[TRAIN_VERDICTS]){[TRAIN_TAKEN] = 1});
}

static void every_failing_allocation_is_survived(void)
{
    g_auto(Bench) bench = bench_new();
    unsigned long n = 0;
    bool done = FALSE;

    put_image(&bench.folder, "a.png", LOOK_COLOUR, 120, 120, 1);
    while (!done && n < 100) {
        cz_fault_arm(CZ_FAULT_MEMORY, ++n);
        done = prepare_folder(&bench, 100) && bench.counts.n[TRAIN_TAKEN] == 1;
        cz_fault_arm(CZ_FAULT_MEMORY, 0);
        g_assert_cmpuint(cz_memory_now(), ==, 0);
        g_assert_cmpuint(folder_count(&bench.sets), ==, done ? 1 : 0);
        if (!done)
            g_assert_error(bench.error, CZ_ERROR, CZ_ERROR_MEMORY);
    }
    g_test_message("%lu places to fail", n - 1);
    g_assert_cmpuint(n, >=, 4);
    g_assert_true(done);
}

// ---- the program --------------------------------------------------------------------------------

typedef struct {
    int status;
    char *out, *err;
} Outcome;

static void outcome_clear(Outcome *outcome)
{
    g_free(outcome->out);
    g_free(outcome->err);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Outcome, outcome_clear)

static Outcome run_program(const char *const *arguments)
{
    g_autofree char *program =
        g_build_filename(g_getenv("COLORIZE_BUILD_ROOT"), "training", "colorizer", NULL);
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    g_autoptr(GError) error = NULL;
    Outcome outcome = {-1, NULL, NULL};
    int status = 0;

    g_strv_builder_add(builder, program);
    g_strv_builder_addv(builder, (const char **)arguments);
    g_auto(GStrv) argv = g_strv_builder_end(builder);
    g_spawn_sync(NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &outcome.out, &outcome.err, &status,
                 &error);
    g_assert_no_error(error);
    outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 256;
    return outcome;
}

typedef struct {
    const char *const *arguments;
    int status;
    const char *out, *err; // parts
} Use;

static void expect_use(const Use *use)
{
    g_auto(Outcome) outcome = run_program(use->arguments);

    if (outcome.status != use->status || !strstr(outcome.out, use->out) ||
        !strstr(outcome.err, use->err)) {
        g_test_message("colorizer %s: expected %d, '%s', '%s'; found %d, '%s', '%s'",
                       use->arguments[0] ? use->arguments[0] : "", use->status, use->out, use->err,
                       outcome.status, outcome.out, outcome.err);
        g_test_fail();
    }
}

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void program_says_what_it_did(void)
{
    g_auto(Bench) bench = bench_new();

    if (!g_getenv("COLORIZE_BUILD_ROOT")) {
        g_test_skip("COLORIZE_BUILD_ROOT is not set: run it with meson test");
        return;
    }
    put_image(&bench.folder, "a.png", LOOK_COLOUR, 120, 120, 1);
    put_image(&bench.folder, "b.png", LOOK_GREY, 120, 120, 2);
    const char *in = bench.folder.path, *out = bench.out;
    const Use uses[] = {
        {ARGUMENTS(NULL), 2, "", "Usage:\n  colorizer COMMAND"},
        {ARGUMENTS("--help"), 0, "  prepare ", ""},
        {ARGUMENTS("--version"), 0, "colorizer 0.", ""},
        {ARGUMENTS("destroy"), 2, "", "colorizer: there is no command 'destroy'"},
        {ARGUMENTS("prepare", "--help"), 0, "colorizer prepare [OPTION", ""},
        {ARGUMENTS("prepare", "--out", out, in), 0, "1 pictures taken, 1 left out\n       1 grey\n",
         ""},
        {ARGUMENTS("prepare", "--out", out, "--verbose", in), 0, "b.png: grey (mean chroma", ""},
        {ARGUMENTS("prepare", in), 2, "", "colorizer prepare: --out SET is missing"},
        {ARGUMENTS("prepare", "--out", out), 2, "", "colorizer prepare: give folders"},
        {ARGUMENTS("prepare", "--out", out, "--side", "5", in), 2, "", "--side is 5, allowed is"},
        {ARGUMENTS("prepare", "--out", out, "--side", "x", in), 2, "", "colorizer prepare: "},
        {ARGUMENTS("prepare", "--outt", out, in), 2, "", "see colorizer prepare --help"},
        {ARGUMENTS("prepare", "--out", out, "/no/such/picture"), 1, "",
         "colorizer prepare: cannot read '/no/such/picture'"},
        {ARGUMENTS("prepare", "--out", "/no/such/folder/x.set", in), 1, "",
         "colorizer prepare: cannot create '/no/such/folder/x.set'"},
        {ARGUMENTS("prepare", "--out", in, in), 1, "", "it is a folder"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(uses); i++)
        expect_use(&uses[i]);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;

    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    // libvips warns of every broken file; that is no fault of ours.
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
    train_vips_start(&error);
    g_assert_no_error(error);
    g_test_add_func("/training/prepare/judges_every_kind", judges_every_kind);
    g_test_add_func("/training/prepare/keeps_shape_and_side", keeps_shape_and_side);
    g_test_add_func("/training/prepare/takes_files_named_anyhow", takes_files_named_anyhow);
    g_test_add_func("/training/prepare/same_pictures_same_file", same_pictures_same_file);
    g_test_add_func("/training/prepare/failures_leave_nothing_behind",
                    failures_leave_nothing_behind);
    g_test_add_func("/training/prepare/nothing_to_take_is_a_failure", nothing_to_take_is_a_failure);
    g_test_add_func("/training/prepare/folders_in_circles_end", folders_in_circles_end);
    g_test_add_func("/training/prepare/every_failing_allocation_is_survived",
                    every_failing_allocation_is_survived);
    g_test_add_func("/training/prepare/program_says_what_it_did", program_says_what_it_did);
    return g_test_run();
}
