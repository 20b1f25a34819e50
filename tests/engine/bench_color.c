// SPDX-License-Identifier: LGPL-3.0-or-later
// Megapixels per second of the colour functions and of the whole way of apply, one thread.
#include <cz/color.h>
#include <cz/field.h>
#include <cz/memory.h>
#include <cz/resample.h>
#include <cz/rng.h>

#include "color/field_span.h"

enum { WIDTH = 6000, ROWS = 32, HEIGHT = 4000, SPAN = 512 };

typedef struct {
    float *rgb, *lab, *lightness, *out;
    CzField field;
    float strength;
} Bench;

typedef void (*Run)(Bench *bench);

static const size_t n_pixels = (size_t)WIDTH * ROWS;

static void run_to_lab(Bench *bench)
{
    cz_rgb_to_lab(bench->out, bench->rgb, n_pixels);
}

static void run_to_lightness(Bench *bench)
{
    cz_rgb_to_lightness(bench->lightness, bench->rgb, n_pixels);
}

static void run_to_rgb(Bench *bench)
{
    cz_lab_to_rgb(bench->out, bench->lab, n_pixels);
}

static void run_to_gamut_rgb(Bench *bench)
{
    cz_lab_to_gamut_rgb(bench->out, bench->lab, n_pixels);
}

static void run_sample(Bench *bench)
{
    cz_field_sample(&bench->field, WIDTH, HEIGHT, 100, ROWS, bench->lightness, bench->out);
}

static void run_area(Bench *bench)
{
    g_autoptr(CzAreaScaler) scaler = cz_area_scaler_new(WIDTH, ROWS, 288, 2, 1, NULL);
    if (scaler)
        cz_area_scaler_push(scaler, bench->lightness, ROWS);
}

static void run_apply(Bench *bench)
{
    float lightness[SPAN], lab[3 * SPAN];
    for (int32_t y = 0; y < ROWS; y++)
        for (int32_t x = 0; x < WIDTH; x += SPAN) {
            int32_t n = MIN(SPAN, WIDTH - x);
            size_t at = 3 * ((size_t)y * WIDTH + x);
            cz_rgb_to_lightness(lightness, bench->rgb + at, n);
            cz_field_span(&bench->field, WIDTH, HEIGHT, x, 100 + y, n, lightness, bench->strength,
                          lab);
            cz_lab_to_gamut_rgb(bench->out + at, lab, n);
        }
}

static double share_outside(const Bench *bench)
{
    size_t n = 0;
    for (size_t i = 0; i < n_pixels; i++)
        n += !cz_lab_in_gamut(bench->lab + 3 * i);
    return 100.0 * n / n_pixels;
}

// The least of several runs: the machine is shared.
static void measure(const char *name, Bench *bench, Run run)
{
    gint64 least = G_MAXINT64;
    for (int i = 0; i < 15; i++) {
        gint64 begin = g_get_monotonic_time();
        run(bench);
        least = MIN(least, g_get_monotonic_time() - begin);
    }
    g_print("%-36s %7.0f MP/s\n", name, (double)n_pixels / MAX(least, 1));
}

static bool bench_init(Bench *bench, GError **error)
{
    float **buffers[] = {&bench->rgb, &bench->lab, &bench->out, &bench->lightness};
    for (int i = 0; i < 4; i++) {
        *buffers[i] = cz_memory_alloc(n_pixels * (i < 3 ? 12 : 4), "a bench", error);
        if (!*buffers[i])
            return false;
    }
    if (!cz_field_init(&bench->field, 144, 96, error))
        return false;
    CzRng rng = cz_rng(1, 0);
    for (size_t i = 0; i < n_pixels * 3; i++)
        bench->rgb[i] = cz_rng_uniform(&rng);
    for (int i = 0; i < 144 * 96; i++) {
        bench->field.l[i] = 50;
        bench->field.c[2 * i] = 12 * cz_rng_normal(&rng);
        bench->field.c[2 * i + 1] = 12 * cz_rng_normal(&rng);
    }
    cz_field_slopes(&bench->field, CZ_FIELD_EPSILON);
    for (size_t i = 0; i < n_pixels; i++) {
        bench->lab[3 * i] = 100 * cz_rng_uniform(&rng);
        bench->lab[3 * i + 1] = 20 * cz_rng_normal(&rng);
        bench->lab[3 * i + 2] = 20 * cz_rng_normal(&rng);
    }
    return true;
}

int main(void)
{
    Bench bench = {.strength = 1};
    g_autoptr(GError) error = NULL;
    if (!bench_init(&bench, &error)) {
        g_printerr("%s\n", error->message);
        return 1;
    }
    measure("sRGB to L*a*b*", &bench, run_to_lab);
    measure("sRGB to L*", &bench, run_to_lightness);
    measure("L*a*b* to sRGB", &bench, run_to_rgb);
    g_print("%-36s %7.1f %%\n", "outside the gamut below", share_outside(&bench));
    measure("L*a*b* into gamut, to sRGB", &bench, run_to_gamut_rgb);
    measure("field, sampled", &bench, run_sample);
    measure("area means, 1 channel", &bench, run_area);
    measure("apply, strength 1", &bench, run_apply);
    bench.strength = 2;
    measure("apply, strength 2", &bench, run_apply);
    cz_field_clear(&bench.field);
    cz_memory_free(bench.rgb);
    cz_memory_free(bench.lab);
    cz_memory_free(bench.lightness);
    cz_memory_free(bench.out);
    return 0;
}
