// SPDX-License-Identifier: LGPL-3.0-or-later
// A small copy of the photograph, and parts of either: the pixels that a view shows.
#pragma once

#include <cz/colorizer.h>

// Means of factor x factor pixels (fewer at the right and lower edge), some megapixels at most:
// made on the way while the network's input is read, so that the photograph is read once.
typedef struct {
    int32_t photo_w, photo_h, factor;
    int32_t width, height; // photo_w / factor, rounded up
    float *rgb;
    int32_t n_rows; // of the photograph, taken so far
} UiProxy;

// CZ_ERROR_MEMORY.
bool ui_proxy_init(UiProxy *proxy, int32_t photo_w, int32_t photo_h, GError **error);
void ui_proxy_clear(UiProxy *proxy);
// In order, top first; y = 0 begins anew. Does nothing once the proxy is complete.
void ui_proxy_push(UiProxy *proxy, int32_t y, int32_t n_rows, const float *rgb);
bool ui_proxy_complete(const UiProxy *proxy);

// The pixels of a part. reduce: every one is the mean of reduce x reduce of the photograph, and
// part's photo_w x photo_h that of the photograph divided by it, rounded up; 0: the whole
// photograph in any size not above the proxy's. What the proxy does not hold is read from photo.
// proxy is complete. CZ_ERROR_MEMORY, or what read_rows said.
bool ui_proxy_part(const UiProxy *proxy, const CzPhoto *photo, int32_t reduce, const CzPart *part,
                   float *rgb, GError **error);
