// SPDX-License-Identifier: LGPL-3.0-or-later
// Apply: rows of a photograph, the field and the settings to rows in colour.
#include "colorizer/private.h"

#include <cz/color.h>
#include <cz/error.h>
#include <cz/memory.h>

#include "color/field_span.h"

// Pixels that go the whole way through the first cache.
#define SPAN 512

// What a row needs beside its place.
typedef struct {
    const CzField *field;
    const CzField *fine, *ground; // the tiles' field, and what field is without hints; or NULL
    const CzTone *tone;           // NULL: the paper's tint is left away
    float strength, warmth;
} Look;

static Look look_of(const CzChroma *chroma, const CzSettings *settings)
{
    bool tiled = chroma->fine.width > 0;
    return (Look){.field = &chroma->field,
                  .fine = tiled ? &chroma->fine : NULL,
                  .ground = tiled && chroma->hinted ? &chroma->ground.field : NULL,
                  .tone = settings->keep_tone ? &chroma->tone : NULL,
                  .strength = (float)settings->strength,
                  .warmth = (float)settings->warmth};
}

// Hints change the field of the whole; with tiles, the difference is added to theirs.
static void field_span(const Look *look, const CzPart *part, int32_t x, int32_t y, int32_t n,
                       const float *lightness, float *lab)
{
    float with[3 * SPAN], without[3 * SPAN];
    const CzField *field = look->fine ? look->fine : look->field;
    cz_field_span(field, part->photo_w, part->photo_h, x, y, n, lightness, look->strength, lab);
    if (!look->ground)
        return;
    cz_field_span(look->field, part->photo_w, part->photo_h, x, y, n, lightness, look->strength,
                  with);
    cz_field_span(look->ground, part->photo_w, part->photo_h, x, y, n, lightness, look->strength,
                  without);
    for (int32_t i = 0; i < 3 * n; i += 3) {
        lab[i + 1] += with[i + 1] - without[i + 1];
        lab[i + 2] += with[i + 2] - without[i + 2];
    }
}

// The color that is wished for, in the gamut or not. lab: n * 3 (out).
static void wish_span(const Look *look, const CzPart *part, int32_t x, int32_t y, int32_t n,
                      const float *rgb, float *lab)
{
    float lightness[SPAN];
    cz_rgb_to_lightness(lightness, rgb, n);
    field_span(look, part, x, y, n, lightness, lab);
    if (look->warmth != 0)
        cz_warmth_span(lab, n, look->warmth);
    if (look->tone)
        cz_tone_span(look->tone, lab, n);
}

// One row of a part. Strips may be cut anywhere along y: every pixel is computed the same way in
// all of them; along x up to the rounding of the place between two middles of the field.
static void apply_row(const Look *look, const CzPart *part, int32_t y, const float *rgb,
                      float *rgb_out)
{
    float lab[3 * SPAN];
    for (int32_t x = 0; x < part->width; x += SPAN) {
        int32_t n = MIN(SPAN, part->width - x);
        wish_span(look, part, part->x + x, y, n, rgb + 3 * (size_t)x, lab);
        cz_lab_to_gamut_rgb(rgb_out + 3 * (size_t)x, lab, n);
    }
}

void cz_chroma_apply_rows(const CzChroma *chroma, const CzSettings *settings, int32_t y,
                          int32_t n_rows, const float *rgb, float *rgb_out)
{
    const CzPart part = {chroma->width, chroma->height, 0, y, chroma->width, n_rows};
    cz_chroma_apply_part(chroma, settings, &part, rgb, rgb_out);
}

void cz_chroma_apply_part(const CzChroma *chroma, const CzSettings *settings, const CzPart *part,
                          const float *rgb, float *rgb_out)
{
    const Look look = look_of(chroma, settings);
    size_t stride = 3 * (size_t)part->width;
    for (int32_t i = 0; i < part->height; i++)
        apply_row(&look, part, part->y + i, rgb + i * stride, rgb_out + i * stride);
}

size_t cz_chroma_count_reduced(const CzChroma *chroma, const CzSettings *settings,
                               const CzPart *part, const float *rgb)
{
    const Look look = look_of(chroma, settings);
    float lab[3 * SPAN];
    size_t count = 0;
    for (int32_t y = 0; y < part->height; y++)
        for (int32_t x = 0; x < part->width; x += SPAN) {
            int32_t n = MIN(SPAN, part->width - x);
            wish_span(&look, part, part->x + x, part->y + y, n,
                      rgb + 3 * ((size_t)y * (size_t)part->width + (size_t)x), lab);
            for (int32_t i = 0; i < n; i++)
                count += !cz_lab_in_gamut(lab + 3 * i);
        }
    return count;
}

typedef struct {
    const Look *look;
    const CzPhoto *photo;
    int32_t y, n_rows;
    float *rgb;
} ApplyJob;

static bool job_apply(void *data, GError **error)
{
    const ApplyJob *job = data;
    const CzPhoto *photo = job->photo;
    const CzPart part = {photo->width, photo->height, 0, job->y, photo->width, job->n_rows};
    size_t stride = 3 * (size_t)photo->width;
#pragma omp parallel for schedule(static)
    for (int32_t i = 0; i < job->n_rows; i++)
        apply_row(job->look, &part, job->y + i, job->rgb + i * stride, job->rgb + i * stride);
    return true;
}

static bool read_band(const CzPhoto *photo, int32_t y, float *rgb, GError **error)
{
    return photo->read_rows(photo->user, y, MIN(cz_band_rows(photo), photo->height - y), rgb,
                            error);
}

static bool write_band(const CzPhoto *photo, int32_t y, const float *rgb, GError **error)
{
    return photo->write_rows(photo->user, y, MIN(cz_band_rows(photo), photo->height - y), rgb,
                             error);
}

// While the engine's thread colours the band at y, the caller's writes the one before and reads
// the one after, both in the other buffer.
static bool exchange_bands(const CzPhoto *photo, int32_t y, float *rgb, const CzProgress *progress,
                           GError **error)
{
    int32_t step = cz_band_rows(photo), next = y + step;
    if (y > 0 && !write_band(photo, y - step, rgb, error))
        return false;
    if (next >= photo->height)
        return true;
    return cz_progress_report(progress, (double)next / photo->height, error) &&
           read_band(photo, next, rgb, error);
}

static bool apply_bands(const Look *look, CzWorker *worker, const CzPhoto *photo, float *bands[2],
                        const CzProgress *progress, GError **error)
{
    int32_t step = cz_band_rows(photo), band = 0, y = 0;
    if (!cz_progress_report(progress, 0, error) || !read_band(photo, 0, bands[0], error))
        return false;
    for (; y < photo->height; y += step, band ^= 1) {
        ApplyJob job = {look, photo, y, MIN(step, photo->height - y), bands[band]};
        cz_worker_start(worker, job_apply, &job);
        bool good = exchange_bands(photo, y, bands[!band], progress, error);
        if (!cz_worker_wait(worker, NULL, good ? error : NULL) || !good)
            return false;
    }
    return write_band(photo, y - step, bands[!band], error) &&
           cz_progress_report(progress, 1, error);
}

bool cz_chroma_apply(const CzChroma *chroma, CzColorizer *colorizer, const CzSettings *settings,
                     const CzPhoto *photo, const CzProgress *progress, GError **error)
{
    if (!cz_settings_check(settings, error))
        return false;
    if (photo->width < 1 || photo->height < 1) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "a photograph of %d x %d pixels is empty",
                    photo->width, photo->height);
        return false;
    }
    float *bands[2] = {cz_band_alloc(photo, error), NULL};
    bands[1] = bands[0] ? cz_band_alloc(photo, error) : NULL;
    const Look look = look_of(chroma, settings);
    bool good = bands[1] && apply_bands(&look, colorizer->worker, photo, bands, progress, error);
    cz_memory_free(bands[0]);
    cz_memory_free(bands[1]);
    return good;
}
