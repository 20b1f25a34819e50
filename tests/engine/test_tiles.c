// SPDX-License-Identifier: LGPL-3.0-or-later
// Tiles with the bundled weights: where they lie, no seams, the whole's colors, the same colors at
// every size, memory, cancelling.
#include <cz/colorizer.h>

#include <math.h>
#include <string.h>

#include <cz/color.h>
#include <cz/error.h>
#include <cz/hints.h>
#include <cz/memory.h>

#include "colorizer/private.h"
#include "colorizer/tiles.h"

static CzColorizer *shared;

// ---- a photograph of any size
// ---------------------------------------------------------------------

// Hills below a sky with clouds; the same at every size. x, y: 0 to 1.
static float scene(double x, double y)
{
    double hill = 0.62 + 0.06 * sin(7 * x) + 0.03 * sin(19 * x + 1);
    if (y > hill)
        return (float)(0.25 + 0.12 * sin(60 * x + 25 * y) * sin(90 * y) + 0.1 * (1 - y));
    return (float)(0.75 + 0.12 * sin(9 * x + 3 * y) * sin(14 * y + x) - 0.25 * y);
}

static bool read_rows(void *user, int32_t y, int32_t n_rows, float *rgb, GError **error)
{
    const CzPhoto *photo = user;
    for (int32_t v = y; v < y + n_rows; v++)
        for (int32_t u = 0; u < photo->width; u++, rgb += 3)
            rgb[0] = rgb[1] = rgb[2] = scene((u + 0.5) / photo->width, (v + 0.5) / photo->height);
    return true;
}

static CzPhoto photo_of(int32_t width, int32_t height)
{
    return (CzPhoto){width, height, read_rows, NULL, NULL};
}

static CzChroma *predict(CzPhoto *photo, int32_t tile_size)
{
    GError *error = NULL;
    photo->user = photo;
    CzChroma *chroma = cz_colorizer_predict(shared, photo, tile_size, NULL, &error);
    g_assert_no_error(error);
    return chroma;
}

// a* and b* of the whole photograph in a given size: width * height * 3 of Lab.
static float *lab_of(const CzChroma *chroma, int32_t width, int32_t height)
{
    CzPhoto photo = photo_of(width, height);
    CzSettings settings;
    cz_settings_init(&settings);
    float *lab = g_new(float, 3 * (size_t)width * height);
    const CzPart part = {width, height, 0, 0, width, height};
    read_rows(&photo, 0, height, lab, NULL);
    cz_chroma_apply_part(chroma, &settings, &part, lab, lab);
    cz_rgb_to_lab(lab, lab, (size_t)width * height);
    return lab;
}

// ---- where they lie
// -------------------------------------------------------------------------------

static void check_axis(int32_t whole, int32_t tile, int32_t n)
{
    int32_t last = 0;
    g_assert_cmpint(cz_tile_start(whole, tile, n, 0), ==, 0);
    for (int32_t i = 0; i < n; i++) {
        int32_t start = cz_tile_start(whole, tile, n, i);
        g_assert_cmpint(start % 2, ==, 0);
        g_assert_cmpint(start, <=, i ? last + tile * 3 / 4 + 1 : 0);
        last = start;
    }
    g_assert_cmpint(last + tile, >=, whole);
    g_assert_cmpint(last + tile, <=, whole + 1);
}

static void test_layout(void)
{
    for (int32_t w = 300; w < 9000; w = w * 5 / 4 + 1)
        for (int32_t h = 300; h < 9000; h = h * 4 / 3 + 1)
            for (int32_t size = CZ_LEAST_TILE; size < 4000; size *= 2) {
                CzTiling tiling = cz_tiling(w, h, size, 224);
                if (tiling.w == 0)
                    continue;
                g_assert_cmpint(tiling.w, <=, w);
                g_assert_cmpfloat((double)tiling.w * tiling.h, <=, 1.01 * CZ_MOST_FINE_PIXELS);
                check_axis(tiling.w, tiling.tile_w, tiling.n_x);
                check_axis(tiling.h, tiling.tile_h, tiling.n_y);
            }
    g_assert_cmpint(cz_tiling(6000, 4000, -1, 224).w, ==, 0);
    g_assert_cmpint(cz_tiling(6000, 4000, 0, 224).w, ==, 0);    // automatic: none
    g_assert_cmpint(cz_tiling(6000, 4000, 3000, 224).w, ==, 0); // shows nothing new
    g_assert_cmpint(cz_tiling(6000, 4000, 1000, 224).w, ==, 1344);
}

// ---- what they say
// --------------------------------------------------------------------------------

// Mean difference of ab from each column (or row) of the field to the next.
static double *steps(const CzField *field, bool along_x)
{
    int32_t n = (along_x ? field->width : field->height) - 1;
    int32_t m = along_x ? field->height : field->width;
    size_t next = along_x ? 1 : (size_t)field->width;
    double *mean = g_new0(double, n);
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < m; j++) {
            size_t at = along_x ? (size_t)j * field->width + i : (size_t)i * field->width + j;
            const float *from = field->c + 2 * at, *to = from + 2 * next;
            mean[i] += hypot((double)(to[0] - from[0]), (double)(to[1] - from[1])) / m;
        }
    return mean;
}

// Where a tile's window begins or ends, against everywhere. A tile that is cut off, or one that
// does not agree with its neighbours, would show there. 1.15: columns of this picture differ by
// that much among themselves.
static void check_seams(const CzField *field, bool along_x, int32_t whole, int32_t tile, int32_t n)
{
    g_autofree double *mean = steps(field, along_x);
    int32_t n_steps = (along_x ? field->width : field->height) - 1;
    double all = 0, seams = 0;
    int n_seams = 0;
    for (int32_t i = 0; i < n_steps; i++)
        all += mean[i] / n_steps;
    for (int32_t i = 1; i < n; i++) {
        int32_t ends[] = {cz_tile_start(whole, tile, n, i) / 2,
                          (cz_tile_start(whole, tile, n, i - 1) + tile) / 2};
        for (int e = 0; e < 2; e++)
            for (int32_t d = -6; d <= 6; d++, n_seams++)
                seams += mean[CLAMP(ends[e] + d, 0, n_steps - 1)];
    }
    g_test_message("mean step %.4f, at the tiles' ends %.4f", all, seams / n_seams);
    g_assert_cmpfloat(seams / n_seams, <, 1.15 * all);
}

static void test_seams(void)
{
    CzPhoto photo = photo_of(1500, 1100);
    g_autoptr(CzChroma) chroma = predict(&photo, 400);
    CzTiling tiling = cz_tiling(1500, 1100, 400, 224);
    g_assert_cmpint(tiling.n_x, >, 3);
    g_assert_cmpint(chroma->fine.width, ==, (tiling.w + 1) / 2);
    check_seams(&chroma->fine, true, tiling.w, tiling.tile_w, tiling.n_x);
    check_seams(&chroma->fine, false, tiling.h, tiling.tile_h, tiling.n_y);
}

// Regions of an eighth of the picture: their mean colors are the whole's. 4.2 in a*b*: half of a
// difference that is seen side by side (3.5), for colors made stronger by 1.2 (weights/README.md).
static void test_agreement(void)
{
    enum { W = 640, H = 480, REGIONS = 8 };
    CzPhoto photo = photo_of(1600, 1200);
    g_autoptr(CzChroma) whole = predict(&photo, -1);
    g_autoptr(CzChroma) tiled = predict(&photo, 400);
    g_autofree float *expected = lab_of(whole, W, H), *found = lab_of(tiled, W, H);
    double worst = 0, detail = 0;
    for (int r = 0; r < REGIONS * REGIONS; r++) {
        double a = 0, b = 0;
        int n = 0;
        for (int y = r / REGIONS * H / REGIONS; y < (r / REGIONS + 1) * H / REGIONS; y++)
            for (int x = r % REGIONS * W / REGIONS; x < (r % REGIONS + 1) * W / REGIONS; x++, n++) {
                size_t i = 3 * ((size_t)y * W + x);
                a += (double)(found[i + 1] - expected[i + 1]);
                b += (double)(found[i + 2] - expected[i + 2]);
                detail = MAX(detail, fabs((double)(found[i + 2] - expected[i + 2])));
            }
        worst = MAX(worst, hypot(a / n, b / n));
    }
    g_test_message("worst region %.3f, most of one pixel %.2f", worst, detail);
    g_assert_cmpfloat(worst, <, 3.5 * 1.2);
    g_assert_cmpfloat(detail, >, 1); // else there were no tiles
}

// At half, full, twice and four times the size. What differs is what the smaller one cannot show.
static void test_sizes(void)
{
    enum { W = 320, H = 240 };
    CzPhoto photo = photo_of(800, 600);
    g_autoptr(CzChroma) own = predict(&photo, 0);
    g_autofree float *expected = lab_of(own, W, H);
    const double factors[] = {0.5, 2, 4};
    for (size_t k = 0; k < G_N_ELEMENTS(factors); k++) {
        CzPhoto other = photo_of((int32_t)(800 * factors[k]), (int32_t)(600 * factors[k]));
        g_autoptr(CzChroma) chroma = predict(&other, 0);
        g_autofree float *found = lab_of(chroma, W, H);
        double mean = 0;
        for (size_t i = 0; i < (size_t)W * H; i++)
            mean += (double)cz_delta_e_2000(expected + 3 * i, found + 3 * i) / (W * H);
        g_test_message("%g times the size: mean dE00 %.3f", factors[k], mean);
        g_assert_cmpfloat(mean, <, 1);
    }
}

// Hints reach what tiles have drawn too.
static void test_hints(void)
{
    CzPhoto photo = photo_of(1500, 1100);
    g_autoptr(CzChroma) chroma = predict(&photo, 400);
    g_autofree float *plain = lab_of(chroma, 300, 220);
    const CzDab dab = {0.5f, 0.2f, plain[3 * (44 * 300 + 150)], 60, 30, 1};
    g_assert_true(cz_chroma_hint(chroma, &dab, 1, 0.5, NULL));
    g_autofree float *hinted = lab_of(chroma, 300, 220);
    g_assert_cmpfloat(hinted[3 * (44 * 300 + 150) + 1], >, plain[3 * (44 * 300 + 150) + 1] + 20);
    g_assert_true(cz_chroma_hint(chroma, NULL, 0, 0.5, NULL));
    g_autofree float *again = lab_of(chroma, 300, 220);
    g_assert_cmpmem(again, 300 * 220 * 12, plain, 300 * 220 * 12);
}

static void test_determinism(void)
{
    CzPhoto photo = photo_of(1000, 800);
    g_autoptr(CzChroma) one = predict(&photo, 300);
    g_autoptr(CzChroma) two = predict(&photo, 300);
    size_t n_bytes = 5 * sizeof(float) * (size_t)one->fine.width * one->fine.height;
    g_assert_cmpmem(one->fine.c, n_bytes, two->fine.c, n_bytes);
}

// ---- limits
// ---------------------------------------------------------------------------------------

typedef struct {
    double stop_at;
    int n_after;
} Stopping;

static bool stop(void *user, double fraction)
{
    Stopping *stopping = user;
    stopping->n_after += fraction >= stopping->stop_at;
    return fraction < stopping->stop_at;
}

static void test_cancel(void)
{
    CzPhoto photo = photo_of(1500, 1100);
    photo.user = &photo;
    for (double at = 0.1; at < 1; at += 0.2) {
        Stopping stopping = {at, 0};
        const CzProgress progress = {stop, &stopping};
        g_autoptr(GError) error = NULL;
        g_assert_null(cz_colorizer_predict(shared, &photo, 300, &progress, &error));
        g_assert_error(error, CZ_ERROR, CZ_ERROR_CANCELLED);
        g_assert_cmpint(stopping.n_after, ==, 1);
    }
}

// The finer picture (32 MB), its field and sums (64 MB), and what the whole's pass takes anyway.
static void test_memory(void)
{
    CzPhoto photo = photo_of(6000, 4000);
    g_autoptr(CzChroma) chroma = predict(&photo, CZ_LEAST_TILE * 4);
    g_test_message("peak %.0f MB", (double)cz_memory_peak() / 1e6);
    g_assert_cmpuint(cz_memory_peak(), <, 300000000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autofree char *weights =
        g_build_filename(g_getenv("COLORIZE_SOURCE_ROOT"), "weights", "photo.safetensors", NULL);
    const CzColorizerOptions options = {.weights = weights, .threads = 2};
    GError *error = NULL;
    shared = cz_colorizer_new(&options, &error);
    if (!shared)
        g_error("%s", error->message);
#define CASE(claim, function) g_test_add_func("/engine/tiles/" claim, function)
    CASE("they_cover_the_picture_and_overlap", test_layout);
    CASE("no_seam_is_seen", test_seams);
    CASE("large_areas_are_as_the_whole_says", test_agreement);
    CASE("colors_are_the_same_at_every_size", test_sizes);
    CASE("hints_reach_them", test_hints);
    CASE("same_photograph_same_pixels", test_determinism);
    CASE("cancel_stops_within_a_tile", test_cancel);
    CASE("memory_is_bounded", test_memory);
    int result = g_test_run();
    cz_colorizer_free(shared);
    return result;
}
