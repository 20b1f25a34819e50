// SPDX-License-Identifier: LGPL-3.0-or-later
// True photographs made old, so that what a network makes of old ones can be measured.
#pragma once

#include "picture.h"

// Gray, with the lightness that train_degrade() makes of the picture: plates and fading on 6 of 10
// pictures, grain on 6, blur and JPEG on 3. The same for the same number. The picture is square
// (CZ_ERROR_ARGUMENT); CZ_ERROR_MEMORY.
bool train_worn_make(const TrainImage *picture, uint64_t number, TrainImage *out, GError **error);
// The color of colored at the lightness of picture, brought into the gamut: what the color alone is
// worth. Both of one size. CZ_ERROR_MEMORY.
bool train_worn_recolor(const TrainImage *picture, const TrainImage *colored, TrainImage *out,
                        GError **error);
