// SPDX-License-Identifier: LGPL-3.0-or-later
// Batches: the same whoever makes them, from any place on, and every picture in its turn.
#include "folder.h"

#include <cz/error.h>
#include <cz/memory.h>

#include "loader.h"

enum { N_PICTURES = 23, CROP = 8, BATCH = 5 };

static const TrainLoaderOptions options = {
    .augment = {CROP, 1, 1.5f, 0.5f, 0.5f, 0.25f}, .batch = BATCH, .n_threads = 1, .seed = 11};

static TrainSet *open_set(const Folder *folder)
{
    g_autofree char *path = folder_file(folder, "a.set");
    g_autoptr(GError) error = NULL;
    TrainSet *set;

    make_set(path, N_PICTURES, 20, 14, 1);
    set = train_set_open(path, &error);
    g_assert_no_error(error);
    return set;
}

static TrainLoader *start(const TrainSet *set, const TrainLoaderOptions *with)
{
    g_autoptr(GError) error = NULL;
    TrainLoader *loader = train_loader_new(set, with, &error);

    g_assert_no_error(error);
    return loader;
}

// A checksum over all of a batch; the caller frees.
static char *next_sum(TrainLoader *loader)
{
    g_autoptr(GError) error = NULL;
    const TrainBatch *batch = train_loader_next(loader, &error);
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
    char *text;

    g_assert_no_error(error);
    g_checksum_update(sum, (const guchar *)&batch->first_sample, sizeof batch->first_sample);
    g_checksum_update(sum, (const guchar *)batch->lightness,
                      (gssize)sizeof(float) * batch->n * batch->crop * batch->crop);
    g_checksum_update(sum, (const guchar *)batch->chroma,
                      (gssize)sizeof(float) * batch->n * batch->crop * batch->crop / 2);
    text = g_strdup(g_checksum_get_string(sum));
    g_checksum_free(sum);
    train_loader_release(loader, batch);
    return text;
}

static void expect_same(TrainLoader *a, TrainLoader *b, int n)
{
    for (int i = 0; i < n; i++) {
        g_autofree char *one = next_sum(a), *other = next_sum(b);

        if (!g_str_equal(one, other)) {
            g_test_message("batch %d of %d differs", i, n);
            g_test_fail();
            return;
        }
    }
}

static void threads_change_nothing(void)
{
    g_auto(Folder) folder = folder_new();
    g_autoptr(TrainSet) set = open_set(&folder);

    for (int n = 2; n <= 5; n++) {
        TrainLoaderOptions many = options;

        many.n_threads = n;
        many.n_ahead = n % 2 ? 0 : 2;
        g_autoptr(TrainLoader) one = start(set, &options);
        g_autoptr(TrainLoader) other = start(set, &many);
        expect_same(one, other, 60);
    }
}

static void goes_on_from_any_sample(void)
{
    static const uint64_t places[] = {1, 4, 22, 23, 24, 1000003, UINT64_C(1) << 40};
    g_auto(Folder) folder = folder_new();
    g_autoptr(TrainSet) set = open_set(&folder);
    TrainLoaderOptions later = options;

    later.first_sample = 7 * BATCH;
    g_autoptr(TrainLoader) whole = start(set, &options);
    g_autoptr(TrainLoader) rest = start(set, &later);
    for (int i = 0; i < 7; i++)
        g_free(next_sum(whole));
    expect_same(whole, rest, 20);
    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        TrainLoaderOptions far = options;

        far.first_sample = places[i];
        g_autoptr(TrainLoader) a = start(set, &far);
        far.n_threads = 3;
        g_autoptr(TrainLoader) b = start(set, &far);
        expect_same(a, b, 6);
    }
}

static void seeds_change_everything(void)
{
    g_auto(Folder) folder = folder_new();
    g_autoptr(TrainSet) set = open_set(&folder);
    TrainLoaderOptions other = options;

    other.seed++;
    g_autoptr(TrainLoader) a = start(set, &options);
    g_autoptr(TrainLoader) b = start(set, &other);
    for (int i = 0; i < 10; i++) {
        g_autofree char *one = next_sum(a), *two = next_sum(b);

        g_assert_cmpstr(one, !=, two);
    }
}

// Pictures of one colour each: L* of a sample says which picture it is.
static void make_plain_set(const char *path)
{
    g_autoptr(TrainSetWriter) writer = train_set_writer_new(path, NULL);

    for (int i = 0; i < N_PICTURES; i++) {
        uint8_t rgb[12 * 12 * 3];
        TrainPicture picture = {12, 12, 0, "plain", rgb};

        memset(rgb, i * 10, sizeof rgb);
        picture.hash = train_picture_hash(rgb, 12, 12);
        g_assert_true(train_set_writer_add(writer, &picture, NULL));
    }
    g_assert_true(train_set_writer_finish(writer, NULL));
}

// Number of the picture that a sample's lightness belongs to; samples are of one lightness.
static int picture_of(const float *lightness, const float *known)
{
    for (int i = 0; i < N_PICTURES; i++)
        if (ABS(*lightness - known[i]) < 1e-4f)
            return i;
    return -1;
}

static void know_pictures(const TrainSet *set, float *known)
{
    TrainAugmentParams plain = {.crop = 2, .scale_min = 1, .scale_max = 1};
    g_autoptr(TrainAugmenter) augmenter = train_augmenter_new();

    for (int i = 0; i < N_PICTURES; i++) {
        TrainPicture picture = train_set_picture(set, (size_t)i);
        CzRng rng = cz_rng(1, 1);
        float lightness[4], chroma[2];

        train_augment(augmenter, &plain, &picture, &rng, lightness, chroma, NULL);
        known[i] = lightness[0];
    }
}

static void every_picture_once_an_epoch(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "plain.set");
    TrainLoaderOptions two = options;
    int order[5][N_PICTURES];
    float known[N_PICTURES];

    make_plain_set(path);
    g_autoptr(TrainSet) set = train_set_open(path, NULL);
    know_pictures(set, known);
    two.n_threads = 2;
    two.augment.gamma_probability = 0;
    g_autoptr(TrainLoader) loader = start(set, &two);
    for (int at = 0; at < 5 * N_PICTURES; at += BATCH) {
        const TrainBatch *batch = train_loader_next(loader, NULL);

        for (int i = 0; i < BATCH; i++)
            order[(at + i) / N_PICTURES][(at + i) % N_PICTURES] =
                picture_of(batch->lightness + i * CROP * CROP, known);
        train_loader_release(loader, batch);
    }
    for (int epoch = 0; epoch < 5; epoch++) {
        int seen[N_PICTURES] = {0};

        for (int i = 0; i < N_PICTURES; i++) {
            g_assert_cmpint(order[epoch][i], >=, 0);
            seen[MAX(order[epoch][i], 0)]++;
        }
        for (int i = 0; i < N_PICTURES; i++)
            g_assert_cmpint(seen[i], ==, 1);
        if (epoch > 0)
            g_assert_cmpint(memcmp(order[epoch], order[epoch - 1], sizeof order[0]), !=, 0);
    }
}

// The seed loaded its pictures in the folder's order, the same in every epoch.
static void bug_07_no_epoch_is_in_the_sets_order(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "plain.set");
    TrainLoaderOptions one = options;
    float known[N_PICTURES];
    int neighbours = 0, repeated = 0, last[N_PICTURES] = {0};

    make_plain_set(path);
    g_autoptr(TrainSet) set = train_set_open(path, NULL);
    know_pictures(set, known);
    one.batch = N_PICTURES; // a batch is an epoch
    one.augment.gamma_probability = 0;
    g_autoptr(TrainLoader) loader = start(set, &one);
    for (int epoch = 0; epoch < 20; epoch++) {
        const TrainBatch *batch = train_loader_next(loader, NULL);
        int order[N_PICTURES];

        for (int i = 0; i < N_PICTURES; i++) {
            order[i] = picture_of(batch->lightness + i * CROP * CROP, known);
            neighbours += i > 0 && order[i] == order[i - 1] + 1;
            repeated += epoch > 0 && order[i] == last[i];
        }
        memcpy(last, order, sizeof last);
        train_loader_release(loader, batch);
    }
    // Of a shuffle about one pair of neighbours and one picture in its old place: 20 expected of
    // each, Poisson; five deviations more are 42. In order they would be 440 and 437.
    g_test_message("%d neighbours, %d in the same place", neighbours, repeated);
    g_assert_cmpint(neighbours, <, 42);
    g_assert_cmpint(repeated, <, 42);
}

static void held_back_pictures_never_come(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "plain.set");
    TrainLoaderOptions part = options;
    float known[N_PICTURES];

    make_plain_set(path);
    g_autoptr(TrainSet) set = train_set_open(path, NULL);
    know_pictures(set, known);
    part.held_back = 0.5;
    part.augment.gamma_probability = 0;
    g_autoptr(TrainLoader) loader = start(set, &part);
    g_test_message("%zu of %d pictures to train with", train_loader_n_pictures(loader), N_PICTURES);
    g_assert_cmpuint(train_loader_n_pictures(loader), <, N_PICTURES);
    for (int at = 0; at < 30; at++) {
        const TrainBatch *batch = train_loader_next(loader, NULL);

        for (int i = 0; i < BATCH; i++) {
            int found = picture_of(batch->lightness + i * CROP * CROP, known);
            TrainPicture picture = train_set_picture(set, (size_t)MAX(found, 0));

            g_assert_cmpint(found, >=, 0);
            g_assert_false(train_picture_held_back(&picture, 0.5));
        }
        train_loader_release(loader, batch);
    }
}

static void several_batches_can_be_held(void)
{
    g_auto(Folder) folder = folder_new();
    g_autoptr(TrainSet) set = open_set(&folder);
    TrainLoaderOptions ahead = options;
    const TrainBatch *held[4];

    ahead.n_ahead = 4;
    g_autoptr(TrainLoader) loader = start(set, &ahead);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 4; i++) {
            held[i] = train_loader_next(loader, NULL);
            g_assert_cmpuint(held[i]->first_sample, ==, (uint64_t)(round * 4 + i) * BATCH);
        }
        for (int i = 0; i < 4; i++)
            train_loader_release(loader, held[i]);
    }
}

static void stopping_early_leaks_nothing(void)
{
    g_auto(Folder) folder = folder_new();
    g_autoptr(TrainSet) set = open_set(&folder);
    size_t before = cz_memory_now();

    for (int i = 0; i < 40; i++) {
        TrainLoaderOptions some = options;

        some.n_threads = 1 + i % 4;
        TrainLoader *loader = start(set, &some);
        for (int k = 0; k < i % 3; k++)
            train_loader_release(loader, train_loader_next(loader, NULL));
        if (i % 5 == 0)
            train_loader_next(loader, NULL); // freed while a batch is out
        train_loader_free(loader);
    }
    g_assert_cmpuint(cz_memory_now(), ==, before);
}

static void out_of_memory_is_an_error(void)
{
    g_auto(Folder) folder = folder_new();
    g_autoptr(TrainSet) set = open_set(&folder);
    size_t before = cz_memory_now();
    unsigned long n = 0;
    bool done = FALSE;

    while (!done && n < 100) {
        g_autoptr(GError) error = NULL;
        const TrainBatch *batch = NULL;

        // One thread: the counter of faults is for one at a time, and here is no second to race.
        cz_fault_arm(CZ_FAULT_MEMORY, ++n);
        TrainLoader *loader = train_loader_new(set, &options, &error);
        if (loader)
            batch = train_loader_next(loader, &error);
        if (!batch)
            g_assert_error(error, CZ_ERROR, CZ_ERROR_MEMORY);
        train_loader_free(loader);
        cz_fault_arm(CZ_FAULT_MEMORY, 0);
        done = batch != NULL;
        g_assert_cmpuint(cz_memory_now(), ==, before);
    }
    g_test_message("%lu places to fail", n - 1);
    g_assert_cmpuint(n, >=, 5);
    g_assert_true(done);
}

static void impossible_options_have_a_sentence(void)
{
    g_auto(Folder) folder = folder_new();
    g_autoptr(TrainSet) set = open_set(&folder);
    g_autoptr(GError) error = NULL;
    TrainLoaderOptions bad = options;

    bad.held_back = 1;
    g_assert_null(train_loader_new(set, &bad, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT);
    g_assert_nonnull(strstr(error->message, "no picture to train with"));
    g_clear_error(&error);
    bad = options;
    bad.batch = 0;
    g_assert_null(train_loader_new(set, &bad, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT);
    g_clear_error(&error);
    bad = options;
    bad.augment.crop = 7;
    g_assert_null(train_loader_new(set, &bad, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/training/loader/threads_change_nothing", threads_change_nothing);
    g_test_add_func("/training/loader/goes_on_from_any_sample", goes_on_from_any_sample);
    g_test_add_func("/training/loader/seeds_change_everything", seeds_change_everything);
    g_test_add_func("/training/loader/every_picture_once_an_epoch", every_picture_once_an_epoch);
    g_test_add_func("/training/loader/bug_07_no_epoch_is_in_the_sets_order",
                    bug_07_no_epoch_is_in_the_sets_order);
    g_test_add_func("/training/loader/held_back_pictures_never_come",
                    held_back_pictures_never_come);
    g_test_add_func("/training/loader/several_batches_can_be_held", several_batches_can_be_held);
    g_test_add_func("/training/loader/stopping_early_leaks_nothing", stopping_early_leaks_nothing);
    g_test_add_func("/training/loader/out_of_memory_is_an_error", out_of_memory_is_an_error);
    g_test_add_func("/training/loader/impossible_options_have_a_sentence",
                    impossible_options_have_a_sentence);
    return g_test_run();
}
