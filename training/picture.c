// SPDX-License-Identifier: LGPL-3.0-or-later
// Small photographs in memory.
#include "picture.h"

#include <math.h>
#include <string.h>

#include <vips/vips.h>

#include <cz/color.h>
#include <cz/error.h>
#include <cz/memory.h>
#include <cz/resample.h>

void train_image_clear(TrainImage *image)
{
    cz_memory_free(image->rgb);
    memset(image, 0, sizeof *image);
}

bool train_image_reserve(TrainImage *image, int32_t width, int32_t height, GError **error)
{
    uint8_t *rgb = cz_memory_alloc((size_t)width * (size_t)height * 3, "a picture", error);
    if (!rgb)
        return false;
    train_image_clear(image);
    *image = (TrainImage){width, height, rgb};
    return true;
}

static uint8_t to_byte(float value)
{
    return (uint8_t)(CLAMP(value, 0.0f, 1.0f) * 255 + 0.5f);
}

typedef struct {
    const TrainImage *src;
    TrainImage *dst;
} Copy;

static bool read_rows(void *user, int32_t y, int32_t n_rows, float *rgb, GError **error)
{
    const TrainImage *src = ((Copy *)user)->src;
    size_t row = (size_t)src->width * 3, n = row * (size_t)n_rows;
    for (size_t i = 0; i < n; i++)
        rgb[i] = (float)src->rgb[row * (size_t)y + i] / 255;
    return true;
}

static bool write_rows(void *user, int32_t y, int32_t n_rows, const float *rgb, GError **error)
{
    TrainImage *dst = ((Copy *)user)->dst;
    size_t row = (size_t)dst->width * 3, n = row * (size_t)n_rows;
    for (size_t i = 0; i < n; i++)
        dst->rgb[row * (size_t)y + i] = to_byte(rgb[i]);
    return true;
}

CzChroma *train_image_predict(CzColorizer *colorizer, const TrainImage *picture, GError **error)
{
    Copy copy = {picture, NULL};
    const CzPhoto photo = {picture->width, picture->height, read_rows, NULL, &copy};
    return cz_colorizer_predict(colorizer, &photo, 0, NULL, error);
}

bool train_image_apply(const CzChroma *chroma, CzColorizer *colorizer, const TrainImage *picture,
                       double strength, TrainImage *out, GError **error)
{
    Copy copy = {picture, out};
    const CzPhoto photo = {picture->width, picture->height, read_rows, write_rows, &copy};
    CzSettings settings;
    cz_settings_init(&settings);
    settings.strength = strength;
    return train_image_reserve(out, picture->width, picture->height, error) &&
           cz_chroma_apply(chroma, colorizer, &settings, &photo, NULL, error);
}

bool train_image_colorize(CzColorizer *colorizer, const TrainImage *picture, double strength,
                          TrainImage *out, GError **error)
{
    g_autoptr(CzChroma) chroma = train_image_predict(colorizer, picture, error);
    return chroma && train_image_apply(chroma, colorizer, picture, strength, out, error);
}

bool train_image_grey(const TrainImage *picture, TrainImage *out, GError **error)
{
    if (!train_image_reserve(out, picture->width, picture->height, error))
        return false;
    size_t width = (size_t)picture->width;
    g_autofree float *row = g_new(float, 3 * width);
    for (size_t at = 0; at < width * (size_t)picture->height; at += width) {
        for (size_t i = 0; i < 3 * width; i++)
            row[i] = (float)picture->rgb[3 * at + i] / 255;
        cz_rgb_to_lab(row, row, width);
        for (size_t i = 0; i < width; i++)
            row[3 * i + 1] = row[3 * i + 2] = 0;
        cz_lab_to_rgb(row, row, width);
        for (size_t i = 0; i < width; i++) // rounding may part the channels by one
            memset(out->rgb + 3 * (at + i), to_byte(row[3 * i + 1]), 3);
    }
    return true;
}

double train_image_reduced(const CzChroma *chroma, const TrainImage *picture, double strength)
{
    size_t row = 3 * (size_t)picture->width, n_reduced = 0;
    g_autofree float *rgb = g_new(float, row);
    CzSettings settings;
    cz_settings_init(&settings);
    settings.strength = strength;
    for (int32_t y = 0; y < picture->height; y++) {
        const CzPart part = {picture->width, picture->height, 0, y, picture->width, 1};
        for (size_t i = 0; i < row; i++)
            rgb[i] = (float)picture->rgb[row * (size_t)y + i] / 255;
        n_reduced += cz_chroma_count_reduced(chroma, &settings, &part, rgb);
    }
    return (double)n_reduced / ((double)picture->width * picture->height);
}

uint64_t train_image_hash(const TrainImage *picture)
{
    size_t n = (size_t)picture->width * (size_t)picture->height * 3;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ picture->rgb[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static bool centre(const float *rgb, int32_t width, int32_t height, int32_t side, TrainImage *out,
                   GError **error)
{
    int32_t w = MIN(side, width), h = MIN(side, height), left = (width - w) / 2,
            top = (height - h) / 2;
    if (!train_image_reserve(out, w, h, error))
        return false;
    for (int32_t y = 0; y < h; y++)
        for (int32_t i = 0; i < 3 * w; i++)
            out->rgb[(size_t)y * (size_t)w * 3 + (size_t)i] =
                to_byte(rgb[((size_t)(y + top) * (size_t)width + (size_t)left) * 3 + (size_t)i]);
    return true;
}

static bool enlarge(const uint8_t *rgb, int32_t width, int32_t height, int32_t w, int32_t h,
                    float *dst, GError **error)
{
    size_t n = (size_t)width * (size_t)height * 3, size;
    VipsImage *src = vips_image_new_from_memory(rgb, n, width, height, 3, VIPS_FORMAT_UCHAR),
              *big = NULL;
    bool done = src &&
                vips_resize(src, &big, (double)w / width, "vscale", (double)h / height, "kernel",
                            VIPS_KERNEL_CUBIC, NULL) == 0 &&
                big->Xsize == w && big->Ysize == h;
    uint8_t *bytes = done ? vips_image_write_to_memory(big, &size) : NULL;
    for (size_t i = 0; bytes && i < size; i++)
        dst[i] = (float)bytes[i] / 255;
    g_free(bytes);
    g_clear_object(&src);
    g_clear_object(&big);
    if (!bytes) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_MEMORY, "enlarging a picture: %s",
                    vips_error_buffer());
        vips_error_clear();
    }
    return bytes != NULL;
}

static bool reduce(const uint8_t *rgb, int32_t width, int32_t height, int32_t w, int32_t h,
                   float *dst, GError **error)
{
    size_t n = (size_t)width * (size_t)height * 3;
    float *values = cz_memory_alloc(n * sizeof *values, "a picture", error);
    for (size_t i = 0; values && i < n; i++)
        values[i] = (float)rgb[i] / 255;
    bool done = values && cz_resize_image(dst, w, h, values, width, height, 3, error);
    cz_memory_free(values);
    return done;
}

bool train_image_evaluation(const uint8_t *rgb, int32_t width, int32_t height, int32_t side,
                            TrainImage *out, GError **error)
{
    int32_t w, h;
    cz_fit_short_side(width, height, side, &w, &h);
    float *scaled = cz_memory_alloc((size_t)w * (size_t)h * 3 * sizeof *scaled, "a picture", error);
    bool up = MIN(width, height) < side;
    bool done = scaled && (up ? enlarge : reduce)(rgb, width, height, w, h, scaled, error) &&
                centre(scaled, w, h, side, out, error);
    cz_memory_free(scaled);
    return done;
}
