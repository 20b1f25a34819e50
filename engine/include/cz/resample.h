// SPDX-License-Identifier: LGPL-3.0-or-later
// Resampling of interleaved float images: exact area means down, bilinear up. Plain C.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

// Area means, fed row by row: a photograph of any size in the memory of one small picture.
// Every source pixel counts by the area with which it covers a target pixel (exact box filter);
// enlarging gives nearest-like boxes, so enlarge with cz_resize_bilinear instead.
typedef struct CzAreaScaler CzAreaScaler;
CzAreaScaler *cz_area_scaler_new(int32_t src_w, int32_t src_h, int32_t dst_w, int32_t dst_h, int n_channels,
                                 GError **error);
void cz_area_scaler_push(CzAreaScaler *scaler, const float *rows, int32_t n_rows); // top first, in order
const float *cz_area_scaler_result(const CzAreaScaler *scaler); // after the last row; borrowed
void cz_area_scaler_free(CzAreaScaler *scaler);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CzAreaScaler, cz_area_scaler_free)

// Whole images. Area mean where a side shrinks, bilinear (half-pixel centres, edges repeated)
// where it grows. CZ_ERROR_MEMORY.
bool cz_resize_image(float *dst, int32_t dst_w, int32_t dst_h, const float *src, int32_t src_w, int32_t src_h,
                     int n_channels, GError **error);
void cz_resize_bilinear(float *dst, int32_t dst_w, int32_t dst_h, const float *src, int32_t src_w, int32_t src_h,
                        int n_channels);

// The size of a picture scaled so that its shorter side is side (never below 1, shape kept).
void cz_fit_short_side(int32_t width, int32_t height, int32_t side, int32_t *dst_w, int32_t *dst_h);
