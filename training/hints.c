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
    float lab[TRAIN_HINT_SIDE * TRAIN_HINT_SIDE * 3] = {0};
    double sums[3] = {0};
    for (int32_t i = 0; i < w * h; i++) {
        const uint8_t *pixel = picture->rgb + 3 * ((size_t)(top + i / w) * (size_t)picture->width +
                                                   (size_t)(left + i % w));
        for (int k = 0; k < 3; k++)
            lab[3 * i + k] = (float)pixel[k] / 255;
    }
    cz_rgb_to_lab(lab, lab, (size_t)(w * h));
    for (int32_t i = 0; i < 3 * w * h; i++)
        sums[i % 3] += lab[i] / (w * h);
    return (CzDab){.x = ((float)left + 0.5f * (float)w) / (float)picture->width,
                   .y = ((float)top + 0.5f * (float)h) / (float)picture->height,
                   .l = (float)sums[0],
                   .a = (float)sums[1],
                   .b = (float)sums[2],
                   .weight = 1};
}

// 0 to limit - 1.
static int32_t draw(CzRng *rng, TrainHintPlaces places, int32_t limit)
{
    if (places == TRAIN_PLACES_UNIFORM)
        return (int32_t)cz_rng_below(rng, (uint32_t)limit);
    float at = (float)limit / 2 + (float)limit / 4 * cz_rng_normal(rng);
    return (int32_t)CLAMP(at, 0.0f, (float)(limit - 1));
}

void train_hints_sample(const TrainImage *picture, TrainHintPlaces places, uint64_t seed,
                        uint64_t number, CzDab *dabs, size_t n)
{
    CzRng rng = cz_rng(seed, number);
    int32_t columns = MAX(picture->width - TRAIN_HINT_SIDE + 1, 1);
    int32_t rows = MAX(picture->height - TRAIN_HINT_SIDE + 1, 1);
    for (size_t i = 0; i < n; i++) {
        int32_t left = draw(&rng, places, columns);
        dabs[i] = patch(picture, left, draw(&rng, places, rows));
    }
}

const int train_hints_published_counts[TRAIN_HINTS_PUBLISHED] = {1, 2, 5, 10, 20, 50, 100};
const double train_hints_published_gains[TRAIN_HINTS_PUBLISHED] = {0.94, 1.77, 2.96, 3.99,
                                                                   4.91, 5.99, 6.70};

bool train_hints_parse(TrainHints *hints, const char *text)
{
    memset(hints->gains, 0, sizeof hints->gains);
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

bool train_hints_add(TrainHints *hints, CzColorizer *colorizer, CzChroma *chroma,
                     const TrainImage *picture, size_t n_pictures, GError **error)
{
    g_auto(TrainImage) output = {0};
    CzDab dabs[TRAIN_HINTS_MOST];
    int32_t w = picture->width, h = picture->height;
    uint64_t number = train_image_hash(picture);
    if (!train_image_apply(chroma, colorizer, picture, 1, &output, error))
        return false;
    double base = train_psnr(picture->rgb, output.rgb, w, h);
    for (size_t i = 0; i < hints->n; i++) {
        size_t n = (size_t)hints->counts[i];
        train_hints_sample(picture, hints->places, SEED, number, dabs, n);
        if (!cz_chroma_hint(chroma, dabs, n, hints->reach, error) ||
            !train_image_apply(chroma, colorizer, picture, 1, &output, error))
            return false;
        hints->gains[i] += (train_psnr(picture->rgb, output.rgb, w, h) - base) / (double)n_pictures;
    }
    return true;
}
