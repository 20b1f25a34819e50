// SPDX-License-Identifier: LGPL-3.0-or-later
// Hints: dabs from painted pictures, the regression against its formula, and the whole way.
#include <cz/hints.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cz/color.h>
#include <cz/error.h>
#include <cz/memory.h>
#include <cz/rng.h>

#include "base/cholesky.h"
#include "color/hints.h"
#include "colorizer/private.h"
#include "weights.h"

static char *folder;
static CzColorizer *shared;

// ---- pictures made while they are read ----------------------------------------------------------

typedef struct {
    int32_t x, y, side;
    float r, g, b, alpha;
} Stroke;

typedef struct {
    CzPhoto photo;
    CzHintPicture picture;
    const Stroke *strokes;
    size_t n_strokes;
    bool noise; // every pixel is a hint of its own
    bool fail;
    int n_photo_reads;
} Canvas;

// Dark at the left, bright at the right, with waves.
static bool read_photo(void *user, int32_t y, int32_t n_rows, float *rgb, GError **error)
{
    Canvas *canvas = user;
    int32_t w = canvas->photo.width;
    canvas->n_photo_reads++;
    for (int32_t i = 0; i < n_rows; i++)
        for (int32_t x = 0; x < w; x++)
            for (int k = 0; k < 3; k++)
                rgb[3 * ((size_t)i * w + x) + k] =
                    0.2f + 0.5f * (float)x / (float)w + 0.1f * sinf((float)(y + i) * 0.05f);
    return true;
}

static bool read_hints(void *user, int32_t y, int32_t n_rows, float *rgba, GError **error)
{
    const Canvas *canvas = user;
    int32_t w = canvas->photo.width;
    if (canvas->fail) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "the layer is gone");
        return false;
    }
    memset(rgba, 0, (size_t)n_rows * w * 4 * sizeof *rgba);
    CzRng rng = cz_rng(1, (uint64_t)y);
    for (size_t i = 0; canvas->noise && i < (size_t)n_rows * w * 4; i++)
        rgba[i] = cz_rng_uniform(&rng);
    for (size_t s = 0; s < canvas->n_strokes; s++) {
        const Stroke *stroke = &canvas->strokes[s];
        for (int32_t j = MAX(y, stroke->y); j < MIN(y + n_rows, stroke->y + stroke->side); j++)
            for (int32_t x = stroke->x; x < MIN(w, stroke->x + stroke->side); x++) {
                const float pixel[4] = {stroke->r, stroke->g, stroke->b, stroke->alpha};
                memcpy(rgba + 4 * ((size_t)(j - y) * w + x), pixel, sizeof pixel);
            }
    }
    return true;
}

static void canvas_init(Canvas *canvas, int32_t width, int32_t height, const Stroke *strokes,
                        size_t n)
{
    *canvas = (Canvas){.photo = {width, height, read_photo, NULL, canvas},
                       .picture = {read_hints, canvas},
                       .strokes = strokes,
                       .n_strokes = n};
}

static size_t gather(Canvas *canvas, CzDab *dabs)
{
    g_autoptr(GError) error = NULL;
    size_t n = 0;
    g_assert_true(cz_dabs_gather(&canvas->photo, &canvas->picture, NULL, dabs, &n, &error));
    g_assert_no_error(error);
    for (size_t i = 0; i < n; i++)
        g_assert_true(dabs[i].x >= 0 && dabs[i].x <= 1 && dabs[i].y >= 0 && dabs[i].y <= 1 &&
                      dabs[i].weight > 0 && dabs[i].weight <= 1);
    return n;
}

// ---- dabs ---------------------------------------------------------------------------------------

static void a_small_dab_counts_as_a_large_one(void)
{
    static const Stroke strokes[] = {{4000, 1000, 6, 0.8f, 0.1f, 0.1f, 1},
                                     {500, 2000, 800, 0.1f, 0.2f, 0.8f, 1}};
    Canvas canvas;
    CzDab dabs[CZ_MAX_DABS];
    float red[3] = {0.8f, 0.1f, 0.1f};
    canvas_init(&canvas, 6000, 4000, strokes, 2);
    size_t n = gather(&canvas, dabs), n_small = 0;
    g_test_message("%zu dabs", n);
    cz_rgb_to_lab(red, red, 1);
    for (size_t i = 0; i < n; i++) {
        if (fabsf(dabs[i].a - red[1]) > 0.01f)
            continue;
        n_small++;
        g_assert_cmpfloat_with_epsilon(dabs[i].x, 4003.0 / 6000, 1e-5);
        g_assert_cmpfloat_with_epsilon(dabs[i].y, 1003.0 / 4000, 1e-5);
        g_assert_cmpfloat_with_epsilon(dabs[i].b, red[2], 0.01);
        g_assert_true(dabs[i].weight == 1);
    }
    g_assert_cmpuint(n_small, ==, 1);
    g_assert_cmpuint(n, >, 6); // the large one is several
    g_assert_cmpuint(n, <, 60);
    g_assert_cmpint(canvas.n_photo_reads, <, 40); // only where there are hints
}

static void neighbours_of_other_colors_stay_apart(void)
{
    static const Stroke strokes[] = {{3000, 1000, 8, 0.8f, 0.1f, 0.1f, 1},
                                     {3010, 1000, 8, 0.1f, 0.2f, 0.8f, 0.4f}};
    Canvas canvas;
    CzDab dabs[CZ_MAX_DABS];
    canvas_init(&canvas, 6000, 4000, strokes, 2);
    g_assert_cmpuint(gather(&canvas, dabs), ==, 2);
    int red = dabs[0].b > 0 ? 0 : 1;
    g_assert_cmpfloat(dabs[red].a, >, 30);
    g_assert_cmpfloat(dabs[1 - red].b, <, -40);
    g_assert_true(dabs[red].weight == 1 && dabs[1 - red].weight == 0.4f);
}

static void any_painting_gives_a_bounded_number(void)
{
    Canvas canvas;
    CzDab dabs[CZ_MAX_DABS], again[CZ_MAX_DABS];
    canvas_init(&canvas, 900, 700, NULL, 0);
    g_assert_cmpuint(gather(&canvas, dabs), ==, 0);
    g_assert_cmpint(canvas.n_photo_reads, ==, 0);
    canvas.noise = true;
    size_t n = gather(&canvas, dabs);
    g_test_message("%zu dabs", n);
    g_assert_true(n > 50 && n <= CZ_MAX_DABS);
    g_assert_cmpuint(gather(&canvas, again), ==, n);
    g_assert_cmpmem(dabs, n * sizeof *dabs, again, n * sizeof *again);
}

static bool stop(void *user, double fraction)
{
    return fraction < 0.5;
}

static void gathering_fails_with_a_sentence(void)
{
    static const Stroke stroke = {100, 100, 50, 0.8f, 0.1f, 0.1f, 1};
    static const CzProgress progress = {stop, NULL};
    Canvas canvas;
    CzDab dabs[CZ_MAX_DABS];
    size_t n = 77, before = cz_memory_now();
    canvas_init(&canvas, 900, 700, &stroke, 1);
    for (unsigned long at = 1; at <= 9; at++) {
        g_autoptr(GError) error = NULL;
        canvas.fail = at == 8;
        if (at < 8)
            cz_fault_arm(CZ_FAULT_MEMORY, at);
        g_assert_false(cz_dabs_gather(&canvas.photo, &canvas.picture, at == 9 ? &progress : NULL,
                                      dabs, &n, &error));
        cz_fault_arm(CZ_FAULT_MEMORY, 0);
        int code = at < 8 ? CZ_ERROR_MEMORY : at == 8 ? CZ_ERROR_IO : CZ_ERROR_CANCELLED;
        g_assert_error(error, CZ_ERROR, code);
        g_assert_cmpuint(n, ==, 77);
    }
    g_assert_cmpuint(cz_memory_now(), ==, before);
}

// ---- the regression -----------------------------------------------------------------------------

static void ground_init(CzGround *ground, int32_t w, int32_t h, int n_maps)
{
    memset(ground, 0, sizeof *ground);
    CzRng rng = cz_rng(7, 0);
    g_assert_true(cz_field_init(&ground->field, w, h, NULL));
    for (int32_t i = 0; i < w * h; i++) {
        ground->field.l[i] = 30 + 40 * cz_rng_uniform(&rng);
        ground->field.c[2 * i] = 5 * cz_rng_normal(&rng);
        ground->field.c[2 * i + 1] = 5 * cz_rng_normal(&rng);
    }
    cz_field_slopes(&ground->field, CZ_FIELD_EPSILON);
    for (int m = 0; m < n_maps; m++) {
        CzFeatures *f = &ground->features[m];
        g_assert_true(cz_features_init(f, w / 4 + m, h / 4 + m, 11, NULL));
        for (int32_t i = 0; i < f->width * f->height * 11; i++)
            f->data[i] = 3 + cz_rng_normal(&rng);
    }
    ground->n_features = n_maps;
    g_assert_true(cz_ground_finish(ground, 10 * w, 10 * h, NULL));
}

// Distances in double, features enlarged as pictures are. i, j: places of the field.
static double kernel_at(const CzGround *ground, const CzHintKernel *k, size_t i, size_t j,
                        bool near)
{
    const CzField *field = &ground->field;
    double x = ((double)(i % field->width) + 0.5) / field->width;
    double y = ((double)(i / field->width) + 0.5) / field->height;
    double x2 = ((double)(j % field->width) + 0.5) / field->width;
    double y2 = ((double)(j / field->width) + 0.5) / field->height;
    double square = 0;
    for (int m = 0; m < ground->n_features; m++) {
        float p[11], q[11];
        cz_features_at(&ground->features[m], x, y, p);
        cz_features_at(&ground->features[m], x2, y2, q);
        for (int c = 0; c < 11; c++)
            square += pow((double)p[c] - q[c], 2) / ground->n_features;
    }
    double u2 = square / pow(k->feature, 2);
    u2 += pow((double)field->l[i] - field->l[j], 2) / pow(k->lightness, 2);
    for (int c = 0; c < 2; c++)
        u2 += pow((double)field->c[2 * i + c] - field->c[2 * j + c], 2) / pow(k->chroma, 2);
    double place = hypot((x - x2) * ground->width, (y - y2) * ground->height);
    u2 *= near ? pow(k->sharper, 2) : 1;
    return exp(-pow(u2, 0.75) - place / (near ? k->near_place : k->place));
}

// Dabs in the middle of places of the field, so that L* and prediction there are the maps'.
static CzDab dab_on(const CzGround *ground, int32_t x, int32_t y, float a, float b)
{
    const CzField *field = &ground->field;
    return (CzDab){((float)x + 0.5f) / (float)field->width,
                   ((float)y + 0.5f) / (float)field->height,
                   field->l[y * field->width + x],
                   a,
                   b,
                   1};
}

// Solves for two dabs: a symmetric matrix of 4 x 4 (a*, b* of the first, then of the second).
static void solve_two(const CzHintKernel *k, double between, const double v[4], const double d[4],
                      double x[4])
{
    double matrix[16];
    memcpy(x, d, 4 * sizeof *x);
    for (int i = 0; i < 16; i++) {
        int p = i / 4, q = i % 4;
        double same = p == q ? 1 + (double)k->noise : p % 2 == q % 2 ? between : 0;
        matrix[i] = same + (double)k->strength * v[p] * v[q];
    }
    g_assert_true(cz_cholesky_solve(matrix, 4, x, 1));
}

// The regression is linear: slopes of the network's own that are those of the regression end as
// those, and what is their own beyond it stays.
static void learned_slopes_stay_under_hints(void)
{
    const CzHintKernel kernel = {1.5f, 0.7f, 40, 15, 20, 2, 0.5f, 0, 1e-5f};
    CzGround ground;
    CzField field, learned;
    ground_init(&ground, 48, 32, 1);
    g_assert_true(cz_field_init(&field, 48, 32, NULL) && cz_field_init(&learned, 48, 32, NULL));
    const CzDab dabs[2] = {dab_on(&ground, 10, 8, 6, 3), dab_on(&ground, 30, 20, -9, 36)};
    g_assert_true(cz_hints_spread(&ground, dabs, 2, &kernel, &field, NULL));
    ground.learned = true;
    for (int i = 0; i < 2 * 48 * 32; i++)
        ground.field.s[i] += 0.25f;
    g_assert_true(cz_hints_spread(&ground, dabs, 2, &kernel, &learned, NULL));
    for (int i = 0; i < 2 * 48 * 32; i++) {
        g_assert_cmpfloat_with_epsilon(field.c[i], learned.c[i], 1e-4);
        g_assert_cmpfloat_with_epsilon(field.s[i] + 0.25f, learned.s[i], 1e-4);
    }
    cz_field_clear(&field);
    cz_field_clear(&learned);
    cz_ground_clear(&ground);
}

// The formula in hints.h for two dabs, the second bold; strength is solved for in one system.
static void residuals_are_the_formula_s(void)
{
    const CzHintKernel kernel = {1.5f, 0.7f, 40, 15, 20, 2, 0.5f, 0.002f, 1e-5f};
    CzHintKernel rest = kernel;
    CzGround ground;
    CzField field;
    ground_init(&ground, 48, 32, 3);
    g_assert_true(cz_field_init(&field, 48, 32, NULL));
    const CzDab dabs[2] = {dab_on(&ground, 10, 8, 6, 3), dab_on(&ground, 30, 20, -9, 36)};
    g_assert_true(cz_hints_spread(&ground, dabs, 2, &kernel, &field, NULL));
    const size_t at[2] = {8 * 48 + 10, 20 * 48 + 30};
    const float *c = ground.field.c;
    double modest[4], bold[4], v[4], alpha[4], beta[4], strength = 0, worst = 0;
    double between = kernel_at(&ground, &kernel, at[0], at[1], true), length[2], d[4];
    for (int i = 0; i < 4; i++) {
        v[i] = c[2 * at[i / 2] + i % 2];
        d[i] = (double)(i % 2 ? dabs[i / 2].b : dabs[i / 2].a) - v[i];
    }
    length[0] = hypot(d[0], d[1]);
    length[1] = hypot(d[2], d[3]);
    for (int i = 0; i < 4; i++) {
        double m = (length[i / 2] + between * length[1 - i / 2]) / (1 + between);
        double share = pow(fmax(1, m / (double)kernel.bold), -3);
        g_assert_true((share < 1) == (i >= 2));
        modest[i] = share * d[i];
        bold[i] = d[i] - share * d[i];
    }
    rest.strength = 0;
    solve_two(&kernel, kernel_at(&ground, &kernel, at[0], at[1], false), v, modest, alpha);
    solve_two(&rest, between, v, bold, beta);
    for (int i = 0; i < 4; i++)
        strength += (double)kernel.strength * v[i] * alpha[i];
    g_assert_cmpfloat(fabs(strength), >, 0.01);
    for (size_t i = 0; i < (size_t)2 * 48 * 32; i++) {
        double expected = (1 + strength) * c[i];
        for (int j = 0; j < 2; j++)
            expected += alpha[2 * j + i % 2] * kernel_at(&ground, &kernel, i / 2, at[j], false) +
                        beta[2 * j + i % 2] * kernel_at(&ground, &kernel, i / 2, at[j], true);
        worst = fmax(worst, fabs(expected - field.c[i]));
    }
    // A difference of float sums near 1, to the power of 0.75; times alpha.
    g_test_message("off by %.3g at most", worst);
    g_assert_cmpfloat(worst, <, 0.02);
    cz_field_clear(&field);
    cz_ground_clear(&ground);
}

// Two dabs of one color in one place, on something dark and on something bright.
static void one_color_holds_on_both_sides_of_an_edge(void)
{
    CzHintKernel kernel = cz_hint_kernel(0.5);
    CzGround ground;
    CzField field;
    ground_init(&ground, 24, 16, 1);
    g_assert_true(cz_field_init(&field, 24, 16, NULL));
    CzDab dabs[2] = {dab_on(&ground, 12, 8, 15, -10), dab_on(&ground, 12, 8, 15, -10)};
    float lightness[24 * 16] = {0}, ab[2 * 24 * 16];
    size_t at = 8 * 24 + 12;
    dabs[0].l = 35;
    dabs[1].l = 75;
    g_assert_true(cz_hints_spread(&ground, dabs, 2, &kernel, &field, NULL));
    for (int i = 0; i < 2; i++) {
        lightness[at] = dabs[i].l;
        cz_field_sample(&field, 24, 16, 0, 16, lightness, ab);
        g_assert_cmpfloat_with_epsilon(ab[2 * at], 15, 0.05);
        g_assert_cmpfloat_with_epsilon(ab[2 * at + 1], -10, 0.05);
    }
    cz_field_clear(&field);
    cz_ground_clear(&ground);
}

static void contradictions_stay_finite(void)
{
    CzHintKernel kernel = cz_hint_kernel(0.5);
    CzGround ground;
    CzField field;
    ground_init(&ground, 24, 16, 1);
    g_assert_true(cz_field_init(&field, 24, 16, NULL));
    CzDab dabs[40];
    for (int i = 0; i < 40; i++)
        dabs[i] = dab_on(&ground, 12, 8, i % 2 ? 60 : -60, 0);
    g_assert_true(cz_hints_spread(&ground, dabs, 40, &kernel, &field, NULL));
    for (int i = 0; i < 2 * 24 * 16; i++)
        g_assert_true(fabsf(field.c[i]) < 100);
    cz_field_clear(&field);
    cz_ground_clear(&ground);
}

// ---- the whole way ------------------------------------------------------------------------------

static CzChroma *predict(Canvas *canvas)
{
    g_autoptr(GError) error = NULL;
    CzChroma *chroma = cz_colorizer_predict(shared, &canvas->photo, 0, NULL, &error);
    g_assert_no_error(error);
    return chroma;
}

static float *colored(Canvas *canvas, const CzChroma *chroma)
{
    CzSettings settings;
    cz_settings_init(&settings);
    float *rgb = g_new(float, 3 * (size_t)canvas->photo.width * canvas->photo.height);
    read_photo(canvas, 0, canvas->photo.height, rgb, NULL);
    cz_chroma_apply_rows(chroma, &settings, 0, canvas->photo.height, rgb, rgb);
    return rgb;
}

static void the_color_under_a_dab_is_the_dab_s(void)
{
    static const Stroke strokes[] = {{203, 117, 6, 0.55f, 0.35f, 0.3f, 1},
                                     {420, 300, 40, 0.3f, 0.45f, 0.6f, 1},
                                     {600, 90, 9, 0.45f, 0.55f, 0.35f, 1}};
    Canvas canvas;
    CzDab dabs[CZ_MAX_DABS];
    canvas_init(&canvas, 750, 500, strokes, 3);
    g_autoptr(CzChroma) chroma = predict(&canvas);
    size_t n = gather(&canvas, dabs);
    g_assert_true(cz_chroma_hint(chroma, dabs, n, 0.5, NULL));
    g_autofree float *rgb = colored(&canvas, chroma);
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        int32_t x = (int32_t)(dabs[i].x * 750), y = (int32_t)(dabs[i].y * 500);
        float found[3], expected[3] = {0, dabs[i].a, dabs[i].b};
        cz_rgb_to_lab(found, rgb + 3 * ((size_t)y * 750 + x), 1);
        expected[0] = found[0];
        cz_lab_into_gamut(expected, 1);
        worst = fmax(worst, cz_delta_e_2000(found, expected));
    }
    g_test_message("%zu dabs, CIEDE2000 %.3f at most", n, worst);
    g_assert_cmpfloat(worst, <, 1);
}

static void no_hints_is_the_prediction(void)
{
    Canvas canvas;
    canvas_init(&canvas, 300, 200, NULL, 0);
    g_autoptr(CzChroma) chroma = predict(&canvas);
    const CzDab red = {0.3f, 0.5f, 40, 50, 30, 1}, blue = {0.8f, 0.2f, 60, 0, -40, 1};
    size_t n_bytes = 3 * 300 * 200 * sizeof(float);
    g_autofree float *before = colored(&canvas, chroma);
    g_assert_true(cz_chroma_hint(chroma, &red, 1, 0.5, NULL));
    g_autofree float *first = colored(&canvas, chroma);
    g_assert_true(memcmp(before, first, n_bytes) != 0);
    g_assert_true(cz_chroma_hint(chroma, &blue, 1, 1, NULL));
    g_assert_true(cz_chroma_hint(chroma, &red, 1, 0.5, NULL));
    g_autofree float *second = colored(&canvas, chroma);
    g_assert_cmpmem(first, n_bytes, second, n_bytes);
    g_assert_true(cz_chroma_hint(chroma, NULL, 0, 0.5, NULL));
    g_autofree float *after = colored(&canvas, chroma);
    g_assert_cmpmem(before, n_bytes, after, n_bytes);
}

static void a_longer_reach_reaches_farther(void)
{
    Canvas canvas;
    canvas_init(&canvas, 300, 200, NULL, 0);
    g_autoptr(CzChroma) chroma = predict(&canvas);
    const CzDab red = {0.1f, 0.5f, 30, 40, 30, 1};
    g_autofree float *before = colored(&canvas, chroma);
    double last = 0;
    for (int step = 0; step <= 4; step++) {
        double change = 0;
        g_assert_true(cz_chroma_hint(chroma, &red, 1, step / 4.0, NULL));
        g_autofree float *after = colored(&canvas, chroma);
        for (size_t i = 0; i < 3 * 300 * 200; i++)
            change += fabs((double)after[i] - before[i]);
        g_assert_cmpfloat(change, >, 1.02 * last);
        last = change;
    }
}

static void unusable_hints_change_nothing(void)
{
    Canvas canvas;
    canvas_init(&canvas, 300, 200, NULL, 0);
    g_autoptr(CzChroma) chroma = predict(&canvas);
    const CzDab good = {0.3f, 0.5f, 40, 50, 30, 1}, lost = {0.3f, NAN, 40, 50, 30, 1};
    const struct {
        const CzDab *dab;
        size_t n;
        double reach;
        int code;
    } cases[] = {{&lost, 1, 0.5, CZ_ERROR_NUMERIC},
                 {&good, 1, 1.5, CZ_ERROR_ARGUMENT},
                 {&good, 1, (double)NAN, CZ_ERROR_ARGUMENT},
                 {&good, 100000, 0.5, CZ_ERROR_ARGUMENT}};
    size_t n_bytes = 3 * 300 * 200 * sizeof(float);
    g_autofree float *before = colored(&canvas, chroma);
    unsigned long n = 1;
    for (;; n++) {
        g_autoptr(GError) error = NULL;
        cz_fault_arm(CZ_FAULT_MEMORY, n);
        bool done = cz_chroma_hint(chroma, &good, 1, 0.5, &error);
        if (cz_fault_arm(CZ_FAULT_MEMORY, 0) < n)
            break;
        g_assert_false(done);
        g_assert_error(error, CZ_ERROR, CZ_ERROR_MEMORY);
        g_autofree float *after = colored(&canvas, chroma);
        g_assert_cmpmem(before, n_bytes, after, n_bytes);
    }
    g_assert_cmpuint(n, >, 1);
    g_assert_true(cz_chroma_hint(chroma, NULL, 0, 0.5, NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(cz_chroma_hint(chroma, cases[i].dab, cases[i].n, cases[i].reach, &error));
        g_assert_error(error, CZ_ERROR, cases[i].code);
    }
    g_autofree float *last = colored(&canvas, chroma);
    g_assert_cmpmem(before, n_bytes, last, n_bytes);
}

// ---- suggestions --------------------------------------------------------------------------------

#define MOST_SUGGESTED 16

static void assert_choice(double l, const float (*ab)[2], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float lab[3] = {(float)l, ab[i][0], ab[i][1]};
        float inside[3] = {lab[0], lab[1], lab[2]};
        cz_lab_into_gamut(inside, 1);
        g_assert_cmpfloat(cz_delta_e_2000(lab, inside), <, 0.01);
        for (size_t j = 0; j < i; j++) {
            const float other[3] = {(float)l, ab[j][0], ab[j][1]};
            g_assert_cmpfloat(cz_delta_e_2000(lab, other), >=, 5);
        }
    }
}

static void suggestions_are_choices_in_the_gamut(void)
{
    Canvas canvas;
    canvas_init(&canvas, 300, 200, NULL, 0);
    g_autoptr(CzChroma) chroma = predict(&canvas);
    float ab[MOST_SUGGESTED][2] = {{0}};
    for (int l = 0; l <= 100; l += 5) {
        size_t n = cz_chroma_suggest(chroma, 0.3, 0.6, l, ab, MOST_SUGGESTED);
        assert_choice(l, (const float(*)[2])ab, n);
        g_assert_cmpuint(n, >=, l < 15 || l > 95 ? 1 : 8);
        ab[2][0] = 77;
        g_assert_cmpuint(cz_chroma_suggest(chroma, 0.3, 0.6, l, ab, 2), <=, 2);
        g_assert_true(ab[2][0] == 77);
    }
    g_assert_cmpuint(cz_chroma_suggest(chroma, 0.3, 0.6, 0, ab, 8), ==, 1);
    g_assert_cmpuint(cz_chroma_suggest(chroma, 0.3, 0.6, 100, ab, 8), ==, 1);
    g_assert_cmpuint(cz_chroma_suggest(chroma, NAN, 0.6, 50, ab, 8), ==, 0);
    g_assert_cmpuint(cz_chroma_suggest(chroma, 0.3, 0.6, 50, ab, 0), ==, 0);
}

static void the_first_suggestion_is_the_prediction_whatever_was_hinted(void)
{
    Canvas canvas;
    canvas_init(&canvas, 300, 200, NULL, 0);
    g_autoptr(CzChroma) chroma = predict(&canvas);
    const CzDab red = {0.3f, 0.6f, 40, 50, 30, 1};
    const CzField *field = cz_chroma_field(chroma);
    size_t width = field->width, at = width * (field->height / 2) + width / 3;
    double x = ((double)(width / 3) + 0.5) / (double)width;
    double y = (field->height / 2 + 0.5) / field->height;
    float expected[3] = {field->l[at], field->c[2 * at], field->c[2 * at + 1]};
    float ab[MOST_SUGGESTED][2], again[MOST_SUGGESTED][2];
    cz_lab_into_gamut(expected, 1);
    size_t n = cz_chroma_suggest(chroma, x, y, expected[0], ab, MOST_SUGGESTED);
    g_assert_cmpfloat_with_epsilon(ab[0][0], expected[1], 1e-3);
    g_assert_cmpfloat_with_epsilon(ab[0][1], expected[2], 1e-3);
    g_assert_true(cz_chroma_hint(chroma, &red, 1, 0.5, NULL));
    g_assert_cmpuint(cz_chroma_suggest(chroma, x, y, expected[0], again, MOST_SUGGESTED), ==, n);
    g_assert_cmpmem(ab, n * sizeof *ab, again, n * sizeof *again);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_autoptr(GError) error = NULL;
    folder = g_dir_make_tmp("hints-XXXXXX", NULL);
    g_autofree char *path =
        test_weights_write(folder, "small.safetensors", &test_weights_small, NULL, NULL);
    const CzColorizerOptions options = {.weights = path};
    shared = cz_colorizer_new(&options, &error);
    if (!shared)
        g_error("%s", error->message);
#define CASE(claim) g_test_add_func("/engine/hints/" #claim, claim)
    CASE(a_small_dab_counts_as_a_large_one);
    CASE(neighbours_of_other_colors_stay_apart);
    CASE(any_painting_gives_a_bounded_number);
    CASE(gathering_fails_with_a_sentence);
    CASE(residuals_are_the_formula_s);
    CASE(one_color_holds_on_both_sides_of_an_edge);
    CASE(contradictions_stay_finite);
    CASE(the_color_under_a_dab_is_the_dab_s);
    CASE(learned_slopes_stay_under_hints);
    CASE(no_hints_is_the_prediction);
    CASE(a_longer_reach_reaches_farther);
    CASE(unusable_hints_change_nothing);
    CASE(suggestions_are_choices_in_the_gamut);
    CASE(the_first_suggestion_is_the_prediction_whatever_was_hinted);
    int result = g_test_run();
    cz_colorizer_free(shared);
    g_autofree char *remove = g_strdup_printf("rm -rf '%s'", folder);
    g_free(folder);
    return system(remove) == 0 ? result : 1;
}
