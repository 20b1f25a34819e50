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

static double opponents(const uint8_t *rgb, int32_t width, int32_t height, bool absolute)
{
    size_t n = (size_t)width * (size_t)height;
    double rg1 = 0, rg2 = 0, yb1 = 0, yb2 = 0;
    for (size_t i = 0; i < n; i++) {
        double r = rgb[3 * i], g = rgb[3 * i + 1], b = rgb[3 * i + 2], rg = r - g,
               yb = (r + g) / 2 - b;
        rg1 += absolute ? fabs(rg) : rg;
        rg2 += rg * rg;
        yb1 += absolute ? fabs(yb) : yb;
        yb2 += yb * yb;
    }
    rg1 /= (double)n;
    yb1 /= (double)n;
    double variance = rg2 / (double)n - rg1 * rg1 + yb2 / (double)n - yb1 * yb1;
    return sqrt(MAX(variance, 0)) + 0.3 * sqrt(rg1 * rg1 + yb1 * yb1);
}

double train_colourfulness(const uint8_t *rgb, int32_t width, int32_t height)
{
    return opponents(rgb, width, height, false);
}

double train_colourfulness_abs(const uint8_t *rgb, int32_t width, int32_t height)
{
    return opponents(rgb, width, height, true);
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

// ---- SSIM: five means under a Gaussian window, made in two passes ----

#define WINDOW  11
#define N_MEANS 5 // of a, b, a*a, b*b, a*b

typedef struct {
    int32_t width, n_x;
    double kernel[WINDOW];
    double *row;  // N_MEANS * width: what is averaged, of one row
    double *ring; // WINDOW rows of N_MEANS * n_x: averaged along x
    double *mean; // N_MEANS * n_x: averaged along y, too
} Blur;

static void gaussian(double kernel[WINDOW])
{
    double sum = 0;
    for (int i = 0; i < WINDOW; i++)
        sum += kernel[i] = exp(-(i - WINDOW / 2) * (i - WINDOW / 2) / (2 * 1.5 * 1.5));
    for (int i = 0; i < WINDOW; i++)
        kernel[i] /= sum;
}

// Term by term over all n, which the compiler turns into vectors.
static void weigh(const Blur *blur, double *dst, const double *src, size_t n)
{
    memset(dst, 0, n * sizeof *dst);
    for (size_t k = 0; k < WINDOW; k++)
        for (size_t i = 0; i < n; i++)
            dst[i] += blur->kernel[k] * src[k + i];
}

static void blur_row(const Blur *blur, const uint8_t *a, const uint8_t *b, double *dst)
{
    size_t w = (size_t)blur->width;
    for (size_t x = 0; x < w; x++) {
        double p = a[3 * x], q = b[3 * x], values[N_MEANS] = {p, q, p * p, q * q, p * q};
        for (size_t i = 0; i < N_MEANS; i++)
            blur->row[i * w + x] = values[i];
    }
    for (size_t i = 0; i < N_MEANS; i++)
        weigh(blur, dst + i * (size_t)blur->n_x, blur->row + i * w, (size_t)blur->n_x);
}

static double similarities(const Blur *blur)
{
    const double c1 = (0.01 * 255) * (0.01 * 255), c2 = (0.03 * 255) * (0.03 * 255);
    const double *m = blur->mean;
    size_t n = (size_t)blur->n_x;
    double sum = 0;
    for (size_t x = 0; x < n; x++) {
        double ma = m[x], mb = m[n + x], va = m[2 * n + x] - ma * ma, vb = m[3 * n + x] - mb * mb;
        double cov = m[4 * n + x] - ma * mb;
        sum += (2 * ma * mb + c1) * (2 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
    }
    return sum;
}

static double ssim_channel(const Blur *blur, const uint8_t *a, const uint8_t *b, int32_t height)
{
    size_t stride = (size_t)blur->n_x * N_MEANS;
    double sum = 0;
    for (int32_t y = 0; y < height; y++) {
        size_t offset = (size_t)y * (size_t)blur->width * 3;
        blur_row(blur, a + offset, b + offset, blur->ring + (size_t)(y % WINDOW) * stride);
        if (y < WINDOW - 1)
            continue;
        memset(blur->mean, 0, stride * sizeof *blur->mean);
        for (int k = 0; k < WINDOW; k++) {
            const double *row = blur->ring + (size_t)((y + 1 + k) % WINDOW) * stride;
            for (size_t i = 0; i < stride; i++)
                blur->mean[i] += blur->kernel[k] * row[i];
        }
        sum += similarities(blur);
    }
    return sum / ((double)blur->n_x * (height - WINDOW + 1));
}

double train_ssim(const uint8_t *a, const uint8_t *b, int32_t width, int32_t height)
{
    if (width < WINDOW || height < WINDOW)
        return memcmp(a, b, (size_t)width * (size_t)height * 3) == 0;
    size_t w = (size_t)width, stride = (w - WINDOW + 1) * N_MEANS;
    g_autofree double *memory = g_new(double, N_MEANS *w + (WINDOW + 1) * stride);
    Blur blur = {width,  width - WINDOW + 1,   {0},
                 memory, memory + N_MEANS * w, memory + N_MEANS * w + WINDOW * stride};
    gaussian(blur.kernel);
    double sum = 0;
    for (int channel = 0; channel < 3; channel++)
        sum += ssim_channel(&blur, a + channel, b + channel, height);
    return sum / 3;
}
