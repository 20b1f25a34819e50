// SPDX-License-Identifier: LGPL-3.0-or-later
// The figures of evaluate for figures.py: of two pictures, or of two sets of features.
//
// figures pictures WIDTH HEIGHT A B      8-bit RGB files; a line of JSON
// figures frechet ROWS_A ROWS_B VALUES A B    F32 files; the distance
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cz/color.h>

#include "edges.h"
#include "frechet.h"
#include "metrics.h"

static void *read_file(const char *path, size_t n_bytes)
{
    char *data;
    gsize n;
    if (!g_file_get_contents(path, &data, &n, NULL) || n != n_bytes) {
        fprintf(stderr, "figures: %s does not hold %zu bytes\n", path, n_bytes);
        exit(1);
    }
    return data;
}

static float *to_lab(const uint8_t *rgb, size_t n)
{
    float *lab = g_new(float, 3 * n);
    for (size_t i = 0; i < 3 * n; i++)
        lab[i] = (float)rgb[i] / 255;
    cz_rgb_to_lab(lab, lab, n);
    return lab;
}

static int pictures(char **argv)
{
    int32_t w = atoi(argv[0]), h = atoi(argv[1]);
    size_t n = (size_t)w * (size_t)h;
    g_autofree uint8_t *a = read_file(argv[2], 3 * n), *b = read_file(argv[3], 3 * n);
    g_autofree float *lab_a = to_lab(a, n), *lab_b = to_lab(b, n), *scratch = g_new(float, n);
    TrainEdges edges = train_edges(lab_b, w, h, scratch);
    printf("{\"psnr\": %.12g, \"ssim\": %.12g, \"cf\": %.12g, \"cf_abs\": %.12g, \"de00\": %.12g, "
           "\"edge_error\": %.12g, \"n_chroma\": %zu, \"n_stray\": %zu}\n",
           train_psnr(a, b, w, h), train_ssim(a, b, w, h), train_colourfulness(b, w, h),
           train_colourfulness_abs(b, w, h), train_delta_e(a, b, w, h),
           train_edge_error(lab_a, lab_b, w, h, scratch), edges.n_chroma, edges.n_stray);
    return 0;
}

static int frechet(char **argv)
{
    size_t n_a = (size_t)atoi(argv[0]), n_b = (size_t)atoi(argv[1]), d = (size_t)atoi(argv[2]);
    g_autofree float *a = read_file(argv[3], n_a * d * sizeof *a);
    g_autofree float *b = read_file(argv[4], n_b * d * sizeof *b);
    double distance;
    if (!train_frechet(a, n_a, b, n_b, d, &distance, NULL))
        return 1;
    printf("%.12g\n", distance);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "pictures") == 0)
        return pictures(argv + 2);
    if (argc == 7 && strcmp(argv[1], "frechet") == 0)
        return frechet(argv + 2);
    fprintf(stderr, "figures: see figures.py\n");
    return 2;
}
