// SPDX-License-Identifier: LGPL-3.0-or-later
// Colour: encoded sRGB to CIE L*a*b* and back, the gamut, and colour difference. Plain C.
//
// L*a*b* is CIE 1976 with the D50 white of ICC profiles and sRGB's primaries Bradford-adapted to
// it, exactly as babl's "CIE Lab float" (and so GIMP's LCh modes) has it. sRGB: IEC 61966-2-1.
// RGB is encoded, 0 to 1, interleaved; values outside are allowed (float images) and kept by the
// odd extension of the curve. L* 0 to 100, a* and b* about -128 to 127.
// Functions are vectorised, single-threaded, allocate nothing, and allow dst == src.
#pragma once

#include <stdbool.h>
#include <stddef.h>

void cz_rgb_to_lab(float *lab, const float *rgb, size_t n_pixels);
void cz_rgb_to_lightness(float *lightness, const float *rgb, size_t n_pixels); // L* alone
void cz_lab_to_rgb(float *rgb, const float *lab, size_t n_pixels);             // may leave 0..1
// Lowers chroma at constant L* and hue until all channels are in 0..1. Pixels inside are not
// touched; L* outside 0..100 becomes the grey of that L*. Leaves channels in [-1e-5, 1 + 1e-5].
void cz_lab_into_gamut(float *lab, size_t n_pixels);
// cz_lab_into_gamut, then cz_lab_to_rgb, in one pass: the hot path of apply.
void cz_lab_to_gamut_rgb(float *rgb, const float *lab, size_t n_pixels);
bool cz_lab_in_gamut(const float lab[3]);

// a*, b* under D65 (scikit-image, OpenCV: foreign weights) to ours, at our L*.
void cz_lab_d65_to_d50(float *lab, size_t n_pixels);

// CIEDE2000 with kL = kC = kH = 1 (Sharma, Wu & Dalal 2005).
float cz_delta_e_2000(const float lab1[3], const float lab2[3]);
