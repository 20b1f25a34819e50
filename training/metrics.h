// SPDX-License-Identifier: LGPL-3.0-or-later
// Figures of merit for a colorized picture against the true one. 8-bit encoded sRGB, interleaved.
//
// No single one is to be trusted: PSNR favours grey, SSIM sees mostly lightness, which is copied.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Peak signal to noise over all three channels, dB: 10 log10(255^2 / mean squared error); 100 for
// equal pictures.
double train_psnr(const uint8_t *a, const uint8_t *b, int32_t width, int32_t height);

// Structural similarity (Wang, Bovik, Sheikh & Simoncelli 2004), mean over the three channels:
// Gaussian window 11 x 11, sigma 1.5, K1 0.01, K2 0.03, only where the window fits; pictures
// smaller than 11 pixels give 1 or 0 for equal or not.
double train_ssim(const uint8_t *a, const uint8_t *b, int32_t width, int32_t height);

// Colourfulness (Hasler & Suesstrunk 2003), signed opponents: rg = R - G, yb = (R + G)/2 - B,
// sqrt(var rg + var yb) + 0.3 sqrt(mean rg ^2 + mean yb ^2). 0 for a grey picture.
double train_colourfulness(const uint8_t *rgb, int32_t width, int32_t height);

// What DDColor's and ColorFormer's code calls by the same name: |rg| and |yb| in place of rg and yb.
// Lower deviations and higher means; only for comparison with figures published by them.
double train_colourfulness_abs(const uint8_t *rgb, int32_t width, int32_t height);

// Mean CIEDE2000 over all pixels.
double train_delta_e(const uint8_t *a, const uint8_t *b, int32_t width, int32_t height);
