// SPDX-License-Identifier: LGPL-3.0-or-later
// Which part of a photograph a view shows, and where.
#include "view.h"

#include <math.h>

#define MOST_MAGNIFIED 16

static double fit_scale(const UiView *view)
{
    double scale = MIN((double)view->width / view->photo_w, (double)view->height / view->photo_h);
    return MIN(scale, 1.0);
}

double ui_view_scale(const UiView *view)
{
    if (view->fit)
        return fit_scale(view);
    return (double)view->magnify / view->reduce;
}

// The whole photograph's size in pixels of the part.
static void whole_size(const UiView *view, int32_t *w, int32_t *h)
{
    if (view->fit) {
        double scale = fit_scale(view);
        *w = MAX(1, (int32_t)lround(view->photo_w * scale));
        *h = MAX(1, (int32_t)lround(view->photo_h * scale));
    } else {
        *w = (view->photo_w + view->reduce - 1) / view->reduce;
        *h = (view->photo_h + view->reduce - 1) / view->reduce;
    }
}

// Where the whole begins on the screen along one axis: in the middle if there is room, else so
// that no room is lost.
static int32_t origin(double middle, double scale, int32_t whole, int32_t view)
{
    if (whole <= view)
        return (view - whole) / 2;
    return CLAMP((int32_t)lround(view / 2.0 - middle * scale), view - whole, 0);
}

static void axis(int32_t start, int32_t whole, int32_t view, int32_t magnify, int32_t *first,
                 int32_t *n)
{
    *first = start < 0 ? -start / magnify : 0;
    int32_t end = (view - start + magnify - 1) / magnify;
    *n = MIN(whole, end) - *first;
}

UiShown ui_view_shown(const UiView *view)
{
    UiShown shown = {.reduce = view->fit ? 0 : view->reduce, .magnify = 1};
    if (!view->fit)
        shown.magnify = view->magnify;
    CzPart *part = &shown.part;
    whole_size(view, &part->photo_w, &part->photo_h);
    double scale = ui_view_scale(view);
    int32_t x = origin(view->x, scale, part->photo_w * shown.magnify, view->width);
    int32_t y = origin(view->y, scale, part->photo_h * shown.magnify, view->height);
    axis(x, part->photo_w, view->width, shown.magnify, &part->x, &part->width);
    axis(y, part->photo_h, view->height, shown.magnify, &part->y, &part->height);
    shown.x = x + part->x * shown.magnify;
    shown.y = y + part->y * shown.magnify;
    return shown;
}

bool ui_view_pannable(const UiView *view)
{
    int32_t w, h;
    whole_size(view, &w, &h);
    return !view->fit && (w * view->magnify > view->width || h * view->magnify > view->height);
}

void ui_view_fit(UiView *view)
{
    view->fit = true;
    view->reduce = view->magnify = 1;
    view->x = view->photo_w / 2.0;
    view->y = view->photo_h / 2.0;
}

// Where the photograph begins on the screen.
static void origin_of(const UiView *view, double *x, double *y)
{
    int32_t w, h;
    whole_size(view, &w, &h);
    int32_t magnify = view->fit ? 1 : view->magnify;
    double scale = ui_view_scale(view);
    *x = origin(view->x, scale, w * magnify, view->width);
    *y = origin(view->y, scale, h * magnify, view->height);
}

// The photograph's place under a place of the screen.
static void place_at(const UiView *view, double screen_x, double screen_y, double *x, double *y)
{
    double left, top, scale = ui_view_scale(view);
    origin_of(view, &left, &top);
    *x = (screen_x - left) / scale;
    *y = (screen_y - top) / scale;
}

void ui_view_to_photo(const UiView *view, double screen_x, double screen_y, double *x, double *y)
{
    place_at(view, screen_x, screen_y, x, y);
    *x /= view->photo_w;
    *y /= view->photo_h;
}

void ui_view_to_screen(const UiView *view, double x, double y, double *screen_x, double *screen_y)
{
    double left, top, scale = ui_view_scale(view);
    origin_of(view, &left, &top);
    *screen_x = left + x * view->photo_w * scale;
    *screen_y = top + y * view->photo_h * scale;
}

// The middle must not lie where the edge stops the view, or the next pan would have to make up for
// it first.
static void keep_inside(UiView *view)
{
    double scale = ui_view_scale(view);
    double half_w = MIN(view->width / scale, view->photo_w) / 2;
    double half_h = MIN(view->height / scale, view->photo_h) / 2;
    view->x = CLAMP(view->x, half_w, view->photo_w - half_w);
    view->y = CLAMP(view->y, half_h, view->photo_h - half_h);
}

static void zoom_to(UiView *view, int32_t reduce, int32_t magnify, double screen_x, double screen_y)
{
    double x, y;
    place_at(view, screen_x, screen_y, &x, &y);
    view->fit = false;
    view->reduce = reduce;
    view->magnify = magnify;
    double scale = ui_view_scale(view);
    view->x = x - (screen_x - view->width / 2.0) / scale;
    view->y = y - (screen_y - view->height / 2.0) / scale;
    keep_inside(view);
}

void ui_view_full(UiView *view, double screen_x, double screen_y)
{
    zoom_to(view, 1, 1, screen_x, screen_y);
}

// 1, 2, 4 ... below the proxy's factor, then its multiples by 1, 2, 4 ...
static int32_t next_reduction(const UiView *view, int32_t reduce)
{
    if (reduce >= view->proxy_factor)
        return reduce * 2;
    return MIN(reduce * 2, view->proxy_factor);
}

static void zoom_in(UiView *view, double screen_x, double screen_y)
{
    double scale = ui_view_scale(view);
    if (scale >= 1) {
        int32_t magnify = view->fit ? 1 : view->magnify;
        zoom_to(view, 1, MIN(magnify * 2, MOST_MAGNIFIED), screen_x, screen_y);
        return;
    }
    int32_t reduce = 1;
    while (1.0 / next_reduction(view, reduce) > scale * 1.001)
        reduce = next_reduction(view, reduce);
    zoom_to(view, reduce, 1, screen_x, screen_y);
}

static void zoom_out(UiView *view, double screen_x, double screen_y)
{
    if (view->fit)
        return;
    if (view->magnify > 1) {
        zoom_to(view, 1, view->magnify / 2, screen_x, screen_y);
        return;
    }
    int32_t reduce = next_reduction(view, view->reduce);
    if (1.0 / reduce <= fit_scale(view))
        ui_view_fit(view);
    else
        zoom_to(view, reduce, 1, screen_x, screen_y);
}

void ui_view_zoom(UiView *view, int direction, double screen_x, double screen_y)
{
    if (direction > 0)
        zoom_in(view, screen_x, screen_y);
    else
        zoom_out(view, screen_x, screen_y);
}

void ui_view_pan(UiView *view, double screen_dx, double screen_dy)
{
    double scale = ui_view_scale(view);
    view->x -= screen_dx / scale;
    view->y -= screen_dy / scale;
    keep_inside(view);
}
