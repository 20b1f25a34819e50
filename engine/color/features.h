// SPDX-License-Identifier: LGPL-3.0-or-later
// What the network saw, place by place: features, kept beside the field that hints change.
#pragma once

#include <stddef.h>

#include <cz/field.h>

// Features of one working size.
typedef struct {
    int32_t width, height, channels;
    float *data; // height * width * channels
} CzFeatures;

bool cz_features_init(CzFeatures *features, int32_t width, int32_t height, int32_t channels,
                      GError **error);        // CZ_ERROR_MEMORY
void cz_features_clear(CzFeatures *features); // accepts a zeroed one

// x, y: 0 to 1 of the sides; bilinear. dst: channels (out).
void cz_features_at(const CzFeatures *features, double x, double y, float *dst);
// Dot products of the features of every place with of. dst: height * width (out).
void cz_features_dots(const CzFeatures *features, const float *of, float *dst);
float cz_features_dot(const float *x, const float *y, size_t n);

// Where a place (0 to 1 of a side) lies among the n places of a map: two neighbours, and the weight
// of the second.
typedef struct {
    int32_t first, second;
    float weight;
} CzBetween;
CzBetween cz_between(double place, int32_t n);

#define CZ_MAX_FEATURES 8

struct CzHintHead; // cz/hint_head.h

// What hints are spread on. The distance of two places in features is the root of the mean, over
// the maps of features, of squared distances.
typedef struct {
    CzField field; // as the network gave it
    bool learned;  // the field's slopes are the network's own, but for its border
    CzFeatures features[CZ_MAX_FEATURES];
    int n_features;
    const struct CzHintHead *head; // what the weights have learned, until finished; NULL: nothing
    float *lengths;      // field.height * field.width: mean squared length of the features there
    float *amplitudes;   // field.height * field.width, of places (cz/hint_head.h); NULL: 1
    float width, height; // of the photograph, in shorter sides
} CzGround;

// After field and features are filled: normalizes the features of each map (mean off, mean square
// length 1), takes them through the head and makes the rest. CZ_ERROR_MEMORY: of no use any more.
bool cz_ground_finish(CzGround *ground, int32_t photo_w, int32_t photo_h, GError **error);
void cz_ground_clear(CzGround *ground); // accepts a zeroed one
