// SPDX-License-Identifier: LGPL-3.0-or-later
// A user's photograph from a file to a file through libvips.
#include "photo_file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>
#include <vips/vips.h>

#include <cz/color.h>
#include <cz/error.h>
#include <cz/memory.h>

#include "decode.h"
#include "profile.h"

// How the file's numbers become encoded sRGB, and back.
typedef enum {
    VALUES_SRGB,    // they are encoded sRGB, or grey on its curve
    VALUES_RAMP,    // grey that has a profile of its own: a table, one colour for every value
    VALUES_PROFILE, // colours of another profile
    VALUES_VIEW,    // anything else: libvips makes 16-bit RGB of it, a band of rows at a time
} Values;

struct TrainPhotoFile {
    char *name;
    VipsImage *native; // upright, decoded into memory, as the file has it
    VipsImage *view;   // VALUES_VIEW: three bands, 16-bit sRGB
    VipsImage *result; // three bands of the file's depth, and alpha
    VipsRegion *region, *alpha;
    TrainProfile *profile; // VALUES_PROFILE
    float *ramp;           // VALUES_RAMP: encoded sRGB of every value
    TrainPixels pixels;
    Values values;
    bool keep_profile; // the result is what the file's profile describes
    CzPhoto photo;
};

// zlib's level 6 takes three times as long for a twentieth less.
#define PNG_COMPRESSION 3

#define WIDE_MAX   65535.0f
#define NARROW_MAX 255.0f

static bool has_alpha(const TrainPhotoFile *file)
{
    return file->pixels.n_bands > file->pixels.n_colour;
}

static bool failed(const TrainPhotoFile *file, const char *verb, GError **error)
{
    train_vips_error(error, CZ_ERROR_FORMAT, verb, file->name);
    return false;
}

// Takes *next, which the call that gave status has made, in place of *image. By its address, since
// arguments are evaluated in any order.
static bool step(VipsImage **image, int status, VipsImage **next)
{
    if (status != 0)
        return false;
    g_object_unref(*image);
    *image = g_steal_pointer(next);
    return true;
}

static void make_ramp(TrainPhotoFile *file, const TrainProfile *profile)
{
    size_t n = file->pixels.wide ? 65536 : 256, n_bands = (size_t)file->pixels.n_bands;
    g_autofree uint16_t *wide = g_new0(uint16_t, n * n_bands);
    g_autofree uint8_t *narrow = g_new0(uint8_t, n * n_bands);
    for (size_t i = 0; i < n; i++) {
        wide[i * n_bands] = (uint16_t)i;
        narrow[i * n_bands] = (uint8_t)i;
    }
    file->ramp = g_new(float, 3 * n);
    train_profile_to_lab(profile, file->pixels.wide ? (void *)wide : (void *)narrow, file->ramp, n);
    cz_lab_to_rgb(file->ramp, file->ramp, n);
}

// Whatever has no profile and is not plain RGB or grey: inks, Lab.
static bool make_view(TrainPhotoFile *file, GError **error)
{
    VipsImage *image = file->native, *next = NULL;
    g_object_ref(image);
    bool done =
        step(&image, vips_extract_band(image, &next, 0, "n", file->pixels.n_colour, NULL), &next) &&
        step(&image, vips_colourspace(image, &next, VIPS_INTERPRETATION_RGB16, NULL), &next) &&
        step(&image, vips_cast_ushort(image, &next, NULL), &next);
    file->view = image;
    if (done && image->Bands != 3) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_FORMAT, "cannot read '%s': %d bands make %d colours",
                    file->name, file->pixels.n_colour, image->Bands);
        return false;
    }
    return done || failed(file, "read", error);
}

static TrainProfile *read_profile(const TrainPhotoFile *file)
{
    const void *bytes;
    size_t n;
    if (vips_image_get_typeof(file->native, VIPS_META_ICC_NAME) == 0 ||
        vips_image_get_blob(file->native, VIPS_META_ICC_NAME, &bytes, &n) != 0)
        return NULL;
    return train_profile_new(bytes, n, &file->pixels);
}

static bool read_bands(TrainPhotoFile *file, GError **error)
{
    const VipsImage *native = file->native;
    bool grey = native->Type == VIPS_INTERPRETATION_B_W ||
                native->Type == VIPS_INTERPRETATION_GREY16 || native->Bands < 3;
    file->pixels = (TrainPixels){
        .n_colour = grey                                       ? 1
                    : native->Type == VIPS_INTERPRETATION_CMYK ? 4
                                                               : 3,
        .n_bands = native->Bands,
        .wide = native->BandFmt == VIPS_FORMAT_USHORT,
    };
    if (native->Bands >= file->pixels.n_colour)
        return true;
    g_set_error(error, CZ_ERROR, CZ_ERROR_FORMAT, "cannot read '%s': %d bands, expected %d",
                file->name, native->Bands, file->pixels.n_colour);
    return false;
}

// A grey profile cannot describe the result, nor one of inks: they serve to read, and the result is
// sRGB.
static bool choose_values(TrainPhotoFile *file, GError **error)
{
    VipsInterpretation type = file->native->Type;
    g_autoptr(TrainProfile) profile = read_profile(file);
    bool plain = file->pixels.n_colour == 1 || type == VIPS_INTERPRETATION_sRGB ||
                 type == VIPS_INTERPRETATION_RGB || type == VIPS_INTERPRETATION_RGB16;
    if (profile && file->pixels.n_colour == 1) {
        file->values = VALUES_RAMP;
        make_ramp(file, profile);
    } else if (profile && !train_profile_is_srgb(profile)) {
        file->values = VALUES_PROFILE;
        file->keep_profile = train_profile_can_write(profile);
        file->profile = g_steal_pointer(&profile);
    } else {
        file->values = plain ? VALUES_SRGB : VALUES_VIEW;
        file->keep_profile = profile != NULL;
    }
    return file->values != VALUES_VIEW || make_view(file, error);
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
    int n_bands = has_alpha(file) ? 4 : 3;
    VipsBandFormat format = file->pixels.wide ? VIPS_FORMAT_USHORT : VIPS_FORMAT_UCHAR;
    VipsInterpretation space =
        file->pixels.wide ? VIPS_INTERPRETATION_RGB16 : VIPS_INTERPRETATION_sRGB;
    uint64_t n_bytes = (uint64_t)native->Xsize * (uint64_t)native->Ysize * (uint64_t)n_bands *
                       (file->pixels.wide ? 2 : 1);
    file->result = roomy_image(n_bytes);
    if (!file->result)
        return failed(file, "colorize", error);
    vips_image_init_fields(file->result, native->Xsize, native->Ysize, n_bands, format,
                           VIPS_CODING_NONE, space, native->Xres, native->Yres);
    return vips_image_write_prepare(file->result) == 0 || failed(file, "colorize", error);
}

static void read_srgb(float *rgb, const VipsPel *pixels, const TrainPhotoFile *file)
{
    size_t n_bands = (size_t)file->native->Bands, width = (size_t)file->native->Xsize;
    size_t green = file->pixels.n_colour == 3 ? 1 : 0, blue = 2 * green;
    if (file->pixels.wide) {
        const uint16_t *src = (const uint16_t *)(const void *)pixels;
        for (size_t x = 0; x < width; x++, src += n_bands) {
            rgb[3 * x] = (float)src[0] / WIDE_MAX;
            rgb[3 * x + 1] = (float)src[green] / WIDE_MAX;
            rgb[3 * x + 2] = (float)src[blue] / WIDE_MAX;
        }
        return;
    }
    for (size_t x = 0; x < width; x++, pixels += n_bands) {
        rgb[3 * x] = (float)pixels[0] / NARROW_MAX;
        rgb[3 * x + 1] = (float)pixels[green] / NARROW_MAX;
        rgb[3 * x + 2] = (float)pixels[blue] / NARROW_MAX;
    }
}

static void read_ramp(float *rgb, const VipsPel *pixels, const TrainPhotoFile *file)
{
    size_t n_bands = (size_t)file->native->Bands, width = (size_t)file->native->Xsize;
    const uint16_t *wide = (const uint16_t *)(const void *)pixels;
    for (size_t x = 0; x < width; x++) {
        size_t value = file->pixels.wide ? wide[x * n_bands] : pixels[x * n_bands];
        memcpy(rgb + 3 * x, file->ramp + 3 * value, 3 * sizeof *rgb);
    }
}

static void read_profiled(float *rgb, const VipsPel *pixels, const TrainPhotoFile *file)
{
    size_t width = (size_t)file->native->Xsize;
    train_profile_to_lab(file->profile, pixels, rgb, width);
    cz_lab_to_rgb(rgb, rgb, width);
}

static void read_view(float *rgb, const VipsPel *pixels, const TrainPhotoFile *file)
{
    const uint16_t *src = (const uint16_t *)(const void *)pixels;
    for (size_t i = 0; i < 3 * (size_t)file->view->Xsize; i++)
        rgb[i] = (float)src[i] / WIDE_MAX;
}

// Little CMS manages 7 megapixels a second and core, which would be most of all time.
static bool read_rows(void *user, int32_t y, int32_t n_rows, float *rgb, GError **error)
{
    // In the order of Values.
    static void (*const readers[])(float *, const VipsPel *, const TrainPhotoFile *) = {
        read_srgb, read_ramp, read_profiled, read_view};
    TrainPhotoFile *file = user;
    size_t width = (size_t)file->native->Xsize;
    const VipsRect rows = {0, y, file->native->Xsize, n_rows};
    if (vips_region_prepare(file->region, &rows) != 0)
        return failed(file, "read", error);
#pragma omp parallel for schedule(static) if (file->values == VALUES_PROFILE)
    for (int32_t i = 0; i < n_rows; i++)
        readers[file->values](rgb + (size_t)i * 3 * width, VIPS_REGION_ADDR(file->region, 0, y + i),
                              file);
    return true;
}

// Not a number becomes 0. By way of int: vector units have no conversion to less.
static void round_rows(void *dst, const float *rgb, size_t n, bool wide)
{
    uint16_t *words = dst;
    uint8_t *bytes = dst;
    if (wide)
        for (size_t i = 0; i < n; i++)
            words[i] = (uint16_t)(int)(fminf(fmaxf(rgb[i], 0), 1) * WIDE_MAX + 0.5f);
    else
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)(int)(fminf(fmaxf(rgb[i], 0), 1) * NARROW_MAX + 0.5f);
}

// Colours and the original's alpha to one line of the result; line is room for it.
static bool write_line(TrainPhotoFile *file, int32_t y, const char *pixels, char *line)
{
    size_t width = (size_t)file->result->Xsize, depth = file->pixels.wide ? 2 : 1,
           n_bands = (size_t)file->native->Bands;
    if (!has_alpha(file))
        return vips_image_write_line(file->result, y, (VipsPel *)pixels) == 0;
    const VipsRect row = {0, y, file->native->Xsize, 1};
    if (vips_region_prepare(file->alpha, &row) != 0)
        return false;
    const char *source =
        (const char *)VIPS_REGION_ADDR(file->alpha, 0, y) + (size_t)file->pixels.n_colour * depth;
    for (size_t x = 0; x < width; x++) {
        memcpy(line + x * 4 * depth, pixels + x * 3 * depth, 3 * depth);
        memcpy(line + (x * 4 + 3) * depth, source + x * n_bands * depth, depth);
    }
    return vips_image_write_line(file->result, y, (VipsPel *)line) == 0;
}

static bool write_lines(TrainPhotoFile *file, int32_t y, int32_t n_rows, const char *pixels,
                        GError **error)
{
    size_t width = (size_t)file->result->Xsize, depth = file->pixels.wide ? 2 : 1;
    char *line = cz_memory_alloc(width * 4 * depth, "a row of pixels", error);
    bool done = line != NULL;
    for (int32_t i = 0; done && i < n_rows; i++)
        done = write_line(file, y + i, pixels + (size_t)i * width * 3 * depth, line) ||
               failed(file, "colorize", error);
    cz_memory_free(line);
    return done;
}

// Lab to the file's own profile, at the file's own depth.
static bool to_profile(const TrainPhotoFile *file, const float *rgb, void *pixels, size_t n,
                       GError **error)
{
    float *lab = cz_memory_alloc(n * 3 * sizeof *lab, "rows of pixels", error);
    if (!lab)
        return false;
    size_t width = (size_t)file->result->Xsize, depth = file->pixels.wide ? 2 : 1;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i += width) {
        cz_rgb_to_lab(lab + 3 * i, rgb + 3 * i, width);
        train_profile_from_lab(file->profile, lab + 3 * i, (char *)pixels + 3 * i * depth, width);
    }
    cz_memory_free(lab);
    return true;
}

static bool write_rows(void *user, int32_t y, int32_t n_rows, const float *rgb, GError **error)
{
    TrainPhotoFile *file = user;
    size_t n = (size_t)file->result->Xsize * (size_t)n_rows;
    char *pixels = cz_memory_alloc(n * 3 * (file->pixels.wide ? 2 : 1), "rows of pixels", error);
    bool done = pixels != NULL;
    if (done && file->profile && file->keep_profile)
        done = to_profile(file, rgb, pixels, n, error);
    else if (done)
        round_rows(pixels, rgb, 3 * n, file->pixels.wide);
    done = done && write_lines(file, y, n_rows, pixels, error);
    cz_memory_free(pixels);
    return done;
}

// Numbers of other kinds (float, Lab) become 16 bit sRGB; a profile described the old ones.
static bool to_integers(VipsImage **image)
{
    VipsImage *next = NULL;
    if ((*image)->BandFmt == VIPS_FORMAT_UCHAR || (*image)->BandFmt == VIPS_FORMAT_USHORT)
        return true;
    if (!step(image, vips_colourspace(*image, &next, VIPS_INTERPRETATION_RGB16, NULL), &next) ||
        !step(image, vips_copy(*image, &next, NULL), &next)) // so that it may be changed
        return false;
    vips_image_remove(*image, VIPS_META_ICC_NAME);
    return true;
}

// Decodes everything once, in sequence, so that a truncated file is found before any work is done;
// turning it upright needs rows in any order and comes after.
static bool decode(TrainPhotoFile *file, const char *path, GError **error)
{
    VipsImage *image = train_image_open_file(path, error);
    if (!image)
        return false;
    VipsImage *stored = to_integers(&image) ? roomy_image(VIPS_IMAGE_SIZEOF_IMAGE(image)) : NULL;
    bool done = stored && vips_image_write(image, stored) == 0 &&
                vips_autorot(stored, &file->native, NULL) == 0;
    g_object_unref(image);
    g_clear_object(&stored);
    return done || failed(file, "read", error);
}

TrainPhotoFile *train_photo_file_open(const char *path, GError **error)
{
    TrainPhotoFile *file = g_new0(TrainPhotoFile, 1);
    file->name = g_strdup(path);
    if (!decode(file, path, error) || !read_bands(file, error) || !choose_values(file, error) ||
        !make_result(file, error)) {
        train_photo_file_free(file);
        return NULL;
    }
    file->region = vips_region_new(file->view ? file->view : file->native);
    file->alpha = vips_region_new(file->native);
    file->photo = (CzPhoto){file->native->Xsize, file->native->Ysize, read_rows, write_rows, file};
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
    train_profile_free(file->profile);
    g_free(file->ramp);
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
    static const char *const stale[] = {"vips-loader",
                                        "bits-per-sample",
                                        "palette-bit-depth",
                                        "palette",
                                        "jpeg-chroma-subsample",
                                        "jpeg-multiscan",
                                        "interlaced",
                                        "background",
                                        "n-pages",
                                        "page-height",
                                        "n-subifds",
                                        "vips-sequential"};
    const TrainPhotoFile *file = user;
    for (size_t i = 0; i < G_N_ELEMENTS(stale); i++)
        if (strcmp(name, stale[i]) == 0)
            return NULL;
    if (strcmp(name, VIPS_META_ICC_NAME) != 0 || file->keep_profile)
        vips_image_set(file->result, name, value);
    return NULL;
}

// The system's own reason is a better sentence than what libvips makes of it.
static bool reserve(const char *temporary, const char *path, GError **error)
{
    errno = EIO;
    int handle = cz_fault(CZ_FAULT_FILE) ? -1 : g_open(temporary, O_CREAT | O_WRONLY, 0666);
    if (handle >= 0)
        return close(handle) == 0;
    g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot write '%s': %s", path, g_strerror(errno));
    return false;
}

// A format without transparency shows white behind, as elsewhere.
static int encode(VipsImage *result, const char *path, const char *ending)
{
    // libvips lays the photograph on it before it goes from 16 bit to 8.
    VipsArrayDouble *background =
        vips_array_double_newv(1, result->BandFmt == VIPS_FORMAT_USHORT ? 65535.0 : 255.0);
    int status;
    if (g_str_has_prefix(ending, ".jp"))
        status = vips_jpegsave(result, path, "Q", 95, "background", background, NULL);
    else if (g_str_has_suffix(ending, "png"))
        status = vips_pngsave(result, path, "compression", PNG_COMPRESSION, NULL);
    else
        status = vips_image_write_to_file(result, path, NULL);
    vips_area_unref(VIPS_AREA(background));
    return status;
}

bool train_photo_file_save(TrainPhotoFile *file, const char *path, GError **error)
{
    const char *ending = train_photo_file_format(path);
    g_autofree char *folder = g_path_get_dirname(path), *base = g_path_get_basename(path);
    if (!ending) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                    "cannot write '%s': expected a name that ends in .png, .jpg, .tif or .webp",
                    path);
        return false;
    }
    // The ending stays last: libvips chooses the format by it.
    g_autofree char *temporary =
        g_strdup_printf("%s/.%s.%d%s", folder, base, (int)getpid(), ending);
    vips_image_map(file->native, copy_field, file);
    if (!reserve(temporary, path, error))
        return false;
    bool done = false;
    if (encode(file->result, temporary, ending) != 0)
        train_vips_error(error, CZ_ERROR_IO, "write", path);
    else if (cz_fault(CZ_FAULT_FILE) || g_rename(temporary, path) != 0)
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot write '%s': %s", path, g_strerror(errno));
    else
        done = true;
    if (!done)
        g_unlink(temporary);
    return done;
}
