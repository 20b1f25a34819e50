// SPDX-License-Identifier: LGPL-3.0-or-later
// Exact area means, row by row, and bilinear enlargement.
#include <cz/resample.h>

#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>

#include "base/clones.h"

// Columns are summed first (whole rows, vectorised), rows of the result only when they are full.
struct CzAreaScaler {
    int32_t src_w, src_h, dst_w, dst_h;
    int n_channels;
    int32_t src_y, dst_y; // next row in, row being summed
    float *sum;           // src_w * n_channels
    float *result;        // dst_h * dst_w * n_channels
};

CZ_CLONES static void row_add(float *restrict sum, const float *restrict row, size_t n,
                              float weight)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += weight * row[i];
}

static float *floats_alloc(int32_t width, int32_t height, int n_channels, const char *what,
                           GError **error)
{
    gsize n;
    if (width < 1 || height < 1 || n_channels < 1 ||
        !g_size_checked_mul(&n, (gsize)width, (gsize)height) ||
        !g_size_checked_mul(&n, n, (gsize)n_channels) ||
        !g_size_checked_mul(&n, n, sizeof(float))) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_SHAPE, "%s: a size of %d x %d x %d is impossible",
                    what, width, height, n_channels);
        return NULL;
    }
    return cz_memory_alloc(n, what, error);
}

CzAreaScaler *cz_area_scaler_new(int32_t src_w, int32_t src_h, int32_t dst_w, int32_t dst_h,
                                 int n_channels, GError **error)
{
    CzAreaScaler *scaler = g_new0(CzAreaScaler, 1);
    scaler->src_w = src_w;
    scaler->src_h = src_h;
    scaler->dst_w = dst_w;
    scaler->dst_h = dst_h;
    scaler->n_channels = n_channels;
    scaler->sum = floats_alloc(src_w, MIN(src_h, 1), n_channels, "a row of area sums", error);
    if (scaler->sum)
        scaler->result = floats_alloc(dst_w, dst_h, n_channels, "a reduced picture", error);
    if (!scaler->result) {
        cz_area_scaler_free(scaler);
        return NULL;
    }
    memset(scaler->sum, 0, (size_t)src_w * n_channels * sizeof(float));
    return scaler;
}

void cz_area_scaler_free(CzAreaScaler *scaler)
{
    if (!scaler)
        return;
    cz_memory_free(scaler->sum);
    cz_memory_free(scaler->result);
    g_free(scaler);
}

// A full row of sums to one row of means. Positions are exact fractions x * src_w / dst_w: 64-bit
// integers, in units of 1 / dst_w source pixels.
static void row_finish(CzAreaScaler *scaler)
{
    int64_t src_w = scaler->src_w, dst_w = scaler->dst_w;
    int channels = scaler->n_channels;
    double scale = (double)dst_w / src_w * scaler->dst_h / scaler->src_h;
    float *dst = scaler->result + (size_t)scaler->dst_y * dst_w * channels;
    for (int64_t x = 0; x < dst_w; x++) {
        int64_t begin = x * src_w, end = begin + src_w;
        int64_t first = begin / dst_w, last = (end - 1) / dst_w;
        double left =
            first == last ? (double)src_w / dst_w : (double)((first + 1) * dst_w - begin) / dst_w;
        double right = (double)(end - last * dst_w) / dst_w;
        for (int c = 0; c < channels; c++) {
            double sum = left * scaler->sum[first * channels + c];
            for (int64_t i = first + 1; i < last; i++)
                sum += scaler->sum[i * channels + c];
            if (last > first)
                sum += right * scaler->sum[last * channels + c];
            dst[x * channels + c] = (float)(sum * scale);
        }
    }
    memset(scaler->sum, 0, (size_t)src_w * channels * sizeof(float));
}

static void row_push(CzAreaScaler *scaler, const float *row)
{
    size_t n = (size_t)scaler->src_w * scaler->n_channels;
    int64_t src_h = scaler->src_h, dst_h = scaler->dst_h;
    int64_t at = scaler->src_y * dst_h, end = at + dst_h; // in units of 1 / dst_h rows
    scaler->src_y++;
    while (at < end) {
        int64_t edge = (scaler->dst_y + 1) * src_h;
        int64_t stop = edge < end ? edge : end;
        row_add(scaler->sum, row, n, (float)((double)(stop - at) / dst_h));
        at = stop;
        if (at == edge) {
            row_finish(scaler);
            scaler->dst_y++;
        }
    }
}

void cz_area_scaler_push(CzAreaScaler *scaler, const float *rows, int32_t n_rows)
{
    size_t n = (size_t)scaler->src_w * scaler->n_channels;
    for (int32_t i = 0; i < n_rows && scaler->src_y < scaler->src_h; i++)
        row_push(scaler, rows + i * n);
}

const float *cz_area_scaler_result(const CzAreaScaler *scaler)
{
    return scaler->result;
}

// Where the middle of dst pixel i lies among the middles of n_src pixels: between two of them.
static void place(int32_t i, int32_t n_dst, int32_t n_src, int32_t *first, int32_t *second,
                  float *weight)
{
    double at = (i + 0.5) * n_src / n_dst - 0.5;
    at = at < 0 ? 0 : at > n_src - 1 ? n_src - 1 : at;
    *first = (int32_t)at;
    *second = *first < n_src - 1 ? *first + 1 : *first;
    *weight = (float)(at - *first);
}

void cz_resize_bilinear(float *dst, int32_t dst_w, int32_t dst_h, const float *src, int32_t src_w,
                        int32_t src_h, int n_channels)
{
    size_t stride = (size_t)src_w * n_channels;
    for (int32_t y = 0; y < dst_h; y++) {
        int32_t y0, y1;
        float fy;
        place(y, dst_h, src_h, &y0, &y1, &fy);
        const float *top = src + y0 * stride, *bottom = src + y1 * stride;
        for (int32_t x = 0; x < dst_w; x++) {
            int32_t x0, x1;
            float fx;
            place(x, dst_w, src_w, &x0, &x1, &fx);
            const float *tl = top + (size_t)x0 * n_channels, *tr = top + (size_t)x1 * n_channels;
            const float *bl = bottom + (size_t)x0 * n_channels;
            const float *br = bottom + (size_t)x1 * n_channels;
            for (int c = 0; c < n_channels; c++) {
                float above = tl[c] + fx * (tr[c] - tl[c]);
                float below = bl[c] + fx * (br[c] - bl[c]);
                *dst++ = above + fy * (below - above);
            }
        }
    }
}

bool cz_resize_image(float *dst, int32_t dst_w, int32_t dst_h, const float *src, int32_t src_w,
                     int32_t src_h, int n_channels, GError **error)
{
    int32_t w = MIN(src_w, dst_w), h = MIN(src_h, dst_h);
    if (w == src_w && h == src_h) {
        cz_resize_bilinear(dst, dst_w, dst_h, src, src_w, src_h, n_channels);
        return true;
    }
    g_autoptr(CzAreaScaler) scaler = cz_area_scaler_new(src_w, src_h, w, h, n_channels, error);
    if (!scaler)
        return false;
    cz_area_scaler_push(scaler, src, src_h);
    cz_resize_bilinear(dst, dst_w, dst_h, scaler->result, w, h, n_channels);
    return true;
}

void cz_fit_short_side(int32_t width, int32_t height, int32_t side, int32_t *dst_w, int32_t *dst_h)
{
    int64_t shorter = MIN(width, height), longer = MAX(width, height);
    side = MAX(side, 1);
    int64_t other = MIN((2 * longer * side + shorter) / (2 * shorter), INT32_MAX);
    *dst_w = width <= height ? side : (int32_t)other;
    *dst_h = width <= height ? (int32_t)other : side;
}
