// SPDX-License-Identifier: LGPL-3.0-or-later
// Photographs made old for evaluation: grey, always the same, and their colour kept apart.
#include <math.h>
#include <string.h>

#include <glib.h>

#include <cz/color.h>
#include <cz/error.h>
#include <cz/memory.h>

#include "worn.h"

enum { SIDE = 32, N = SIDE * SIDE, NUMBERS = 200 };

// Smooth colours of small chroma, well inside the gamut.
static void fill(TrainImage *image, int32_t width, int32_t height, double phase)
{
    g_assert_true(train_image_reserve(image, width, height, NULL));
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++) {
            uint8_t *pixel = image->rgb + 3 * (y * width + x);
            double light = 90 + 60.0 * x / width;

            for (int c = 0; c < 3; c++)
                pixel[c] = (uint8_t)(light + 25 * sin(phase + 2 * c + 4.0 * y / height));
        }
}

static void lab_of(const TrainImage *image, float *lab)
{
    for (int i = 0; i < 3 * N; i++)
        lab[i] = image->rgb[i] / 255.0f;
    cz_rgb_to_lab(lab, lab, N);
}

// Mean distance of two pictures' lightness.
static double apart(const TrainImage *a, const TrainImage *b)
{
    float first[3 * N], second[3 * N];
    double sum = 0;

    lab_of(a, first);
    lab_of(b, second);
    for (int i = 0; i < N; i++)
        sum += fabsf(first[3 * i] - second[3 * i]);
    return sum / N;
}

static void old_ones_are_grey_and_of_the_same_size(void)
{
    g_auto(TrainImage) picture = {0}, old = {0};

    fill(&picture, SIDE, SIDE, 0);
    for (uint64_t number = 0; number < 20; number++) {
        g_assert_true(train_worn_make(&picture, number, &old, NULL));
        g_assert_cmpint(old.width, ==, SIDE);
        g_assert_cmpint(old.height, ==, SIDE);
        for (int i = 0; i < N; i++) // a grey of Lab is one of sRGB up to half a step of rounding
            for (int c = 1; c < 3; c++)
                g_assert_cmpint(ABS(old.rgb[3 * i + c] - old.rgb[3 * i]), <=, 1);
    }
}

static void a_number_always_makes_the_same_picture(void)
{
    g_auto(TrainImage) picture = {0}, a = {0}, b = {0}, other = {0};
    int different = 0;

    fill(&picture, SIDE, SIDE, 0);
    for (uint64_t number = 0; number < 20; number++) {
        g_assert_true(train_worn_make(&picture, number, &a, NULL));
        g_assert_true(train_worn_make(&picture, number, &b, NULL));
        g_assert_true(train_worn_make(&picture, number + 100, &other, NULL));
        g_assert_cmpmem(a.rgb, 3 * N, b.rgb, 3 * N);
        different += memcmp(a.rgb, other.rgb, 3 * N) != 0;
    }
    g_assert_cmpint(different, >=, 18); // two clean ones are alike
}

// (1 - 0.3)^2 (1 - 0.6)^3 = 0.031 of the numbers draw nothing at all, and leave the picture as it
// is.
static void most_are_worn_and_some_are_not(void)
{
    g_auto(TrainImage) picture = {0}, old = {0}, clean = {0};
    double sum = 0;
    int untouched = 0;

    fill(&picture, SIDE, SIDE, 0);
    g_assert_true(train_image_grey(&picture, &clean, NULL));
    for (uint64_t number = 0; number < NUMBERS; number++) {
        g_assert_true(train_worn_make(&picture, number, &old, NULL));
        double distance = apart(&old, &clean);
        sum += distance;
        untouched += distance == 0;
    }
    g_test_message("%d of %d untouched, mean distance of L* %.2f", untouched, NUMBERS,
                   sum / NUMBERS);
    // 6.3 expected, its deviation sqrt(6.3 * 0.969) = 2.5; four of them.
    g_assert_cmpint(untouched, >, 0);
    g_assert_cmpint(untouched, <, 17);
    g_assert_cmpfloat(sum / NUMBERS, >, 2);
}

static void recolored_has_the_lightness_of_one_and_the_colour_of_the_other(void)
{
    g_auto(TrainImage) picture = {0}, colored = {0}, out = {0};
    float first[3 * N], second[3 * N], found[3 * N];

    fill(&picture, SIDE, SIDE, 0);
    fill(&colored, SIDE, SIDE, 2);
    for (int i = 0; i < 3 * N; i++) // darker, so that its lightness would be seen
        colored.rgb[i] = (uint8_t)(colored.rgb[i] * 0.8);
    g_assert_true(train_worn_recolor(&picture, &colored, &out, NULL));
    lab_of(&picture, first);
    lab_of(&colored, second);
    lab_of(&out, found);
    // Half a step of 8 bits in each channel moves L* by 0.25 and a*, b* by 0.7 at most here.
    for (int i = 0; i < N; i++) {
        g_assert_cmpfloat_with_epsilon(found[3 * i], first[3 * i], 0.25);
        g_assert_cmpfloat_with_epsilon(found[3 * i + 1], second[3 * i + 1], 0.7);
        g_assert_cmpfloat_with_epsilon(found[3 * i + 2], second[3 * i + 2], 0.7);
    }
}

static void a_picture_with_its_own_colour_is_itself(void)
{
    g_auto(TrainImage) picture = {0}, out = {0};

    fill(&picture, SIDE, SIDE, 1);
    g_assert_true(train_worn_recolor(&picture, &picture, &out, NULL));
    for (int i = 0; i < 3 * N; i++)
        g_assert_cmpint(ABS(out.rgb[i] - picture.rgb[i]), <=, 1);
}

static void oblong_pictures_are_refused(void)
{
    g_auto(TrainImage) picture = {0}, old = {0};
    g_autoptr(GError) error = NULL;

    fill(&picture, 2 * SIDE, SIDE, 0);
    g_assert_false(train_worn_make(&picture, 1, &old, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT);
    g_assert_nonnull(strstr(error->message, "64 x 32"));
}

static void every_failing_allocation_is_survived(void)
{
    g_auto(TrainImage) picture = {0};
    unsigned long n = 0;
    bool done = false;

    fill(&picture, SIDE, SIDE, 0);
    size_t before = cz_memory_now();
    while (!done && n < 20) {
        TrainImage old = {0}, again = {0};
        g_autoptr(GError) error = NULL;

        cz_fault_arm(CZ_FAULT_MEMORY, ++n);
        done = train_worn_make(&picture, 1, &old, &error) &&
               train_worn_recolor(&picture, &old, &again, &error);
        cz_fault_arm(CZ_FAULT_MEMORY, 0);
        train_image_clear(&old);
        train_image_clear(&again);
        if (!done)
            g_assert_error(error, CZ_ERROR, CZ_ERROR_MEMORY);
        g_assert_cmpuint(cz_memory_now(), ==, before);
    }
    g_assert_cmpuint(n, ==, 5); // two in each, and then none
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define ADD(claim) g_test_add_func("/training/worn/" #claim, claim)
    ADD(old_ones_are_grey_and_of_the_same_size);
    ADD(a_number_always_makes_the_same_picture);
    ADD(most_are_worn_and_some_are_not);
    ADD(recolored_has_the_lightness_of_one_and_the_colour_of_the_other);
    ADD(a_picture_with_its_own_colour_is_itself);
    ADD(oblong_pictures_are_refused);
    ADD(every_failing_allocation_is_survived);
    return g_test_run();
}
