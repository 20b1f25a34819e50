// SPDX-License-Identifier: LGPL-3.0-or-later
// Pictures into a set: each kind of picture meets its verdict, and the program says so.
#include "prepare_bench.h"

#include <cz/error.h>
#include <cz/memory.h>

#include "decode.h"

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
    expect_counts(&bench, (const size_t[TRAIN_VERDICTS]){[TRAIN_TAKEN] = 5,
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
    expect_line(&bench, "zz-again.jpg: seen before (the same pixels as '");
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

// 300 x 100 was squashed to 256 x 256 (and so were circles in it).
static void bug_13_shapes_are_kept(void)
{
    static const int sides[][3] = {{256, 300, 100}, {100, 300, 100}, {96, 288, 96}};
    g_auto(Bench) bench = bench_new();

    put_image(&bench.folder, "wide.png", LOOK_COLOUR, 300, 100, 1);
    for (size_t i = 0; i < G_N_ELEMENTS(sides); i++) {
        g_assert_true(prepare_folder(&bench, sides[i][0]));
        g_autoptr(TrainSet) set = train_set_open(bench.out, NULL);
        TrainPicture picture = train_set_picture(set, 0);

        g_assert_cmpint(picture.width, ==, sides[i][1]);
        g_assert_cmpint(picture.height, ==, sides[i][2]);
        g_assert_cmpint(picture.width, ==, 3 * picture.height);
    }
}

static void several_folders_and_archives_make_one_set(void)
{
    static const char *const box[] = {"d.webp", NULL};
    static const char *const names[] = {"one/a.jpg", "two/b.png", "c.tif", "d.webp"};
    g_auto(Bench) bench = bench_new();
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);

    for (int i = 0; i < 4; i++)
        put_image(&bench.folder, names[i], LOOK_COLOUR, 120, 110, i);
    put_archive(&bench.folder, "box.tar.gz", box);
    for (int i = 0; i < 4; i++)
        g_ptr_array_add(paths, folder_file(&bench.folder, i == 3   ? "box.tar.gz"
                                                          : i == 2 ? "c.tif"
                                                          : i      ? "two"
                                                                   : "one"));
    g_assert_true(prepare(&bench, 256, (const char *const *)paths->pdata, paths->len));
    expect_counts(&bench, (const size_t[TRAIN_VERDICTS]){[TRAIN_TAKEN] = 4});
    g_autoptr(TrainSet) set = train_set_open(bench.out, NULL);
    for (size_t i = 0; i < 4; i++)
        g_assert_true(g_str_has_suffix(train_set_picture(set, i).name, names[i]));
}

static void colour_halves_are_taken_and_grey_ones_passed_over(void)
{
    g_auto(Bench) bench = bench_new();

    for (int i = 0; i < 3; i++) {
        g_autofree char *colour = g_strdup_printf("landscape Images/color/%d.jpg", i);
        g_autofree char *grey = g_strdup_printf("landscape Images/gray/%d.jpg", i);

        put_image(&bench.folder, colour, LOOK_COLOUR, 150, 150, i);
        put_image(&bench.folder, grey, LOOK_GREY, 150, 150, i);
    }
    g_assert_true(prepare_folder(&bench, 256));
    expect_counts(&bench,
                  (const size_t[TRAIN_VERDICTS]){[TRAIN_TAKEN] = 3, [TRAIN_PASSED_OVER] = 3});
    g_assert_cmpuint(bench.log.lines->len, ==, 4); // one sentence for the three
    expect_line(&bench, "gray: passed over ('");
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
        {ARGUMENTS("prepare", "--out", out, "--near-duplicates", "x", in), 2, "",
         "--near-duplicates is 'x', allowed is keep or drop"},
        {ARGUMENTS("prepare", "--out", out, "--near-bits", "17", in), 2, "", "--near-bits is 17"},
        {ARGUMENTS("prepare", "--out", out, "--validation", "0.6", in), 2, "", "--validation is"},
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
#define ADD(claim) g_test_add_func("/training/prepare/" #claim, claim)
    ADD(judges_every_kind);
    ADD(keeps_shape_and_side);
    ADD(bug_13_shapes_are_kept);
    ADD(several_folders_and_archives_make_one_set);
    ADD(colour_halves_are_taken_and_grey_ones_passed_over);
    ADD(takes_files_named_anyhow);
    ADD(same_pictures_same_file);
    ADD(failures_leave_nothing_behind);
    ADD(nothing_to_take_is_a_failure);
    ADD(folders_in_circles_end);
    ADD(every_failing_allocation_is_survived);
    ADD(program_says_what_it_did);
    return g_test_run();
}
