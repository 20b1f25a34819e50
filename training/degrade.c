// SPDX-License-Identifier: LGPL-3.0-or-later
// What time and old cameras do to a photograph's lightness.
#include "degrade.h"

#include <math.h>
#include <string.h>

#include <cz/color.h>
#include <cz/error.h>

#define MOST_TAPS 9 // on either side: six deviations of the widest blur and more

bool train_degrade_check(const TrainDegradeParams *params, GError **error)
{
    const float probabilities[] = {params->blur, params->plate, params->fade, params->grain,
                                   params->jpeg};
    for (size_t i = 0; i < G_N_ELEMENTS(probabilities); i++)
        if (!(probabilities[i] >= 0 && probabilities[i] <= 1)) {
            g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                        "a probability of degradation is %g, allowed is 0 to 1", probabilities[i]);
            return false;
        }
    return true;
}

static float between(CzRng *rng, float low, float high)
{
    return low + cz_rng_uniform(rng) * (high - low);
}

// Orthochromatic at best, blind to red; or any mixture, evenly over the simplex.
static void draw_plate(TrainDegradeDraw *drawn, CzRng *rng)
{
    bool old = cz_rng_uniform(rng) < 0.5f;
    float red = between(rng, 0, 0.1f), green = between(rng, 0.1f, 0.5f);
    float share[3], sum = 0;
    for (int c = 0; c < 3; c++)
        sum += share[c] = -logf(1 - cz_rng_uniform(rng)) + 1e-6f;
    const float plate[3] = {red, green, 1 - red - green};
    for (int c = 0; c < 3; c++)
        drawn->weight[c] = old ? plate[c] : share[c] / sum;
}

TrainDegradeDraw train_degrade_draw(const TrainDegradeParams *params, CzRng *rng)
{
    TrainDegradeDraw drawn = {.white = 1}, all = {0};
    float chance[5];
    for (int i = 0; i < 5; i++)
        chance[i] = cz_rng_uniform(rng);
    all.blur = between(rng, 0.4f, 1.4f);
    draw_plate(&all, rng);
    all.black = between(rng, 0, 0.25f);
    all.white = between(rng, 0.7f, 1);
    all.grain = between(rng, 0, 0.06f);
    all.quality = 20 + (int32_t)cz_rng_below(rng, 51);
    drawn.grain_at = (uint64_t)cz_rng_u32(rng) << 32 | cz_rng_u32(rng);
    if (chance[0] < params->blur)
        drawn.blur = all.blur;
    if (chance[1] < params->plate)
        memcpy(drawn.weight, all.weight, sizeof drawn.weight);
    if (chance[2] < params->fade)
        drawn.black = all.black, drawn.white = all.white;
    if (chance[3] < params->grain)
        drawn.grain = all.grain;
    if (chance[4] < params->jpeg)
        drawn.quality = all.quality;
    return drawn;
}

// ---- plate --------------------------------------------------------------------------------------

static float linear_of(float v) // IEC 61966-2-1
{
    return v <= 0.04045f ? v / 12.92f : powf((v + 0.055f) / 1.055f, 2.4f);
}

static float lightness_of(float y) // CIE 15:2004, 8.2.1; 0 to 1
{
    return y > 216.0f / 24389 ? 1.16f * cbrtf(y) - 0.16f : y * (24389.0f / 2700);
}

// The curve above through 2048 steps: its second derivative is 3.1 at most, so that a chord is off
// by 3.1 / 8 / 2048^2 = 9e-8, where powf() takes most of a sample's time.
enum { STEPS = 2048 };

static void make_curve(float curve[STEPS + 2])
{
    for (int i = 0; i < STEPS + 2; i++)
        curve[i] = linear_of((float)i / STEPS);
}

static float linear_from(const float *curve, float encoded)
{
    float at = CLAMP(encoded, 0, 1) * STEPS;
    int i = (int)at;
    return curve[i] + (at - (float)i) * (curve[i + 1] - curve[i]);
}

static void expose_plate(const float w[3], const float *lab, size_t n, float *l)
{
    enum { BLOCK = 256 }; // pixels that cz_lab_to_rgb() converts at once; one alone takes as long
    float curve[STEPS + 2], rgb[3 * BLOCK];
    make_curve(curve);
    for (size_t begin = 0; begin < n; begin += BLOCK) {
        size_t n_block = MIN(n - begin, BLOCK);
        cz_lab_to_rgb(rgb, lab + 3 * begin, n_block);
        for (size_t i = 0; i < n_block; i++)
            l[begin + i] = lightness_of(w[0] * linear_from(curve, rgb[3 * i]) +
                                        w[1] * linear_from(curve, rgb[3 * i + 1]) +
                                        w[2] * linear_from(curve, rgb[3 * i + 2]));
    }
}

static void expose(const TrainDegradeDraw *drawn, const float *lab, size_t n, float *l)
{
    const float *w = drawn->weight;
    if (w[0] + w[1] + w[2] > 0)
        expose_plate(w, lab, n, l);
    else
        for (size_t i = 0; i < n; i++)
            l[i] = CLAMP(lab[3 * i] * 0.01f, 0, 1);
}

// ---- blur ---------------------------------------------------------------------------------------

// Along one line of n values, stride apart; edges are repeated.
static void blur_line(const float *src, float *dst, int32_t n, int32_t stride, const float *taps)
{
    for (int32_t i = 0; i < n; i++) {
        float sum = taps[0] * src[(size_t)i * stride];
        for (int32_t k = 1; k <= MOST_TAPS; k++)
            sum += taps[k] *
                   (src[(size_t)MAX(i - k, 0) * stride] + src[(size_t)MIN(i + k, n - 1) * stride]);
        dst[(size_t)i * stride] = sum;
    }
}

static void blur(float *l, int32_t side, float deviation, float *scratch)
{
    float taps[MOST_TAPS + 1], sum = 0;
    for (int k = 0; k <= MOST_TAPS; k++) {
        taps[k] = expf(-0.5f * (float)(k * k) / (deviation * deviation));
        sum += k ? 2 * taps[k] : taps[k];
    }
    for (int k = 0; k <= MOST_TAPS; k++)
        taps[k] /= sum;
    for (int32_t y = 0; y < side; y++)
        blur_line(l + (size_t)y * side, scratch + (size_t)y * side, side, 1, taps);
    for (int32_t x = 0; x < side; x++)
        blur_line(scratch + x, l + x, side, side, taps);
}

// ---- grain --------------------------------------------------------------------------------------

static void add_grain(float *l, int32_t side, const TrainDegradeDraw *drawn, float *scratch)
{
    size_t n = (size_t)side * side;
    CzRng rng = cz_rng(drawn->grain_at, 0);
    for (size_t i = 0; i < n; i++)
        scratch[i] = drawn->grain * cz_rng_normal(&rng);
    for (size_t i = 0; i < n; i++) // grains are larger than pixels: half of the left one's
        l[i] = CLAMP(l[i] + 0.894f * scratch[i] + 0.447f * scratch[i % side ? i - 1 : i], 0, 1);
}

// ---- JPEG ---------------------------------------------------------------------------------------

// ITU-T T.81, table K.1, row after row.
static const uint8_t quantisers[64] = {
    16, 11, 10, 16, 24,  40,  51,  61,  12, 12, 14, 19, 26,  58,  60,  55,
    14, 13, 16, 24, 40,  57,  69,  56,  14, 17, 22, 29, 51,  87,  80,  62,
    18, 22, 37, 56, 68,  109, 103, 77,  24, 35, 55, 64, 81,  104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99};

static void make_cosines(float cosines[8][8])
{
    for (int u = 0; u < 8; u++)
        for (int x = 0; x < 8; x++)
            cosines[u][x] =
                (u ? 0.5f : 0.35355339f) * cosf((float)(2 * x + 1) * (float)u * (float)(G_PI / 16));
}

// dst = m src m', or m' src m back again.
static void transform(const float m[8][8], const float src[8][8], float dst[8][8], bool back)
{
    float half[8][8] = {{0}};
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++)
            for (int k = 0; k < 8; k++)
                half[i][j] += (back ? m[k][i] : m[i][k]) * src[k][j];
    memset(dst, 0, 64 * sizeof(float));
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++)
            for (int k = 0; k < 8; k++)
                dst[i][j] += half[i][k] * (back ? m[k][j] : m[j][k]);
}

static void quantise(float *l, int32_t side, int32_t quality)
{
    float cosines[8][8], block[8][8], values[8][8];
    float scale = (quality < 50 ? 5000.0f / (float)quality : 200 - 2 * (float)quality) / 100;
    make_cosines(cosines);
    for (int32_t y = 0; y < side; y += 8)
        for (int32_t x = 0; x < side; x += 8) {
            for (int i = 0; i < 64; i++)
                block[i / 8][i % 8] =
                    255 * l[(size_t)MIN(y + i / 8, side - 1) * side + MIN(x + i % 8, side - 1)] -
                    128;
            transform(cosines, block, values, false);
            for (int i = 0; i < 64; i++) {
                float step = fmaxf(1, floorf(quantisers[i] * scale + 0.5f));
                values[i / 8][i % 8] = step * rintf(values[i / 8][i % 8] / step);
            }
            transform(cosines, values, block, true);
            for (int i = 0; i < 64; i++)
                if (y + i / 8 < side && x + i % 8 < side)
                    l[(size_t)(y + i / 8) * side + x + i % 8] =
                        CLAMP((block[i / 8][i % 8] + 128) / 255, 0, 1);
        }
}

void train_degrade(const TrainDegradeDraw *drawn, const float *lab, int32_t side, float *l,
                   float *scratch)
{
    size_t n = (size_t)side * side;
    expose(drawn, lab, n, l);
    if (drawn->blur > 0)
        blur(l, side, drawn->blur, scratch);
    for (size_t i = 0; i < n; i++)
        l[i] = drawn->black + (drawn->white - drawn->black) * l[i];
    if (drawn->grain > 0)
        add_grain(l, side, drawn, scratch);
    if (drawn->quality > 0)
        quantise(l, side, drawn->quality);
}
