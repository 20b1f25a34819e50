// SPDX-License-Identifier: LGPL-3.0-or-later
// A picture of the set to one training sample: a random part at a random scale, perhaps mirrored,
// its lightness perhaps bent.
#include "augment.h"

#include <math.h>

#include <cz/color.h>
#include <cz/error.h>
#include <cz/memory.h>
#include <cz/resample.h>

struct TrainAugmenter {
    float *window, *sample; // L*a*b*: the part of the picture, and what it is resampled to
    float *scratch;         // of degradations
    size_t n_window, n_sample, n_scratch;
};

// What is drawn for a sample. Every number is drawn every time, so that changing one option leaves
// the others' draws alone.
typedef struct {
    int32_t x, y, side; // square window in the picture
    bool mirrored;
    float gamma;
    TrainDegradeDraw degrade;
} Draw;

static bool refuse(GError **error, const char *what, double value, const char *allowed)
{
    g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "%s is %g, allowed is %s", what, value,
                allowed);
    return FALSE;
}

int32_t train_augment_stride(const TrainAugmentParams *params)
{
    return params->stride ? params->stride : 2;
}

bool train_augment_check(const TrainAugmentParams *params, GError **error)
{
    if (params->crop < 2 || params->crop > 4096 || params->crop % 2)
        return refuse(error, "crop", params->crop, "an even number from 2 to 4096");
    int32_t stride = train_augment_stride(params);
    if ((stride != 1 && stride != 2 && stride != 4) || params->crop % stride)
        return refuse(error, "stride", stride, "1, 2 or 4, and a divisor of crop");
    if (!(params->scale_min >= 1 && params->scale_min <= 16))
        return refuse(error, "scale_min", params->scale_min, "1 to 16");
    if (!(params->scale_max >= params->scale_min && params->scale_max <= 16))
        return refuse(error, "scale_max", params->scale_max, "scale_min to 16");
    if (!(params->flip >= 0 && params->flip <= 1))
        return refuse(error, "flip", params->flip, "0 to 1");
    if (!(params->gamma_probability >= 0 && params->gamma_probability <= 1))
        return refuse(error, "gamma_probability", params->gamma_probability, "0 to 1");
    if (!(params->gamma_sigma >= 0 && params->gamma_sigma <= 2))
        return refuse(error, "gamma_sigma", params->gamma_sigma, "0 to 2");
    return train_degrade_check(&params->degrade, error);
}

TrainAugmenter *train_augmenter_new(void)
{
    return g_new0(TrainAugmenter, 1);
}

void train_augmenter_free(TrainAugmenter *augmenter)
{
    if (!augmenter)
        return;
    cz_memory_free(augmenter->window);
    cz_memory_free(augmenter->sample);
    cz_memory_free(augmenter->scratch);
    g_free(augmenter);
}

static bool reserve(float **memory, size_t *have, size_t n, const char *what, GError **error)
{
    if (*have >= n)
        return TRUE;
    cz_memory_free(*memory);
    *memory = cz_memory_alloc(n * sizeof **memory, what, error);
    *have = *memory ? n : 0;
    return *memory != NULL;
}

static Draw draw(const TrainAugmentParams *params, const TrainPicture *picture, CzRng *rng)
{
    int32_t shorter = MIN(picture->width, picture->height);
    float scale = params->scale_min + cz_rng_uniform(rng) * (params->scale_max - params->scale_min);
    float flip = cz_rng_uniform(rng), bend = cz_rng_uniform(rng), normal = cz_rng_normal(rng);
    Draw drawn;

    // crop of a picture scaled to crop * scale is shorter / scale of the picture as it is; whole
    // pixels, so that resampling needs no fractions at the window's edges.
    drawn.side = CLAMP((int32_t)lrintf((float)shorter / scale), 1, shorter);
    drawn.x = (int32_t)cz_rng_below(rng, (uint32_t)(picture->width - drawn.side) + 1);
    drawn.y = (int32_t)cz_rng_below(rng, (uint32_t)(picture->height - drawn.side) + 1);
    drawn.mirrored = flip < params->flip;
    drawn.gamma = bend < params->gamma_probability ? expf(params->gamma_sigma * normal) : 1.0f;
    drawn.degrade = train_degrade_draw(&params->degrade, rng);
    return drawn;
}

static void read_window(const TrainPicture *picture, const Draw *drawn, float *dst)
{
    size_t row = (size_t)picture->width * 3, n = (size_t)drawn->side * 3;
    const uint8_t *src = picture->rgb + (size_t)drawn->y * row + (size_t)drawn->x * 3;

    for (int32_t y = 0; y < drawn->side; y++, src += row, dst += n)
        for (size_t i = 0; i < n; i++)
            dst[i] = src[i] * (1.0f / 255.0f);
}

static void mirror(float *lab, int32_t side)
{
    for (int32_t y = 0; y < side; y++) {
        float *row = lab + (size_t)y * (size_t)side * 3;

        for (int32_t i = 0, j = side - 1; i < j; i++, j--)
            for (int c = 0; c < 3; c++) {
                float kept = row[3 * i + c];

                row[3 * i + c] = row[3 * j + c];
                row[3 * j + c] = kept;
            }
    }
}

static void bend(float *lightness, size_t n_pixels, float gamma)
{
    for (size_t i = 0; i < n_pixels; i++) {
        float l = lightness[i];

        lightness[i] = 2.0f * (gamma == 1.0f ? l : powf(l, gamma)) - 1.0f;
    }
}

// Mean over stride x stride places, row by row.
static void mean_chroma(float mean[2], const float *lab, size_t row, int32_t stride)
{
    float share = 0.01f / (float)(stride * stride);

    for (int c = 0; c < 2; c++) {
        float sum = 0;

        for (int32_t y = 0; y < stride; y++)
            for (int32_t x = 0; x < stride; x++)
                sum += lab[(size_t)y * row + (size_t)(3 * x + c + 1)];
        mean[c] = sum * share;
    }
}

static void write_chroma(float *chroma, const float *lab, int32_t crop, int32_t stride)
{
    size_t row = (size_t)crop * 3;

    for (int32_t y = 0; y < crop; y += stride)
        for (int32_t x = 0; x < crop; x += stride, chroma += 2)
            mean_chroma(chroma, lab + (size_t)y * row + (size_t)x * 3, row, stride);
}

bool train_augment(TrainAugmenter *augmenter, const TrainAugmentParams *params,
                   const TrainPicture *picture, CzRng *rng, float *lightness, float *chroma,
                   GError **error)
{
    const Draw drawn = draw(params, picture, rng);
    size_t n_window = (size_t)drawn.side * (size_t)drawn.side;
    size_t n_sample = (size_t)params->crop * (size_t)params->crop;

    if (!reserve(&augmenter->window, &augmenter->n_window, n_window * 3, "a part of a picture",
                 error) ||
        !reserve(&augmenter->sample, &augmenter->n_sample, n_sample * 3, "a sample", error) ||
        !reserve(&augmenter->scratch, &augmenter->n_scratch, n_sample, "a sample", error))
        return FALSE;
    read_window(picture, &drawn, augmenter->window);
    cz_rgb_to_lab(augmenter->window, augmenter->window, n_window);
    if (!cz_resize_image(augmenter->sample, params->crop, params->crop, augmenter->window,
                         drawn.side, drawn.side, 3, error))
        return FALSE;
    if (drawn.mirrored)
        mirror(augmenter->sample, params->crop);
    train_degrade(&drawn.degrade, augmenter->sample, params->crop, lightness, augmenter->scratch);
    bend(lightness, n_sample, drawn.gamma);
    write_chroma(chroma, augmenter->sample, params->crop, train_augment_stride(params));
    return TRUE;
}
