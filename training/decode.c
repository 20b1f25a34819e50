// SPDX-License-Identifier: LGPL-3.0-or-later
// Photographs from files and memory through libvips: JPEG, PNG, TIFF and WebP, nothing else.
#include "decode.h"

#include <string.h>

#include <vips/vips.h>

#include <cz/error.h>
#include <cz/memory.h>

static void drop_message(const char *domain, GLogLevelFlags level, const char *message, void *user)
{
    // What matters of it comes back as an error; the rest (odd EXIF tags) is noise.
}

bool train_vips_start(GError **error)
{
    if (VIPS_INIT("colorizer") != 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_BACKEND, "libvips does not start: %s",
                    vips_error_buffer());
        return FALSE;
    }
    vips_concurrency_set(1);
    vips_cache_set_max(0);
    g_log_set_handler("VIPS", G_LOG_LEVEL_WARNING | G_LOG_LEVEL_INFO | G_LOG_LEVEL_DEBUG,
                      drop_message, NULL);
    return TRUE;
}

void train_vips_error(GError **error, int code, const char *verb, const char *name)
{
    g_autofree char *text = vips_error_buffer_copy(); // clears it, too
    char *end;

    // One sentence for the user: libvips puts one cause on a line, the first is the nearest.
    g_strstrip(text);
    end = strchr(text, '\n');
    if (end)
        *end = 0;
    g_set_error(error, CZ_ERROR, code, "cannot %s '%s': %s", verb, name,
                *text ? text : "the library gives no reason");
}

// The names of libvips' loaders: other formats run through libraries that see less scrutiny, or
// are no photographs (SVG, PDF, raw numbers).
static bool check_loader(const char *loader, const char *name, GError **error)
{
    static const char *const allowed[] = {"Jpeg", "Png", "Tiff", "Webp"};

    for (size_t i = 0; loader && i < G_N_ELEMENTS(allowed); i++)
        if (strstr(loader, allowed[i]))
            return TRUE;
    vips_error_clear();
    g_set_error(error, CZ_ERROR, CZ_ERROR_FORMAT, "cannot read '%s': not a JPEG, PNG, TIFF or WebP",
                name);
    return FALSE;
}

static VipsImage *check_opened(VipsImage *image, const char *name, GError **error)
{
    if (!image) {
        train_vips_error(error, CZ_ERROR_FORMAT, "read", name);
        return NULL;
    }
    if ((int64_t)image->Xsize * image->Ysize > TRAIN_PHOTO_MAX_PIXELS) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_FORMAT,
                    "cannot read '%s': it has %dx%d pixels, at most %d million are allowed", name,
                    image->Xsize, image->Ysize, (int)(TRAIN_PHOTO_MAX_PIXELS / 1000000));
        g_object_unref(image);
        return NULL;
    }
    return image;
}

VipsImage *train_image_open_file(const char *path, GError **error)
{
    if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot read '%s': there is no such file", path);
        return NULL;
    }
    if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot read '%s': it is a folder", path);
        return NULL;
    }
    if (!check_loader(vips_foreign_find_load(path), path, error))
        return NULL;
    return check_opened(vips_image_new_from_file(path, "access", VIPS_ACCESS_SEQUENTIAL, "fail_on",
                                                 VIPS_FAIL_ON_TRUNCATED, NULL),
                        path, error);
}

VipsImage *train_image_open_memory(const void *bytes, size_t n_bytes, const char *name,
                                   GError **error)
{
    if (!check_loader(vips_foreign_find_load_buffer(bytes, n_bytes), name, error))
        return NULL;
    return check_opened(vips_image_new_from_buffer(bytes, n_bytes, "", "access",
                                                   VIPS_ACCESS_SEQUENTIAL, "fail_on",
                                                   VIPS_FAIL_ON_TRUNCATED, NULL),
                        name, error);
}

// Replaces *image with next; FALSE when the step that made next failed.
static bool take(VipsImage **image, VipsImage **next, int failed)
{
    if (failed)
        return FALSE;
    g_object_unref(*image);
    *image = g_steal_pointer(next);
    return TRUE;
}

static bool flatten(VipsImage **image)
{
    VipsImage *next = NULL;
    double white = (*image)->BandFmt == VIPS_FORMAT_USHORT ? 65535.0 : 255.0;
    VipsArrayDouble *background;
    int failed;

    if (!vips_image_hasalpha(*image))
        return TRUE;
    background = vips_array_double_newv(1, white);
    failed = vips_flatten(*image, &next, "background", background, NULL);
    vips_area_unref(VIPS_AREA(background));
    return take(image, &next, failed);
}

static bool scale_down(VipsImage **image, int32_t short_side)
{
    VipsImage *next = NULL;
    int shorter = MIN((*image)->Xsize, (*image)->Ysize);

    if (short_side <= 0 || shorter <= short_side)
        return TRUE;
    return take(image, &next, vips_resize(*image, &next, (double)short_side / shorter, NULL));
}

static bool to_srgb(VipsImage **image)
{
    VipsImage *next = NULL;

    if (vips_image_get_typeof(*image, VIPS_META_ICC_NAME) &&
        vips_icc_transform(*image, &next, "srgb", "embedded", TRUE, "depth", 8, NULL) == 0)
        return take(image, &next, 0);
    // No profile, or one that does not fit the pixels: what is left is the usual reading of them.
    vips_error_clear();
    g_clear_object(&next);
    if (!take(image, &next, vips_colourspace(*image, &next, VIPS_INTERPRETATION_sRGB, NULL)))
        return FALSE;
    if ((*image)->BandFmt != VIPS_FORMAT_UCHAR &&
        !take(image, &next, vips_cast(*image, &next, VIPS_FORMAT_UCHAR, NULL)))
        return FALSE;
    return TRUE;
}

// Pixels are decoded here, once and in sequence, before the turn that needs them in any order.
static bool into_memory(VipsImage **image)
{
    VipsImage *next = vips_image_copy_memory(*image);

    return take(image, &next, next == NULL);
}

static bool turn_upright(VipsImage **image)
{
    VipsImage *next = NULL;

    return take(image, &next, vips_autorot(*image, &next, NULL));
}

static bool convert(VipsImage **image, int32_t short_side, const char *name, GError **error)
{
    if (!flatten(image) || !scale_down(image, short_side) || !to_srgb(image) ||
        !into_memory(image) || !turn_upright(image)) {
        train_vips_error(error, CZ_ERROR_FORMAT, "read", name);
        return FALSE;
    }
    if ((*image)->Bands != 3 || (*image)->BandFmt != VIPS_FORMAT_UCHAR) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_FORMAT,
                    "cannot read '%s': expected three channels of colour, found %d", name,
                    (*image)->Bands);
        return FALSE;
    }
    return TRUE;
}

// Copies an image that is ready into memory of ours.
static bool copy_out(TrainPhoto *photo, VipsImage *image, const char *name, GError **error)
{
    size_t row = (size_t)image->Xsize * 3;
    VipsRegion *region;

    photo->rgb = cz_memory_alloc(row * (size_t)image->Ysize, "a photograph", error);
    if (!photo->rgb)
        return FALSE;
    region = vips_region_new(image);
    for (int y = 0; y < image->Ysize; y++) {
        VipsRect line = {0, y, image->Xsize, 1};

        if (vips_region_prepare(region, &line) != 0) {
            g_object_unref(region);
            train_vips_error(error, CZ_ERROR_FORMAT, "read", name);
            return FALSE;
        }
        memcpy(photo->rgb + (size_t)y * row, VIPS_REGION_ADDR(region, 0, y), row);
    }
    g_object_unref(region);
    photo->width = image->Xsize;
    photo->height = image->Ysize;
    return TRUE;
}

// Owns image.
static bool decode(TrainPhoto *photo, VipsImage *image, const char *name,
                   const TrainDecodeParams *params, GError **error)
{
    TrainDecodeParams none = {0};
    bool ok = TRUE;

    params = params ? params : &none;
    photo->src_width = image->Xsize;
    photo->src_height = image->Ysize;
    if (MIN(image->Xsize, image->Ysize) >= params->min_short_side)
        ok =
            convert(&image, params->short_side, name, error) && copy_out(photo, image, name, error);
    g_object_unref(image);
    if (!ok)
        train_photo_clear(photo);
    return ok;
}

bool train_decode_file(TrainPhoto *photo, const char *path, const TrainDecodeParams *params,
                       GError **error)
{
    VipsImage *image = train_image_open_file(path, error);

    *photo = (TrainPhoto){0};
    return image && decode(photo, image, path, params, error);
}

bool train_decode_memory(TrainPhoto *photo, const void *bytes, size_t n_bytes, const char *name,
                         const TrainDecodeParams *params, GError **error)
{
    VipsImage *image = train_image_open_memory(bytes, n_bytes, name, error);

    *photo = (TrainPhoto){0};
    return image && decode(photo, image, name, params, error);
}

void train_photo_clear(TrainPhoto *photo)
{
    cz_memory_free(photo->rgb);
    *photo = (TrainPhoto){0};
}
