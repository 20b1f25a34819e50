// SPDX-License-Identifier: LGPL-3.0-or-later
// Hints for measuring.
#include "hints.h"

#include <string.h>

#include <cz/color.h>
#include <cz/rng.h>

#include "metrics.h"

#define SEED 1

static CzDab patch(const TrainImage *picture, int32_t left, int32_t top)
{
    int32_t w = MIN(TRAIN_HINT_SIDE, picture->width), h = MIN(TRAIN_HINT_SIDE, picture->height);
    double sums[3] = {0};
    for (int32_t i = 0; i < w * h; i++) {
        float lab[3];
        const uint8_t *pixel = picture->rgb + 3 * ((size_t)(top + i / w) * (size_t)picture->width +
                                                   (size_t)(left + i % w));
        for (int k = 0; k < 3; k++)
            lab[k] = (float)pixel[k] / 255;
        cz_rgb_to_lab(lab, lab, 1);
        for (int k = 0; k < 3; k++)
            sums[k] += lab[k] / (w * h);
    }
    return (CzDab){.x = ((float)left + 0.5f * (float)w) / (float)picture->width,
                   .y = ((float)top + 0.5f * (float)h) / (float)picture->height,
                   .l = (float)sums[0],
                   .a = (float)sums[1],
                   .b = (float)sums[2],
                   .weight = 1};
}

void train_hints_sample(const TrainImage *picture, uint64_t seed, size_t number, CzDab *dabs,
                        size_t n)
{
    CzRng rng = cz_rng(seed, number);
    uint32_t columns = (uint32_t)MAX(picture->width - TRAIN_HINT_SIDE + 1, 1);
    uint32_t rows = (uint32_t)MAX(picture->height - TRAIN_HINT_SIDE + 1, 1);
    for (size_t i = 0; i < n; i++) {
        int32_t left = (int32_t)cz_rng_below(&rng, columns);
        dabs[i] = patch(picture, left, (int32_t)cz_rng_below(&rng, rows));
    }
}

bool train_hints_parse(TrainHints *hints, const char *text)
{
    memset(hints, 0, sizeof *hints);
    g_auto(GStrv) parts = g_strsplit(text, ",", TRAIN_HINTS_MOST_COUNTS + 1);
    hints->n = g_strv_length(parts);
    bool good = hints->n >= 1 && hints->n <= TRAIN_HINTS_MOST_COUNTS;
    for (size_t i = 0; good && i < hints->n; i++) {
        gint64 count = 0;
        good =
            g_ascii_string_to_signed(g_strstrip(parts[i]), 10, 1, TRAIN_HINTS_MOST, &count, NULL);
        hints->counts[i] = (int)count;
    }
    return good;
}

static bool add_gains(TrainHints *hints, CzColorizer *colorizer, double reach,
                      const TrainImage *picture, size_t number, size_t n_pictures, GError **error)
{
    g_auto(TrainImage) output = {0};
    CzDab dabs[TRAIN_HINTS_MOST];
    double base = 0;
    g_autoptr(CzChroma) chroma = train_image_predict(colorizer, picture, error);
    if (!chroma || !train_image_apply(chroma, colorizer, picture, 1, &output, error))
        return false;
    base = train_psnr(picture->rgb, output.rgb, picture->width, picture->height);
    for (size_t i = 0; i < hints->n; i++) {
        size_t n = (size_t)hints->counts[i];
        train_hints_sample(picture, SEED, number, dabs, n);
        if (!cz_chroma_hint(chroma, dabs, n, reach, error) ||
            !train_image_apply(chroma, colorizer, picture, 1, &output, error))
            return false;
        double psnr = train_psnr(picture->rgb, output.rgb, picture->width, picture->height);
        hints->gains[i] += (psnr - base) / (double)n_pictures;
    }
    return true;
}

bool train_hints_measure(TrainHints *hints, const char *weights, const char *device, double reach,
                         const TrainImage *pictures, size_t n, GError **error)
{
    const CzColorizerOptions options = {.weights = weights, .device = device};
    g_autoptr(CzColorizer) colorizer = cz_colorizer_new(&options, error);
    bool done = colorizer != NULL;
    for (size_t i = 0; done && i < n; i++)
        done = add_gains(hints, colorizer, reach, &pictures[i], i, n, error);
    return done;
}
