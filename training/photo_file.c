// SPDX-License-Identifier: LGPL-3.0-or-later
// A user's photograph from a file to a file through libvips.
#include "photo_file.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include <glib/gstdio.h>
#include <vips/vips.h>

#include <cz/color.h>
#include <cz/error.h>
#include <cz/memory.h>

#include "decode.h"

struct TrainPhotoFile {
    char *name;
    VipsImage *native; // upright, decoded into memory, as the file has it
    VipsImage *view;   // three float bands: CIE Lab if lab_view, else encoded sRGB
    VipsImage *result; // three bands of the file's depth, and alpha
    VipsRegion *region, *alpha;
    bool lab_view; // it is read through a profile
    bool managed;  // the result is written through it: RGB only
    bool wide;     // 16 bit
    CzPhoto photo;
};

#define WIDE_MAX   65535.0f
#define NARROW_MAX 255.0f

static bool failed(const TrainPhotoFile *file, const char *verb, GError **error)
{
    train_vips_error(error, CZ_ERROR_FORMAT, verb, file->name);
    return false;
}

static bool step(VipsImage **image, int status, VipsImage *next)
{
    if (status != 0)
        return false;
    g_object_unref(*image);
    *image = next;
    return true;
}

// From the file's own numbers to three float bands. With an RGB profile by way of its connection
// space, which is our Lab (D50); a grey profile cannot describe the result and is used only to
// read.
static bool make_view(TrainPhotoFile *file, GError **error)
{
    VipsImage *image = file->native, *next = NULL;
    bool profile = vips_image_get_typeof(image, VIPS_META_ICC_NAME) != 0;
    int n_bands = image->Bands - (vips_image_hasalpha(image) ? 1 : 0);
    g_object_ref(image);
    bool done = step(&image, vips_extract_band(image, &next, 0, "n", n_bands, NULL), next);
    if (done && profile &&
        vips_icc_import(image, &next, "pcs", VIPS_PCS_LAB, "embedded", TRUE, "intent",
                        VIPS_INTENT_RELATIVE, NULL) == 0) {
        file->lab_view = true;
        file->managed = n_bands == 3;
        done = step(&image, 0, next);
    } else if (done) {
        vips_error_clear(); // a damaged profile is as good as none
        VipsInterpretation space =
            file->wide ? VIPS_INTERPRETATION_RGB16 : VIPS_INTERPRETATION_sRGB;
        done = step(&image, vips_colourspace(image, &next, space, NULL), next) &&
               step(&image,
                    vips_linear1(image, &next, 1 / (file->wide ? WIDE_MAX : NARROW_MAX), 0, NULL),
                    next);
    }
    done = done && step(&image, vips_cast_float(image, &next, NULL), next);
    file->view = image;
    if (done && image->Bands != 3) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_FORMAT,
                    "cannot read '%s': %d colour channels where 1 or 3 are due", file->name,
                    image->Bands);
        return false;
    }
    return done || failed(file, "read", error);
}

// Big pictures go through a file that has no name, so that memory stays bounded.
static VipsImage *roomy_image(uint64_t n_bytes)
{
    return n_bytes > (UINT64_C(512) << 20) ? vips_image_new_temp_file("%s.v")
                                           : vips_image_new_memory();
}

static bool make_result(TrainPhotoFile *file, GError **error)
{
    const VipsImage *native = file->native;
    int n_bands = vips_image_hasalpha(file->native) ? 4 : 3;
    VipsBandFormat format = file->wide ? VIPS_FORMAT_USHORT : VIPS_FORMAT_UCHAR;
    VipsInterpretation space = file->wide ? VIPS_INTERPRETATION_RGB16 : VIPS_INTERPRETATION_sRGB;
    uint64_t n_bytes = (uint64_t)native->Xsize * (uint64_t)native->Ysize * (uint64_t)n_bands *
                       (file->wide ? 2 : 1);
    file->result = roomy_image(n_bytes);
    if (!file->result)
        return failed(file, "colorize", error);
    vips_image_init_fields(file->result, native->Xsize, native->Ysize, n_bands, format,
                           VIPS_CODING_NONE, space, native->Xres, native->Yres);
    return vips_image_write_prepare(file->result) == 0 || failed(file, "colorize", error);
}

static bool read_rows(void *user, int32_t y, int32_t n_rows, float *rgb, GError **error)
{
    TrainPhotoFile *file = user;
    size_t width = (size_t)file->view->Xsize;
    const VipsRect rows = {0, y, file->view->Xsize, n_rows};
    if (vips_region_prepare(file->region, &rows) != 0)
        return failed(file, "read", error);
    for (int32_t i = 0; i < n_rows; i++)
        memcpy(rgb + (size_t)i * width * 3, VIPS_REGION_ADDR(file->region, 0, y + i),
               width * 3 * sizeof *rgb);
    if (file->lab_view)
        cz_lab_to_rgb(rgb, rgb, width * (size_t)n_rows);
    return true;
}

// Lab to the file's own profile, at the file's own depth, for a band of rows. The caller frees with
// g_free.
static void *export_rows(TrainPhotoFile *file, float *lab, int32_t n_rows)
{
    size_t n_bytes = (size_t)file->view->Xsize * (size_t)n_rows * 3 * sizeof *lab, size;
    VipsImage *image =
        vips_image_new_from_memory(lab, n_bytes, file->view->Xsize, n_rows, 3, VIPS_FORMAT_FLOAT);
    VipsImage *space = NULL, *out = NULL;
    const void *profile;
    size_t n_profile;
    void *pixels = NULL;
    if (image && vips_copy(image, &space, "interpretation", VIPS_INTERPRETATION_LAB, NULL) == 0 &&
        vips_image_get_blob(file->native, VIPS_META_ICC_NAME, &profile, &n_profile) == 0) {
        vips_image_set_blob_copy(space, VIPS_META_ICC_NAME, profile, n_profile);
        if (vips_icc_export(space, &out, "depth", file->wide ? 16 : 8, "intent",
                            VIPS_INTENT_RELATIVE, NULL) == 0 &&
            out->Bands == 3)
            pixels = vips_image_write_to_memory(out, &size);
    }
    g_clear_object(&image);
    g_clear_object(&space);
    g_clear_object(&out);
    return pixels;
}

static void round_rows(void *dst, const float *rgb, size_t n, bool wide)
{
    for (size_t i = 0; i < n; i++) {
        float value = CLAMP(rgb[i], 0.0f, 1.0f);
        if (wide)
            ((uint16_t *)dst)[i] = (uint16_t)(value * WIDE_MAX + 0.5f);
        else
            ((uint8_t *)dst)[i] = (uint8_t)(value * NARROW_MAX + 0.5f);
    }
}

static bool write_line(TrainPhotoFile *file, int32_t y, const char *pixels, char *line)
{
    size_t width = (size_t)file->result->Xsize, depth = file->wide ? 2 : 1,
           n_bands = (size_t)file->result->Bands;
    size_t native_bands = (size_t)file->native->Bands;
    if (n_bands == 3)
        return vips_image_write_line(file->result, y, (VipsPel *)pixels) == 0;
    const VipsRect row = {0, y, file->native->Xsize, 1};
    if (vips_region_prepare(file->alpha, &row) != 0)
        return false;
    const char *source =
        (const char *)VIPS_REGION_ADDR(file->alpha, 0, y) + (native_bands - 1) * depth;
    for (size_t x = 0; x < width; x++) {
        memcpy(line + x * 4 * depth, pixels + x * 3 * depth, 3 * depth);
        memcpy(line + (x * 4 + 3) * depth, source + x * native_bands * depth, depth);
    }
    return vips_image_write_line(file->result, y, (VipsPel *)line) == 0;
}

static bool write_rows(void *user, int32_t y, int32_t n_rows, const float *rgb, GError **error)
{
    TrainPhotoFile *file = user;
    size_t width = (size_t)file->view->Xsize, n = width * (size_t)n_rows * 3,
           depth = file->wide ? 2 : 1;
    g_autofree char *line = g_try_malloc(width * 4 * depth);
    g_autofree void *pixels = NULL;
    if (file->managed) {
        float *lab = cz_memory_alloc(n * sizeof *lab, "a band of rows", error);
        if (!lab)
            return false;
        cz_rgb_to_lab(lab, rgb, n / 3);
        pixels = export_rows(file, lab, n_rows);
        cz_memory_free(lab);
    } else if ((pixels = g_try_malloc(n * depth))) {
        round_rows(pixels, rgb, n, file->wide);
    }
    bool done = pixels && line;
    for (int32_t i = 0; done && i < n_rows; i++)
        done = write_line(file, y + i, (const char *)pixels + (size_t)i * width * 3 * depth, line);
    return done || failed(file, "colorize", error);
}

// Decodes everything once, in sequence, so that a truncated file is found before any work is done;
// turning it upright needs rows in any order and comes after.
static bool decode(TrainPhotoFile *file, const char *path, GError **error)
{
    VipsImage *image = train_image_open_file(path, error), *next = NULL;
    if (!image)
        return false;
    bool done = true;
    if (image->BandFmt != VIPS_FORMAT_UCHAR && image->BandFmt != VIPS_FORMAT_USHORT)
        done = step(&image, vips_colourspace(image, &next, VIPS_INTERPRETATION_RGB16, NULL), next);
    VipsImage *stored = done ? roomy_image(VIPS_IMAGE_SIZEOF_IMAGE(image)) : NULL;
    done = stored && vips_image_write(image, stored) == 0 &&
           vips_autorot(stored, &file->native, NULL) == 0;
    g_object_unref(image);
    g_clear_object(&stored);
    file->wide = done && file->native->BandFmt == VIPS_FORMAT_USHORT;
    return done || failed(file, "read", error);
}

TrainPhotoFile *train_photo_file_open(const char *path, GError **error)
{
    TrainPhotoFile *file = g_new0(TrainPhotoFile, 1);
    file->name = g_strdup(path);
    bool done = decode(file, path, error) && make_view(file, error) && make_result(file, error);
    if (!done) {
        train_photo_file_free(file);
        return NULL;
    }
    file->region = vips_region_new(file->view);
    file->alpha = vips_region_new(file->native);
    file->photo = (CzPhoto){file->view->Xsize, file->view->Ysize, read_rows, write_rows, file};
    return file;
}

void train_photo_file_free(TrainPhotoFile *file)
{
    if (!file)
        return;
    g_clear_object(&file->region);
    g_clear_object(&file->alpha);
    g_clear_object(&file->view);
    g_clear_object(&file->native);
    g_clear_object(&file->result);
    g_free(file->name);
    g_free(file);
}

const CzPhoto *train_photo_file_photo(TrainPhotoFile *file)
{
    return &file->photo;
}

const char *train_photo_file_format(const char *path)
{
    static const char *const endings[] = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"};
    g_autofree char *lower = g_ascii_strdown(path, -1);
    for (size_t i = 0; i < G_N_ELEMENTS(endings); i++)
        if (g_str_has_suffix(lower, endings[i]))
            return endings[i];
    return NULL;
}

static void *copy_field(VipsImage *image, const char *name, GValue *value, void *user)
{
    // What says how the source was stored does not hold for the result.
    static const char *const stale[] = {
        "vips-loader",    "bits-per-sample", "palette-bit-depth", "jpeg-chroma-subsample",
        "jpeg-multiscan", "interlaced",      "n-pages",           "page-height",
        "vips-sequential"};
    const TrainPhotoFile *file = user;
    for (size_t i = 0; i < G_N_ELEMENTS(stale); i++)
        if (strcmp(name, stale[i]) == 0)
            return NULL;
    if (strcmp(name, VIPS_META_ICC_NAME) != 0 || file->managed)
        vips_image_set(file->result, name, value);
    return NULL;
}

bool train_photo_file_save(TrainPhotoFile *file, const char *path, GError **error)
{
    const char *ending = train_photo_file_format(path);
    g_autofree char *folder = g_path_get_dirname(path), *base = g_path_get_basename(path);
    // The ending stays last: libvips chooses the format by it.
    g_autofree char *temporary =
        g_strdup_printf("%s/.%s.%d%s", folder, base, (int)getpid(), ending);
    bool jpeg = g_str_has_prefix(ending, ".jp");
    vips_image_map(file->native, copy_field, file);
    int status = jpeg ? vips_image_write_to_file(file->result, temporary, "Q", 95, NULL)
                      : vips_image_write_to_file(file->result, temporary, NULL);
    if (status != 0) {
        train_vips_error(error, CZ_ERROR_IO, "write", path);
    } else if (g_rename(temporary, path) != 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot write '%s': %s", path, g_strerror(errno));
        status = -1;
    }
    if (status != 0)
        g_unlink(temporary);
    return status == 0;
}
