// SPDX-License-Identifier: LGPL-3.0-or-later
// Samples out of pictures: what is learnt belongs to what is seen.
#include "folder.h"

#include <math.h>

#include <cz/color.h>
#include <cz/error.h>
#include <cz/memory.h>

#include "augment.h"

enum { CROP = 16 };

// No draws: the sample is the whole of a picture of CROP x CROP.
static const TrainAugmentParams plain = {.crop = CROP, .scale_min = 1, .scale_max = 1};

typedef struct {
    float lightness[CROP * CROP], chroma[CROP * CROP / 2];
} Sample;

static Sample sample_of(const TrainAugmentParams *params, int32_t width, int32_t height,
                        const uint8_t *rgb, uint64_t seed, uint64_t number)
{
    g_autoptr(TrainAugmenter) augmenter = train_augmenter_new();
    TrainPicture picture = {width, height, 0, "x", rgb};
    g_autoptr(GError) error = NULL;
    CzRng rng = cz_rng(seed, number);
    Sample sample;

    train_augment(augmenter, params, &picture, &rng, sample.lightness, sample.chroma, &error);
    g_assert_no_error(error);
    return sample;
}

static void expect_near(const char *what, const float *found, const float *expected, size_t n,
                        float bound)
{
    size_t worst = 0;

    for (size_t i = 0; i < n; i++)
        if (!(fabsf(found[i] - expected[i]) <= fabsf(found[worst] - expected[worst])))
            worst = i;
    if (!(fabsf(found[worst] - expected[worst]) <= bound)) {
        g_test_message("%s at %zu: expected %.8g, found %.8g, bound %g", what, worst,
                       expected[worst], found[worst], bound);
        g_test_fail();
    }
}

static void lab_of(const uint8_t *rgb, size_t n_pixels, float *lab)
{
    for (size_t i = 0; i < 3 * n_pixels; i++)
        lab[i] = rgb[i] * (1.0f / 255.0f);
    cz_rgb_to_lab(lab, lab, n_pixels);
}

static void whole_picture_is_lightness_and_mean_chroma(void)
{
    g_autofree uint8_t *rgb = make_pixels(CROP, CROP, 1);
    Sample sample = sample_of(&plain, CROP, CROP, rgb, 1, 1);
    float lab[CROP * CROP * 3], lightness[CROP * CROP], chroma[CROP * CROP / 2];

    lab_of(rgb, CROP * CROP, lab);
    for (int i = 0; i < CROP * CROP; i++)
        lightness[i] = lab[3 * i] / 50 - 1;
    for (int y = 0; y < CROP / 2; y++)
        for (int x = 0; x < CROP / 2; x++)
            for (int c = 0; c < 2; c++) {
                double sum = 0;

                for (int k = 0; k < 4; k++)
                    sum += lab[((2 * y + k / 2) * CROP + 2 * x + k % 2) * 3 + 1 + c];
                chroma[(y * CROP / 2 + x) * 2 + c] = (float)(sum / 400);
            }
    // Values up to 1.3, four additions and two factors: a few roundings of 2^-24.
    expect_near("lightness", sample.lightness, lightness, G_N_ELEMENTS(lightness), 1e-6f);
    expect_near("chroma", sample.chroma, chroma, G_N_ELEMENTS(chroma), 1e-6f);
}

// A picture of blocks of 3 x 3 equal pixels, three times the crop: area means give the blocks.
static void larger_picture_is_reduced_by_area(void)
{
    g_autofree uint8_t *rgb = make_pixels(CROP, CROP, 2), *large = g_malloc(9 * CROP * CROP * 3);

    for (int y = 0; y < 3 * CROP; y++)
        for (int x = 0; x < 3 * CROP; x++)
            memcpy(large + (y * 3 * CROP + x) * 3, rgb + (y / 3 * CROP + x / 3) * 3, 3);
    Sample small = sample_of(&plain, CROP, CROP, rgb, 1, 1);
    Sample found = sample_of(&plain, 3 * CROP, 3 * CROP, large, 1, 1);
    expect_near("lightness", found.lightness, small.lightness, CROP * CROP, 3e-6f);
    expect_near("chroma", found.chroma, small.chroma, CROP * CROP / 2, 3e-6f);
}

static void mirrors_lightness_and_chroma_alike(void)
{
    g_autofree uint8_t *rgb = make_pixels(CROP, CROP, 3);
    TrainAugmentParams flip = plain;
    float lightness[CROP * CROP], chroma[CROP * CROP / 2];

    flip.flip = 1;
    Sample straight = sample_of(&plain, CROP, CROP, rgb, 1, 1);
    Sample mirrored = sample_of(&flip, CROP, CROP, rgb, 1, 1);
    for (int y = 0; y < CROP; y++)
        for (int x = 0; x < CROP; x++)
            lightness[y * CROP + x] = straight.lightness[y * CROP + CROP - 1 - x];
    for (int y = 0; y < CROP / 2; y++)
        for (int x = 0; x < CROP / 2; x++)
            memcpy(chroma + (y * CROP / 2 + x) * 2,
                   straight.chroma + (y * CROP / 2 + CROP / 2 - 1 - x) * 2, 2 * sizeof *chroma);
    expect_near("lightness", mirrored.lightness, lightness, CROP * CROP, 0);
    expect_near("chroma", mirrored.chroma, chroma, CROP * CROP / 2, 1e-7f); // order of addition
}

static void gamma_touches_lightness_alone(void)
{
    g_autofree uint8_t *rgb = make_pixels(CROP, CROP, 4);
    TrainAugmentParams bend = plain;

    bend.gamma_probability = 1;
    bend.gamma_sigma = 0.25f;
    Sample straight = sample_of(&plain, CROP, CROP, rgb, 1, 1);
    for (uint64_t k = 0; k < 20; k++) {
        Sample bent = sample_of(&bend, CROP, CROP, rgb, 1, k);
        double first = 0;

        g_assert_cmpmem(bent.chroma, sizeof bent.chroma, straight.chroma, sizeof straight.chroma);
        for (int i = 0; i < CROP * CROP; i++) {
            double l = (straight.lightness[i] + 1) / 2, found = (bent.lightness[i] + 1) / 2;

            if (l < 0.2 || l > 0.8)
                continue;
            // One exponent for all pixels: log found / log l; -log(0.8) divides roundings of 1e-7.
            first = first == 0 ? log(found) / log(l) : first;
            g_assert_cmpfloat_with_epsilon(log(found) / log(l), first, 1e-5);
        }
        g_assert_cmpfloat(fabs(log(first)), <, 5 * 0.25);
        g_assert_cmpfloat(fabs(log(first)), >, 0);
    }
}

static void degradations_touch_lightness_alone(void)
{
    static const TrainDegradeParams each[] = {{.blur = 1},  {.plate = 1}, {.fade = 1},
                                              {.grain = 1}, {.jpeg = 1},  {1, 1, 1, 1, 1}};
    g_autofree uint8_t *rgb = make_pixels(40, 40, 4);
    TrainAugmentParams clean = {CROP, 1, 2, 0.5f, 0, 0};

    for (size_t i = 0; i < G_N_ELEMENTS(each); i++)
        for (uint64_t k = 0; k < 20; k++) {
            TrainAugmentParams worn = clean;

            worn.degrade = each[i];
            Sample before = sample_of(&clean, 40, 40, rgb, 1, k);
            Sample after = sample_of(&worn, 40, 40, rgb, 1, k);
            g_assert_cmpmem(after.chroma, sizeof after.chroma, before.chroma, sizeof before.chroma);
            g_assert_cmpint(memcmp(after.lightness, before.lightness, sizeof after.lightness), !=,
                            0);
            for (int p = 0; p < CROP * CROP; p++)
                g_assert_true(after.lightness[p] >= -1 && after.lightness[p] <= 1);
        }
}

// A picture of 300 x 100 in squares of 20: squashed to a square they would be three times as high
// as wide. A crop of 50 is a window of 100, in which squares are 10 by 10 wherever it lies.
static void bug_13_squares_stay_square_in_crops(void)
{
    enum { WIDE = 300, HIGH = 100, SQUARE = 20, SIDE = 50 };
    static const TrainAugmentParams crop = {.crop = SIDE, .scale_min = 1, .scale_max = 1};
    g_autofree uint8_t *rgb = g_malloc(WIDE * HIGH * 3);
    const TrainPicture picture = {WIDE, HIGH, 0, "x", rgb};
    g_autoptr(TrainAugmenter) augmenter = train_augmenter_new();
    float lightness[SIDE * SIDE], chroma[SIDE * SIDE / 2];

    for (int i = 0; i < WIDE * HIGH; i++)
        memset(rgb + 3 * i, (i % WIDE / SQUARE + i / WIDE / SQUARE) % 2 ? 255 : 0, 3);
    for (uint64_t k = 0; k < 20; k++) {
        // Edges along the first row, and down a column through the midst of squares.
        int n[2] = {0}, places[2][SIDE];
        CzRng rng = cz_rng(13, k);

        g_assert_true(train_augment(augmenter, &crop, &picture, &rng, lightness, chroma, NULL));
        for (int i = 1; i < SIDE; i++)
            if ((lightness[i] > 0) != (lightness[i - 1] > 0))
                places[0][n[0]++] = i;
        for (int i = 1, x = (places[0][0] + 5) % SIDE; i < SIDE; i++)
            if ((lightness[i * SIDE + x] > 0) != (lightness[(i - 1) * SIDE + x] > 0))
                places[1][n[1]++] = i;
        for (int way = 0; way < 2; way++) {
            g_assert_cmpint(n[way], >=, 4);
            for (int i = 2; i < n[way]; i++) // every other: a pixel half black is black or white
                g_assert_cmpint(places[way][i] - places[way][i - 2], ==, 20);
        }
    }
}

static void same_number_same_sample(void)
{
    static const TrainAugmentParams all = {CROP, 1, 2, 0.5f, 0.5f, 0.25f};
    g_autofree uint8_t *rgb = make_pixels(60, 45, 5);
    int different = 0;

    for (uint64_t k = 0; k < 50; k++) {
        Sample a = sample_of(&all, 60, 45, rgb, 7, k), b = sample_of(&all, 60, 45, rgb, 7, k);
        Sample next = sample_of(&all, 60, 45, rgb, 7, k + 1);
        Sample other = sample_of(&all, 60, 45, rgb, 8, k);

        g_assert_cmpmem(&a, sizeof a, &b, sizeof b);
        different += memcmp(&a, &next, sizeof a) != 0;
        different += memcmp(&a, &other, sizeof a) != 0;
    }
    g_assert_cmpint(different, ==, 100);
}

// Over many draws the window reaches both ends of a picture that grows brighter to the right, and
// half of the samples are mirrored.
static void draws_cover_the_picture(void)
{
    TrainAugmentParams half = plain;
    g_autofree uint8_t *rgb = g_malloc0(64 * 32 * 3);
    int left = 0, right = 0, flipped = 0, n = 2000;

    half.flip = 0.5f;
    for (int y = 0; y < 32; y++)
        for (int x = 0; x < 64; x++)
            memset(rgb + (y * 64 + x) * 3, x * 4, 3); // brighter to the right
    for (int k = 0; k < n; k++) {
        Sample sample = sample_of(&half, 64, 32, rgb, 1, (uint64_t)k);
        float a = sample.lightness[0], b = sample.lightness[CROP - 1];

        flipped += a > b;
        left += MIN(a, b) < -0.98f;
        right += MAX(a, b) > 0.96f;
    }
    // The window is 32 wide at one of 33 places: both ends expect n / 33 = 61, five deviations 38.
    // Mirrored: 1000, five deviations 112.
    g_test_message("left %d, right %d, mirrored %d of %d", left, right, flipped, n);
    g_assert_cmpint(ABS(flipped - n / 2), <, 112);
    g_assert_cmpint(left, >, 20);
    g_assert_cmpint(right, >, 20);
}

static void any_size_gives_finite_numbers(void)
{
    static const int32_t sizes[][2] = {{1, 1}, {1, 300}, {300, 1}, {2, 3}, {17, 15}, {400, 97}};
    static const TrainAugmentParams all = {CROP, 1, 4, 0.5f, 1, 1};

    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree uint8_t *rgb = make_pixels(sizes[i][0], sizes[i][1], i);

        for (uint64_t k = 0; k < 20; k++) {
            Sample sample = sample_of(&all, sizes[i][0], sizes[i][1], rgb, 1, k);

            for (int p = 0; p < CROP * CROP; p++)
                g_assert_true(sample.lightness[p] >= -1 && sample.lightness[p] <= 1);
            for (int p = 0; p < CROP * CROP / 2; p++)
                g_assert_true(fabsf(sample.chroma[p]) < 1.5f);
        }
    }
}

static void says_which_value_is_impossible(void)
{
    static const struct {
        TrainAugmentParams params;
        const char *name;
    } cases[] = {
        {{.crop = 15, .scale_min = 1, .scale_max = 1}, "crop is 15"},
        {{.crop = 0, .scale_min = 1, .scale_max = 1}, "crop is 0"},
        {{.crop = 16, .scale_min = 0.5f, .scale_max = 1}, "scale_min is 0.5"},
        {{.crop = 16, .scale_min = NAN, .scale_max = 1}, "scale_min is nan"},
        {{.crop = 16, .scale_min = 2, .scale_max = 1}, "scale_max is 1"},
        {{.crop = 16, .scale_min = 1, .scale_max = 1, .flip = 2}, "flip is 2"},
        {{.crop = 16, .scale_min = 1, .scale_max = 1, .gamma_probability = -1},
         "gamma_probability is -1"},
        {{.crop = 16, .scale_min = 1, .scale_max = 1, .gamma_sigma = 9}, "gamma_sigma is 9"},
    };

    g_assert_true(train_augment_check(&plain, NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_false(train_augment_check(&cases[i].params, &error));
        g_assert_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT);
        g_assert_nonnull(strstr(error->message, cases[i].name));
    }
}

static void out_of_memory_is_an_error(void)
{
    g_autofree uint8_t *rgb = make_pixels(40, 40, 1);
    TrainPicture picture = {40, 40, 0, "x", rgb};
    size_t before = cz_memory_now();
    unsigned long n = 0;
    bool done = FALSE;

    while (!done && n < 50) {
        TrainAugmenter *augmenter = train_augmenter_new();
        g_autoptr(GError) error = NULL;
        CzRng rng = cz_rng(1, 1);
        Sample sample;

        cz_fault_arm(CZ_FAULT_MEMORY, ++n);
        done = train_augment(augmenter, &plain, &picture, &rng, sample.lightness, sample.chroma,
                             &error);
        cz_fault_arm(CZ_FAULT_MEMORY, 0);
        train_augmenter_free(augmenter);
        if (!done)
            g_assert_error(error, CZ_ERROR, CZ_ERROR_MEMORY);
        g_assert_cmpuint(cz_memory_now(), ==, before);
    }
    g_test_message("%lu places to fail", n - 1);
    g_assert_cmpuint(n, >=, 3);
    g_assert_true(done);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/training/augment/whole_picture_is_lightness_and_mean_chroma",
                    whole_picture_is_lightness_and_mean_chroma);
    g_test_add_func("/training/augment/larger_picture_is_reduced_by_area",
                    larger_picture_is_reduced_by_area);
    g_test_add_func("/training/augment/mirrors_lightness_and_chroma_alike",
                    mirrors_lightness_and_chroma_alike);
    g_test_add_func("/training/augment/gamma_touches_lightness_alone",
                    gamma_touches_lightness_alone);
    g_test_add_func("/training/augment/degradations_touch_lightness_alone",
                    degradations_touch_lightness_alone);
    g_test_add_func("/training/augment/bug_13_squares_stay_square_in_crops",
                    bug_13_squares_stay_square_in_crops);
    g_test_add_func("/training/augment/same_number_same_sample", same_number_same_sample);
    g_test_add_func("/training/augment/draws_cover_the_picture", draws_cover_the_picture);
    g_test_add_func("/training/augment/any_size_gives_finite_numbers",
                    any_size_gives_finite_numbers);
    g_test_add_func("/training/augment/says_which_value_is_impossible",
                    says_which_value_is_impossible);
    g_test_add_func("/training/augment/out_of_memory_is_an_error", out_of_memory_is_an_error);
    return g_test_run();
}
