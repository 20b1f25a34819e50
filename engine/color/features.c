// SPDX-License-Identifier: LGPL-3.0-or-later
// Features of a picture: normalized, sampled, compared.
#include "color/features.h"

#include <math.h>
#include <string.h>

#include <cz/memory.h>

#include "base/clones.h"
#include "color/hint_head.h"

bool cz_features_init(CzFeatures *features, int32_t width, int32_t height, int32_t channels,
                      GError **error)
{
    *features = (CzFeatures){width, height, channels, NULL};
    size_t n = (size_t)width * height * channels;
    features->data = cz_memory_alloc(n * sizeof(float), "features", error);
    return features->data != NULL;
}

void cz_features_clear(CzFeatures *features)
{
    cz_memory_free(features->data);
    memset(features, 0, sizeof *features);
}

CzBetween cz_between(double place, int32_t n)
{
    double at = CLAMP(place * n - 0.5, 0, n - 1);
    int32_t first = MIN((int32_t)at, n - 1);
    return (CzBetween){first, MIN(first + 1, n - 1), (float)(at - first)};
}

CZ_CLONES void cz_features_at(const CzFeatures *features, double x, double y, float *dst)
{
    CzBetween column = cz_between(x, features->width), row = cz_between(y, features->height);
    size_t channels = features->channels, stride = features->width * channels;
    const float *top = features->data + row.first * stride;
    const float *bottom = features->data + row.second * stride;
    size_t left = column.first * channels, right = column.second * channels;
    for (size_t c = 0; c < channels; c++) {
        float above = top[left + c] + column.weight * (top[right + c] - top[left + c]);
        float below = bottom[left + c] + column.weight * (bottom[right + c] - bottom[left + c]);
        dst[c] = above + row.weight * (below - above);
    }
}

// Eight sums side by side, as one would wait for its own last addition at every step.
static inline __attribute__((always_inline)) float dot_inline(const float *x, const float *y,
                                                              size_t n)
{
    float sums[8] = {0}, sum = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t k = 0; k < 8; k++)
            sums[k] += x[i + k] * y[i + k];
    for (; i < n; i++)
        sum += x[i] * y[i];
    for (int k = 0; k < 8; k++)
        sum += sums[k];
    return sum;
}

CZ_CLONES float cz_features_dot(const float *x, const float *y, size_t n)
{
    return dot_inline(x, y, n);
}

CZ_CLONES void cz_features_dots(const CzFeatures *features, const float *of, float *dst)
{
    size_t n = (size_t)features->width * features->height, channels = features->channels;
    for (size_t i = 0; i < n; i++)
        dst[i] = dot_inline(features->data + i * channels, of, channels);
}

// ---- the ground ---------------------------------------------------------------------------------

// Mean off, mean square length 1: pictures differ in how much there is to see. mean: channels.
static void normalize(CzFeatures *features, float *mean)
{
    size_t n = (size_t)features->width * features->height, channels = features->channels;
    double square = 0;
    for (size_t c = 0; c < channels; c++)
        mean[c] = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < channels; c++)
            mean[c] += features->data[i * channels + c] / (float)n;
    for (size_t i = 0; i < n; i++) {
        float *place = features->data + i * channels;
        for (size_t c = 0; c < channels; c++)
            place[c] -= mean[c];
        square += cz_features_dot(place, place, channels);
    }
    float scale = square > 0 ? (float)sqrt((double)n / square) : 0;
    for (size_t i = 0; i < n * channels; i++)
        features->data[i] *= scale;
}

// Features as the head sees them, and what it makes of the places.
static bool use_head(CzGround *ground, GError **error)
{
    size_t n = (size_t)ground->field.width * ground->field.height;
    const CzHintHead *head = ground->head;
    ground->head = NULL;
    for (int m = 0; m < ground->n_features; m++)
        if (!cz_hint_head_project(head, &ground->features[m], error))
            return false;
    ground->amplitudes = cz_memory_alloc(n * sizeof(float), "amplitudes of hints", error);
    return ground->amplitudes && cz_hint_head_amplitudes(head, ground, ground->amplitudes, error);
}

bool cz_ground_finish(CzGround *ground, int32_t photo_w, int32_t photo_h, GError **error)
{
    const CzField *field = &ground->field;
    size_t n = (size_t)field->width * field->height;
    int32_t shorter = MIN(photo_w, photo_h), channels = 1;
    for (int m = 0; m < ground->n_features; m++)
        channels = MAX(channels, ground->features[m].channels);
    ground->width = (float)photo_w / (float)shorter;
    ground->height = (float)photo_h / (float)shorter;
    ground->lengths = cz_memory_alloc(n * sizeof(float), "lengths of features", error);
    float *place = cz_memory_alloc((size_t)channels * sizeof(float), "features", error);
    if (!ground->lengths || !place) {
        g_clear_pointer(&ground->lengths, cz_memory_free);
        cz_memory_free(place);
        return false;
    }
    memset(ground->lengths, 0, n * sizeof(float));
    for (int m = 0; m < ground->n_features; m++)
        normalize(&ground->features[m], place);
    if (ground->head && !use_head(ground, error)) {
        cz_memory_free(place);
        return false;
    }
    for (int m = 0; m < ground->n_features; m++)
        for (size_t i = 0; i < n; i++) {
            const CzFeatures *features = &ground->features[m];
            cz_features_at(features, ((double)(i % field->width) + 0.5) / field->width,
                           ((double)(i / field->width) + 0.5) / field->height, place);
            ground->lengths[i] +=
                cz_features_dot(place, place, features->channels) / (float)ground->n_features;
        }
    cz_memory_free(place);
    return true;
}

void cz_ground_clear(CzGround *ground)
{
    cz_field_clear(&ground->field);
    for (int m = 0; m < CZ_MAX_FEATURES; m++)
        cz_features_clear(&ground->features[m]);
    cz_memory_free(ground->lengths);
    cz_memory_free(ground->amplitudes);
    memset(ground, 0, sizeof *ground);
}
