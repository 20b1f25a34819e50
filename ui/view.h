// SPDX-License-Identifier: LGPL-3.0-or-later
// Which part of a photograph a view shows, and where. No widgets: numbers only.
#pragma once

#include <cz/colorizer.h>

typedef struct {
    int32_t photo_w, photo_h;
    int32_t proxy_factor;    // reductions from here on are multiples of it
    int32_t width, height;   // of the view, in pixels of the screen
    bool fit;                // the whole photograph, never magnified
    int32_t reduce, magnify; // else: one of them is above 1, or none
    double x, y;             // of the photograph, in the middle of the view
} UiView;

typedef struct {
    CzPart part;           // as cz_chroma_apply_part and ui_proxy_part want it
    int32_t reduce;        // for ui_proxy_part
    int32_t x, y, magnify; // where its first pixel begins on the screen, and each one's size
} UiShown;

UiShown ui_view_shown(const UiView *view);
double ui_view_scale(const UiView *view); // pixels of the screen for one of the photograph
bool ui_view_pannable(const UiView *view);

// Between the screen and the photograph, 0 to 1 of its width and height (outside of it beyond
// that).
void ui_view_to_photo(const UiView *view, double screen_x, double screen_y, double *x, double *y);
void ui_view_to_screen(const UiView *view, double x, double y, double *screen_x, double *screen_y);

void ui_view_fit(UiView *view);
// One step in (direction 1) or out (-1); what is at screen_x, screen_y stays there.
void ui_view_zoom(UiView *view, int direction, double screen_x, double screen_y);
// To the photograph's own pixels.
void ui_view_full(UiView *view, double screen_x, double screen_y);
void ui_view_pan(UiView *view, double screen_dx, double screen_dy);
