// SPDX-License-Identifier: LGPL-3.0-or-later
// Random places of photographs, as the regression of hints sees them.
#include "hint_points.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/rng.h>

#include "hints.h"
#include "picture.h"

#define SIDE 256
#define SEED 7 // other places than those that evaluation asks for
// Subspace iteration: what is left of a direction that does not belong falls by the ratio of
// eigenvalues each time.
#define ROUNDS 40

static void fill_picture(TrainHintPoints *points, size_t index, const CzChroma *chroma,
                         const TrainImage *truth)
{
    size_t n_features = (size_t)points->n_maps * (size_t)points->channels;
    size_t first = index * TRAIN_HINT_POINTS;
    CzDab dabs[TRAIN_HINT_POINTS];
    train_hints_sample(truth, TRAIN_PLACES_UNIFORM, SEED, index, dabs, TRAIN_HINT_POINTS);
    for (size_t i = 0; i < TRAIN_HINT_POINTS; i++) {
        TrainHintPoint *point = &points->points[first + i];
        cz_chroma_hint_place(chroma, &dabs[i], &point->place,
                             points->features + (first + i) * n_features);
        point->truth[0] = dabs[i].a;
        point->truth[1] = dabs[i].b;
    }
}

static bool reserve(TrainHintPoints *points, const CzChroma *chroma, size_t n_pictures,
                    GError **error)
{
    size_t n = n_pictures * TRAIN_HINT_POINTS;
    cz_chroma_feature_sizes(chroma, &points->n_maps, &points->channels);
    size_t n_features = n * (size_t)points->n_maps * (size_t)points->channels;
    points->points = cz_memory_alloc(n * sizeof *points->points, "places of hints", error);
    if (points->points)
        points->features =
            cz_memory_alloc(n_features * sizeof *points->features, "features of hints", error);
    return points->features != NULL;
}

bool train_hint_points_init(TrainHintPoints *points, CzColorizer *colorizer, const TrainSet *set,
                            double share, bool held_back, size_t n_most, GError **error)
{
    size_t n_all;
    g_autofree uint32_t *indices = train_set_split(set, share, held_back, &n_all);
    size_t n = MIN(n_all, n_most);
    bool good = n > 0;
    *points = (TrainHintPoints){0};
    if (!good)
        g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE,
                    "the set has no pictures %s: a larger set, or another --validation",
                    held_back ? "held back from training" : "but those held back");
    for (size_t i = 0; good && i < n; i++) {
        TrainPicture picture = train_set_picture(set, indices[i * n_all / n]);
        g_auto(TrainImage) truth = {0};
        g_autoptr(CzChroma) chroma = NULL;
        good = train_image_evaluation(picture.rgb, picture.width, picture.height, SIDE, &truth,
                                      error) &&
               (chroma = train_image_predict(colorizer, &truth, error)) &&
               (points->points || reserve(points, chroma, n, error));
        if (good)
            fill_picture(points, points->n_pictures++, chroma, &truth);
    }
    if (!good)
        train_hint_points_clear(points);
    return good;
}

void train_hint_points_clear(TrainHintPoints *points)
{
    cz_memory_free(points->points);
    cz_memory_free(points->features);
    memset(points, 0, sizeof *points);
}

// ---- principal directions -----------------------------------------------------------------------

static float dot(const float *x, const float *y, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

// Gram and Schmidt's, twice: once leaves rounding where a row was nearly of those before.
static void make_orthonormal(float *rows, int32_t n_rows, size_t n)
{
    for (int32_t i = 0; i < n_rows; i++) {
        float *row = rows + (size_t)i * n;
        for (int32_t pass = 0; pass < 2 * i; pass++) {
            int32_t j = pass % i;
            float along = dot(row, rows + (size_t)j * n, n);
            for (size_t k = 0; k < n; k++)
                row[k] -= along * rows[(size_t)j * n + k];
        }
        float scale = 1 / sqrtf(fmaxf(dot(row, row, n), 1e-20f));
        for (size_t k = 0; k < n; k++)
            row[k] *= scale;
    }
}

void train_hint_points_directions(const TrainHintPoints *points, int32_t n_directions,
                                  float *directions)
{
    size_t c = (size_t)points->channels, n_rows = (size_t)n_directions;
    size_t n = points->n_pictures * TRAIN_HINT_POINTS * (size_t)points->n_maps;
    g_autofree float *moments = g_new0(float, c *c), *next = g_new(float, n_rows *c);
    for (size_t i = 0; i < n; i += 4) // a quarter says as much
        for (size_t j = 0; j < c; j++)
            for (size_t k = 0; k < c; k++)
                moments[j * c + k] += points->features[i * c + j] * points->features[i * c + k];
    // A little everywhere, so that features of less variety have directions enough.
    float trace = 0;
    for (size_t j = 0; j < c; j++)
        trace += moments[j * c + j];
    for (size_t j = 0; j < c; j++)
        moments[j * c + j] += 1e-4f * trace / (float)c + FLT_MIN;
    CzRng rng = cz_rng(SEED, 0);
    for (size_t i = 0; i < n_rows * c; i++)
        directions[i] = cz_rng_normal(&rng);
    make_orthonormal(directions, n_directions, c);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < n_rows; i++)
            for (size_t k = 0; k < c; k++)
                next[i * c + k] = dot(directions + i * c, moments + k * c, c);
        memcpy(directions, next, n_rows * c * sizeof *next);
        make_orthonormal(directions, n_directions, c);
    }
}
