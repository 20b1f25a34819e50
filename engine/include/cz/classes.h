// SPDX-License-Identifier: LGPL-3.0-or-later
// Colour classes: the squares of the a*b* plane that a place's colour is classified into (Zhang,
// Isola & Efros 2016, "Colorful Image Colorization", section 2.1).
//
// Squares of 10 units around multiples of 10, those that sRGB reaches: 258, ordered by a*, then b*,
// both in CIE units under D50 (cz/color.h). The order is that of the channels of a weights file.
//
// A weights file may hold a head of classes: CZ_CLASS_WEIGHT (CZ_N_CLASSES, c, 1, 1) and
// CZ_CLASS_BIAS (CZ_N_CLASSES), with c the channels of the network's features. weight f + bias are
// the logits of a place with the features f. Nothing but cz_chroma_suggest() asks it.
#pragma once

#include <stdint.h>

#include <glib.h>

G_BEGIN_DECLS

#define CZ_N_CLASSES  258
#define CZ_CLASS_SIZE 10 // units of a* and b*

#define CZ_CLASS_WEIGHT "classes.weight"
#define CZ_CLASS_BIAS   "classes.bias"

void cz_class_center(int32_t index, float ab[2]); // a*, b*

G_END_DECLS
