// SPDX-License-Identifier: LGPL-3.0-or-later
// Photographs from files to files: every kind is read as what it shows and keeps what it can.
#include "folder.h"
#include "pictures.h"

#include <cz/color.h>
#include <cz/error.h>
#include <cz/memory.h>

#include "decode.h"
#include "photo_file.h"

// A file to a file without a change of colour; the result is loaded. The caller unrefs.
static VipsImage *pass(const Folder *folder, VipsImage *image, const char *source,
                       const char *target)
{
    g_autofree char *from = folder_file(folder, source), *to = folder_file(folder, target);
    g_autoptr(GError) error = NULL;

    write_image(image, from);
    g_autoptr(TrainPhotoFile) file = train_photo_file_open(from, &error);
    g_assert_no_error(error);
    const CzPhoto *photo = train_photo_file_photo(file);
    g_autofree float *rgb = g_new(float, 3 * (size_t)photo->width * 7);
    for (int32_t y = 0; y < photo->height; y += 7) {
        int32_t n = MIN(7, photo->height - y);
        g_assert_true(photo->read_rows(photo->user, y, n, rgb, &error));
        g_assert_true(photo->write_rows(photo->user, y, n, rgb, &error));
    }
    g_assert_true(train_photo_file_save(file, to, &error));
    g_assert_no_error(error);
    VipsImage *result = vips_image_new_from_file(to, NULL);
    g_assert_nonnull(result);
    return result;
}

// The first row as floats of encoded sRGB, three a pixel; the caller frees.
static float *first_row(const Folder *folder, VipsImage *image, const char *name)
{
    g_autofree char *path = folder_file(folder, name);
    g_autoptr(GError) error = NULL;

    write_image(image, path);
    g_autoptr(TrainPhotoFile) file = train_photo_file_open(path, &error);
    g_assert_no_error(error);
    const CzPhoto *photo = train_photo_file_photo(file);
    float *rgb = g_new(float, 3 * (size_t)photo->width);
    g_assert_true(photo->read_rows(photo->user, 0, 1, rgb, &error));
    return rgb;
}

static double value_at(VipsImage *image, int x, int y, int band)
{
    double *values, value = NAN;
    int n;

    if (vips_getpoint(image, &values, &n, x, y, NULL) == 0) {
        value = band < n ? values[band] : NAN;
        g_free(values);
    }
    return value;
}

// Size, bands, depth, and every value.
static void expect_same(VipsImage *a, VipsImage *b, double bound)
{
    g_assert_cmpint(a->Xsize, ==, b->Xsize);
    g_assert_cmpint(a->Ysize, ==, b->Ysize);
    g_assert_cmpint(a->Bands, ==, b->Bands);
    g_assert_cmpint(a->BandFmt, ==, b->BandFmt);
    size_t n_bytes, n_others, depth = a->BandFmt == VIPS_FORMAT_USHORT ? 2 : 1;
    g_autofree uint8_t *one = vips_image_write_to_memory(a, &n_bytes);
    g_autofree uint8_t *other = vips_image_write_to_memory(b, &n_others);
    g_assert_cmpuint(n_bytes, ==, n_others);
    for (size_t i = 0; i < MIN(n_bytes, n_others) / depth; i++) {
        double value = depth == 2 ? ((uint16_t *)(void *)one)[i] : one[i];
        double found = depth == 2 ? ((uint16_t *)(void *)other)[i] : other[i];

        if (!(fabs(value - found) <= bound)) {
            g_test_message("value %zu: expected %g, found %g, bound %g", i, value, found, bound);
            g_test_fail();
            return;
        }
    }
}

// Takes image. The caller unrefs what comes back.
static VipsImage *changed(VipsImage *image, int failed, VipsImage **next)
{
    g_assert_cmpint(failed, ==, 0);
    g_object_unref(image);
    return g_steal_pointer(next);
}

static VipsImage *to_wide(VipsImage *image, VipsInterpretation space)
{
    VipsImage *next = NULL, *cast = NULL, *done = NULL;

    image = changed(image, vips_linear1(image, &next, 257.0, -3.0, NULL), &next);
    image = changed(image, vips_cast(image, &cast, VIPS_FORMAT_USHORT, NULL), &cast);
    return changed(image, vips_copy(image, &done, "interpretation", space, NULL), &done);
}

static VipsImage *with_alpha(VipsImage *image)
{
    VipsImage *alpha, *next = NULL, *done = NULL;
    VipsInterpretation space = image->Type;

    g_assert_cmpint(vips_extract_band(image, &alpha, 0, NULL), ==, 0);
    image = changed(image, vips_bandjoin2(image, alpha, &next, NULL), &next);
    g_object_unref(alpha);
    return changed(image, vips_copy(image, &done, "interpretation", space, NULL), &done);
}

static VipsImage *one_band(VipsImage *image, VipsInterpretation space)
{
    VipsImage *next = NULL, *done = NULL;

    image = changed(image, vips_extract_band(image, &next, 1, NULL), &next);
    return changed(image, vips_copy(image, &done, "interpretation", space, NULL), &done);
}

static VipsImage *with_profile(VipsImage *image, const void *bytes, size_t n)
{
    VipsImage *copy = NULL;

    image = changed(image, vips_copy(image, &copy, NULL), &copy);
    vips_image_set_blob_copy(image, VIPS_META_ICC_NAME, bytes, n);
    return image;
}

// One of libvips' own: srgb, p3, cmyk.
static VipsImage *with_known_profile(VipsImage *image, const char *name)
{
    VipsBlob *blob = NULL;
    size_t n;

    g_assert_cmpint(vips_profile_load(name, &blob, NULL), ==, 0);
    const void *bytes = vips_blob_get(blob, &n);
    image = with_profile(image, bytes, n);
    vips_area_unref(VIPS_AREA(blob));
    return image;
}

static bool has_profile(VipsImage *image)
{
    return vips_image_get_typeof(image, VIPS_META_ICC_NAME) != 0;
}

// ---- depths, channels ---------------------------------------------------------------------------

static void srgb_stays_to_the_bit(void)
{
    g_auto(Folder) folder = folder_new();
    VipsImage *images[] = {
        make_image(LOOK_COLOUR, 33, 20, 1),
        to_wide(make_image(LOOK_COLOUR, 33, 20, 2), VIPS_INTERPRETATION_RGB16),
        with_alpha(make_image(LOOK_COLOUR, 33, 20, 3)),
        with_alpha(to_wide(make_image(LOOK_COLOUR, 33, 20, 4), VIPS_INTERPRETATION_RGB16)),
        with_known_profile(make_image(LOOK_COLOUR, 33, 20, 5), "srgb"),
        make_image(LOOK_COLOUR, 1, 1, 6),
        make_image(LOOK_COLOUR, 1, 40, 7),
        make_image(LOOK_COLOUR, 700, 1, 8),
    };
    static const char *const names[] = {"a.png", "a.tif"};

    for (size_t i = 0; i < 2 * G_N_ELEMENTS(images); i++) {
        VipsImage *image = images[i / 2];

        g_test_message("%zu, %s", i / 2, names[i % 2]);
        g_object_ref(image);
        VipsImage *result = pass(&folder, image, names[i % 2], i % 2 ? "b.tif" : "b.png");
        expect_same(image, result, 0);
        g_assert_cmpint(has_profile(image), ==, has_profile(result));
        g_object_unref(result);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(images); i++)
        g_object_unref(images[i]);
}

static void grey_becomes_rgb_of_its_depth(void)
{
    g_auto(Folder) folder = folder_new();

    for (int i = 0; i < 4; i++) {
        VipsImage *image = make_image(LOOK_COLOUR, 30, 9, i), *rgb = NULL, *triple[3];

        if (i % 2)
            image = to_wide(image, VIPS_INTERPRETATION_RGB16);
        image = one_band(image, i % 2 ? VIPS_INTERPRETATION_GREY16 : VIPS_INTERPRETATION_B_W);
        triple[0] = triple[1] = triple[2] = image;
        g_assert_cmpint(vips_bandjoin(triple, &rgb, 3, NULL), ==, 0);
        if (i / 2) {
            image = with_alpha(image);
            VipsImage *alpha = NULL, *next = NULL;
            g_assert_cmpint(vips_extract_band(image, &alpha, 1, NULL), ==, 0);
            rgb = changed(rgb, vips_bandjoin2(rgb, alpha, &next, NULL), &next);
            g_object_unref(alpha);
        }
        VipsImage *result = pass(&folder, image, "a.png", "b.png");
        expect_same(rgb, result, 0);
        g_object_unref(result);
        g_object_unref(rgb);
    }
}

static void palettes_are_read(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "palette.png");
    VipsImage *image = make_image(LOOK_COLOUR, 40, 30, 1);

    if (vips_pngsave(image, path, "palette", TRUE, "bitdepth", 4, NULL) != 0) {
        g_test_skip("this libvips cannot write palettes");
        vips_error_clear();
        g_object_unref(image);
        return;
    }
    g_object_unref(image);
    image = vips_image_new_from_file(path, NULL);
    VipsImage *result = pass(&folder, image, "a.png", "b.png");
    VipsImage *again = vips_image_new_from_file(path, NULL);
    expect_same(again, result, 0);
    g_object_unref(again);
    g_object_unref(result);
}

static void floats_are_read_as_light(void)
{
    g_auto(Folder) folder = folder_new();
    VipsImage *image = make_image(LOOK_GREY, 16, 4, 1), *next = NULL;
    double value = value_at(image, 5, 0, 0);

    image = changed(image, vips_colourspace(image, &next, VIPS_INTERPRETATION_scRGB, NULL), &next);
    g_assert_cmpint(image->BandFmt, ==, VIPS_FORMAT_FLOAT);
    g_autofree float *row = first_row(&folder, image, "a.tif");
    g_assert_cmpfloat_with_epsilon(row[15], value / 255, 2e-3);
}

static void formats_without_transparency_show_white(void)
{
    g_auto(Folder) folder = folder_new();

    for (int i = 0; i < 2; i++) {
        VipsImage *image = make_image(LOOK_FLAT, 16, 16, 1), *next = NULL;
        double clear = 0;

        if (i)
            image = to_wide(image, VIPS_INTERPRETATION_RGB16);
        image = changed(image, vips_bandjoin_const(image, &next, &clear, 1, NULL), &next);
        VipsImage *result = pass(&folder, image, "a.png", "b.jpg");
        g_assert_cmpint(result->Bands, ==, 3);
        g_assert_cmpint(result->BandFmt, ==, VIPS_FORMAT_UCHAR);
        for (int band = 0; band < 3; band++)
            g_assert_cmpfloat(value_at(result, 8, 8, band), >=, 254);
        g_object_unref(result);
    }
}

// ---- profiles -----------------------------------------------------------------------------------

// sRGB of the first row as the primaries of Display P3 (SMPTE EG 432-1, D65) and sRGB's own curve
// give it: the matrix is linear P3 to linear sRGB.
static void expect_display_p3(const Folder *folder, VipsImage *image, double max)
{
    static const double matrix[3][3] = {{1.2249402, -0.2249404, 0},
                                        {-0.0420569, 1.0420571, 0},
                                        {-0.0196376, -0.0786361, 1.0982735}};
    int width = image->Xsize;
    double worst = 0;
    g_object_ref(image);
    g_autofree float *row = first_row(folder, image, "p3.png");

    for (int i = 0; i < 3 * width; i++) {
        double light = 0;
        for (int k = 0; k < 3; k++) {
            double v = value_at(image, i / 3, 0, k) / max;
            light += matrix[i % 3][k] * (v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4));
        }
        double encoded = light <= 0.0031308 ? 12.92 * light : 1.055 * pow(light, 1 / 2.4) - 0.055;
        worst = fmax(worst, fabs((double)row[i] - encoded));
    }
    g_test_message("off by %g", worst);
    g_assert_cmpfloat(worst, <, 3e-3);
    g_object_unref(image);
}

static void other_profiles_are_read_and_kept(void)
{
    g_auto(Folder) folder = folder_new();

    for (int wide = 0; wide < 2; wide++) {
        // Half-way to grey, so that sRGB can show what a wider profile says.
        VipsImage *image = make_image(LOOK_COLOUR, 20, 20, 1), *next = NULL;

        image = changed(image, vips_linear1(image, &next, 0.5, 64.0, "uchar", TRUE, NULL), &next);
        if (wide)
            image = to_wide(image, VIPS_INTERPRETATION_RGB16);
        image = with_known_profile(image, "p3");
        g_object_ref(image);
        VipsImage *result = pass(&folder, image, "a.png", "b.png");
        g_assert_true(has_profile(result));
        expect_same(image, result, wide ? 8 : 1); // Little CMS has 16-bit curves
        g_object_unref(result);
        expect_display_p3(&folder, image, wide ? 65535 : 255);
    }
}

static void put_number(uint8_t *at, uint32_t number)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(number >> (24 - 8 * i));
}

// ICC.1:2001: a grey display whose numbers are light itself (an empty curve).
static size_t make_grey_profile(uint8_t bytes[160])
{
    memset(bytes, 0, 160);
    put_number(bytes, 156);
    put_number(bytes + 8, 0x02400000); // version 2.4
    memcpy(bytes + 12, "mntrGRAYXYZ ", 12);
    memcpy(bytes + 36, "acsp", 4);
    put_number(bytes + 68, 0xf6d6); // the D50 white
    put_number(bytes + 72, 0x10000);
    put_number(bytes + 76, 0xd32d);
    put_number(bytes + 128, 1); // one tag
    memcpy(bytes + 132, "kTRC", 4);
    put_number(bytes + 136, 144);
    put_number(bytes + 140, 12);
    memcpy(bytes + 144, "curv", 4); // and no points
    return 156;
}

static void grey_profiles_are_read_and_dropped(void)
{
    g_auto(Folder) folder = folder_new();
    uint8_t profile[160];
    size_t n = make_grey_profile(profile);

    for (int wide = 0; wide < 2; wide++) {
        VipsImage *image = make_image(LOOK_GREY, 50, 3, 1);

        if (wide)
            image = to_wide(image, VIPS_INTERPRETATION_RGB16);
        image = one_band(image, wide ? VIPS_INTERPRETATION_GREY16 : VIPS_INTERPRETATION_B_W);
        image = with_profile(image, profile, n);
        g_object_ref(image);
        g_object_ref(image);
        g_autofree float *row = first_row(&folder, image, "a.tif");
        double worst = 0;
        for (int x = 0; x < 50; x++) {
            double light = value_at(image, x, 0, 0) / (wide ? 65535 : 255);
            double encoded =
                light <= 0.0031308 ? 12.92 * light : 1.055 * pow(light, 1 / 2.4) - 0.055;
            worst = fmax(worst, fabs((double)row[3 * x] - encoded));
            worst = fmax(worst, fabs((double)row[3 * x + 2] - encoded));
        }
        g_assert_cmpfloat(worst, <, 1e-3);
        VipsImage *result = pass(&folder, image, "a.tif", "b.tif");
        g_assert_cmpint(result->Bands, ==, 3);
        g_assert_false(has_profile(result));
        g_object_unref(result);
        g_object_unref(image);
    }
}

static void inks_become_srgb(void)
{
    g_auto(Folder) folder = folder_new();

    for (int tagged = 0; tagged < 2; tagged++) {
        VipsImage *image = make_image(LOOK_FLAT, 12, 12, 1), *next = NULL;

        if (tagged)
            image = changed(image,
                            vips_icc_transform(image, &next, "cmyk", "input_profile", "srgb", NULL),
                            &next);
        else
            image = changed(image, vips_colourspace(image, &next, VIPS_INTERPRETATION_CMYK, NULL),
                            &next);
        if (!tagged) {
            VipsImage *copy = NULL;
            image = changed(image, vips_copy(image, &copy, NULL), &copy);
            vips_image_remove(image, VIPS_META_ICC_NAME);
        }
        g_assert_cmpint(image->Bands, ==, 4);
        VipsImage *result = pass(&folder, image, "a.jpg", "b.png");
        g_assert_cmpint(result->Bands, ==, 3);
        g_assert_false(has_profile(result));
        g_assert_cmpfloat_with_epsilon(value_at(result, 6, 6, 0), 190, 25);
        g_assert_cmpfloat_with_epsilon(value_at(result, 6, 6, 1), 100, 25);
        g_assert_cmpfloat_with_epsilon(value_at(result, 6, 6, 2), 60, 25);
        g_object_unref(result);
    }
}

static void broken_profiles_are_as_good_as_none(void)
{
    g_auto(Folder) folder = folder_new();
    uint8_t profile[160];
    size_t n = make_grey_profile(profile);
    VipsImage *image = with_profile(make_image(LOOK_COLOUR, 20, 9, 1), profile, n); // of grey

    g_object_ref(image);
    VipsImage *result = pass(&folder, image, "a.tif", "b.tif");
    expect_same(image, result, 0);
    g_object_unref(result);
    g_object_unref(image);
}

// ---- what else files carry ----------------------------------------------------------------------

static void turned_photographs_come_upright(void)
{
    g_auto(Folder) folder = folder_new();
    VipsImage *image = make_image(LOOK_COLOUR, 30, 20, 1), *copy = NULL, *upright = NULL;

    image = changed(image, vips_copy(image, &copy, NULL), &copy);
    g_assert_cmpint(vips_rot(image, &upright, VIPS_ANGLE_D90, NULL), ==, 0);
    vips_image_set_int(image, VIPS_META_ORIENTATION, 6);
    VipsImage *result = pass(&folder, image, "a.tif", "b.tif");
    expect_same(upright, result, 0);
    g_assert_cmpint(vips_image_get_orientation(result), ==, 1);
    g_object_unref(result);
    g_object_unref(upright);
}

static void camera_and_resolution_stay(void)
{
    g_auto(Folder) folder = folder_new();
    VipsImage *image = make_image(LOOK_COLOUR, 30, 20, 1), *copy = NULL;
    const char *model = NULL;

    image = changed(image, vips_copy(image, &copy, "xres", 11.0, "yres", 11.0, NULL), &copy);
    vips_image_set_string(image, "exif-ifd0-Model", "Box (Box, ASCII, 4 components, 4 bytes)");
    VipsImage *result = pass(&folder, image, "a.jpg", "b.jpg");
    g_assert_cmpint(vips_image_get_string(result, "exif-ifd0-Model", &model), ==, 0);
    g_assert_true(g_str_has_prefix(model ? model : "", "Box"));
    g_assert_cmpfloat_with_epsilon(result->Xres, 11, 0.1);
    g_object_unref(result);
}

// ---- what goes wrong ----------------------------------------------------------------------------

static void broken_files_are_errors(void)
{
    g_auto(Folder) folder = folder_new();
    static const char *const names[] = {"a.jpg", "a.png", "a.tif", "a.webp"};

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = folder_file(&folder, names[i]), *bytes = NULL;
        g_autoptr(GError) error = NULL;
        gsize n;

        write_image(make_image(LOOK_COLOUR, 200, 150, 1), path);
        g_assert_true(g_file_get_contents(path, &bytes, &n, NULL));
        g_assert_true(g_file_set_contents(path, bytes, (gssize)(n * 2 / 3), NULL));
        g_test_message("%s", names[i]);
        g_assert_null(train_photo_file_open(path, &error));
        g_assert_error(error, CZ_ERROR, CZ_ERROR_FORMAT);
        g_assert_nonnull(strstr(error ? error->message : "", names[i]));
    }
}

static void failing_save_leaves_the_old_file(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *from = folder_file(&folder, "a.png"), *to = folder_file(&folder, "b.png");
    g_autoptr(GError) none = NULL;

    write_image(make_image(LOOK_COLOUR, 20, 15, 1), from);
    g_assert_true(g_file_set_contents(to, "old", -1, NULL));
    g_autoptr(TrainPhotoFile) file = train_photo_file_open(from, &none);
    g_assert_no_error(none);
    for (unsigned long n = 1;; n++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *bytes = NULL;

        cz_fault_arm(CZ_FAULT_FILE, n);
        bool saved = train_photo_file_save(file, to, &error);
        cz_fault_arm(CZ_FAULT_FILE, 0);
        g_assert_cmpuint(folder_count(&folder), ==, 2);
        if (saved) {
            g_assert_cmpuint(n, >, 2);
            break;
        }
        g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
        g_assert_true(g_file_get_contents(to, &bytes, NULL, NULL));
        g_assert_cmpstr(bytes, ==, "old");
    }
    g_autoptr(GError) error = NULL;
    g_assert_false(train_photo_file_save(file, "/nowhere/b.png", &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
}

static void memory_that_fails_is_an_error(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *from = folder_file(&folder, "a.png");
    g_autoptr(GError) none = NULL;
    float rgb[3 * 20] = {0};

    write_image(with_known_profile(with_alpha(make_image(LOOK_COLOUR, 20, 1, 1)), "p3"), from);
    g_autoptr(TrainPhotoFile) file = train_photo_file_open(from, &none);
    g_assert_no_error(none);
    const CzPhoto *photo = train_photo_file_photo(file);
    for (unsigned long n = 1;; n++) {
        g_autoptr(GError) error = NULL;

        cz_fault_arm(CZ_FAULT_MEMORY, n);
        bool written = photo->write_rows(photo->user, 0, 1, rgb, &error);
        cz_fault_arm(CZ_FAULT_MEMORY, 0);
        if (written) {
            g_assert_cmpuint(n, >, 2);
            break;
        }
        g_assert_error(error, CZ_ERROR, CZ_ERROR_MEMORY);
    }
}

static void only_known_endings_are_formats(void)
{
    g_assert_cmpstr(train_photo_file_format("a.PNG"), ==, ".png");
    g_assert_cmpstr(train_photo_file_format("x/a.b.jpeg"), ==, ".jpeg");
    g_assert_null(train_photo_file_format("a.gif"));
    g_assert_null(train_photo_file_format("png"));
    g_assert_null(train_photo_file_format(""));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    // libvips warns of broken files, and they are what is tested.
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
    if (!train_vips_start(NULL))
        return 1;
#define ADD(name) g_test_add_func("/training/photo_file/" #name, name)
    ADD(srgb_stays_to_the_bit);
    ADD(grey_becomes_rgb_of_its_depth);
    ADD(palettes_are_read);
    ADD(floats_are_read_as_light);
    ADD(formats_without_transparency_show_white);
    ADD(other_profiles_are_read_and_kept);
    ADD(grey_profiles_are_read_and_dropped);
    ADD(inks_become_srgb);
    ADD(broken_profiles_are_as_good_as_none);
    ADD(turned_photographs_come_upright);
    ADD(camera_and_resolution_stay);
    ADD(broken_files_are_errors);
    ADD(failing_save_leaves_the_old_file);
    ADD(memory_that_fails_is_an_error);
    ADD(only_known_endings_are_formats);
    return g_test_run();
}
