// SPDX-License-Identifier: LGPL-3.0-or-later
// Small photographs in memory: colorized as a user's are, made grey, cut for evaluation.
#pragma once

#include <cz/colorizer.h>

typedef struct {
    int32_t width, height;
    uint8_t *rgb; // height * width * 3, encoded sRGB; owned
} TrainImage;

void train_image_clear(TrainImage *image); // accepts a zeroed one
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TrainImage, train_image_clear)

// Memory for so many pixels, their values left open; what there was is gone. CZ_ERROR_MEMORY.
bool train_image_reserve(TrainImage *image, int32_t width, int32_t height, GError **error);

// Colorizes (predict, then apply at strength) by the picture's L* alone. out is overwritten.
bool train_image_colorize(CzColorizer *colorizer, const TrainImage *picture, double strength,
                          TrainImage *out, GError **error);
// The two halves of it.
CzChroma *train_image_predict(CzColorizer *colorizer, const TrainImage *picture, GError **error);
bool train_image_apply(const CzChroma *chroma, CzColorizer *colorizer, const TrainImage *picture,
                       double strength, TrainImage *out, GError **error);
// The grey of the same L*, its three channels equal.
bool train_image_grey(const TrainImage *picture, TrainImage *out, GError **error);
// The share of the pixels, 0 to 1, whose color at this strength is not in sRGB's gamut.
double train_image_reduced(const CzChroma *chroma, const TrainImage *picture, double strength);
// Of its pixels (FNV-1a): what is drawn at random for a picture does not depend on its place.
uint64_t train_image_hash(const TrainImage *picture);

// How evaluation sees a picture: shorter side to side (area mean down, bicubic up), centre
// side x side. rgb: width * height * 3.
bool train_image_evaluation(const uint8_t *rgb, int32_t width, int32_t height, int32_t side,
                            TrainImage *out, GError **error);
