// SPDX-License-Identifier: LGPL-3.0-or-later
// True photographs made old.
#include "worn.h"

#include <cz/color.h>
#include <cz/error.h>
#include <cz/memory.h>

#include "degrade.h"

#define SEED 1839

static const TrainDegradeParams often = {
    .blur = 0.3f, .plate = 0.6f, .fade = 0.6f, .grain = 0.6f, .jpeg = 0.3f};

static void to_lab(const uint8_t *rgb, size_t n, float *lab)
{
    for (size_t i = 0; i < 3 * n; i++)
        lab[i] = (float)rgb[i] / 255;
    cz_rgb_to_lab(lab, lab, n);
}

static bool from_lab(const TrainImage *like, float *lab, TrainImage *out, GError **error)
{
    size_t n = (size_t)like->width * like->height;
    if (!train_image_reserve(out, like->width, like->height, error))
        return false;
    cz_lab_to_gamut_rgb(lab, lab, n);
    for (size_t i = 0; i < 3 * n; i++)
        out->rgb[i] = (uint8_t)(CLAMP(lab[i], 0, 1) * 255 + 0.5f);
    return true;
}

bool train_worn_make(const TrainImage *picture, uint64_t number, TrainImage *out, GError **error)
{
    int32_t side = picture->width;
    size_t n = (size_t)side * picture->height;
    CzRng rng = cz_rng(SEED, number);
    const TrainDegradeDraw drawn = train_degrade_draw(&often, &rng);
    if (side != picture->height) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "a picture of %d x %d pixels is not square",
                    side, picture->height);
        return false;
    }
    float *lab = cz_memory_alloc(5 * n * sizeof *lab, "a picture", error), *l = lab + 3 * n;
    if (!lab)
        return false;
    to_lab(picture->rgb, n, lab);
    train_degrade(&drawn, lab, side, l, l + n);
    for (size_t i = 0; i < n; i++) {
        lab[3 * i] = 100 * l[i];
        lab[3 * i + 1] = lab[3 * i + 2] = 0;
    }
    bool done = from_lab(picture, lab, out, error);
    cz_memory_free(lab);
    return done;
}

bool train_worn_recolor(const TrainImage *picture, const TrainImage *colored, TrainImage *out,
                        GError **error)
{
    size_t n = (size_t)picture->width * picture->height;
    float *lab = cz_memory_alloc(6 * n * sizeof *lab, "a picture", error), *color = lab + 3 * n;
    if (!lab)
        return false;
    to_lab(picture->rgb, n, lab);
    to_lab(colored->rgb, n, color);
    for (size_t i = 0; i < n; i++) {
        lab[3 * i + 1] = color[3 * i + 1];
        lab[3 * i + 2] = color[3 * i + 2];
    }
    bool done = from_lab(picture, lab, out, error);
    cz_memory_free(lab);
    return done;
}
