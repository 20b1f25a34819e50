// SPDX-License-Identifier: LGPL-3.0-or-later
// The pixels that a view shows, before and after: computed as the result's are, and only those that
// are visible.
#pragma once

#include <cairo.h>

#include "proxy.h"
#include "view.h"

// The first four are borrowed or set by the owner, who then calls one of the two forgets.
typedef struct {
    const CzPhoto *photo;
    const UiProxy *proxy;   // NULL: nothing to show yet
    const CzChroma *chroma; // NULL: no colour yet
    CzSettings settings;
    UiShown shown;
    float *rgb;                      // of shown.part
    cairo_surface_t *before, *after; // NULL: to be made
} UiPixels;

void ui_pixels_forget_after(UiPixels *pixels); // the colour
void ui_pixels_forget(UiPixels *pixels);       // all, as after another view
// Makes what is missing. after may stay NULL, with error set. CZ_ERROR_MEMORY, or what read_rows
// said.
bool ui_pixels_ensure(UiPixels *pixels, const UiView *view, GError **error);
