// SPDX-License-Identifier: LGPL-3.0-or-later
// The field: slopes by ridge regression over 3 x 3 places, and sampling at any size.
//
// Between the middles of two neighbouring places of the maps every map is linear along a row. So a
// row is walked piece by piece: five numbers and their differences a piece, a short vector loop
// over its pixels, and neither gathers nor tables.
#include <cz/field.h>

#include <math.h>
#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>

#include "base/clones.h"
#include "color/field_span.h"

bool cz_field_init(CzField *field, int32_t width, int32_t height, GError **error)
{
    memset(field, 0, sizeof *field);
    gsize n, n_bytes;
    if (width < 1 || height < 1 || !g_size_checked_mul(&n, (gsize)width, (gsize)height) ||
        !g_size_checked_mul(&n_bytes, n, 5 * sizeof(float))) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_SHAPE, "field: a size of %d x %d is impossible",
                    width, height);
        return false;
    }
    float *maps = cz_memory_alloc(n_bytes, "the field", error);
    if (!maps)
        return false;
    *field = (CzField){width, height, maps, maps + 2 * n, maps + 3 * n};
    return true;
}

void cz_field_copy(CzField *dst, const CzField *src)
{
    memcpy(dst->c, src->c, 5 * (size_t)src->width * src->height * sizeof(float));
}

void cz_field_clear(CzField *field)
{
    cz_memory_free(field->c); // all three are one block
    memset(field, 0, sizeof *field);
}

// Slopes of one place. Differences to the middle keep the sums of squares small, so that float
// sums of close numbers lose nothing.
static void slope(const CzField *field, int32_t x, int32_t y, float epsilon)
{
    size_t middle = (size_t)y * field->width + x;
    float l0 = field->l[middle], a0 = field->c[2 * middle], b0 = field->c[2 * middle + 1];
    float l = 0, a = 0, b = 0, ll = 0, la = 0, lb = 0;
    for (int32_t dy = -1; dy <= 1; dy++) {
        int32_t row = CLAMP(y + dy, 0, field->height - 1);
        for (int32_t dx = -1; dx <= 1; dx++) {
            size_t i = (size_t)row * field->width + CLAMP(x + dx, 0, field->width - 1);
            float d_l = field->l[i] - l0, d_a = field->c[2 * i] - a0,
                  d_b = field->c[2 * i + 1] - b0;
            l += d_l, a += d_a, b += d_b;
            ll += d_l * d_l, la += d_l * d_a, lb += d_l * d_b;
        }
    }
    const float ninth = 1.0f / 9;
    float variance = MAX(ll * ninth - l * l * ninth * ninth, 0) + epsilon;
    field->s[2 * middle] = (la * ninth - l * a * ninth * ninth) / variance;
    field->s[2 * middle + 1] = (lb * ninth - l * b * ninth * ninth) / variance;
}

void cz_field_slopes(CzField *field, float epsilon)
{
    for (int32_t y = 0; y < field->height; y++)
        for (int32_t x = 0; x < field->width; x++)
            slope(field, x, y, epsilon);
}

// How much place i may say about place at, of which it is dx, dy away.
static float kinship(const CzField *field, size_t i, size_t at, int32_t dx, int32_t dy)
{
    const float l_variance = 36, distance_variance = 3.3f, least = 1e-9f;
    float d_l = field->l[i] - field->l[at];
    return expf(-d_l * d_l / (2 * l_variance) -
                (float)(dx * dx + dy * dy) / (2 * distance_variance)) +
           least;
}

static void mend(CzField *field, int32_t x, int32_t y, int32_t border)
{
    const int32_t reach = 3, right = field->width - 1 - border, bottom = field->height - 1 - border;
    int32_t in_x = CLAMP(x, border, right), in_y = CLAMP(y, border, bottom);
    size_t at = (size_t)y * field->width + x;
    float sum = 0, a = 0, b = 0;
    for (int32_t v = MAX(in_y - reach, border); v <= MIN(in_y + reach, bottom); v++) {
        for (int32_t u = MAX(in_x - reach, border); u <= MIN(in_x + reach, right); u++) {
            size_t i = (size_t)v * field->width + u;
            float weight = kinship(field, i, at, u - x, v - y);
            sum += weight;
            a += weight * field->c[2 * i];
            b += weight * field->c[2 * i + 1];
        }
    }
    field->c[2 * at] = a / sum;
    field->c[2 * at + 1] = b / sum;
}

void cz_field_mend_border(CzField *field, int32_t border)
{
    if (MIN(field->width, field->height) < 4 * border)
        return;
    for (int32_t y = 0; y < field->height; y++) {
        bool inner = y >= border && y < field->height - border;
        for (int32_t x = 0; x < field->width; x++) {
            if (inner && x == border)
                x = field->width - border;
            mend(field, x, y, border);
        }
    }
}

typedef struct {
    float l, a, b, sa, sb;
} Place;

typedef struct {
    const CzField *field;
    size_t top, bottom; // first place of the two rows
    float weight;       // of bottom
} Row;

static Row row_at(const CzField *field, int32_t photo_h, int32_t y)
{
    double at = (y + 0.5) * field->height / photo_h - 0.5;
    at = CLAMP(at, 0, field->height - 1);
    size_t first = (size_t)at;
    size_t second = MIN(first + 1, (size_t)field->height - 1);
    return (Row){field, first * field->width, second * field->width, (float)(at - first)};
}

static inline float mix(float from, float to, float weight)
{
    return from + weight * (to - from);
}

static Place place_at(const Row *row, int32_t column)
{
    const CzField *field = row->field;
    size_t i = row->top + column, j = row->bottom + column;
    float w = row->weight;
    return (Place){mix(field->l[i], field->l[j], w), mix(field->c[2 * i], field->c[2 * j], w),
                   mix(field->c[2 * i + 1], field->c[2 * j + 1], w),
                   mix(field->s[2 * i], field->s[2 * j], w),
                   mix(field->s[2 * i + 1], field->s[2 * j + 1], w)};
}

// n pixels, the k-th at start + k * step between the places p (0) and q (1). stride 2: ab; 3: lab.
static inline __attribute__((always_inline)) void piece(Place p, Place q, float start, float step,
                                                        int32_t n, const float *restrict lightness,
                                                        float strength, int stride,
                                                        float *restrict dst)
{
    Place d = {q.l - p.l, q.a - p.a, q.b - p.b, q.sa - p.sa, q.sb - p.sb};
    for (int32_t k = 0; k < n; k++) {
        float t = start + step * (float)k;
        float d_l = lightness[k] - (p.l + t * d.l);
        float a = p.a + t * d.a + (p.sa + t * d.sa) * d_l;
        float b = p.b + t * d.b + (p.sb + t * d.sb) * d_l;
        if (stride == 3)
            dst[stride * k] = lightness[k];
        dst[stride * k + stride - 2] = strength * a;
        dst[stride * k + stride - 1] = strength * b;
    }
}

CZ_CLONES static void piece_ab(const Place *ends, float start, float step, int32_t n,
                               const float *lightness, float *ab)
{
    piece(ends[0], ends[1], start, step, n, lightness, 1, 2, ab);
}

CZ_CLONES static void piece_lab(const Place *ends, float start, float step, int32_t n,
                                const float *lightness, float strength, float *lab)
{
    piece(ends[0], ends[1], start, step, n, lightness, strength, 3, lab);
}

typedef struct {
    const float *lightness;
    float strength;
    int stride;
    float *dst;
} Span;

// Pixels x to end of one row: first those left of the first middle, then between middles, and so
// on.
static void walk(const Row *row, int32_t photo_w, int32_t x, int32_t end, Span span)
{
    int32_t width = row->field->width;
    double step = (double)width / photo_w;
    while (x < end) {
        double at = (x + 0.5) * step - 0.5;
        int32_t left = (int32_t)floor(at);
        // The first pixel at or beyond the next middle; at least one, whatever rounding does.
        double next = ceil((left + 1.5) / step - 0.5);
        int32_t stop = next >= end ? end : MAX((int32_t)next, x + 1);
        int32_t n = stop - x;
        Place ends[2] = {place_at(row, CLAMP(left, 0, width - 1)),
                         place_at(row, CLAMP(left + 1, 0, width - 1))};
        if (span.stride == 2)
            piece_ab(ends, (float)(at - left), (float)step, n, span.lightness, span.dst);
        else
            piece_lab(ends, (float)(at - left), (float)step, n, span.lightness, span.strength,
                      span.dst);
        span.lightness += n;
        span.dst += (size_t)n * span.stride;
        x = stop;
    }
}

void cz_field_sample(const CzField *field, int32_t photo_w, int32_t photo_h, int32_t y,
                     int32_t n_rows, const float *lightness, float *ab)
{
    for (int32_t i = 0; i < n_rows; i++) {
        Row row = row_at(field, photo_h, y + i);
        size_t offset = (size_t)i * photo_w;
        walk(&row, photo_w, 0, photo_w, (Span){lightness + offset, 1, 2, ab + 2 * offset});
    }
}

void cz_field_span(const CzField *field, int32_t photo_w, int32_t photo_h, int32_t x, int32_t y,
                   int32_t n, const float *lightness, float strength, float *lab)
{
    Row row = row_at(field, photo_h, y);
    walk(&row, photo_w, x, x + n, (Span){lightness, strength, 3, lab});
}
