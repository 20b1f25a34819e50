// SPDX-License-Identifier: LGPL-3.0-or-later
// Photographs of every kind become upright 8-bit sRGB; broken ones become sentences.
#include "folder.h"
#include "pictures.h"

#include <cz/error.h>
#include <cz/memory.h>

#include "decode.h"

// The largest difference to a look, over all pixels and channels.
static double distance(const TrainPhoto *photo, Look look, int number)
{
    double worst = 0;

    for (int y = 0; y < photo->height; y++)
        for (int x = 0; x < photo->width; x++) {
            const uint8_t *found = photo->rgb + ((size_t)y * (size_t)photo->width + (size_t)x) * 3;
            double rgb[3];

            look_pixel(look, (x + 0.5) / photo->width, (y + 0.5) / photo->height, number, rgb);
            for (int c = 0; c < 3; c++)
                worst = MAX(worst, fabs(rgb[c] - found[c]));
        }
    return worst;
}

static TrainPhoto decode_file(const char *path, int32_t short_side)
{
    TrainDecodeParams params = {.short_side = short_side};
    g_autoptr(GError) error = NULL;
    TrainPhoto photo;

    train_decode_file(&photo, path, &params, &error);
    g_assert_no_error(error);
    return photo;
}

static void expect_look(const char *path, int32_t width, int32_t height, Look look, double bound)
{
    TrainPhoto photo = decode_file(path, 0);

    g_assert_cmpint(photo.width, ==, width);
    g_assert_cmpint(photo.height, ==, height);
    if (photo.rgb && distance(&photo, look, 1) > bound) {
        g_test_message("%s: %g off, allowed %g", path, distance(&photo, look, 1), bound);
        g_test_fail();
    }
    train_photo_clear(&photo);
}

static void reads_every_format(void)
{
    g_auto(Folder) folder = folder_new();
    static const struct {
        const char *name;
        double bound; // 0.5: rounding alone
    } files[] = {{"a.png", 0.5}, {"a.tif", 0.5}, {"a.jpg", 6}, {"a.webp", 16}};

    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = folder_file(&folder, files[i].name);

        write_image(make_image(LOOK_COLOUR, 120, 100, 1), path);
        expect_look(path, 120, 100, LOOK_COLOUR, files[i].bound);
    }
}

static void reads_memory_as_files(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "a.jpg"), *bytes = NULL;
    g_autoptr(GError) error = NULL;
    TrainPhoto file, memory;
    size_t n_bytes;

    write_image(make_image(LOOK_COLOUR, 120, 100, 1), path);
    g_assert_true(g_file_get_contents(path, &bytes, &n_bytes, NULL));
    file = decode_file(path, 0);
    train_decode_memory(&memory, bytes, n_bytes, "a", NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpmem(file.rgb, 120 * 100 * 3, memory.rgb, 120 * 100 * 3);
    train_photo_clear(&file);
    train_photo_clear(&memory);
}

static void scales_down_and_never_up(void)
{
    static const int sizes[][5] = {{640, 480, 100, 133, 100},
                                   {481, 643, 96, 96, 128},
                                   {300, 201, 200, 299, 200},
                                   {120, 100, 100, 120, 100},
                                   {120, 100, 256, 120, 100}};
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "a.png");

    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        TrainPhoto photo;

        write_image(make_image(LOOK_COLOUR, sizes[i][0], sizes[i][1], 1), path);
        photo = decode_file(path, sizes[i][2]);
        g_assert_cmpint(photo.width, ==, sizes[i][3]);
        g_assert_cmpint(photo.height, ==, sizes[i][4]);
        g_assert_cmpint(photo.src_width, ==, sizes[i][0]);
        g_assert_cmpint(photo.src_height, ==, sizes[i][1]);
        g_assert_cmpfloat(distance(&photo, LOOK_COLOUR, 1), <, 4);
        train_photo_clear(&photo);
    }
}

static void turns_upright(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "a.jpg");
    VipsImage *image = make_image(LOOK_COLOUR, 160, 120, 1), *turned;

    // Stored lying on its side, with the note to turn it by 90 degrees clockwise.
    g_assert_cmpint(vips_rot(image, &turned, VIPS_ANGLE_D270, NULL), ==, 0);
    g_object_unref(image);
    vips_image_set_int(turned, VIPS_META_ORIENTATION, 6);
    write_image(turned, path);
    expect_look(path, 160, 120, LOOK_COLOUR, 6); // at quality 95
}

static void converts_profiles(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "a.png");
    VipsImage *image = make_image(LOOK_COLOUR, 120, 100, 1), *wide;

    if (vips_icc_transform(image, &wide, "p3", "input_profile", "srgb", NULL)) {
        g_test_skip("libvips has no P3 profile here");
        g_object_unref(image);
        return;
    }
    g_object_unref(image);
    write_image(wide, path);
    expect_look(path, 120, 100, LOOK_COLOUR, 4); // two conversions with rounding to 8 bit
}

static void reads_sixteen_bits(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "a.png");
    VipsImage *image = make_image(LOOK_COLOUR, 120, 100, 1), *deep;

    g_assert_cmpint(vips_colourspace(image, &deep, VIPS_INTERPRETATION_RGB16, NULL), ==, 0);
    g_object_unref(image);
    write_image(deep, path);
    expect_look(path, 120, 100, LOOK_COLOUR, 1);
}

static void reads_grey_as_three_channels(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "a.jpg");
    VipsImage *image = make_image(LOOK_GREY, 120, 100, 1), *grey;

    g_assert_cmpint(vips_extract_band(image, &grey, 0, NULL), ==, 0);
    g_object_unref(image);
    grey->Type = VIPS_INTERPRETATION_B_W;
    write_image(grey, path);
    expect_look(path, 120, 100, LOOK_GREY, 4);
}

static void lays_transparency_on_white(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "a.png");
    VipsImage *image = make_image(LOOK_COLOUR, 120, 100, 1), *clear;
    TrainPhoto photo;

    g_assert_cmpint(vips_bandjoin_const1(image, &clear, 0, NULL), ==, 0);
    g_object_unref(image);
    write_image(clear, path);
    photo = decode_file(path, 0);
    for (int i = 0; photo.rgb && i < 120 * 100 * 3; i++)
        g_assert_cmpint(photo.rgb[i], ==, 255);
    train_photo_clear(&photo);
}

static void tells_small_ones_without_decoding(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *path = folder_file(&folder, "a.png");
    TrainDecodeParams params = {.short_side = 50, .min_short_side = 101};
    TrainPhoto photo;

    write_image(make_image(LOOK_COLOUR, 120, 100, 1), path);
    g_assert_true(train_decode_file(&photo, path, &params, NULL));
    g_assert_null(photo.rgb);
    g_assert_cmpint(photo.src_height, ==, 100);
    train_photo_clear(&photo);
}

// ---- broken files -------------------------------------------------------------------------------

static void expect_refusal(const char *path, CzErrorCode code, const char *sentence)
{
    g_autoptr(GError) error = NULL;
    TrainPhoto photo;

    if (train_decode_file(&photo, path, NULL, &error)) {
        g_test_message("%s was read", path);
        g_test_fail();
        train_photo_clear(&photo);
        return;
    }
    g_assert_error(error, CZ_ERROR, (int)code);
    g_assert_null(photo.rgb);
    if (!strstr(error->message, path) || !strstr(error->message, sentence)) {
        g_test_message("expected '%s', found '%s'", sentence, error->message);
        g_test_fail();
    }
}

static void refuses_what_is_no_photograph(void)
{
    g_auto(Folder) folder = folder_new();
    g_autofree char *text = folder_file(&folder, "text.jpg"), *none = folder_file(&folder, "none");
    g_autofree char *empty = folder_file(&folder, "empty.png");
    g_autofree char *svg = folder_file(&folder, "drawing.png");

    g_assert_true(g_file_set_contents(text, "This is no photograph.\n", -1, NULL));
    g_assert_true(g_file_set_contents(empty, "", 0, NULL));
    g_assert_true(
        g_file_set_contents(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\"/>", -1, NULL));
    expect_refusal(text, CZ_ERROR_FORMAT, "not a JPEG, PNG, TIFF or WebP");
    expect_refusal(empty, CZ_ERROR_FORMAT, "not a JPEG, PNG, TIFF or WebP");
    expect_refusal(svg, CZ_ERROR_FORMAT, "not a JPEG, PNG, TIFF or WebP");
    expect_refusal(none, CZ_ERROR_IO, "there is no such file");
    expect_refusal(folder.path, CZ_ERROR_IO, "it is a folder");
}

static void refuses_cut_files(void)
{
    static const char *const names[] = {"a.jpg", "a.png", "a.tif", "a.webp"};
    g_auto(Folder) folder = folder_new();

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = folder_file(&folder, names[i]), *bytes = NULL;
        size_t n_bytes;

        write_image(make_image(LOOK_COLOUR, 400, 300, 1), path);
        g_assert_true(g_file_get_contents(path, &bytes, &n_bytes, NULL));
        for (int part = 1; part < 8; part++) {
            g_unlink(path); // an overwritten file would be flushed to the disk
            g_assert_true(
                g_file_set_contents(path, bytes, (gssize)(n_bytes * (size_t)part / 8), NULL));
            expect_refusal(path, CZ_ERROR_FORMAT, "cannot read");
        }
    }
    g_assert_cmpuint(cz_memory_now(), ==, 0);
}

static void survives_any_flip(void)
{
    static const char *const names[] = {"a.jpg", "a.png", "a.tif", "a.webp"};
    g_auto(Folder) folder = folder_new();
    CzRng rng = cz_rng(5, 5);
    int refused = 0;

    for (int i = 0; i < 400; i++) {
        g_autofree char *path = folder_file(&folder, names[i % 4]), *bytes = NULL;
        TrainPhoto photo;
        size_t n_bytes;

        if (i < 4)
            write_image(make_image(LOOK_COLOUR, 100, 80, 1), path);
        g_assert_true(g_file_get_contents(path, &bytes, &n_bytes, NULL));
        for (int k = 0; k < 4; k++) {
            uint32_t limit = k % 2 ? (uint32_t)n_bytes : MIN(400, (uint32_t)n_bytes);

            bytes[cz_rng_below(&rng, limit)] ^= (char)(1 << cz_rng_below(&rng, 8));
        }
        refused += !train_decode_memory(&photo, bytes, n_bytes, "flipped", NULL, NULL);
        train_photo_clear(&photo);
    }
    g_test_message("%d of 400 refused", refused);
    g_assert_cmpint(refused, >, 40);
    g_assert_cmpuint(cz_memory_now(), ==, 0);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;

    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    // libvips warns of every broken file; that is no fault of ours.
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
    train_vips_start(&error);
    g_assert_no_error(error);
    g_test_add_func("/training/decode/reads_every_format", reads_every_format);
    g_test_add_func("/training/decode/reads_memory_as_files", reads_memory_as_files);
    g_test_add_func("/training/decode/scales_down_and_never_up", scales_down_and_never_up);
    g_test_add_func("/training/decode/turns_upright", turns_upright);
    g_test_add_func("/training/decode/converts_profiles", converts_profiles);
    g_test_add_func("/training/decode/reads_sixteen_bits", reads_sixteen_bits);
    g_test_add_func("/training/decode/reads_grey_as_three_channels", reads_grey_as_three_channels);
    g_test_add_func("/training/decode/lays_transparency_on_white", lays_transparency_on_white);
    g_test_add_func("/training/decode/tells_small_ones_without_decoding",
                    tells_small_ones_without_decoding);
    g_test_add_func("/training/decode/refuses_what_is_no_photograph",
                    refuses_what_is_no_photograph);
    g_test_add_func("/training/decode/refuses_cut_files", refuses_cut_files);
    g_test_add_func("/training/decode/survives_any_flip", survives_any_flip);
    return g_test_run();
}
