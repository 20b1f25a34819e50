// SPDX-License-Identifier: LGPL-3.0-or-later
// A small copy of the photograph, and parts of either.
#include "proxy.h"

#include <string.h>

#include <cz/memory.h>
#include <cz/resample.h>

// 48 MB of floats: sharp on any screen, little beside GIMP's own copy of the photograph.
#define MOST_PIXELS 4e6
// Rows of the photograph that are held at once while a part is read.
#define BAND_ROWS 64

static int32_t divide_up(int32_t a, int32_t b)
{
    return a / b + (a % b != 0);
}

bool ui_proxy_init(UiProxy *proxy, int32_t photo_w, int32_t photo_h, GError **error)
{
    int32_t factor = 1;
    while ((double)divide_up(photo_w, factor) * divide_up(photo_h, factor) > MOST_PIXELS)
        factor++;
    *proxy =
        (UiProxy){photo_w, photo_h, factor, divide_up(photo_w, factor), divide_up(photo_h, factor)};
    size_t n_bytes = (size_t)proxy->width * proxy->height * 3 * sizeof(float);
    proxy->rgb = cz_memory_alloc(n_bytes, "the preview", error);
    return proxy->rgb != NULL;
}

void ui_proxy_clear(UiProxy *proxy)
{
    cz_memory_free(proxy->rgb);
    *proxy = (UiProxy){0};
}

bool ui_proxy_complete(const UiProxy *proxy)
{
    return proxy->n_rows == proxy->photo_h;
}

// Adds the sums of k pixels each, from column x on.
static void add_row(float *sums, int32_t width, const float *rgb, int32_t rgb_w, int32_t x,
                    int32_t k)
{
    for (int32_t i = 0; i < width; i++) {
        int32_t first = (x + i) * k, last = MIN(first + k, rgb_w);
        for (int32_t j = first; j < last; j++) {
            sums[3 * i] += rgb[3 * j];
            sums[3 * i + 1] += rgb[3 * j + 1];
            sums[3 * i + 2] += rgb[3 * j + 2];
        }
    }
}

// Sums of n_rows rows to means.
static void divide_row(float *sums, int32_t width, int32_t rgb_w, int32_t x, int32_t k,
                       int32_t n_rows)
{
    for (int32_t i = 0; i < width; i++) {
        int32_t first = (x + i) * k, n = MIN(first + k, rgb_w) - first;
        float share = 1.0f / ((float)n * (float)n_rows);
        for (int c = 0; c < 3; c++)
            sums[3 * i + c] *= share;
    }
}

void ui_proxy_push(UiProxy *proxy, int32_t y, int32_t n_rows, const float *rgb)
{
    if (ui_proxy_complete(proxy))
        return;
    if (y == 0)
        memset(proxy->rgb, 0, (size_t)proxy->width * proxy->height * 3 * sizeof(float));
    for (int32_t i = y; i < y + n_rows; i++, rgb += 3 * (size_t)proxy->photo_w) {
        float *row = proxy->rgb + 3 * (size_t)(i / proxy->factor) * proxy->width;
        add_row(row, proxy->width, rgb, proxy->photo_w, 0, proxy->factor);
        int32_t n_summed = i % proxy->factor + 1;
        if (n_summed == proxy->factor || i == proxy->photo_h - 1)
            divide_row(row, proxy->width, proxy->photo_w, 0, proxy->factor, n_summed);
    }
    proxy->n_rows = y + n_rows;
}

static void part_of_proxy(const UiProxy *proxy, int32_t reduce, const CzPart *part, float *rgb)
{
    int32_t k = reduce / proxy->factor;
    memset(rgb, 0, (size_t)part->width * part->height * 3 * sizeof(float));
    for (int32_t y = 0; y < part->height; y++, rgb += 3 * (size_t)part->width) {
        int32_t first = (part->y + y) * k, last = MIN(first + k, proxy->height);
        for (int32_t i = first; i < last; i++)
            add_row(rgb, part->width, proxy->rgb + 3 * (size_t)i * proxy->width, proxy->width,
                    part->x, k);
        divide_row(rgb, part->width, proxy->width, part->x, k, last - first);
    }
}

static bool part_of_photo(const CzPhoto *photo, int32_t k, const CzPart *part, float *rgb,
                          float *band, int32_t band_rows, GError **error)
{
    int32_t first = part->y * k, last = MIN((part->y + part->height) * k, photo->height);
    memset(rgb, 0, (size_t)part->width * part->height * 3 * sizeof(float));
    for (int32_t y = first; y < last; y += band_rows) {
        int32_t n_rows = MIN(band_rows, last - y);
        if (!photo->read_rows(photo->user, y, n_rows, band, error))
            return false;
        for (int32_t i = y; i < y + n_rows; i++)
            add_row(rgb + 3 * (size_t)(i / k - part->y) * part->width, part->width,
                    band + 3 * (size_t)(i - y) * photo->width, photo->width, part->x, k);
    }
    for (int32_t y = 0; k > 1 && y < part->height; y++)
        divide_row(rgb + 3 * (size_t)y * part->width, part->width, photo->width, part->x, k,
                   MIN(k, photo->height - (part->y + y) * k));
    return true;
}

bool ui_proxy_part(const UiProxy *proxy, const CzPhoto *photo, int32_t reduce, const CzPart *part,
                   float *rgb, GError **error)
{
    if (reduce == 0)
        return cz_resize_image(rgb, part->width, part->height, proxy->rgb, proxy->width,
                               proxy->height, 3, error);
    if (reduce % proxy->factor == 0) {
        part_of_proxy(proxy, reduce, part, rgb);
        return true;
    }
    size_t n_bytes = (size_t)photo->width * BAND_ROWS * 3 * sizeof(float);
    float *band = cz_memory_alloc(n_bytes, "rows of the photograph", error);
    bool good = band && part_of_photo(photo, reduce, part, rgb, band, BAND_ROWS, error);
    cz_memory_free(band);
    return good;
}
