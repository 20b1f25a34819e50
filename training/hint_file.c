// SPDX-License-Identifier: LGPL-3.0-or-later
// Color hints from a picture file.
#include "hint_file.h"

#include <vips/vips.h>

#include <cz/error.h>

#include "decode.h"

typedef struct {
    const char *path;
    VipsImage *image; // RGBA, floats from 0 to 255
    VipsRegion *region;
} HintFile;

static void hint_file_clear(HintFile *file)
{
    g_clear_object(&file->region);
    g_clear_object(&file->image);
}

static bool check(const HintFile *file, const CzPhoto *photo, GError **error)
{
    const VipsImage *image = file->image;
    if (image->Xsize != photo->width || image->Ysize != photo->height) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_FORMAT,
                    "hints '%s': expected the photograph's %dx%d pixels, found %dx%d", file->path,
                    photo->width, photo->height, image->Xsize, image->Ysize);
        return false;
    }
    if (!vips_image_hasalpha(file->image)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_FORMAT,
                    "hints '%s': expected a picture with transparency, found none", file->path);
        return false;
    }
    return true;
}

// A profile that cannot be used is as good as none.
static VipsImage *to_srgb(VipsImage *image)
{
    VipsImage *next = NULL;
    if (vips_image_get_typeof(image, VIPS_META_ICC_NAME) != 0 &&
        vips_icc_transform(image, &next, "srgb", "embedded", TRUE, "depth", 8, NULL) == 0)
        return next;
    vips_error_clear();
    return vips_colourspace(image, &next, VIPS_INTERPRETATION_sRGB, NULL) == 0 ? next : NULL;
}

static bool prepare(HintFile *file, GError **error)
{
    VipsImage *srgb = to_srgb(file->image), *floats = NULL;
    if (srgb && srgb->Bands == 4 && vips_cast_float(srgb, &floats, NULL) == 0) {
        g_object_unref(file->image);
        file->image = floats;
        file->region = vips_region_new(floats);
    }
    g_clear_object(&srgb);
    if (!file->region)
        train_vips_error(error, CZ_ERROR_FORMAT, "read", file->path);
    return file->region != NULL;
}

static bool read_rows(void *user, int32_t y, int32_t n_rows, float *rgba, GError **error)
{
    const HintFile *file = user;
    int width = file->image->Xsize;
    for (int32_t i = 0; i < n_rows; i++) {
        const VipsRect row = {0, y + i, width, 1};
        if (vips_region_prepare(file->region, &row) != 0) {
            train_vips_error(error, CZ_ERROR_FORMAT, "read", file->path);
            return false;
        }
        const float *pixels = (const float *)(const void *)VIPS_REGION_ADDR(file->region, 0, y + i);
        for (int32_t k = 0; k < 4 * width; k++)
            *rgba++ = pixels[k] / 255;
    }
    return true;
}

bool train_hint_file_gather(const char *path, const CzPhoto *photo, CzDab *dabs, size_t *n_dabs,
                            GError **error)
{
    HintFile file = {path, train_image_open_file(path, error), NULL};
    const CzHintPicture picture = {read_rows, &file};
    bool done = file.image && check(&file, photo, error) && prepare(&file, error) &&
                cz_dabs_gather(photo, &picture, NULL, dabs, n_dabs, error);
    hint_file_clear(&file);
    return done;
}
