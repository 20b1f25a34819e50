// SPDX-License-Identifier: LGPL-3.0-or-later
// The field against bilinear enlargement of chroma, at 2, 4 and 8 times its size, truth known.
//
//   bench_field PHOTO...      table on stdout; with --crop DIR, crops at 8x: truth, bilinear, field
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cz/color.h>
#include <cz/field.h>
#include <cz/memory.h>
#include <cz/resample.h>

#include "decode.h"
#include "sheet.h"

#define SHORT_SIDE 1024
#define CROP       256

typedef struct {
    double all, edges;
    double n_all, n_edges;
} Sum;

typedef struct {
    int32_t width, height;
    float *lab, *lightness, *edge; // interleaved Lab; L*; strength of the lightness edge
    float *bilinear, *field;       // ab of the two methods
    float threshold;               // of the strongest tenth of the edges
} Picture;

static float *floats(size_t n)
{
    float *memory = cz_memory_alloc(n * sizeof *memory, "a bench picture", NULL);
    if (!memory)
        exit(1);
    return memory;
}

static int rising(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

// Sides are cut to a multiple of 8, so that every factor divides them.
static void load(Picture *p, const char *path)
{
    g_autoptr(GError) error = NULL;
    const TrainDecodeParams params = {.short_side = SHORT_SIDE};
    TrainPhoto photo;
    if (!train_decode_file(&photo, path, &params, &error)) {
        fprintf(stderr, "bench_field: %s\n", error->message);
        exit(1);
    }
    p->width = photo.width / 8 * 8;
    p->height = photo.height / 8 * 8;
    size_t n = (size_t)p->width * (size_t)p->height;
    p->lab = floats(3 * n);
    p->lightness = floats(n);
    p->edge = floats(n);
    p->bilinear = floats(2 * n);
    p->field = floats(2 * n);
    for (int32_t y = 0; y < p->height; y++)
        for (int32_t i = 0; i < 3 * p->width; i++)
            p->lab[(size_t)y * (size_t)p->width * 3 + (size_t)i] =
                (float)photo.rgb[(size_t)y * (size_t)photo.width * 3 + (size_t)i] / 255;
    train_photo_clear(&photo);
    cz_rgb_to_lab(p->lab, p->lab, n);
    for (size_t i = 0; i < n; i++)
        p->lightness[i] = p->lab[3 * i];
}

static void find_edges(Picture *p)
{
    size_t w = (size_t)p->width, n = w * (size_t)p->height;
    g_autofree float *sorted = g_new(float, n);
    for (size_t i = 0; i < n; i++) {
        size_t x = i % w, y = i / w;
        float dx = x + 1 < w ? p->lightness[i + 1] - p->lightness[i] : 0;
        float dy = y + 1 < (size_t)p->height ? p->lightness[i + w] - p->lightness[i] : 0;
        sorted[i] = p->edge[i] = hypotf(dx, dy);
    }
    qsort(sorted, n, sizeof *sorted, rising);
    p->threshold = sorted[n - n / 10];
}

static void enlarge(Picture *p, int factor, float epsilon)
{
    g_autoptr(GError) error = NULL;
    int32_t w = p->width / factor, h = p->height / factor;
    size_t n = (size_t)w * (size_t)h;
    float *small = floats(3 * n);
    CzField field;
    if (!cz_resize_image(small, w, h, p->lab, p->width, p->height, 3, &error) ||
        !cz_field_init(&field, w, h, &error))
        exit(1);
    for (size_t i = 0; i < n; i++) {
        field.l[i] = small[3 * i];
        memcpy(field.c + 2 * i, small + 3 * i + 1, 2 * sizeof(float));
    }
    cz_field_slopes(&field, epsilon);
    cz_resize_bilinear(p->bilinear, p->width, p->height, field.c, w, h, 2);
    cz_field_sample(&field, p->width, p->height, 0, p->height, p->lightness, p->field);
    cz_field_clear(&field);
    cz_memory_free(small);
}

static void measure(const Picture *p, const float *ab, Sum *sum)
{
    size_t n = (size_t)p->width * (size_t)p->height;
    for (size_t i = 0; i < n; i++) {
        const float lab[3] = {p->lightness[i], ab[2 * i], ab[2 * i + 1]};
        double difference = cz_delta_e_2000(lab, p->lab + 3 * i);
        bool edge = p->edge[i] >= p->threshold;
        sum->all += difference;
        sum->n_all++;
        sum->edges += edge ? difference : 0;
        sum->n_edges += edge;
    }
}

static void crop(const Picture *p, const float *ab, uint8_t *rgb)
{
    int32_t left = (p->width - CROP) / 2, top = (p->height - CROP) / 2;
    for (int32_t i = 0; i < CROP * CROP; i++) {
        size_t at = (size_t)(top + i / CROP) * (size_t)p->width + (size_t)(left + i % CROP);
        float pixel[3] = {p->lightness[at], ab ? ab[2 * at] : p->lab[3 * at + 1],
                          ab ? ab[2 * at + 1] : p->lab[3 * at + 2]};
        cz_lab_to_gamut_rgb(pixel, pixel, 1);
        for (int k = 0; k < 3; k++)
            rgb[3 * i + k] = (uint8_t)(CLAMP(pixel[k], 0, 1) * 255 + 0.5f);
    }
}

int main(int argc, char **argv)
{
    static const char *const labels[] = {"truth", "bilinear 8x", "field 8x"};
    static const int factors[] = {2, 4, 8};
    const char *sheet_path = argc > 2 && strcmp(argv[1], "--sheet") == 0 ? argv[2] : NULL;
    int first = sheet_path ? 3 : 1, n_photos = argc - first;
    Sum bilinear[3] = {{0}}, field[3] = {{0}};
    if (n_photos < 1 || !train_vips_start(NULL)) {
        fprintf(stderr, "usage: bench_field [--sheet FILE.png] PHOTO...\n");
        return 2;
    }
    g_autoptr(TrainSheet) sheet = train_sheet_new(3, labels, n_photos, CROP, NULL);
    for (int i = 0; i < n_photos; i++) {
        Picture p;
        g_autofree uint8_t *rgb = g_malloc(CROP * CROP * 3);
        load(&p, argv[first + i]);
        find_edges(&p);
        for (int f = 0; f < 3; f++) {
            enlarge(&p, factors[f], CZ_FIELD_EPSILON);
            measure(&p, p.bilinear, &bilinear[f]);
            measure(&p, p.field, &field[f]);
        }
        const float *const methods[] = {NULL, p.bilinear, p.field};
        for (int row = 0; row < 3; row++) {
            crop(&p, methods[row], rgb);
            train_sheet_put(sheet, row, i, rgb, CROP, CROP);
        }
        float *const owned[] = {p.lab, p.lightness, p.edge, p.bilinear, p.field};
        for (size_t k = 0; k < G_N_ELEMENTS(owned); k++)
            cz_memory_free(owned[k]);
    }
    printf("dE00 over all / at the strongest tenth of the lightness edges, %d photographs, short "
           "side %d\n",
           n_photos, SHORT_SIDE);
    for (int f = 0; f < 3; f++) {
        const Sum *b = &bilinear[f], *s = &field[f];
        printf("%dx  bilinear %.3f / %.3f  field %.3f / %.3f  (%+.1f %% / %+.1f %%)\n", factors[f],
               b->all / b->n_all, b->edges / b->n_edges, s->all / s->n_all, s->edges / s->n_edges,
               100 * (s->all / b->all - 1), 100 * (s->edges / b->edges - 1));
    }
    return sheet_path && !train_sheet_save(sheet, sheet_path, NULL);
}
