// SPDX-License-Identifier: LGPL-3.0-or-later
// What a weights file has learned about hints, on a picture's features.
#include "color/hint_head.h"

#include <math.h>
#include <string.h>

#include <cz/memory.h>

CzHintHead *cz_hint_head_new(int32_t channels, int32_t width, GError **error)
{
    size_t n_weight = (size_t)width * channels, n = n_weight + width;
    float *memory = cz_memory_alloc(n * sizeof *memory, "the head of hints", error);
    if (!memory)
        return NULL;
    memset(memory, 0, n * sizeof *memory);
    CzHintHead *head = g_new0(CzHintHead, 1);
    *head = (CzHintHead){.channels = channels,
                         .width = width,
                         .weight = memory,
                         .amplitude = memory + n_weight,
                         .kernel = cz_hint_kernel(0.5)};
    return head;
}

void cz_hint_head_free(CzHintHead *head)
{
    if (!head)
        return;
    cz_memory_free(head->weight);
    g_free(head);
}

bool cz_hint_head_project(const CzHintHead *head, CzFeatures *features, GError **error)
{
    CzFeatures projected;
    size_t n = (size_t)features->width * features->height, channels = features->channels;
    if (!cz_features_init(&projected, features->width, features->height, head->width, error))
        return false;
    for (size_t i = 0; i < n; i++)
        for (int32_t k = 0; k < head->width; k++)
            projected.data[i * head->width + k] = cz_features_dot(
                features->data + i * channels, head->weight + k * channels, channels);
    cz_features_clear(features);
    *features = projected;
    return true;
}

float cz_hint_head_amplitude(const CzHintHead *head, float sum, int n_maps, float l,
                             const float c[2])
{
    float q = (l - CZ_HINT_LIGHTNESS) / CZ_HINT_LIGHTNESS;
    float chroma = sqrtf(c[0] * c[0] + c[1] * c[1] + 1) / CZ_HINT_CHROMA;
    float exponent = sum / (float)MAX(n_maps, 1) + head->curve[0] * q + head->curve[1] * q * q +
                     head->curve[2] * chroma + head->curve[3] * chroma * chroma;
    return expf(CLAMP(exponent, -1, 1));
}

bool cz_hint_head_amplitudes(const CzHintHead *head, const CzGround *ground, float *dst,
                             GError **error)
{
    const CzField *field = &ground->field;
    size_t n = (size_t)field->width * field->height;
    float *place = cz_memory_alloc((size_t)head->width * sizeof *place, "features", error);
    if (!place)
        return false;
    for (size_t i = 0; i < n; i++) {
        double x = ((double)(i % field->width) + 0.5) / field->width;
        double y = ((double)(i / field->width) + 0.5) / field->height;
        float sum = 0;
        for (int m = 0; m < ground->n_features; m++) {
            cz_features_at(&ground->features[m], x, y, place);
            sum += cz_features_dot(place, head->amplitude, (size_t)head->width);
        }
        dst[i] =
            cz_hint_head_amplitude(head, sum, ground->n_features, field->l[i], field->c + 2 * i);
    }
    cz_memory_free(place);
    return true;
}
