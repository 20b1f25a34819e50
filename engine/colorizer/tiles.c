// SPDX-License-Identifier: LGPL-3.0-or-later
// Detail in tiles.
#include "colorizer/tiles.h"

#include <math.h>
#include <string.h>

#include <cz/color.h>
#include <cz/error.h>
#include <cz/memory.h>
#include <cz/resample.h>

// Tiles lie over each other by a quarter at least.
#define OVERLAP 0.25
// The network paints a seam along the edges of what it sees (see cz_field_mend_border).
#define SEAM 5
// Areas above this share of the shorter side are the whole's matter (measured: compute.md 7).
#define LARGE (1.0 / 24)
// Tiles that see the photograph less than this much larger than the whole's pass are left out.
#define LEAST_GAIN 1.5

// ---- where they lie
// -------------------------------------------------------------------------------

static int32_t even(int32_t n)
{
    return MAX(2, n & ~1);
}

static int32_t n_tiles(int32_t whole, int32_t tile)
{
    if (whole <= tile)
        return 1;
    return 1 + (int32_t)ceil((whole - tile) / (tile * (1 - OVERLAP)));
}

int32_t cz_tile_start(int32_t whole, int32_t tile, int32_t n, int32_t i)
{
    if (n < 2)
        return 0;
    int32_t start = (int32_t)((int64_t)(whole - tile) * i / (n - 1));
    return start + (start & 1); // up, so that the last one reaches the end
}

CzTiling cz_tiling(int32_t photo_w, int32_t photo_h, int32_t tile_size, int32_t working)
{
    CzTiling tiling = {0};
    if (tile_size <= 0)
        return tiling;
    double scale = MIN((double)working / tile_size, 1);
    scale = MIN(scale, sqrt(CZ_MOST_FINE_PIXELS / ((double)photo_w * photo_h)));
    int32_t w = (int32_t)lround(photo_w * scale), h = (int32_t)lround(photo_h * scale);
    if (MIN(w, h) < LEAST_GAIN * working)
        return tiling;
    int32_t side = even(working);
    return (CzTiling){w, h, side, side, n_tiles(w, side), n_tiles(h, side)};
}

// ---- one tile
// -------------------------------------------------------------------------------------

typedef struct {
    int32_t x, y, w, h;            // in the fine field's places
    bool left, top, right, bottom; // edges that are the photograph's
} Window;

static Window window_of(const CzTiling *tiling, int32_t i_x, int32_t i_y)
{
    return (Window){.x = cz_tile_start(tiling->w, tiling->tile_w, tiling->n_x, i_x) / 2,
                    .y = cz_tile_start(tiling->h, tiling->tile_h, tiling->n_y, i_y) / 2,
                    .w = tiling->tile_w / 2,
                    .h = tiling->tile_h / 2,
                    .left = i_x == 0,
                    .top = i_y == 0,
                    .right = i_x == tiling->n_x - 1,
                    .bottom = i_y == tiling->n_y - 1};
}

// Raised cosine over the overlap, nothing in the seam; 1 towards the photograph's own edges.
static float ramp(int32_t at, int32_t n, bool from, bool to)
{
    double width = OVERLAP * n, near = 1;
    if (!from)
        near = MIN(near, (at + 0.5 - SEAM) / (width - SEAM));
    if (!to)
        near = MIN(near, (n - at - 0.5 - SEAM) / (width - SEAM));
    double wave = sin(CLAMP(near, 0, 1) * G_PI / 2);
    return (float)(wave * wave);
}

// Mean of 2 radius + 1 values along one axis, edges repeated; two channels. step: between values.
static void blur_line(float *line, float *copy, int32_t n, size_t step, int32_t radius)
{
    for (int32_t i = 0; i < n; i++)
        memcpy(copy + 2 * i, line + i * step, 2 * sizeof *line);
    float share = 1.0f / (float)(2 * radius + 1);
    for (int c = 0; c < 2; c++) {
        double sum = 0;
        for (int32_t i = -radius; i <= radius; i++)
            sum += (double)copy[2 * CLAMP(i, 0, n - 1) + c];
        for (int32_t i = 0; i < n; i++) {
            line[i * step + c] = (float)sum * share;
            sum += (double)copy[2 * MIN(i + radius + 1, n - 1) + c] -
                   (double)copy[2 * MAX(i - radius, 0) + c];
        }
    }
}

// Three means one after the other are close to a Gaussian whose deviation is the radius.
static void blur(float *map, float *copy, int32_t w, int32_t h, int32_t radius)
{
    for (int pass = 0; pass < 3; pass++) {
        for (int32_t y = 0; y < h; y++)
            blur_line(map + 2 * (size_t)y * w, copy, w, 2, radius);
        for (int32_t x = 0; x < w; x++)
            blur_line(map + 2 * (size_t)x, copy, h, 2 * (size_t)w, radius);
    }
}

// What all tiles share. c of fine collects weighted sums, weights their weights.
typedef struct {
    const CzTileJob *job;
    float *whole; // what the pass over everything gives, at the fine field's places
    float *weights;
    float *lightness, *chroma, *error, *copy; // of one tile
    CzFeatures features;
    bool d65;
} Work;

static bool see_tile(Work *work, const Window *at, GError **error)
{
    const CzTiling *tiling = &work->job->tiling;
    int32_t w = tiling->tile_w, h = tiling->tile_h;
    for (int32_t y = 0; y < h; y++)
        for (int32_t x = 0; x < w; x++) {
            size_t row = (size_t)MIN(2 * at->y + y, tiling->h - 1) * tiling->w;
            float l = work->job->lightness[row + MIN(2 * at->x + x, tiling->w - 1)];
            work->lightness[(size_t)y * w + x] = l / 50 - 1;
        }
    return cz_network_run(work->job->network, w, h, work->lightness, work->chroma, &work->features,
                          NULL, error);
}

// The tile's chroma in CIE units, with the whole's large areas.
static void agree(Work *work, const Window *at)
{
    const CzField *fine = work->job->fine;
    for (int32_t y = 0; y < at->h; y++)
        for (int32_t x = 0; x < at->w; x++) {
            size_t i = (size_t)y * at->w + x;
            size_t place = (size_t)MIN(at->y + y, fine->height - 1) * fine->width +
                           MIN(at->x + x, fine->width - 1);
            float lab[3] = {fine->l[place], 100 * work->chroma[2 * i],
                            100 * work->chroma[2 * i + 1]};
            if (work->d65)
                cz_lab_d65_to_d50(lab, 1);
            work->chroma[2 * i] = lab[1];
            work->chroma[2 * i + 1] = lab[2];
            work->error[2 * i] = lab[1] - work->whole[2 * place];
            work->error[2 * i + 1] = lab[2] - work->whole[2 * place + 1];
        }
    int32_t radius = (int32_t)lround(MIN(fine->width, fine->height) * LARGE);
    blur(work->error, work->copy, at->w, at->h, MAX(1, radius));
    for (size_t i = 0; i < 2 * (size_t)at->w * at->h; i++)
        work->chroma[i] -= work->error[i];
}

static void add_tile(Work *work, const Window *at)
{
    CzField *fine = work->job->fine;
    for (int32_t y = 0; y < MIN(at->h, fine->height - at->y); y++) {
        float weight_y = ramp(y, at->h, at->top, at->bottom);
        for (int32_t x = 0; x < MIN(at->w, fine->width - at->x); x++) {
            float weight = weight_y * ramp(x, at->w, at->left, at->right);
            size_t i = (size_t)y * at->w + x, place = (size_t)(at->y + y) * fine->width + at->x + x;
            work->weights[place] += weight;
            fine->c[2 * place] += weight * work->chroma[2 * i];
            fine->c[2 * place + 1] += weight * work->chroma[2 * i + 1];
        }
    }
}

// ---- all of them
// ----------------------------------------------------------------------------------

static bool run_tiles(Work *work, GError **error)
{
    const CzTileJob *job = work->job;
    const CzTiling *tiling = &job->tiling;
    int32_t n = tiling->n_x * tiling->n_y;
    for (int32_t i = 0; i < n; i++) {
        if (!job->report(job->user, (double)i / n)) {
            g_set_error_literal(error, CZ_ERROR, CZ_ERROR_CANCELLED, "cancelled");
            return false;
        }
        Window at = window_of(tiling, i % tiling->n_x, i / tiling->n_x);
        if (!see_tile(work, &at, error))
            return false;
        agree(work, &at);
        add_tile(work, &at);
    }
    return true;
}

// Places that no tile has reached are the whole's.
static void divide(Work *work)
{
    const CzField *fine = work->job->fine;
    for (size_t i = 0; i < (size_t)fine->width * fine->height; i++)
        for (int c = 0; c < 2; c++)
            fine->c[2 * i + c] = work->weights[i] > 0 ? fine->c[2 * i + c] / work->weights[i]
                                                      : work->whole[2 * i + c];
}

bool cz_tiles_run(const CzTileJob *job, GError **error)
{
    CzField *fine = job->fine;
    const CzTiling *tiling = &job->tiling;
    size_t n = (size_t)fine->width * fine->height;
    size_t n_tile = (size_t)tiling->tile_w * tiling->tile_h, n_half = n_tile / 2;
    size_t longest = 2 * (size_t)MAX(tiling->tile_w, tiling->tile_h);
    float *memory =
        cz_memory_alloc((3 * n + n_tile + 2 * n_half + longest) * sizeof(float), "tiles", error);
    Work work = {.job = job, .d65 = cz_network_use(job->network)->d65};
    bool good = memory &&
                cz_network_features_init(job->network, tiling->tile_w, tiling->tile_h,
                                         &work.features, error) &&
                cz_resize_image(fine->l, fine->width, fine->height, job->lightness, tiling->w,
                                tiling->h, 1, error);
    if (good) {
        work.whole = memory;
        work.weights = memory + 2 * n;
        work.lightness = memory + 3 * n;
        work.chroma = work.lightness + n_tile;
        work.error = work.chroma + n_half;
        work.copy = work.error + n_half;
        memset(work.weights, 0, n * sizeof(float));
        memset(fine->c, 0, 2 * n * sizeof(float));
        cz_field_sample(job->whole, fine->width, fine->height, 0, fine->height, fine->l,
                        work.whole);
        good = run_tiles(&work, error);
    }
    if (good) {
        divide(&work);
        cz_field_mend_border(fine, CZ_FIELD_BORDER);
        cz_field_slopes(fine, CZ_FIELD_EPSILON);
    }
    cz_features_clear(&work.features);
    cz_memory_free(memory);
    return good;
}
