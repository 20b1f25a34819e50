// SPDX-License-Identifier: LGPL-3.0-or-later
// The set's file: what is written is read, and nothing that a file says is believed.
#include "folder.h"

#include <cz/error.h>
#include <cz/memory.h>

#include "set_format.h"

enum { N_FLIPS = 6000 };

static void returns_what_was_written(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "a.set");
    g_autoptr(GError) error = NULL;

    make_set(path, 7, 11, 5, 1);
    g_autoptr(TrainSet) set = train_set_open(path, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(train_set_n(set), ==, 7);
    for (int i = 0; i < 7; i++) {
        TrainPicture picture = train_set_picture(set, (size_t)i);
        g_autofree uint8_t *rgb = make_pixels(picture.width, picture.height, 1 + (uint64_t)i);
        g_autofree char *name = g_strdup_printf("picture-%d", i);
        size_t n = (size_t)picture.width * (size_t)picture.height * 3;

        g_assert_cmpint(picture.width, ==, 11 + i % 5);
        g_assert_cmpint(picture.height, ==, 5 + i % 3);
        g_assert_cmpstr(picture.name, ==, name);
        g_assert_cmpmem(picture.rgb, n, rgb, n);
        g_assert_cmphex(picture.hash, ==, train_picture_hash(rgb, picture.width, picture.height));
    }
    g_assert_cmpuint(folder_count(&folder), ==, 1);
}

static void is_known_by_its_content(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "without-ending");
    g_autofree char *other = folder_file(&folder, "other.set");

    make_set(path, 2, 11, 5, 1);
    g_assert_true(train_set_is(path));
    g_assert_true(g_file_set_contents(other, "czset\r\n", 7, NULL)); // one byte short
    g_assert_false(train_set_is(other));
    g_assert_false(train_set_is(folder.path));
    g_assert_false(train_set_is("/nonexistent/a.set"));
}

static void keeps_odd_names_and_no_pictures(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "a.set");
    g_autoptr(GError) error = NULL;
    g_autoptr(TrainSetWriter) writer = train_set_writer_new(path, &error);
    uint8_t rgb[3] = {1, 2, 3};
    TrainPicture picture = {1, 1, 9, "caf\xe9", rgb}, nameless = {1, 1, 8, NULL, rgb};

    g_assert_true(train_set_writer_add(writer, &picture, &error));
    g_assert_true(train_set_writer_add(writer, &nameless, &error));
    g_assert_true(train_set_writer_finish(writer, &error));
    g_autoptr(TrainSet) set = train_set_open(path, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(train_set_picture(set, 0).name, ==, "caf\xef\xbf\xbd");
    g_assert_cmpstr(train_set_picture(set, 1).name, ==, "");

    g_autofree char *empty = folder_file(&folder, "empty.set");
    make_set(empty, 0, 1, 1, 0);
    g_autoptr(TrainSet) none = train_set_open(empty, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(train_set_n(none), ==, 0);
}

static void refuses_impossible_sizes(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "a.set");
    g_autoptr(GError) error = NULL;
    g_autoptr(TrainSetWriter) writer = train_set_writer_new(path, &error);
    TrainPicture picture = {TRAIN_SET_MAX_SIDE + 1, 1, 0, "x", NULL};

    g_assert_false(train_set_writer_add(writer, &picture, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_SHAPE);
}

// ---- broken files -------------------------------------------------------------------------------

// Opens bytes as a set and reads all of it. Gives TRUE if it opened; else there must be a sentence
// that names the file.
static bool open_bytes(const char *path, const char *bytes, size_t n_bytes, char **message)
{
    g_autoptr(GError) error = NULL;
    uint64_t sum = 0;

    // A new file: one that is overwritten is flushed to the disk by many file systems.
    g_unlink(path);
    FILE *file = g_fopen(path, "wb");
    g_assert_cmpuint(fwrite(bytes, 1, n_bytes, file), ==, n_bytes);
    fclose(file);
    g_autoptr(TrainSet) set = train_set_open(path, &error);
    if (!set) {
        g_assert_error(error, CZ_ERROR, CZ_ERROR_FORMAT);
        g_assert_nonnull(strstr(error->message, path));
        if (message)
            *message = g_strdup(error->message);
        return FALSE;
    }
    for (size_t i = 0; i < train_set_n(set); i++) {
        TrainPicture picture = train_set_picture(set, i);

        for (size_t k = 0; k < (size_t)picture.width * (size_t)picture.height * 3; k++)
            sum += picture.rgb[k];
        sum += strlen(picture.name);
    }
    return sum != UINT64_MAX; // never; but so the reading is not left out
}

// Makes the checksum right for whatever the tables say now, where that is possible.
static void sign(char *bytes, size_t n_bytes)
{
    uint64_t index = get_u64((uint8_t *)bytes + 24);
    GChecksum *sum;

    if (index > n_bytes)
        return;
    sum = g_checksum_new(G_CHECKSUM_SHA256);
    g_checksum_update(sum, (guchar *)bytes + index, (gssize)(n_bytes - index));
    put_u64((uint8_t *)bytes + 56, checksum_finish(sum));
}

typedef struct {
    Folder folder;
    char *path, *bytes;
    size_t n_bytes;
} Good;

static Good good_new(void)
{
    Good good = {.folder = folder_new()};

    good.path = folder_file(&good.folder, "a.set");
    make_set(good.path, 3, 6, 4, 5);
    g_assert_true(g_file_get_contents(good.path, &good.bytes, &good.n_bytes, NULL));
    return good;
}

static void good_free(Good *good)
{
    folder_free(&good->folder);
    g_free(good->path);
    g_free(good->bytes);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Good, good_free)

static void refuses_every_cut(void)
{
    g_auto(Good) good = good_new();

    for (size_t n = 0; n < good.n_bytes; n++)
        if (open_bytes(good.path, good.bytes, n, NULL))
            g_test_message("cut to %zu bytes of %zu it opened", n, good.n_bytes), g_test_fail();
}

static void refuses_what_is_behind_the_end(void)
{
    g_auto(Good) good = good_new();
    g_autofree char *longer = g_malloc0(good.n_bytes + 8);

    memcpy(longer, good.bytes, good.n_bytes);
    g_assert_false(open_bytes(good.path, longer, good.n_bytes + 8, NULL));
}

typedef struct {
    const char *what;
    bool in_entry; // offset counts from the second entry
    int offset, n_bytes;
    uint64_t value;
    const char *sentence; // part of it
} Lie;

static void tell_lie(const Good *good, const Lie *lie)
{
    g_autofree char *bytes = g_memdup2(good->bytes, good->n_bytes);
    g_autofree char *message = NULL;
    uint64_t index = get_u64((uint8_t *)bytes + 24);
    uint8_t *at = (uint8_t *)bytes + lie->offset + (lie->in_entry ? index + SET_ENTRY_BYTES : 0);

    if (lie->n_bytes == 4)
        put_u32(at, (uint32_t)lie->value);
    else
        put_u64(at, lie->value);
    if (lie->offset != 56 || lie->in_entry)
        sign(bytes, good->n_bytes);
    if (open_bytes(good->path, bytes, good->n_bytes, &message)) {
        g_test_message("%s: opened", lie->what);
        g_test_fail();
    } else if (!strstr(message, lie->sentence)) {
        g_test_message("%s: expected '%s', found '%s'", lie->what, lie->sentence, message);
        g_test_fail();
    }
}

static void refuses_lies(void)
{
    // clang-format off
    static const Lie lies[] = {
        {"magic", false, 0, 4, 0x61616161, "is not a set"},
        {"version", false, 8, 4, 2, "expected version 1, found 2"},
        {"bytes of an entry", false, 12, 4, 24, "expected entries of 32 bytes, found 24"},
        {"one picture more", false, 16, 8, 4, "leaves the file"},
        {"one picture less", false, 16, 8, 2, "not between index and end"},
        {"very many pictures", false, 16, 8, UINT64_MAX, "leaves the file"},
        {"pictures whose bytes overflow", false, 16, 8, UINT64_C(1) << 59, "leaves the file"},
        {"index in the header", false, 24, 8, 8, "leaves the file"},
        {"index behind the end", false, 24, 8, UINT64_MAX - 8, "leaves the file"},
        {"names elsewhere", false, 32, 8, 64, "not between index and end"},
        {"fewer names", false, 40, 8, 1, "not between index and end"},
        {"names beyond the end", false, 40, 8, UINT64_MAX, "not between index and end"},
        {"bytes of the file", false, 48, 8, 1, "expected 1 bytes, found"},
        {"checksum", false, 56, 8, 1, "do not match their checksum"},
        {"pixels in the header", true, 0, 8, 0, "pixels leave their place"},
        {"pixels behind the end", true, 0, 8, UINT64_MAX - 2, "pixels leave their place"},
        {"pixels in the index", true, 0, 8, 300, "pixels leave their place"},
        {"name behind the names", true, 16, 8, 1000, "name lies outside"},
        {"name far off", true, 16, 8, UINT64_MAX, "name lies outside"},
        {"no width", true, 24, 4, 0, "a size of 0x"},
        {"vast width", true, 24, 4, UINT32_MAX, "a size of 4294967295x"},
        {"larger than the file", true, 24, 4, 16000, "pixels leave their place"},
        {"no height", true, 28, 4, 0, "a size of 7x0"},
    };
    // clang-format on
    g_auto(Good) good = good_new();

    for (size_t i = 0; i < G_N_ELEMENTS(lies); i++)
        tell_lie(&good, &lies[i]);
}

static void survives_any_flip(void)
{
    g_auto(Good) good = good_new();
    CzRng rng = cz_rng(3, 3);
    int opened = 0;

    for (int i = 0; i < N_FLIPS; i++) {
        g_autofree char *bytes = g_memdup2(good.bytes, good.n_bytes);
        int n_flips = 1 + (int)cz_rng_below(&rng, 3);
        // Most hits on the tables, which are what is believed or not; pixels may be anything.
        size_t index = (size_t)get_u64((uint8_t *)bytes + 24);

        for (int k = 0; k < n_flips; k++) {
            size_t at = cz_rng_below(&rng, 2)
                            ? cz_rng_below(&rng, 64)
                            : index + cz_rng_below(&rng, (uint32_t)(good.n_bytes - index));

            bytes[at] = (char)(bytes[at] ^ (1 << cz_rng_below(&rng, 8)));
        }
        if (i % 4)
            sign(bytes, good.n_bytes);
        opened += open_bytes(good.path, bytes, good.n_bytes, NULL);
    }
    g_test_message("%d of %d opened", opened, N_FLIPS);
    g_assert_cmpint(opened, <, N_FLIPS / 2);
}

static void names_what_is_no_set(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *missing = folder_file(&folder, "none.set");
    g_autoptr(GError) error = NULL;

    g_assert_null(train_set_open(missing, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
    g_assert_nonnull(strstr(error->message, "none.set"));
    g_clear_error(&error);
    g_assert_null(train_set_open(folder.path, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
    g_assert_nonnull(strstr(error->message, "it is a folder"));
}

// ---- writing ------------------------------------------------------------------------------------

static bool write_one(const char *path, uint8_t value, GError **error)
{
    g_autoptr(TrainSetWriter) writer = train_set_writer_new(path, error);
    uint8_t rgb[3] = {value, value, value};
    TrainPicture picture = {1, 1, value, "x", rgb};

    return writer && train_set_writer_add(writer, &picture, error) &&
           train_set_writer_finish(writer, error);
}

static void failed_write_leaves_the_old_set(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "a.set");
    unsigned long n = 0;
    bool done = FALSE;

    g_assert_true(write_one(path, 1, NULL));
    while (!done && n < 100) {
        g_autoptr(GError) error = NULL;

        cz_fault_arm(CZ_FAULT_FILE, ++n);
        done = write_one(path, 2, &error);
        cz_fault_arm(CZ_FAULT_FILE, 0);
        g_autoptr(TrainSet) set = train_set_open(path, NULL);
        g_assert_nonnull(set);
        g_assert_cmpint(train_set_picture(set, 0).rgb[0], ==, done ? 2 : 1);
        g_assert_cmpuint(folder_count(&folder), ==, 1);
        if (!done)
            g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
    }
    g_test_message("%lu places to fail", n - 1);
    g_assert_cmpuint(n, >, 5);
    g_assert_true(done);
}

// Pictures of more than one piece that is moved at a time; of them those that keep says.
static bool write_some(const char *path, const bool *keep, int n, bool at_all, GError **error)
{
    g_autoptr(TrainSetWriter) writer = train_set_writer_new(path, error);

    for (int i = 0; writer && i < n; i++) {
        int32_t width = 150 + 20 * i;
        g_autofree uint8_t *rgb = make_pixels(width, 200, (uint64_t)i);
        g_autofree char *name = g_strdup_printf("picture %d", i);
        const TrainPicture picture = {width, 200, (uint64_t)i, name, rgb};

        if ((at_all || keep[i]) && !train_set_writer_add(writer, &picture, error))
            return FALSE;
    }
    return writer && (!at_all || train_set_writer_keep(writer, keep, error)) &&
           train_set_writer_finish(writer, error);
}

static void what_is_not_kept_was_never_there(void)
{
    enum { N = 5 };
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "a.set"), *other = folder_file(&folder, "b.set");

    for (unsigned choice = 0; choice < 1u << N; choice++) {
        g_autofree char *found = NULL, *expected = NULL;
        size_t n_found, n_expected;
        bool keep[N];

        for (int i = 0; i < N; i++)
            keep[i] = choice >> i & 1;
        g_assert_true(write_some(path, keep, N, TRUE, NULL));
        g_assert_true(write_some(other, keep, N, FALSE, NULL));
        g_assert_true(g_file_get_contents(path, &found, &n_found, NULL));
        g_assert_true(g_file_get_contents(other, &expected, &n_expected, NULL));
        if (n_found != n_expected || memcmp(found, expected, n_found) != 0) {
            g_test_message("choice %x: another file", choice);
            g_test_fail();
        }
    }
}

static void failed_closing_of_gaps_leaves_nothing(void)
{
    static const bool keep[] = {false, true, true};
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "a.set");
    unsigned long n = 0;
    bool done = FALSE;

    while (!done && n < 100) {
        g_autoptr(GError) error = NULL;

        cz_fault_arm(CZ_FAULT_FILE, ++n);
        done = write_some(path, keep, 3, TRUE, &error);
        cz_fault_arm(CZ_FAULT_FILE, 0);
        g_assert_cmpuint(folder_count(&folder), ==, done);
        if (!done)
            g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
    }
    g_test_message("%lu places to fail", n - 1);
    g_assert_cmpuint(n, >, 10);
    g_assert_true(done);
}

static void unwritable_paths_have_a_sentence(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *nowhere = folder_file(&folder, "no/such/folder.set");
    g_autoptr(GError) error = NULL;

    g_assert_null(train_set_writer_new(nowhere, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
    g_clear_error(&error);
    g_assert_null(train_set_writer_new(folder.path, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
    g_assert_nonnull(strstr(error->message, "it is a folder"));
}

// ---- the split ----------------------------------------------------------------------------------

static void split_is_even_and_only_grows(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "a.set");
    size_t last = 0, n_held, n_rest;

    make_set(path, 2000, 2, 2, 9);
    g_autoptr(TrainSet) set = train_set_open(path, NULL);
    for (int i = 0; i <= 10; i++) {
        double share = i / 10.0, expected = 2000 * share;
        g_autofree uint32_t *held = train_set_split(set, share, TRUE, &n_held);
        g_autofree uint32_t *rest = train_set_split(set, share, FALSE, &n_rest);

        g_assert_cmpuint(n_held + n_rest, ==, 2000);
        g_assert_cmpuint(n_held, >=, last);
        // Binomial: five deviations of at most sqrt(2000 / 4) = 22.4.
        g_assert_cmpfloat(ABS((double)n_held - expected), <=, i % 10 ? 112.0 : 0.0);
        for (size_t k = 1; k < n_held; k++)
            g_assert_cmpuint(held[k - 1], <, held[k]);
        last = n_held;
    }
}

static void split_hangs_on_content_alone(void)
{
    g_autofree uint8_t *rgb = make_pixels(9, 9, 4);
    TrainPicture a = {9, 9, train_picture_hash(rgb, 9, 9), "a", rgb};
    uint64_t same = train_picture_hash(rgb, 9, 9), turned = train_picture_hash(rgb, 27, 3);

    g_assert_cmphex(a.hash, ==, same);
    g_assert_cmphex(a.hash, !=, turned);
    rgb[0] ^= 1;
    g_assert_cmphex(a.hash, !=, train_picture_hash(rgb, 9, 9));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/training/set/returns_what_was_written", returns_what_was_written);
    g_test_add_func("/training/set/is_known_by_its_content", is_known_by_its_content);
    g_test_add_func("/training/set/keeps_odd_names_and_no_pictures",
                    keeps_odd_names_and_no_pictures);
    g_test_add_func("/training/set/refuses_impossible_sizes", refuses_impossible_sizes);
    g_test_add_func("/training/set/refuses_every_cut", refuses_every_cut);
    g_test_add_func("/training/set/refuses_what_is_behind_the_end", refuses_what_is_behind_the_end);
    g_test_add_func("/training/set/refuses_lies", refuses_lies);
    g_test_add_func("/training/set/survives_any_flip", survives_any_flip);
    g_test_add_func("/training/set/names_what_is_no_set", names_what_is_no_set);
    g_test_add_func("/training/set/failed_write_leaves_the_old_set",
                    failed_write_leaves_the_old_set);
    g_test_add_func("/training/set/what_is_not_kept_was_never_there",
                    what_is_not_kept_was_never_there);
    g_test_add_func("/training/set/failed_closing_of_gaps_leaves_nothing",
                    failed_closing_of_gaps_leaves_nothing);
    g_test_add_func("/training/set/unwritable_paths_have_a_sentence",
                    unwritable_paths_have_a_sentence);
    g_test_add_func("/training/set/split_is_even_and_only_grows", split_is_even_and_only_grows);
    g_test_add_func("/training/set/split_hangs_on_content_alone", split_hangs_on_content_alone);
    return g_test_run();
}
