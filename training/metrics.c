// SPDX-License-Identifier: LGPL-3.0-or-later
// Figures of merit, as their papers have them.
#include "metrics.h"

#include <math.h>
#include <string.h>

#include <glib.h>

#include <cz/color.h>

double train_psnr(const uint8_t *a, const uint8_t *b, int32_t width, int32_t height)
{
    size_t n = (size_t)width * (size_t)height * 3;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sum > 0 ? MIN(100.0, 10 * log10(255.0 * 255.0 * (double)n / sum)) : 100;
}

double train_colourfulness(const uint8_t *rgb, int32_t width, int32_t height)
{
    size_t n = (size_t)width * (size_t)height;
    double rg1 = 0, rg2 = 0, yb1 = 0, yb2 = 0;
    for (size_t i = 0; i < n; i++) {
        double r = rgb[3 * i], g = rgb[3 * i + 1], b = rgb[3 * i + 2], rg = r - g,
               yb = (r + g) / 2 - b;
        rg1 += rg;
        rg2 += rg * rg;
        yb1 += yb;
        yb2 += yb * yb;
    }
    rg1 /= (double)n;
    yb1 /= (double)n;
    double variance = rg2 / (double)n - rg1 * rg1 + yb2 / (double)n - yb1 * yb1;
    return sqrt(MAX(variance, 0)) + 0.3 * sqrt(rg1 * rg1 + yb1 * yb1);
}

#define PIECE 256

double train_delta_e(const uint8_t *a, const uint8_t *b, int32_t width, int32_t height)
{
    size_t n = (size_t)width * (size_t)height;
    double sum = 0;
    for (size_t done = 0; done < n; done += PIECE) {
        float x[3 * PIECE], y[3 * PIECE];
        size_t m = MIN(n - done, (size_t)PIECE);
        for (size_t i = 0; i < 3 * m; i++) {
            x[i] = (float)a[3 * done + i] / 255;
            y[i] = (float)b[3 * done + i] / 255;
        }
        cz_rgb_to_lab(x, x, m);
        cz_rgb_to_lab(y, y, m);
        for (size_t i = 0; i < m; i++)
            sum += cz_delta_e_2000(x + 3 * i, y + 3 * i);
    }
    return sum / (double)n;
}

// ---- SSIM: five means under a Gaussian window, made in two passes
// ---------------------------------

#define WINDOW  11
#define N_MEANS 5 // of a, b, a*a, b*b, a*b

static void gaussian(double kernel[WINDOW])
{
    double sum = 0;
    for (int i = 0; i < WINDOW; i++)
        sum += kernel[i] = exp(-(i - WINDOW / 2) * (i - WINDOW / 2) / (2 * 1.5 * 1.5));
    for (int i = 0; i < WINDOW; i++)
        kernel[i] /= sum;
}

// One row of one channel: window means along x, N_MEANS each.
static void blur_row(const uint8_t *a, const uint8_t *b, int32_t n_dst, const double *kernel,
                     double *dst)
{
    for (int32_t x = 0; x < n_dst; x++, dst += N_MEANS) {
        memset(dst, 0, N_MEANS * sizeof *dst);
        for (int k = 0; k < WINDOW; k++) {
            double p = a[3 * (x + k)], q = b[3 * (x + k)];
            dst[0] += kernel[k] * p;
            dst[1] += kernel[k] * q;
            dst[2] += kernel[k] * p * p;
            dst[3] += kernel[k] * q * q;
            dst[4] += kernel[k] * p * q;
        }
    }
}

static double similarity(const double m[N_MEANS])
{
    const double c1 = (0.01 * 255) * (0.01 * 255), c2 = (0.03 * 255) * (0.03 * 255);
    double va = m[2] - m[0] * m[0], vb = m[3] - m[1] * m[1], cov = m[4] - m[0] * m[1];
    return (2 * m[0] * m[1] + c1) * (2 * cov + c2) /
           ((m[0] * m[0] + m[1] * m[1] + c1) * (va + vb + c2));
}

static double ssim_channel(const uint8_t *a, const uint8_t *b, int32_t width, int32_t height,
                           double *rows)
{
    int32_t n_x = width - WINDOW + 1, n_y = height - WINDOW + 1;
    size_t stride = (size_t)n_x * N_MEANS;
    double kernel[WINDOW], sum = 0;
    gaussian(kernel);
    for (int32_t y = 0; y < height; y++) {
        size_t offset = (size_t)y * (size_t)width * 3;
        blur_row(a + offset, b + offset, n_x, kernel, rows + (size_t)(y % WINDOW) * stride);
        for (int32_t x = 0; y >= WINDOW - 1 && x < n_x; x++) {
            double m[N_MEANS] = {0};
            for (int k = 0; k < WINDOW; k++)
                for (int i = 0; i < N_MEANS; i++)
                    m[i] += kernel[k] *
                            rows[(size_t)((y + 1 + k) % WINDOW) * stride + (size_t)x * N_MEANS + i];
            sum += similarity(m);
        }
    }
    return sum / ((double)n_x * n_y);
}

double train_ssim(const uint8_t *a, const uint8_t *b, int32_t width, int32_t height)
{
    if (width < WINDOW || height < WINDOW)
        return memcmp(a, b, (size_t)width * (size_t)height * 3) == 0;
    g_autofree double *rows = g_new(double, (size_t)WINDOW *(size_t)width *N_MEANS);
    double sum = 0;
    for (int channel = 0; channel < 3; channel++)
        sum += ssim_channel(a + channel, b + channel, width, height, rows);
    return sum / 3;
}
