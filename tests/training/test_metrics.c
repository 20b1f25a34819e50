// SPDX-License-Identifier: LGPL-3.0-or-later
// Metrics against sums done by hand and formulas written out.
#include "folder.h"

#include <math.h>

#include <cz/color.h>

#include "metrics.h"

static void expect_near(const char *what, double found, double expected, double bound)
{
    if (fabs(found - expected) <= bound)
        return;
    g_test_message("%s: expected %.9g, found %.9g, bound %g", what, expected, found, bound);
    g_test_fail();
}

static void psnr_of_known_errors(void)
{
    uint8_t a[2 * 3 * 3], b[sizeof a];

    for (size_t i = 0; i < sizeof a; i++)
        a[i] = (uint8_t)(10 * i);
    memcpy(b, a, sizeof a);
    expect_near("equal", train_psnr(a, b, 2, 3), 100, 0);
    b[4] = (uint8_t)(a[4] + 3); // one of 18 values is wrong by 3: mean square 0.5
    expect_near("by 3", train_psnr(a, b, 2, 3), 51.1411, 1e-4);
    memset(a, 0, sizeof a);
    memset(b, 255, sizeof b);
    expect_near("black and white", train_psnr(a, b, 2, 3), 0, 1e-12);
    expect_near("white and black", train_psnr(b, a, 2, 3), 0, 1e-12);
}

static void colourfulness_of_two_colours(void)
{
    // Red and blue: rg = 255, 0; yb = 127.5, -255. Means 127.5, -63.75; deviations 127.5, 191.25.
    static const uint8_t two[] = {255, 0, 0, 0, 0, 255};
    // One colour: no deviation, and the distance of its opponents from grey.
    static const uint8_t one[] = {100, 60, 20, 100, 60, 20};
    static const uint8_t grey[] = {0, 0, 0, 77, 77, 77, 255, 255, 255};

    expect_near("two", train_colourfulness(two, 2, 1),
                hypot(127.5, 191.25) + 0.3 * hypot(127.5, 63.75), 1e-9);
    expect_near("one", train_colourfulness(one, 1, 2), 0.3 * hypot(40, 60), 1e-6);
    expect_near("grey", train_colourfulness(grey, 3, 1), 0, 0);
}

// Red and blue: |rg| = 255, 0; |yb| = 127.5, 255. Red and green tints as strong: nothing is left
// to deviate.
static void colourfulness_abs_forgets_the_signs(void)
{
    static const uint8_t two[] = {255, 0, 0, 0, 0, 255};
    static const uint8_t opposite[] = {100, 60, 80, 60, 100, 80};

    expect_near("two", train_colourfulness_abs(two, 2, 1),
                hypot(127.5, 63.75) + 0.3 * hypot(127.5, 191.25), 1e-9);
    expect_near("opposite", train_colourfulness_abs(opposite, 2, 1), 0.3 * 40, 1e-9);
    expect_near("opposite, signed", train_colourfulness(opposite, 2, 1), 40, 1e-9);
}

static void delta_e_is_the_mean_over_pixels(void)
{
    enum { N = 600 }; // more than the pieces that it works in
    g_autofree uint8_t *a = make_pixels(N, 1, 1), *b = make_pixels(N, 1, 2);
    double sum = 0;

    memcpy(b, a, 3 * N / 2); // the first half is equal
    for (size_t i = 0; i < N; i++) {
        float x[3], y[3];

        for (size_t k = 0; k < 3; k++) {
            x[k] = (float)a[3 * i + k] / 255;
            y[k] = (float)b[3 * i + k] / 255;
        }
        cz_rgb_to_lab(x, x, 1);
        cz_rgb_to_lab(y, y, 1);
        sum += (double)cz_delta_e_2000(x, y);
    }
    expect_near("mean", train_delta_e(a, b, N, 1), sum / N, 1e-4);
    expect_near("equal", train_delta_e(a, a, 20, 30), 0, 1e-6);
    // L* 0 and 100: their mean is 50, where the weight of lightness is 1.
    uint8_t black[3] = {0, 0, 0}, white[3] = {255, 255, 255};
    expect_near("black and white", train_delta_e(black, white, 1, 1), 100, 1e-3);
}

// Wang et al. 2004, one window after the other, as the paper has it.
static double plain_ssim(const uint8_t *a, const uint8_t *b, int width, int height)
{
    double window[11][11], total = 0, sum = 0;

    for (int i = 0; i < 11; i++)
        for (int j = 0; j < 11; j++)
            total += window[i][j] = exp(-((i - 5) * (i - 5) + (j - 5) * (j - 5)) / (2 * 1.5 * 1.5));
    for (int at = 0; at < (width - 10) * (height - 10) * 3; at++) {
        int x = at / 3 % (width - 10), y = at / 3 / (width - 10);
        double ma = 0, mb = 0, va = 0, vb = 0, cov = 0;

        for (int k = 0; k < 121; k++) {
            size_t p = (size_t)((y + k / 11) * width + x + k % 11) * 3 + (size_t)(at % 3);
            ma += window[k / 11][k % 11] / total * a[p];
            mb += window[k / 11][k % 11] / total * b[p];
        }
        for (int k = 0; k < 121; k++) {
            size_t p = (size_t)((y + k / 11) * width + x + k % 11) * 3 + (size_t)(at % 3);
            double w = window[k / 11][k % 11] / total;
            va += w * (a[p] - ma) * (a[p] - ma);
            vb += w * (b[p] - mb) * (b[p] - mb);
            cov += w * (a[p] - ma) * (b[p] - mb);
        }
        sum += (2 * ma * mb + 6.5025) * (2 * cov + 58.5225) /
               ((ma * ma + mb * mb + 6.5025) * (va + vb + 58.5225));
    }
    return sum / ((width - 10) * (height - 10) * 3);
}

static void ssim_is_the_papers(void)
{
    static const int sizes[][2] = {{11, 11}, {12, 30}, {29, 13}, {40, 40}};

    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        int w = sizes[i][0], h = sizes[i][1];
        g_autofree uint8_t *a = make_pixels(w, h, 1 + i), *b = make_pixels(w, h, 9 + i);

        for (int k = 0; k < 3 * w * h; k++) // alike, but not equal
            b[k] = (uint8_t)((3 * a[k] + b[k]) / 4);
        expect_near("ssim", train_ssim(a, b, w, h), plain_ssim(a, b, w, h), 1e-9);
        expect_near("equal", train_ssim(a, a, w, h), 1, 1e-12);
        g_assert_cmpfloat(train_ssim(a, b, w, h), <, 0.99);
    }
}

static void pictures_smaller_than_the_window_are_equal_or_not(void)
{
    g_autofree uint8_t *a = make_pixels(10, 30, 1), *b = make_pixels(10, 30, 2);

    expect_near("equal", train_ssim(a, a, 10, 30), 1, 0);
    expect_near("different", train_ssim(a, b, 10, 30), 0, 0);
    expect_near("one pixel", train_ssim(a, b, 1, 1), memcmp(a, b, 3) == 0, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define ADD(name) g_test_add_func("/training/metrics/" #name, name)
    ADD(psnr_of_known_errors);
    ADD(colourfulness_of_two_colours);
    ADD(colourfulness_abs_forgets_the_signs);
    ADD(delta_e_is_the_mean_over_pixels);
    ADD(ssim_is_the_papers);
    ADD(pictures_smaller_than_the_window_are_equal_or_not);
    return g_test_run();
}
