// SPDX-License-Identifier: LGPL-3.0-or-later
// The pixels that a view shows, before and after.
#include "pixels.h"

#include <cz/memory.h>

static inline uint32_t byte_of(float value)
{
    return (uint32_t)(CLAMP(value, 0.0f, 1.0f) * 255.0f + 0.5f);
}

static cairo_surface_t *surface_of(const float *rgb, int32_t width, int32_t height)
{
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    if (cairo_surface_status(surface) != CAIRO_STATUS_SUCCESS) {
        cairo_surface_destroy(surface);
        return NULL;
    }
    unsigned char *data = cairo_image_surface_get_data(surface);
    int stride = cairo_image_surface_get_stride(surface);
    for (int32_t y = 0; y < height; y++) {
        uint32_t *row = (uint32_t *)(void *)(data + (size_t)y * stride);
        for (int32_t x = 0; x < width; x++, rgb += 3)
            row[x] = byte_of(rgb[0]) << 16 | byte_of(rgb[1]) << 8 | byte_of(rgb[2]);
    }
    cairo_surface_mark_dirty(surface);
    return surface;
}

static float *part_alloc(const CzPart *part, GError **error)
{
    size_t n_bytes = (size_t)part->width * part->height * 3 * sizeof(float);
    return cz_memory_alloc(n_bytes, "the preview", error);
}

static bool fetch(UiPixels *pixels, const UiView *view, GError **error)
{
    pixels->shown = ui_view_shown(view);
    const CzPart *part = &pixels->shown.part;
    float *rgb = part_alloc(part, error);
    if (!rgb ||
        !ui_proxy_part(pixels->proxy, pixels->photo, pixels->shown.reduce, part, rgb, error)) {
        cz_memory_free(rgb);
        return false;
    }
    pixels->rgb = rgb;
    pixels->before = surface_of(rgb, part->width, part->height);
    return pixels->before != NULL;
}

static bool colour(UiPixels *pixels, GError **error)
{
    const CzPart *part = &pixels->shown.part;
    float *rgb = part_alloc(part, error);
    if (!rgb)
        return false;
    cz_chroma_apply_part(pixels->chroma, &pixels->settings, part, pixels->rgb, rgb);
    pixels->after = surface_of(rgb, part->width, part->height);
    cz_memory_free(rgb);
    return pixels->after != NULL;
}

void ui_pixels_forget_after(UiPixels *pixels)
{
    g_clear_pointer(&pixels->after, cairo_surface_destroy);
}

void ui_pixels_forget(UiPixels *pixels)
{
    g_clear_pointer(&pixels->rgb, cz_memory_free);
    g_clear_pointer(&pixels->before, cairo_surface_destroy);
    ui_pixels_forget_after(pixels);
}

bool ui_pixels_ensure(UiPixels *pixels, const UiView *view, GError **error)
{
    if (!pixels->proxy || view->width < 1 || view->height < 1)
        return false;
    if (!pixels->before && !fetch(pixels, view, error))
        return false;
    if (pixels->chroma && !pixels->after)
        colour(pixels, error);
    return true;
}
