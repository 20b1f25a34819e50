// SPDX-License-Identifier: LGPL-3.0-or-later
// L* of a photograph at several sizes: exact area means down, bilinear where a side grows.
#include "colorizer/reduce.h"

#include <string.h>

#include <cz/color.h>
#include <cz/memory.h>
#include <cz/resample.h>

#include "colorizer/network.h"

// Rows whose L* is held at once: enough for every core, little enough for the second cache.
#define ROWS 16

// The tint is a mean over pixels in a grid of about this many along the shorter side.
#define TONE_SIDE 256

typedef struct {
    int32_t w, h;           // wanted
    int32_t area_w, area_h; // what area means give; sides that grow are not there yet
    CzAreaScaler *scaler;
} Reduction;

struct CzReducer {
    int32_t photo_w;
    Reduction sizes[CZ_MAX_WORKING_SIZES], field;
    Reduction fine; // for tiles; without a scaler: none
    int n_sizes;
    float *lightness; // ROWS * photo_w
    int32_t y;        // rows seen
    int32_t step;     // from one pixel that counts for the tint to the next, both ways
    CzToneSums tone;
};

void cz_working_size(int32_t photo_w, int32_t photo_h, int32_t size, int32_t *w, int32_t *h)
{
    int32_t shorter = MIN(photo_w, photo_h);
    int32_t side = MIN(size, MAX(shorter, CZ_LEAST_SIDE));
    cz_fit_short_side(photo_w, photo_h, side, w, h);
    *w = MIN(*w, CZ_MOST_ASPECT * side);
    *h = MIN(*h, CZ_MOST_ASPECT * side);
}

static bool reduction_init(Reduction *reduction, int32_t photo_w, int32_t photo_h, int32_t w,
                           int32_t h, GError **error)
{
    *reduction = (Reduction){w, h, MIN(w, photo_w), MIN(h, photo_h), NULL};
    reduction->scaler =
        cz_area_scaler_new(photo_w, photo_h, reduction->area_w, reduction->area_h, 1, error);
    return reduction->scaler != NULL;
}

static void reduction_result(const Reduction *reduction, float *lightness)
{
    cz_resize_bilinear(lightness, reduction->w, reduction->h,
                       cz_area_scaler_result(reduction->scaler), reduction->area_w,
                       reduction->area_h, 1);
}

static bool reducer_init(CzReducer *reducer, int32_t photo_w, int32_t photo_h, const int32_t *sizes,
                         int n_sizes, GError **error)
{
    int32_t w = 0, h = 0;
    for (int i = 0; i < n_sizes; i++) {
        int32_t last_w = w, last_h = h;
        cz_working_size(photo_w, photo_h, sizes[i], &w, &h);
        if (w == last_w && h == last_h)
            continue;
        if (!reduction_init(&reducer->sizes[reducer->n_sizes++], photo_w, photo_h, w, h, error))
            return false;
    }
    return reduction_init(&reducer->field, photo_w, photo_h, (w + 1) / 2, (h + 1) / 2, error);
}

CzReducer *cz_reducer_new(int32_t photo_w, int32_t photo_h, const int32_t *sizes, int n_sizes,
                          GError **error)
{
    g_autoptr(CzReducer) reducer = g_new0(CzReducer, 1);
    reducer->photo_w = photo_w;
    reducer->step = MAX(1, MIN(photo_w, photo_h) / TONE_SIDE);
    if (!reducer_init(reducer, photo_w, photo_h, sizes, n_sizes, error))
        return NULL;
    reducer->lightness =
        cz_memory_alloc((size_t)photo_w * ROWS * sizeof(float), "L* of rows", error);
    return reducer->lightness ? g_steal_pointer(&reducer) : NULL;
}

void cz_reducer_free(CzReducer *reducer)
{
    if (!reducer)
        return;
    for (int i = 0; i < reducer->n_sizes; i++)
        cz_area_scaler_free(reducer->sizes[i].scaler);
    cz_area_scaler_free(reducer->field.scaler);
    cz_area_scaler_free(reducer->fine.scaler);
    cz_memory_free(reducer->lightness);
    g_free(reducer);
}

bool cz_reducer_add_fine(CzReducer *reducer, int32_t photo_h, int32_t w, int32_t h, GError **error)
{
    return reduction_init(&reducer->fine, reducer->photo_w, photo_h, w, h, error);
}

void cz_reducer_fine(const CzReducer *reducer, float *lightness)
{
    reduction_result(&reducer->fine, lightness);
}

int cz_reducer_n_sizes(const CzReducer *reducer)
{
    return reducer->n_sizes;
}

void cz_reducer_size(const CzReducer *reducer, int index, int32_t *w, int32_t *h)
{
    *w = reducer->sizes[index].w;
    *h = reducer->sizes[index].h;
}

void cz_reducer_field_size(const CzReducer *reducer, int32_t *w, int32_t *h)
{
    *w = reducer->field.w;
    *h = reducer->field.h;
}

// The network knows 0 to 100; a NaN or a highlight of a float image must not spread over its
// surroundings. Comparisons are so that NaN becomes 0.
static void limit(float *lightness, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float l = lightness[i] > 0 ? lightness[i] : 0;
        lightness[i] = l < 100 ? l : 100;
    }
}

static void add_tone(CzReducer *reducer, const float *row)
{
    float lab[3 * 256];
    int n = 0;
    for (int32_t x = reducer->step / 2; x < reducer->photo_w; x += reducer->step) {
        memcpy(lab + 3 * n++, row + 3 * (size_t)x, 3 * sizeof *lab);
        if (n < 256 && x + reducer->step < reducer->photo_w)
            continue;
        cz_rgb_to_lab(lab, lab, n);
        cz_tone_add(&reducer->tone, lab, n);
        n = 0;
    }
}

static void push_rows(CzReducer *reducer, const float *rgb, int32_t n_rows)
{
    size_t width = (size_t)reducer->photo_w;
    float *lightness = reducer->lightness;
#pragma omp parallel for schedule(static)
    for (int32_t y = 0; y < n_rows; y++) {
        cz_rgb_to_lightness(lightness + y * width, rgb + 3 * y * width, width);
        limit(lightness + y * width, width);
    }
    for (int32_t y = 0; y < n_rows; y++)
        if (reducer->y++ % reducer->step == reducer->step / 2)
            add_tone(reducer, rgb + 3 * y * width);
    for (int i = 0; i < reducer->n_sizes; i++)
        cz_area_scaler_push(reducer->sizes[i].scaler, lightness, n_rows);
    cz_area_scaler_push(reducer->field.scaler, lightness, n_rows);
    if (reducer->fine.scaler)
        cz_area_scaler_push(reducer->fine.scaler, lightness, n_rows);
}

void cz_reducer_push(CzReducer *reducer, const float *rgb, int32_t n_rows)
{
    for (int32_t y = 0; y < n_rows; y += ROWS)
        push_rows(reducer, rgb + (size_t)y * reducer->photo_w * 3, MIN(ROWS, n_rows - y));
}

void cz_reducer_result(const CzReducer *reducer, int index, float *lightness)
{
    reduction_result(&reducer->sizes[index], lightness);
}

void cz_reducer_lightness(const CzReducer *reducer, float *lightness)
{
    reduction_result(&reducer->field, lightness);
}

CzTone cz_reducer_tone(const CzReducer *reducer)
{
    return cz_tone_fit(&reducer->tone);
}
