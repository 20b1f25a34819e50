// SPDX-License-Identifier: LGPL-3.0-or-later
// ICC profiles of photographs: their numbers to CIE L*a*b* (D50) and back, through Little CMS.
//
// Directly and in float: libvips 8.14 counts Lab in 16 bit and takes 65280 for 65535, which makes
// L* 0.4 % too large.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

typedef struct {
    int n_colour; // channels that are colour: 1 grey, 3 RGB, 4 CMYK
    int n_bands;  // with those after them that are not
    bool wide;    // 16 bit, else 8
} TrainPixels;

// Any number of threads may use one.
typedef struct TrainProfile TrainProfile;

// NULL: the bytes are no profile, or one of other pixels, which is as good as none.
TrainProfile *train_profile_new(const void *bytes, size_t n_bytes, const TrainPixels *pixels);
void train_profile_free(TrainProfile *profile); // accepts NULL
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TrainProfile, train_profile_free)

// Whether it is sRGB by whatever name, as most are: below half a step of 8 bits everywhere.
bool train_profile_is_srgb(const TrainProfile *profile);
// lab: three floats a pixel. Relative colorimetric.
void train_profile_to_lab(const TrainProfile *profile, const void *pixels, float *lab, size_t n);
// pixels: RGB of the profile's depth, without further bands. FALSE: the profile is of other
// channels, or can only be read.
bool train_profile_can_write(const TrainProfile *profile);
void train_profile_from_lab(const TrainProfile *profile, const float *lab, void *pixels, size_t n);
