// SPDX-License-Identifier: LGPL-3.0-or-later
// What is held back stays apart: pictures that look alike are found, and none is on both sides.
#include "prepare_bench.h"

#include <cz/error.h>
#include <cz/memory.h>

#include "decode.h"
#include "lookalike.h"

// ---- hashes -------------------------------------------------------------------------------------

// A picture of 9 x 8 cells: lighter and darker columns and rows as told.
static TrainLook look_of(const uint8_t *cells, int32_t cell, bool mirrored)
{
    int32_t width = 9 * cell, height = 8 * cell;
    g_autofree uint8_t *rgb = g_malloc((size_t)width * (size_t)height * 3);
    const TrainPicture picture = {width, height, 1, "x", rgb};
    TrainLook look;

    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++) {
            int32_t column = mirrored ? 8 - x / cell : x / cell;

            memset(rgb + 3 * (y * width + x), cells[y / cell * 9 + column], 3);
        }
    g_assert_true(train_look_make(&look, &picture, NULL));
    return look;
}

static void hash_compares_neighbours(void)
{
    uint8_t cells[72];
    uint64_t expected = 0;
    CzRng rng = cz_rng(1, 1);

    for (int i = 0; i < 72; i++)
        cells[i] = (uint8_t)(3 * cz_rng_below(&rng, 80));
    for (int i = 0; i < 64; i++)
        expected |= (uint64_t)(cells[i / 8 * 9 + i % 8] > cells[i / 8 * 9 + i % 8 + 1]) << i;
    for (int32_t cell = 1; cell <= 20; cell += 6) {
        TrainLook look = look_of(cells, cell, false), mirrored = look_of(cells, cell, true);

        g_assert_cmphex(look.bits, ==, expected);
        g_assert_cmphex(look.mirrored, ==, mirrored.bits);
        g_assert_cmphex(look.bits, ==, mirrored.mirrored);
    }
}

// Rows that all fall to the right, so that all bits are set, at a brightness that seed decides.
static TrainLook look_of_rows(uint64_t seed, bool mirrored)
{
    uint8_t cells[72];
    CzRng rng = cz_rng(seed, 9);

    for (int y = 0; y < 8; y++)
        for (int x = 0, row = (int)cz_rng_below(&rng, 180); x < 9; x++)
            cells[9 * y + (mirrored ? 8 - x : x)] = (uint8_t)(row + 50 - 3 * x);
    return look_of(cells, 4, false);
}

static void equal_bits_are_not_enough(void)
{
    TrainLook looks[3] = {look_of_rows(1, false), look_of_rows(2, false), look_of_rows(1, true)};
    TrainTwin twins[3];

    for (uint64_t i = 0; i < 3; i++)
        looks[i].hash = i;
    g_assert_cmphex(looks[0].bits, ==, UINT64_MAX);
    g_assert_cmphex(looks[1].bits, ==, UINT64_MAX);
    g_assert_cmphex(looks[2].bits, ==, 0);
    g_assert_true(train_look_twins(looks, 3, 0, 1, 0, twins, NULL));
    g_assert_cmpuint(twins[0].index, ==, TRAIN_NO_TWIN);
    g_assert_cmpuint(twins[1].index, ==, TRAIN_NO_TWIN); // rows of another brightness
    g_assert_cmpuint(twins[2].index, ==, 0);             // the same, mirrored
}

// Random pictures, a third of them copies of one before with up to 8 bits changed, some mirrored.
static void make_looks(TrainLook *looks, size_t n, uint64_t seed)
{
    CzRng rng = cz_rng(seed, 2);

    for (size_t i = 0; i < n; i++) {
        uint64_t random[3];

        for (int k = 0; k < 3; k++)
            random[k] = (uint64_t)cz_rng_u32(&rng) << 32 | cz_rng_u32(&rng);
        looks[i] = (TrainLook){.hash = random[0], .bits = random[1], .mirrored = random[2]};
        if (i == 0 || cz_rng_below(&rng, 3) > 0)
            continue;
        looks[i] = looks[cz_rng_below(&rng, (uint32_t)i)];
        looks[i].hash = random[0];
        for (uint32_t k = cz_rng_below(&rng, 9); k > 0; k--)
            looks[i].bits ^= UINT64_C(1) << cz_rng_below(&rng, 64);
        if (cz_rng_below(&rng, 2)) {
            uint64_t bits = looks[i].bits;

            looks[i].bits = looks[i].mirrored;
            looks[i].mirrored = bits;
        }
    }
}

static int apart(const TrainLook *held, const TrainLook *other)
{
    return MIN(__builtin_popcountll(held->bits ^ other->bits),
               __builtin_popcountll(held->mirrored ^ other->bits));
}

static bool is_held(uint64_t hash, double share)
{
    const TrainPicture picture = {.hash = hash};

    return train_picture_held_back(&picture, share);
}

// Every pair looked at: those that stay are apart, and those that go have a twin that stays.
static void expect_parted(const TrainLook *looks, const TrainTwin *twins, size_t n, int max_bits)
{
    for (size_t i = 0; i < n; i++) {
        if (twins[i].index != TRAIN_NO_TWIN) {
            const TrainLook *twin = &looks[twins[i].index];

            g_assert_true(twins[twins[i].index].index == TRAIN_NO_TWIN);
            g_assert_true(is_held(twin->hash, 0.2) && twin->hash < looks[i].hash);
            g_assert_cmpint(twins[i].n_bits, <=, max_bits);
            g_assert_cmpint(twins[i].n_bits, >=, apart(twin, &looks[i]));
            continue;
        }
        for (size_t k = 0; k < n && is_held(looks[i].hash, 0.2); k++)
            if (twins[k].index == TRAIN_NO_TWIN && looks[k].hash > looks[i].hash)
                g_assert_cmpint(apart(&looks[i], &looks[k]), >, max_bits);
    }
}

static void no_pair_is_missed_and_none_goes_in_vain(void)
{
    enum { N = 600 };
    TrainLook looks[N];
    TrainTwin twins[N];

    make_looks(looks, N, 3);
    for (int max_bits = 0; max_bits <= TRAIN_LOOK_MAX_BITS; max_bits++) {
        int n_twins = 0;

        g_assert_true(train_look_twins(looks, N, 0, 0.2, max_bits, twins, NULL));
        expect_parted(looks, twins, N, max_bits);
        for (size_t i = 0; i < N; i++)
            n_twins += twins[i].index != TRAIN_NO_TWIN;
        g_test_message("%d bits: %d of %d go", max_bits, n_twins, N);
        g_assert_cmpint(n_twins, >, 20); // a fifth of 600 / 3 copies, if they differ in nothing
    }
}

static void what_is_of_elsewhere_stays_and_sends_away_all_that_look_so(void)
{
    enum { N = 400, FIXED = 60 };
    TrainLook looks[N];
    TrainTwin twins[N];
    int n_gone = 0;

    make_looks(looks, N, 11);
    for (size_t i = 0; i < FIXED; i++)
        looks[i].hash = UINT64_MAX; // means nothing
    g_assert_true(train_look_twins(looks, N, FIXED, 0, 5, twins, NULL));
    for (size_t i = 0; i < FIXED; i++)
        g_assert_cmpuint(twins[i].index, ==, TRAIN_NO_TWIN);
    for (size_t i = FIXED; i < N; i++) {
        bool near = false;

        for (size_t k = 0; k < FIXED; k++)
            near = near || apart(&looks[k], &looks[i]) <= 5;
        g_assert_cmpint(twins[i].index != TRAIN_NO_TWIN, ==, near);
        if (near)
            g_assert_cmpuint(twins[i].index, <, FIXED);
        n_gone += near;
    }
    g_test_message("%d of %d go", n_gone, N - FIXED);
    g_assert_cmpint(n_gone, >, 5);
}

static void order_changes_nothing(void)
{
    enum { N = 300 };
    TrainLook looks[N], turned[N];
    TrainTwin twins[N], others[N];

    make_looks(looks, N, 5);
    for (size_t i = 0; i < N; i++)
        turned[i] = looks[N - 1 - i];
    g_assert_true(train_look_twins(looks, N, 0, 0.3, 5, twins, NULL));
    g_assert_true(train_look_twins(turned, N, 0, 0.3, 5, others, NULL));
    for (size_t i = 0; i < N; i++) {
        uint32_t other = others[N - 1 - i].index;

        g_assert_cmpuint(twins[i].index, ==, other == TRAIN_NO_TWIN ? other : N - 1 - other);
    }
}

static void nothing_held_back_lets_all_stay(void)
{
    enum { N = 100 };
    TrainLook looks[N];
    TrainTwin twins[N];

    make_looks(looks, N, 5);
    g_assert_true(train_look_twins(looks, N, 0, 0, 16, twins, NULL));
    for (size_t i = 0; i < N; i++)
        g_assert_cmpuint(twins[i].index, ==, TRAIN_NO_TWIN);
    g_assert_true(train_look_twins(looks, 0, 0, 0.5, 5, twins, NULL));
}

// All against all would be 5,000,000,000 comparisons, some 10 s.
static void a_hundred_thousand_take_no_time(void)
{
    enum { N = 100000 };
    g_autofree TrainLook *looks = g_new(TrainLook, N);
    g_autofree TrainTwin *twins = g_new(TrainTwin, N);

    make_looks(looks, N, 7);
    int64_t begin = g_get_monotonic_time();
    g_assert_true(train_look_twins(looks, N, 0, 0.02, 5, twins, NULL));
    double seconds = (double)(g_get_monotonic_time() - begin) * 1e-6;
    g_test_message("%.3f s", seconds);
    g_assert_cmpfloat(seconds, <, 3); // of which the index takes 0.3
}

// ---- sets ---------------------------------------------------------------------------------------

enum { CELL = 16, WIDE = 9 * CELL, HIGH = 8 * CELL, N_SEEDS = 12 };

// Cells of colours that seed decides, as different from another seed's as can be. A version is
// lighter or darker by a few values, odd ones mirrored. Gives the hash.
static uint64_t put_cells(const Folder *folder, const char *name, uint64_t seed, int version)
{
    g_autofree uint8_t *cells = make_pixels(9, 8, seed), *rgb = g_malloc(WIDE * HIGH * 3);
    g_autofree char *path = folder_file(folder, name), *above = g_path_get_dirname(path);

    for (int y = 0; y < HIGH; y++)
        for (int x = 0; x < WIDE; x++)
            for (int c = 0; c < 3; c++) {
                int column = version % 2 ? 8 - x / CELL : x / CELL;
                int value = 10 + cells[(y / CELL * 9 + column) * 3 + c] * 9 / 10;

                rgb[(y * WIDE + x) * 3 + c] = (uint8_t)(value + 2 * version);
            }
    g_assert_cmpint(g_mkdir_with_parents(above, 0777), ==, 0);
    VipsImage *image =
        vips_image_new_from_memory_copy(rgb, WIDE * HIGH * 3, WIDE, HIGH, 3, VIPS_FORMAT_UCHAR);
    image->Type = VIPS_INTERPRETATION_sRGB;
    write_image(image, path);
    return train_picture_hash(rgb, WIDE, HIGH);
}

// Pairs of versions 0 and 1 or 2, by turns; *n_split of them have a half that is held back at 0.5,
// and late[i] is the half of pair i that goes then.
static void put_pairs(const Bench *bench, size_t *n_split, char *late[N_SEEDS])
{
    *n_split = 0;
    for (uint64_t i = 0; i < N_SEEDS; i++) {
        g_autofree char *a = g_strdup_printf("%02d-a.png", (int)i);
        g_autofree char *b = g_strdup_printf("%02d-b.png", (int)i);
        uint64_t first = put_cells(&bench->folder, a, i, 0);
        uint64_t second = put_cells(&bench->folder, b, i, 1 + (int)(i % 2));
        bool split = is_held(MIN(first, second), 0.5);

        *n_split += split;
        late[i] = split ? g_strdup(first > second ? a : b) : NULL;
    }
}

static void near_duplicates_of_held_back_pictures_go(void)
{
    g_auto(Bench) bench = bench_new();
    g_autofree char *whole = NULL, *without = NULL;
    char *late[N_SEEDS];
    size_t n_split, n_whole, n_without;

    put_pairs(&bench, &n_split, late);
    bench.params.held_back = 0.5;
    bench.params.near_bits = 5;
    g_assert_true(prepare_folder(&bench, 256));
    g_test_message("%zu of %d pairs have a half that is held back", n_split, N_SEEDS);
    g_assert_cmpuint(n_split, >, 3);
    g_assert_cmpuint(n_split, <, N_SEEDS);
    expect_counts(&bench, (const size_t[TRAIN_VERDICTS]){
                              [TRAIN_TAKEN] = 2 * N_SEEDS - n_split, [TRAIN_NEAR] = n_split});
    g_assert_true(g_file_get_contents(bench.out, &whole, &n_whole, NULL));
    g_assert_cmpuint(bench.counts.n_bytes, ==, (uint64_t)(2 * N_SEEDS - n_split) * WIDE * HIGH * 3);
    for (int i = 0; i < N_SEEDS; i++)
        if (late[i]) {
            g_autofree char *line =
                g_strdup_printf("%s: like one that is held back (looks like '", late[i]);
            g_autofree char *path = folder_file(&bench.folder, late[i]);

            expect_line(&bench, line);
            g_unlink(path);
            g_free(late[i]);
        }
    // The set is the same as if they had never been there.
    g_assert_true(prepare_folder(&bench, 256));
    g_assert_cmpuint(bench.counts.n[TRAIN_NEAR], ==, 0);
    g_assert_true(g_file_get_contents(bench.out, &without, &n_without, NULL));
    g_assert_cmpmem(whole, n_whole, without, n_without);
}

static void near_duplicates_are_kept_if_asked_for(void)
{
    g_auto(Bench) bench = bench_new();
    char *late[N_SEEDS];
    size_t n_split, n_held = 0;

    put_pairs(&bench, &n_split, late);
    for (int i = 0; i < N_SEEDS; i++)
        g_free(late[i]);
    bench.params = (TrainPrepareParams){.held_back = 0.5, .near_bits = 5, .keep_near = true};
    g_assert_true(prepare_folder(&bench, 256));
    expect_counts(&bench, (const size_t[TRAIN_VERDICTS]){
                              [TRAIN_TAKEN] = 2 * N_SEEDS - n_split, [TRAIN_NEAR_TAKEN] = n_split});
    g_autoptr(TrainSet) set = train_set_open(bench.out, NULL);
    g_assert_cmpuint(train_set_n(set), ==, 2 * N_SEEDS);
    g_free(train_set_split(set, 0.5, true, &n_held));
    g_assert_cmpuint(bench.counts.n_held_back, ==, n_held);
}

static int compare_texts(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void what_looks_like_pictures_elsewhere_goes(void)
{
    g_auto(Bench) bench = bench_new();
    g_auto(Folder) elsewhere = folder_new();
    g_autofree char *broken = folder_file(&elsewhere, "broken.png");
    const char *const unlike[] = {elsewhere.path};

    for (uint64_t i = 0; i < 6; i++) {
        g_autofree char *name = g_strdup_printf("%d.png", (int)i);

        put_cells(&bench.folder, name, i, 0);
        if (i % 3 == 0)
            put_cells(&elsewhere, name, i, 1 + (int)(i % 2));
    }
    g_assert_true(g_file_set_contents(broken, "x", 1, NULL));
    bench.params = (TrainPrepareParams){.near_bits = 5, .unlike = unlike, .n_unlike = 1};
    g_assert_true(prepare_folder(&bench, 256));
    expect_counts(&bench, (const size_t[TRAIN_VERDICTS]){[TRAIN_TAKEN] = 4, [TRAIN_NEAR] = 2});
    expect_line(&bench, "0.png: like one that is held back (looks like '");
    expect_line(&bench, "3.png: like one that is held back (looks like '");
    g_assert_cmpuint(cz_memory_now(), ==, 0);
}

// Hashes of what a set holds back at 0.5, sorted, as text.
static char *held_of(const char *path)
{
    g_autoptr(TrainSet) set = train_set_open(path, NULL);
    g_autoptr(GPtrArray) hashes = g_ptr_array_new_with_free_func(g_free);
    size_t n;
    g_autofree uint32_t *held = train_set_split(set, 0.5, true, &n);

    for (size_t i = 0; i < n; i++)
        g_ptr_array_add(hashes, g_strdup_printf("%016" G_GINT64_MODIFIER "x",
                                                train_set_picture(set, held[i]).hash));
    g_ptr_array_sort(hashes, compare_texts);
    g_ptr_array_add(hashes, NULL);
    return g_strjoinv(" ", (char **)hashes->pdata);
}

// The seed took the first 80 % of the files of a folder, so that whole places and people were in
// one part alone, and other files beside them moved pictures from one part to the other.
static void bug_07_split_hangs_on_no_order(void)
{
    g_auto(Bench) bench = bench_new();
    int held[2] = {0};

    for (int i = 0; i < 2 * N_SEEDS; i++) {
        g_autofree char *name = g_strdup_printf("%d/%02d.png", i / N_SEEDS, i);
        g_autofree char *other = g_strdup_printf("other/%02d.png", 2 * N_SEEDS - i);

        held[i / N_SEEDS] += is_held(put_cells(&bench.folder, name, (uint64_t)i, 0), 0.5);
        put_cells(&bench.folder, other, (uint64_t)i, 0);
    }
    g_test_message("held back: %d and %d of %d in each folder", held[0], held[1], N_SEEDS);
    for (int i = 0; i < 2; i++)
        g_assert_true(held[i] > 0 && held[i] < N_SEEDS);
    g_autofree char *a = folder_file(&bench.folder, "0"), *b = folder_file(&bench.folder, "1");
    g_autofree char *c = folder_file(&bench.folder, "other");
    const char *const ways[][2] = {{a, b}, {b, a}, {c, NULL}};
    g_autofree char *first = NULL;
    for (int i = 0; i < 3; i++) {
        g_assert_true(prepare(&bench, 256, ways[i], i < 2 ? 2 : 1));
        g_autofree char *found = held_of(bench.out);

        if (first)
            g_assert_cmpstr(found, ==, first);
        else
            first = g_steal_pointer(&found);
    }
    // Each picture is where it would be alone.
    g_assert_true(prepare(&bench, 256, &ways[0][0], 1));
    g_autofree char *part = held_of(bench.out);
    g_auto(GStrv) hashes = g_strsplit(part, " ", -1);
    g_assert_cmpuint(g_strv_length(hashes), ==, (guint)held[0]);
    for (char **hash = hashes; *hash; hash++)
        g_assert_nonnull(strstr(first, *hash));
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;

    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    train_vips_start(&error);
    g_assert_no_error(error);
#define ADD(claim) g_test_add_func("/training/lookalike/" #claim, claim)
    ADD(hash_compares_neighbours);
    ADD(equal_bits_are_not_enough);
    ADD(no_pair_is_missed_and_none_goes_in_vain);
    ADD(what_is_of_elsewhere_stays_and_sends_away_all_that_look_so);
    ADD(order_changes_nothing);
    ADD(nothing_held_back_lets_all_stay);
    ADD(a_hundred_thousand_take_no_time);
    ADD(near_duplicates_of_held_back_pictures_go);
    ADD(what_looks_like_pictures_elsewhere_goes);
    ADD(near_duplicates_are_kept_if_asked_for);
    ADD(bug_07_split_hangs_on_no_order);
    return g_test_run();
}
