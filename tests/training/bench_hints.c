// SPDX-License-Identifier: LGPL-3.0-or-later
// Hints: gain by kernel on pictures of a set, and the time of a dab on a photograph's field.
//
//   bench_hints SET WEIGHTS LIMIT < kernels   widths and noise (CzHintKernel), a line each
//   bench_hints suggest SET WEIGHTS LIMIT     how near the truth comes what is suggested
//   bench_hints time WEIGHTS                  cz_chroma_hint at 22 megapixels, 1 to 256 dabs
//
// Of SET only what training holds back for validation counts (share 0.02), so that widths are not
// chosen on the sets that figures are reported for.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cz/rng.h>

#include "colorizer/private.h"

#include "decode.h"
#include "hints.h"
#include "metrics.h"
#include "set.h"

#define SIDE      256
#define HELD_BACK 0.02
#define MOST      50

static const size_t counts[] = {1, 5, 10, MOST};
#define N_COUNTS G_N_ELEMENTS(counts)

typedef struct {
    TrainImage truth, output;
    CzChroma *chroma;
    CzDab dabs[MOST];
    double base; // PSNR without hints
} Case;

static void must(bool good, GError *error)
{
    if (good)
        return;
    fprintf(stderr, "bench_hints: %s\n", error ? error->message : "wrong arguments");
    exit(1);
}

static CzColorizer *open_weights(const char *weights)
{
    GError *error = NULL;
    const CzColorizerOptions options = {.weights = weights};
    CzColorizer *colorizer = cz_colorizer_new(&options, &error);
    must(colorizer != NULL, error);
    return colorizer;
}

static bool read_rows(void *user, int32_t y, int32_t n_rows, float *rgb, GError **error)
{
    const TrainImage *image = user;
    size_t row = (size_t)image->width * 3;
    for (size_t i = 0; i < row * (size_t)n_rows; i++)
        rgb[i] = (float)image->rgb[row * (size_t)y + i] / 255;
    return true;
}

static double score(Case *c)
{
    CzSettings settings;
    cz_settings_init(&settings);
    size_t row = (size_t)c->truth.width * 3;
    float *rgb = g_new(float, row);
    for (int32_t y = 0; y < c->truth.height; y++) {
        read_rows(&c->truth, y, 1, rgb, NULL);
        cz_chroma_apply_rows(c->chroma, &settings, y, 1, rgb, rgb);
        for (size_t i = 0; i < row; i++)
            c->output.rgb[row * (size_t)y + i] = (uint8_t)(CLAMP(rgb[i], 0, 1) * 255 + 0.5f);
    }
    g_free(rgb);
    return train_psnr(c->truth.rgb, c->output.rgb, c->truth.width, c->truth.height);
}

static void case_init(Case *c, CzColorizer *colorizer, const TrainPicture *picture, size_t number)
{
    GError *error = NULL;
    must(train_image_evaluation(picture->rgb, picture->width, picture->height, SIDE, &c->truth,
                                &error),
         error);
    must(train_image_grey(&c->truth, &c->output, &error), error);
    const CzPhoto photo = {c->truth.width, c->truth.height, read_rows, NULL, &c->truth};
    c->chroma = cz_colorizer_predict(colorizer, &photo, 0, NULL, &error);
    must(c->chroma != NULL, error);
    train_hints_sample(&c->truth, TRAIN_PLACES_UNIFORM, 1, number, c->dabs, MOST);
    c->base = score(c);
}

static size_t load(const char *path, CzColorizer *colorizer, size_t limit, Case *cases)
{
    GError *error = NULL;
    TrainSet *set = train_set_open(path, &error);
    must(set != NULL, error);
    size_t n_held;
    uint32_t *held = train_set_split(set, HELD_BACK, true, &n_held);
    size_t n = MIN(n_held, limit);
    for (size_t i = 0; i < n; i++) {
        TrainPicture picture = train_set_picture(set, held[i * n_held / n]);
        case_init(&cases[i], colorizer, &picture, i);
    }
    g_free(held);
    train_set_free(set);
    return n;
}

static void tune(Case *cases, size_t n)
{
    char line[256];
    printf(
        "feature, place, lightness, chroma, bold, sharper, near place, strength, noise | gain at "
        "1, 5, 10, 50 hints, mean\n");
    while (fgets(line, sizeof line, stdin)) {
        CzHintKernel k;
        double mean = 0;
        if (sscanf(line, "%f %f %f %f %f %f %f %f %f", &k.feature, &k.place, &k.lightness,
                   &k.chroma, &k.bold, &k.sharper, &k.near_place, &k.strength, &k.noise) != 9)
            continue;
        printf("%g %g %g %g %g %g %g %g %g |", k.feature, k.place, k.lightness, k.chroma, k.bold,
               k.sharper, k.near_place, k.strength, k.noise);
        for (size_t j = 0; j < N_COUNTS; j++) {
            double gain = 0;
            for (size_t i = 0; i < n; i++) {
                CzChroma *chroma = cases[i].chroma;
                GError *error = NULL;
                must(cz_hints_spread(&chroma->ground, cases[i].dabs, counts[j], &k, &chroma->field,
                                     &error),
                     error);
                gain += (score(&cases[i]) - cases[i].base) / (double)n;
            }
            mean += gain / (double)N_COUNTS;
            printf(" %5.2f", gain);
        }
        printf("  %5.2f\n", mean);
        fflush(stdout);
    }
}

// ---- suggestions --------------------------------------------------------------------------------

// As in the dialog, whose user takes the best of the first k.
static void measure_suggestions(const Case *cases, size_t n)
{
    enum { MOST_SUGGESTED = 15 };
    static const size_t firsts[] = {1, 2, 3, 5, 8, MOST_SUGGESTED};
    double sums[MOST_SUGGESTED] = {0}, near[MOST_SUGGESTED] = {0};
    for (size_t i = 0; i < n * MOST; i++) {
        const CzDab *dab = &cases[i / MOST].dabs[i % MOST];
        float ab[MOST_SUGGESTED][2], least = 1e9f;
        size_t m = cz_chroma_suggest(cases[i / MOST].chroma, (double)dab->x, (double)dab->y, dab->l,
                                     ab, MOST_SUGGESTED);
        for (size_t k = 0; k < MOST_SUGGESTED; k++) {
            if (k < m)
                least = MIN(least, hypotf(ab[k][0] - dab->a, ab[k][1] - dab->b));
            sums[k] += (double)least;
            near[k] += least < 10;
        }
    }
    printf("first k: distance of the best from the truth in a*b*, mean; share of those below 10\n");
    for (size_t i = 0; i < G_N_ELEMENTS(firsts); i++)
        printf("%2zu: %6.2f %6.3f\n", firsts[i], sums[firsts[i] - 1] / (double)(n * MOST),
               near[firsts[i] - 1] / (double)(n * MOST));
}

// ---- time ---------------------------------------------------------------------------------------

static bool read_pattern(void *user, int32_t y, int32_t n_rows, float *rgb, GError **error)
{
    const CzPhoto *photo = user;
    for (int32_t i = 0; i < n_rows * photo->width; i++)
        for (int k = 0; k < 3; k++)
            rgb[3 * i + k] =
                (float)((i % photo->width) * 7 / 100 % 50 + (y + i / photo->width) * 3 / 100 % 50) /
                100;
    return true;
}

// Of this thread, as others may be at work on the machine.
static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static void measure_time(CzColorizer *colorizer)
{
    GError *error = NULL;
    CzPhoto photo = {5760, 3840, read_pattern, NULL, &photo};
    CzChroma *chroma = cz_colorizer_predict(colorizer, &photo, 0, NULL, &error);
    must(chroma != NULL, error);
    CzDab dabs[CZ_MAX_DABS];
    CzRng rng = cz_rng(1, 1);
    for (int i = 0; i < CZ_MAX_DABS; i++)
        dabs[i] = (CzDab){cz_rng_uniform(&rng),     cz_rng_uniform(&rng),     50,
                          20 * cz_rng_normal(&rng), 20 * cz_rng_normal(&rng), 1};
    const CzField *field = cz_chroma_field(chroma);
    printf("field %d x %d\n", field->width, field->height);
    static const size_t numbers[] = {1, 10, 100, CZ_MAX_DABS};
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
        double first = 0, least = 1e9;
        for (int run = 0; run < 10; run++) {
            double began = cpu_ms();
            must(cz_chroma_hint(chroma, dabs, numbers[i], 0.5, &error), error);
            double ms = cpu_ms() - began;
            first = run ? first : ms;
            least = MIN(least, ms);
        }
        printf("%3zu dabs: %6.2f ms (first call %6.2f)\n", numbers[i], least, first);
    }
    enum { VIEW_W = 1280, VIEW_H = 853 };
    const CzPart view = {VIEW_W, VIEW_H, 0, 0, VIEW_W, VIEW_H};
    CzSettings settings;
    cz_settings_init(&settings);
    float *rgb = g_new0(float, 3 * (size_t)VIEW_W * VIEW_H),
          *rgb_out = g_new(float, 3 * (size_t)VIEW_W * VIEW_H);
    double least = 1e9;
    for (int run = 0; run < 5; run++) {
        double began = cpu_ms();
        must(cz_chroma_hint(chroma, dabs, 20, 0.5, &error), error);
        cz_chroma_apply_part(chroma, &settings, &view, rgb, rgb_out);
        least = MIN(least, cpu_ms() - began);
    }
    printf("20 dabs and a preview of %d x %d: %.2f ms\n", VIEW_W, VIEW_H, least);
    g_free(rgb);
    g_free(rgb_out);
    float suggested[16][2];
    double began = cpu_ms();
    size_t n = cz_chroma_suggest(chroma, 0.4, 0.6, 50, suggested, 16);
    printf("%zu suggested colors: %.2f ms\n", n, cpu_ms() - began);
    cz_chroma_free(chroma);
}

int main(int argc, char **argv)
{
    GError *error = NULL;
    must(argc >= 3, NULL);
    bool suggest = g_str_equal(argv[1], "suggest") && argc == 5;
    CzColorizer *colorizer = open_weights(argv[2 + suggest]);
    if (g_str_equal(argv[1], "time")) {
        measure_time(colorizer);
    } else {
        must(argc == 4 + suggest && train_vips_start(&error), error);
        size_t limit = (size_t)atoi(argv[3 + suggest]);
        Case *cases = g_new0(Case, limit);
        size_t n = load(argv[1 + suggest], colorizer, limit, cases);
        printf("%zu pictures\n", n);
        if (suggest)
            measure_suggestions(cases, n);
        else
            tune(cases, n);
    }
    cz_colorizer_free(colorizer);
    return 0;
}
