// SPDX-License-Identifier: LGPL-3.0-or-later
// A host without GIMP: a photograph in memory.
#include "fake_host.h"

#include <string.h>

#include <gdk-pixbuf/gdk-pixbuf.h>

#include <cz/error.h>

static bool read_rows(void *user, int32_t y, int32_t n_rows, float *rgb, GError **error)
{
    FakePhoto *photo = user;
    photo->strayed |= g_thread_self() != photo->owner;
    if (photo->fail_after && photo->n_reads >= photo->fail_after) {
        g_set_error_literal(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "the layer is gone");
        return false;
    }
    photo->n_reads++;
    size_t stride = 3 * (size_t)photo->photo.width;
    memcpy(rgb, photo->rgb + y * stride, n_rows * stride * sizeof(float));
    return true;
}

static bool write_rows(void *user, int32_t y, int32_t n_rows, const float *rgb, GError **error)
{
    FakePhoto *photo = user;
    photo->strayed |= g_thread_self() != photo->owner;
    size_t stride = 3 * (size_t)photo->photo.width;
    memcpy(photo->out + y * stride, rgb, n_rows * stride * sizeof(float));
    return true;
}

static FakePhoto *photo_of(int32_t width, int32_t height)
{
    FakePhoto *photo = g_new0(FakePhoto, 1);
    photo->photo = (CzPhoto){width, height, read_rows, write_rows, photo};
    photo->rgb = g_new(float, 3 * (size_t)width * height);
    photo->out = g_new0(float, 3 * (size_t)width * height);
    photo->owner = g_thread_self();
    return photo;
}

FakePhoto *fake_photo_new(int32_t width, int32_t height)
{
    FakePhoto *photo = photo_of(width, height);
    for (int32_t y = 0; y < height; y++)
        for (int32_t x = 0; x < width; x++) {
            float grey = 0.2f + 0.6f * (float)x / (float)width;
            grey += (x / 32 + y / 32) % 2 ? 0.15f * (float)y / (float)height : 0;
            for (int c = 0; c < 3; c++)
                photo->rgb[3 * ((size_t)y * width + x) + c] = grey;
        }
    return photo;
}

FakePhoto *fake_photo_open(const char *path, GError **error)
{
    g_autoptr(GdkPixbuf) picture = gdk_pixbuf_new_from_file(path, error);
    if (!picture)
        return NULL;
    int width = gdk_pixbuf_get_width(picture), height = gdk_pixbuf_get_height(picture);
    int n_channels = gdk_pixbuf_get_n_channels(picture), stride = gdk_pixbuf_get_rowstride(picture);
    const guint8 *pixels = gdk_pixbuf_read_pixels(picture);
    FakePhoto *photo = photo_of(width, height);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                photo->rgb[3 * ((size_t)y * width + x) + c] =
                    pixels[(size_t)y * stride + x * n_channels + c] / 255.0f;
    return photo;
}

void fake_photo_free(FakePhoto *photo)
{
    if (!photo)
        return;
    g_free(photo->rgb);
    g_free(photo->out);
    g_free(photo);
}
