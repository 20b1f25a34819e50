// SPDX-License-Identifier: LGPL-3.0-or-later
// Conversions against published values, a double formula and babl; the gamut; CIEDE2000.
#include <cz/color.h>

#include <math.h>
#include <string.h>

#include <glib.h>

#include <cz/rng.h>

#ifdef HAVE_BABL
#include <babl/babl.h>

#ifdef __SANITIZE_ADDRESS__
// babl keeps some of its tables after babl_exit().
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:babl_malloc";
}
#endif
#endif

// ---- numeric checks: the worst place, both values, the bound ------------------------------------

typedef struct {
    double worst, found, expected;
    size_t index;
} Worst;

static void worst_add(Worst *worst, size_t index, double found, double expected)
{
    double error = fabs(found - expected);
    if (error <= worst->worst && !isnan(error))
        return;
    *worst = (Worst){isnan(error) ? INFINITY : error, found, expected, index};
}

static void worst_check(const Worst *worst, const char *what, double bound)
{
    g_test_message("%s: most %.3g (at %zu: %.8g, expected %.8g), bound %.3g", what, worst->worst,
                   worst->index, worst->found, worst->expected, bound);
    if (worst->worst > bound)
        g_test_fail_printf("%s: %.3g > %.3g", what, worst->worst, bound);
}

// ---- the definition in double, written from the standards ---------------------------------------

static double linear_of(double v)
{
    double m = fabs(v);
    return copysign(m <= 0.04045 ? m / 12.92 : pow((m + 0.055) / 1.055, 2.4), v);
}

static double f_of(double t)
{
    return t > 216.0 / 24389 ? cbrt(t) : (24389.0 / 27 * t + 16) / 116;
}

static double f_inverse(double f)
{
    return f > 6.0 / 29 ? f * f * f : (116 * f - 16) * 27 / 24389;
}

static const double to_xyz[3][3] = {{0.436034844, 0.385116654, 0.143051372},
                                    {0.222487940, 0.716903839, 0.060608257},
                                    {0.013915885, 0.097060507, 0.713928955}};
static const double white[3] = {0.964202880, 1, 0.824905400};

static void lab_of_linear(double lab[3], const double rgb[3])
{
    double f[3];
    for (int i = 0; i < 3; i++)
        f[i] = f_of((to_xyz[i][0] * rgb[0] + to_xyz[i][1] * rgb[1] + to_xyz[i][2] * rgb[2]) /
                    white[i]);
    lab[0] = 116 * f[1] - 16;
    lab[1] = 500 * (f[0] - f[1]);
    lab[2] = 200 * (f[1] - f[2]);
}

static void lab_of(double lab[3], const float rgb[3])
{
    double linear[3] = {linear_of(rgb[0]), linear_of(rgb[1]), linear_of(rgb[2])};
    lab_of_linear(lab, linear);
}

// Cramer's rule on to_xyz.
static void linear_of_lab(double rgb[3], const double lab[3])
{
    double fy = (lab[0] + 16) / 116, f[3] = {fy + lab[1] / 500, fy, fy - lab[2] / 200}, xyz[3];
    for (int i = 0; i < 3; i++)
        xyz[i] = f_inverse(f[i]) * white[i];
#define DET(a, b, c)                                                           \
    (a[0] * (b[1] * c[2] - b[2] * c[1]) - b[0] * (a[1] * c[2] - a[2] * c[1]) + \
     c[0] * (a[1] * b[2] - a[2] * b[1]))
    double column[3][3];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            column[j][i] = to_xyz[i][j];
    double det = DET(column[0], column[1], column[2]);
    rgb[0] = DET(xyz, column[1], column[2]) / det;
    rgb[1] = DET(column[0], xyz, column[2]) / det;
    rgb[2] = DET(column[0], column[1], xyz) / det;
}

enum { SIDE = 41, CUBE = SIDE * SIDE * SIDE };
static float cube[3 * CUBE], labbed[3 * CUBE], back[3 * CUBE], lightness[CUBE];

// A grid over [low, high] in all channels.
static void fill_cube(float low, float high)
{
    for (int i = 0; i < CUBE; i++) {
        int at[3] = {i % SIDE, i / SIDE % SIDE, i / SIDE / SIDE};
        for (int c = 0; c < 3; c++)
            cube[3 * i + c] = low + (high - low) * at[c] / (SIDE - 1);
    }
}

// ---- conversions --------------------------------------------------------------------------------

static void test_published_values(void)
{
    // CIE 15: white is 100, 0, 0. Primaries under D50: Lindbloom's calculator, as Photoshop rounds
    // them (54 81 70, 88 -79 81, 30 68 -112). 18.4187 % luminance is L* 50.
    static const float rgb[][3] = {{1, 1, 1}, {0, 0, 0}, {1, 0, 0},
                                   {0, 1, 0}, {0, 0, 1}, {0.4663269f, 0.4663269f, 0.4663269f}};
    static const double expected[][3] = {{100, 0, 0},
                                         {0, 0, 0},
                                         {54.2917, 80.8125, 69.8851},
                                         {87.8181, -79.2873, 80.9902},
                                         {29.5676, 68.2986, -112.0294},
                                         {50, 0, 0}};
    Worst grey = {0}, primary = {0};
    for (int i = 0; i < 6; i++) {
        float lab[3];
        cz_rgb_to_lab(lab, rgb[i], 1);
        bool is_primary = i >= 2 && i <= 4;
        for (int c = 0; c < 3; c++)
            worst_add(is_primary ? &primary : &grey, 3 * i + c, lab[c], expected[i][c]);
    }
    worst_check(&grey, "white, black and middle grey", 1e-4);
    worst_check(&primary, "primaries (published for rounded matrices)", 0.02);
}

static void test_matches_formula(void)
{
    static const float ranges[][2] = {{0, 1}, {-0.5f, 0.1f}, {0, 4}, {-0.01f, 0.05f}};
    for (size_t r = 0; r < G_N_ELEMENTS(ranges); r++) {
        Worst l = {0}, ab = {0}, alone = {0};
        fill_cube(ranges[r][0], ranges[r][1]);
        cz_rgb_to_lab(labbed, cube, CUBE);
        cz_rgb_to_lightness(lightness, cube, CUBE);
        for (size_t i = 0; i < CUBE; i++) {
            double lab[3];
            lab_of(lab, cube + 3 * i);
            worst_add(&l, i, labbed[3 * i], lab[0]);
            worst_add(&alone, i, lightness[i], lab[0]);
            worst_add(&ab, i, labbed[3 * i + 1], lab[1]);
            worst_add(&ab, i, labbed[3 * i + 2], lab[2]);
        }
        // L* goes from -340 to 260 in these ranges.
        worst_check(&l, "L* of Lab", 1e-4);
        worst_check(&alone, "L* alone", 1e-4);
        worst_check(&ab, "a*, b*", 4e-4);
    }
}

static void test_greys_are_neutral(void)
{
    for (int i = -100; i <= 1200; i++) {
        float rgb[3] = {i * 1e-3f, i * 1e-3f, i * 1e-3f}, lab[3], again[3];
        cz_rgb_to_lab(lab, rgb, 1);
        cz_lab_to_rgb(again, lab, 1);
        g_assert_true(lab[1] == 0 && lab[2] == 0);
        g_assert_true(again[0] == again[1] && again[1] == again[2]);
    }
}

static void test_round_trip(void)
{
    static const float ranges[][2] = {{0, 1}, {-0.2f, 0.2f}, {0, 2}};
    static float again[3 * CUBE];
    for (size_t r = 0; r < G_N_ELEMENTS(ranges); r++) {
        Worst l = {0}, rgb = {0};
        fill_cube(ranges[r][0], ranges[r][1]);
        cz_rgb_to_lab(labbed, cube, CUBE);
        cz_lab_to_rgb(back, labbed, CUBE);
        cz_rgb_to_lab(again, back, CUBE);
        for (size_t i = 0; i < CUBE; i++)
            worst_add(&l, i, again[3 * i], labbed[3 * i]);
        for (size_t i = 0; i < 3 * CUBE; i++)
            worst_add(&rgb, i, back[i], cube[i]);
        worst_check(&l, "L* there and back", 1e-4);
        worst_check(&rgb, "RGB there and back", 2e-5 * MAX(1, ranges[r][1]));
    }
}

static void test_pieces_and_in_place(void)
{
    fill_cube(-0.1f, 1.1f);
    cz_rgb_to_lab(labbed, cube, CUBE);
    size_t at = 0;
    for (size_t n = 1; at < CUBE; at += n, n = n * 7 % 1013)
        cz_rgb_to_lab(back + 3 * at, cube + 3 * at, MIN(n, CUBE - at));
    g_assert_cmpmem(back, sizeof back, labbed, sizeof labbed);
    cz_lab_to_gamut_rgb(back, labbed, CUBE);
    cz_lab_to_gamut_rgb(labbed, labbed, CUBE);
    g_assert_cmpmem(back, sizeof back, labbed, sizeof labbed);
    cz_rgb_to_lightness(lightness, cube, CUBE);
    cz_rgb_to_lab(cube, cube, CUBE);
    for (size_t i = 0; i < CUBE; i++)
        g_assert_true(lightness[i] == cube[3 * i]);
}

static void test_d65(void)
{
    // skimage's constants: sRGB to XYZ and white of D65, 2 degrees.
    static const double m[3][3] = {{0.412453, 0.357580, 0.180423},
                                   {0.212671, 0.715160, 0.072169},
                                   {0.019334, 0.119193, 0.950227}};
    static const double d65[3] = {0.95047, 1, 1.08883};
    fill_cube(0, 1);
    cz_rgb_to_lab(labbed, cube, CUBE);
    memcpy(back, labbed, sizeof labbed);
    for (size_t i = 0; i < CUBE; i++) {
        double f[3];
        for (int r = 0; r < 3; r++) {
            double sum = 0;
            for (int c = 0; c < 3; c++)
                sum += m[r][c] * linear_of(cube[3 * i + c]);
            f[r] = f_of(sum / d65[r]);
        }
        back[3 * i + 1] = (float)(500 * (f[0] - f[1]));
        back[3 * i + 2] = (float)(200 * (f[1] - f[2]));
    }
    cz_lab_d65_to_d50(back, CUBE);
    Worst ab = {0};
    for (size_t i = 0; i < 3 * CUBE; i++)
        worst_add(&ab, i, back[i], labbed[i]);
    worst_check(&ab, "a*, b* from D65", 0.1); // their matrix has six digits
}

static void test_babl(void)
{
#ifdef HAVE_BABL
    babl_init();
    CzRng rng = cz_rng(4, 0);
    for (size_t i = 0; i < 3 * CUBE; i++)
        cube[i] = cz_rng_uniform(&rng);
    static double wide[3 * CUBE], exact[3 * CUBE];
    for (size_t i = 0; i < 3 * CUBE; i++)
        wide[i] = cube[i];
    const Babl *rgb = babl_format("R'G'B' float");
    babl_process(babl_fish(rgb, babl_format("CIE Lab float")), cube, back, CUBE);
    babl_process(babl_fish(rgb, babl_format("CIE L float")), cube, lightness, CUBE);
    babl_process(babl_fish(babl_format("R'G'B' double"), babl_format("CIE Lab double")), wide,
                 exact, CUBE);
    cz_rgb_to_lab(labbed, cube, CUBE);
    Worst l = {0}, ab = {0}, alone = {0}, l_exact = {0}, ab_exact = {0};
    for (size_t i = 0; i < CUBE; i++) {
        worst_add(&alone, i, labbed[3 * i], lightness[i]);
        worst_add(&l, i, labbed[3 * i], back[3 * i]);
        worst_add(&l_exact, i, labbed[3 * i], exact[3 * i]);
        for (int c = 1; c < 3; c++) {
            worst_add(&ab, i, labbed[3 * i + c], back[3 * i + c]);
            worst_add(&ab_exact, i, labbed[3 * i + c], exact[3 * i + c]);
        }
    }
    // babl's float way has tables and a short cube root; its double way is the law.
    worst_check(&alone, "L* against babl's CIE L float", 3e-4);
    worst_check(&l, "L* against babl's CIE Lab float", 3e-4);
    worst_check(&ab, "a*, b* against babl's CIE Lab float", 1e-3);
    worst_check(&l_exact, "L* against babl's CIE Lab double", 1e-4);
    worst_check(&ab_exact, "a*, b* against babl's CIE Lab double", 5e-4);
    babl_exit();
#else
    g_test_skip("babl's headers were not there at build time");
#endif
}

// ---- the gamut ----------------------------------------------------------------------------------

static double violation_at(const double lab[3], double t)
{
    double scaled[3] = {lab[0], lab[1] * t, lab[2] * t}, rgb[3], v = -1;
    linear_of_lab(rgb, scaled);
    for (int c = 0; c < 3; c++)
        v = MAX(v, MAX(-rgb[c], rgb[c] - 1));
    return v;
}

// Every L* with random hues, chroma from 0 to 250.
static void fill_wild(void)
{
    CzRng rng = cz_rng(9, 0);
    for (size_t i = 0; i < CUBE; i++) {
        float hue = 6.2831853f * cz_rng_uniform(&rng), chroma = cz_rng_uniform(&rng);
        chroma *= i % 2 ? 250 : 60;
        labbed[3 * i] = 0.01f + 99.98f * cz_rng_uniform(&rng);
        labbed[3 * i + 1] = chroma * cosf(hue);
        labbed[3 * i + 2] = chroma * sinf(hue);
    }
}

static void test_gamut_keeps_lightness_and_hue(void)
{
    Worst channel = {0}, l = {0}, hue = {0}, edge = {0};
    size_t n_outside = 0, n_short = 0;
    fill_wild();
    memcpy(back, labbed, sizeof labbed);
    cz_lab_into_gamut(back, CUBE);
    cz_lab_to_rgb(cube, back, CUBE);
    for (size_t i = 0; i < CUBE; i++) {
        double wild[3] = {labbed[3 * i], labbed[3 * i + 1], labbed[3 * i + 2]}, lab[3];
        lab_of(lab, cube + 3 * i);
        worst_add(&l, i, lab[0], wild[0]);
        double chroma = hypot(wild[1], wild[2]);
        worst_add(&hue, i, (lab[1] * wild[2] - lab[2] * wild[1]) / MAX(chroma, 1e-3), 0);
        for (int c = 0; c < 3; c++)
            worst_add(&channel, i, CLAMP(cube[3 * i + c], 0, 1), cube[3 * i + c]);
        g_assert_true(back[3 * i] == labbed[3 * i]);
        if (violation_at(wild, 1) <= 4e-7)
            continue;
        n_outside++;
        double low = 0, high = 1;
        for (int step = 0; step < 50; step++) {
            double middle = (low + high) / 2;
            *(violation_at(wild, middle) > 0 ? &high : &low) = middle;
        }
        double reached = hypot(back[3 * i + 1], back[3 * i + 2]);
        worst_add(&edge, i, reached, low * chroma);
        n_short += reached < low * chroma - 0.01;
    }
    g_test_message("%zu of %d were outside, %zu fell short by 0.01", n_outside, CUBE, n_short);
    g_assert_cmpuint(n_outside, >, CUBE / 4);
    g_assert_cmpuint(n_short, <, n_outside / 500);
    worst_check(&channel, "channels leave 0..1 by", 1e-5);
    worst_check(&l, "L* of the RGB that came out", 1e-4);
    worst_check(&hue, "a*b* beside the line of constant hue", 2e-3);
    // Next to blue the ray runs along the gamut's side: where it leaves is ill-conditioned.
    worst_check(&edge, "chroma against the edge of the gamut", 3);
}

static void test_gamut_leaves_inside_alone(void)
{
    fill_cube(0.001f, 0.999f);
    cz_rgb_to_lab(labbed, cube, CUBE);
    memcpy(back, labbed, sizeof labbed);
    cz_lab_into_gamut(back, CUBE);
    g_assert_cmpmem(back, sizeof back, labbed, sizeof labbed);
    for (size_t i = 0; i < CUBE; i++)
        g_assert_true(cz_lab_in_gamut(labbed + 3 * i));
    cz_lab_to_gamut_rgb(cube, labbed, CUBE);
    cz_lab_to_rgb(back, labbed, CUBE);
    g_assert_cmpmem(back, sizeof back, cube, sizeof cube);
}

static void test_gamut_in_one_pass(void)
{
    Worst rgb = {0};
    fill_wild();
    cz_lab_to_gamut_rgb(cube, labbed, CUBE);
    cz_lab_into_gamut(labbed, CUBE);
    cz_lab_to_rgb(back, labbed, CUBE);
    for (size_t i = 0; i < 3 * CUBE; i++)
        worst_add(&rgb, i, cube[i], back[i]);
    worst_check(&rgb, "one pass against two", 2e-6);
}

static void test_gamut_of_the_impossible(void)
{
    float wild[][3] = {{120, 30, 10},        {-5, 30, 10},  {100, 5, 5},       {0, 5, 5},
                       {50, NAN, 3},         {50, 3, NAN},  {50, INFINITY, 0}, {50, -1e30f, 1e30f},
                       {300, NAN, INFINITY}, {50, 1e6f, 2}, {1e-3f, 50, 50}};
    for (size_t i = 0; i < G_N_ELEMENTS(wild); i++) {
        float rgb[3], lab[3] = {wild[i][0], wild[i][1], wild[i][2]};
        cz_lab_to_gamut_rgb(rgb, lab, 1);
        cz_lab_into_gamut(lab, 1);
        g_assert_true(lab[0] == wild[i][0]);
        g_assert_true(isfinite(lab[1]) && isfinite(lab[2]) && isfinite(rgb[0] + rgb[1] + rgb[2]));
        if (i < 9)
            g_assert_true(fabsf(lab[1]) < 1e-3f && fabsf(lab[2]) < 1e-3f);
    }
    float lost[3] = {NAN, 3, 4};
    cz_lab_into_gamut(lost, 1);
    g_assert_true(isnan(lost[0]) && lost[1] == 0 && lost[2] == 0);
    g_assert_false(cz_lab_in_gamut((const float[]){NAN, 3, 4}));
}

// ---- what rounding to the output's type does to L* ----------------------------------------------

typedef struct {
    const char *name;
    double steps; // 0: float
    bool linear;
    double bound; // design.md, Colour
} Type;

static double stored(const Type *type, float encoded)
{
    double v = type->linear ? linear_of(encoded) : encoded;
    v = CLAMP(v, 0, 1);
    if (type->steps > 0)
        v = round(v * type->steps) / type->steps;
    return type->linear ? v : linear_of(v);
}

static void test_type_bounds(gconstpointer data)
{
    const Type *type = data;
    Worst l = {0};
    CzRng rng = cz_rng(2, 0);
    for (int round = 0; round < 12; round++) {
        // Half of them grey, and half of all in the blacks, where L* is steep.
        for (size_t i = 0; i < CUBE; i++) {
            labbed[3 * i] = (i % 4 < 2 ? 100 : 12) * cz_rng_uniform(&rng);
            labbed[3 * i + 1] = i % 2 ? 0 : 40 * cz_rng_normal(&rng);
            labbed[3 * i + 2] = i % 2 ? 0 : 40 * cz_rng_normal(&rng);
        }
        cz_lab_to_gamut_rgb(cube, labbed, CUBE);
        for (size_t i = 0; i < CUBE; i++) {
            double rgb[3], lab[3];
            for (int c = 0; c < 3; c++)
                rgb[c] = stored(type, cube[3 * i + c]);
            lab_of_linear(lab, rgb);
            worst_add(&l, i, lab[0], labbed[3 * i]);
        }
    }
    worst_check(&l, type->name, type->bound);
}

// ---- CIEDE2000 ----------------------------------------------------------------------------------

// Sharma, Wu & Dalal 2005, table 1.
// clang-format off
static const float sharma[34][7] = {
    {50, 2.6772f, -79.7751f, 50, 0, -82.7485f, 2.0425f}, {50, 3.1571f, -77.2803f, 50, 0, -82.7485f, 2.8615f},
    {50, 2.8361f, -74.0200f, 50, 0, -82.7485f, 3.4412f}, {50, -1.3802f, -84.2814f, 50, 0, -82.7485f, 1.0000f},
    {50, -1.1848f, -84.8006f, 50, 0, -82.7485f, 1.0000f}, {50, -0.9009f, -85.5211f, 50, 0, -82.7485f, 1.0000f},
    {50, 0, 0, 50, -1, 2, 2.3669f}, {50, -1, 2, 50, 0, 0, 2.3669f},
    {50, 2.49f, -0.001f, 50, -2.49f, 0.0009f, 7.1792f}, {50, 2.49f, -0.001f, 50, -2.49f, 0.0010f, 7.1792f},
    {50, 2.49f, -0.001f, 50, -2.49f, 0.0011f, 7.2195f}, {50, 2.49f, -0.001f, 50, -2.49f, 0.0012f, 7.2195f},
    {50, -0.001f, 2.49f, 50, 0.0009f, -2.49f, 4.8045f}, {50, -0.001f, 2.49f, 50, 0.0010f, -2.49f, 4.8045f},
    {50, -0.001f, 2.49f, 50, 0.0011f, -2.49f, 4.7461f}, {50, 2.5f, 0, 50, 0, -2.5f, 4.3065f},
    {50, 2.5f, 0, 73, 25, -18, 27.1492f}, {50, 2.5f, 0, 61, -5, 29, 22.8977f},
    {50, 2.5f, 0, 56, -27, -3, 31.9030f}, {50, 2.5f, 0, 58, 24, 15, 19.4535f},
    {50, 2.5f, 0, 50, 3.1736f, 0.5854f, 1.0000f}, {50, 2.5f, 0, 50, 3.2972f, 0, 1.0000f},
    {50, 2.5f, 0, 50, 1.8634f, 0.5757f, 1.0000f}, {50, 2.5f, 0, 50, 3.2592f, 0.3350f, 1.0000f},
    {60.2574f, -34.0099f, 36.2677f, 60.4626f, -34.1751f, 39.4387f, 1.2644f},
    {63.0109f, -31.0961f, -5.8663f, 62.8187f, -29.7946f, -4.0864f, 1.2630f},
    {61.2901f, 3.7196f, -5.3901f, 61.4292f, 2.2480f, -4.9620f, 1.8731f},
    {35.0831f, -44.1164f, 3.7933f, 35.0232f, -40.0716f, 1.5901f, 1.8645f},
    {22.7233f, 20.0904f, -46.6940f, 23.0331f, 14.9730f, -42.5619f, 2.0373f},
    {36.4612f, 47.8580f, 18.3852f, 36.2715f, 50.5065f, 21.2231f, 1.4146f},
    {90.8027f, -2.0831f, 1.4410f, 91.1528f, -1.6435f, 0.0447f, 1.4441f},
    {90.9257f, -0.5406f, -0.9208f, 88.6381f, -0.8985f, -0.7239f, 1.5381f},
    {6.7747f, -0.2908f, -2.4247f, 5.8714f, -0.0985f, -2.2286f, 0.6377f},
    {2.0776f, 0.0795f, -1.1350f, 0.9033f, -0.0636f, -0.5514f, 0.9082f}};
// clang-format on

static void test_sharma(void)
{
    Worst forth = {0}, swapped = {0};
    for (size_t i = 0; i < 34; i++) {
        worst_add(&forth, i, cz_delta_e_2000(sharma[i], sharma[i] + 3), sharma[i][6]);
        worst_add(&swapped, i, cz_delta_e_2000(sharma[i] + 3, sharma[i]), sharma[i][6]);
    }
    worst_check(&forth, "CIEDE2000", 1.01e-4);
    worst_check(&swapped, "CIEDE2000, swapped", 1.01e-4);
    g_assert_true(cz_delta_e_2000(sharma[0], sharma[0]) == 0);
}

int main(int argc, char **argv)
{
    static const Type types[] = {{"u8", 255, false, 0.256},    {"u8-linear", 255, true, 1.7713},
                                 {"u16", 65535, false, 0.001}, {"u16-linear", 65535, true, 0.007},
                                 {"float", 0, false, 1e-4},    {"float-linear", 0, true, 1e-4}};
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/engine/color/lab_has_published_values", test_published_values);
    g_test_add_func("/engine/color/lab_matches_formula_in_and_out_of_range", test_matches_formula);
    g_test_add_func("/engine/color/greys_are_exactly_neutral", test_greys_are_neutral);
    g_test_add_func("/engine/color/there_and_back_keeps_lightness", test_round_trip);
    g_test_add_func("/engine/color/pieces_and_in_place_give_the_same_bits",
                    test_pieces_and_in_place);
    g_test_add_func("/engine/color/d65_chroma_becomes_ours", test_d65);
    g_test_add_func("/engine/color/lab_is_babls", test_babl);
    g_test_add_func("/engine/color/gamut_keeps_lightness_and_hue",
                    test_gamut_keeps_lightness_and_hue);
    g_test_add_func("/engine/color/gamut_leaves_inside_alone", test_gamut_leaves_inside_alone);
    g_test_add_func("/engine/color/gamut_in_one_pass_is_the_same", test_gamut_in_one_pass);
    g_test_add_func("/engine/color/gamut_survives_the_impossible", test_gamut_of_the_impossible);
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        g_autofree char *name =
            g_strdup_printf("/engine/color/rounding_to_%s_keeps_lightness", types[i].name);
        g_test_add_data_func(name, &types[i], test_type_bounds);
    }
    g_test_add_func("/engine/color/delta_e_has_all_of_sharmas_pairs", test_sharma);
    return g_test_run();
}
