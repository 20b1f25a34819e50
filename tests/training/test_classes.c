// SPDX-License-Identifier: LGPL-3.0-or-later
// Color classes: their squares, what is due at a place, the balance, the loss by value.
#include "steps.h"

#include <cz/color.h>
#include <cz/ops.h>
#include <cz/threads.h>

#include "folder.h"

enum { Q = CZ_N_CLASSES };

typedef struct {
    CzEngineDevice *device;
    CzStore *store;
    TrainClasses *classes;
} Fixture;

// balance: Q numbers, or NULL: 1.
static void fixture_init(Fixture *f, CzShape target, const float *balance)
{
    g_autoptr(GError) error = NULL;
    f->device = cz_device_open("cpu", &error);
    f->store = cz_store_new(f->device);
    g_assert_true(train_classes_start(f->store, 8, 1, &error));
    if (balance)
        g_assert_true(cz_store_write(f->store, "classes.balance", balance, &error));
    f->classes = train_classes_new(f->store, target, &error);
    g_assert_no_error(error);
}

static void fixture_clear(Fixture *f)
{
    train_classes_free(f->classes);
    cz_store_free(f->store);
    cz_device_close(f->device);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Fixture, fixture_clear)

static void random_balance(float balance[Q])
{
    CzRng rng = cz_rng(3, 3);
    for (int i = 0; i < Q; i++)
        balance[i] = 0.5f + cz_rng_uniform(&rng);
}

// By trying all squares, for colors in and out of the gamut.
static void five_nearest_share_a_color(void)
{
    g_auto(Fixture) f = {0};
    fixture_init(&f, cz_shape(1, Q, 1, 1), NULL);
    CzRng rng = cz_rng(1, 1);
    for (int turn = 0; turn < 5000; turn++) {
        const float ab[2] = {110 * (2 * cz_rng_uniform(&rng) - 1),
                             110 * (2 * cz_rng_uniform(&rng) - 1)};
        TrainClassShares shares;
        train_classes_spread(f.classes, ab, &shares);
        float distances[Q], sum = 0, last = 0;
        for (int i = 0; i < Q; i++) {
            float center[2];
            cz_class_center(i, center);
            distances[i] = hypotf(center[0] - ab[0], center[1] - ab[1]);
        }
        int n_nearer = 0;
        for (int k = 0; k < TRAIN_CLASSES_NEAREST; k++) {
            float d = distances[shares.index[k]], d0 = distances[shares.index[0]];
            g_assert_cmpfloat(d, >=, last - 1e-4f);
            last = d;
            sum += shares.share[k];
            float expected = expf((d0 * d0 - d * d) / 50);
            g_assert_cmpfloat_with_epsilon(shares.share[k] / shares.share[0], expected, 1e-3f);
        }
        for (int i = 0; i < Q; i++)
            n_nearer += distances[i] < last - 1e-3f;
        g_assert_cmpint(n_nearer, <, TRAIN_CLASSES_NEAREST);
        g_assert_cmpfloat_with_epsilon(sum, 1, 1e-6f);
    }
}

// The loss against the formula, place by place in double.
static void loss_is_balanced_cross_entropy(void)
{
    enum { N = 2, SIDE = 3, CHANNELS = 8, CHROMA = 11 }; // of 11: the last places stand for less
    g_auto(Fixture) f = {0};
    float balance[Q], features[N * SIDE * SIDE * CHANNELS], chroma[N * CHROMA * CHROMA * 2];
    random_balance(balance);
    fixture_init(&f, cz_shape(N, Q, SIDE, SIDE), balance);
    CzRng rng = cz_rng(2, 2);
    for (size_t i = 0; i < G_N_ELEMENTS(features); i++)
        features[i] = 3 * cz_rng_normal(&rng);
    for (size_t i = 0; i < G_N_ELEMENTS(chroma); i++)
        chroma[i] = 0.2f * cz_rng_normal(&rng);
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzValue input = cz_input(graph, "features", cz_shape(N, CHANNELS, SIDE, SIDE)), target;
    CzValue loss = train_classes_build(graph, input, &target);
    g_autoptr(GError) error = NULL;
    g_autoptr(CzPlan) plan = cz_plan_new(f.device, f.store, graph, &loss, 1, NULL, &error);
    size_t n;
    const float *due = train_classes_encode(f.classes, chroma, CHROMA, &n);
    float found, weight[Q * CHANNELS];
    g_assert_true(cz_plan_write(plan, input, features, G_N_ELEMENTS(features), &error) &&
                  cz_plan_write(plan, target, due, n, &error) && cz_plan_run(plan, NULL, &error) &&
                  cz_plan_read(plan, loss, &found, 1, &error) &&
                  cz_store_read(f.store, "classes.weight", weight, &error));
    double sum = 0;
    for (int place = 0; place < N * SIDE * SIDE; place++) {
        int y = place / SIDE % SIDE, x = place % SIDE, picture = place / SIDE / SIDE, count = 0;
        double mean[2] = {0}, logits[Q], total = 0;
        for (int i = 4 * y; i < MIN(4 * y + 4, CHROMA); i++)
            for (int j = 4 * x; j < MIN(4 * x + 4, CHROMA); j++, count++)
                for (int c = 0; c < 2; c++)
                    mean[c] += chroma[((picture * CHROMA + i) * CHROMA + j) * 2 + c];
        for (int q = 0; q < Q; q++) {
            logits[q] = 0;
            for (int c = 0; c < CHANNELS; c++)
                logits[q] += weight[q * CHANNELS + c] * features[place * CHANNELS + c];
            total += exp(logits[q]);
        }
        const float ab[2] = {(float)(100 * mean[0] / count), (float)(100 * mean[1] / count)};
        TrainClassShares shares;
        train_classes_spread(f.classes, ab, &shares);
        for (int k = 0; k < TRAIN_CLASSES_NEAREST; k++)
            sum -=
                balance[shares.index[0]] * shares.share[k] * (logits[shares.index[k]] - log(total));
    }
    sum /= N * SIDE * SIDE;
    g_test_message("%.8g, expected %.8g", (double)found, sum);
    // Colors that lie within rounding of the border of two squares are not among these.
    g_assert_cmpfloat(fabs(found - sum), <, 1e-5 * sum);
}

static void what_is_no_number_is_told(void)
{
    g_auto(Fixture) f = {0};
    fixture_init(&f, cz_shape(1, Q, 1, 1), NULL);
    float chroma[4 * 4 * 2] = {0};
    size_t n;
    chroma[5] = NAN;
    g_assert_true(isnan(train_classes_encode(f.classes, chroma, 4, &n)[0]));
    chroma[5] = INFINITY;
    g_assert_true(isnan(train_classes_encode(f.classes, chroma, 4, &n)[0]));
}

// Twelve green pictures and three red ones: red counts more, and the mean over the shares is 1.
static void balance_favours_the_rare(void)
{
    static const uint8_t green[3] = {40, 150, 60}, red[3] = {190, 50, 45};
    g_auto(Fixture) f = {0};
    g_auto(Folder) folder = folder_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *path = folder_file(&folder, "two.set");
    TrainSetWriter *writer = train_set_writer_new(path, &error);
    for (int i = 0; i < 15; i++) {
        uint8_t rgb[6 * 5 * 3];
        for (size_t k = 0; k < sizeof rgb; k++)
            rgb[k] = (i < 12 ? green : red)[k % 3];
        const TrainPicture picture = {6, 5, train_picture_hash(rgb, 6, 5), "a", rgb};
        g_assert_true(train_set_writer_add(writer, &picture, &error));
    }
    g_assert_true(train_set_writer_finish(writer, &error));
    train_set_writer_free(writer);
    g_autoptr(TrainSet) set = train_set_open(path, &error);
    g_assert_no_error(error);
    fixture_init(&f, cz_shape(1, Q, 1, 1), NULL);
    g_assert_true(train_classes_measure(f.store, set, 0, &error));
    float balance[Q];
    cz_store_read(f.store, "classes.balance", balance, &error);
    double mean = 0, p[Q] = {0};
    int squares[2];
    for (int i = 0; i < 2; i++) {
        float rgb[3], lab[3];
        TrainClassShares shares;
        for (int c = 0; c < 3; c++)
            rgb[c] = (float)(i ? red : green)[c] / 255;
        cz_rgb_to_lab(lab, rgb, 1);
        train_classes_spread(f.classes, lab + 1, &shares);
        squares[i] = shares.index[0];
        for (int k = 0; k < TRAIN_CLASSES_NEAREST; k++)
            p[shares.index[k]] += (i ? 0.2 : 0.8) * shares.share[k];
    }
    for (int i = 0; i < Q; i++)
        mean += p[i] * balance[i];
    double expected = (0.5 * p[squares[0]] + 0.5 / Q) / (0.5 * p[squares[1]] + 0.5 / Q);
    double ratio = balance[squares[1]] / balance[squares[0]];
    g_test_message("mean %g; red counts %g times as much, expected %g", mean, ratio, expected);
    g_assert_cmpfloat_with_epsilon(mean, 1, 1e-5);
    g_assert_cmpfloat(fabs(ratio - expected), <, 1e-4 * expected);
    g_assert_false(train_classes_measure(f.store, set, 1, &error));
    g_assert_nonnull(error);
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    cz_threads_set(1);
#define ADD(claim) g_test_add_func("/training/classes/" #claim, claim)
    ADD(five_nearest_share_a_color);
    ADD(loss_is_balanced_cross_entropy);
    ADD(what_is_no_number_is_told);
    ADD(balance_favours_the_rare);
    return g_test_run();
}
