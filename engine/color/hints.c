// SPDX-License-Identifier: LGPL-3.0-or-later
// Hints spread over a field.
//
// Features lie at an eighth of the working size and are meant to be enlarged bilinearly to the
// field's. A dot product with the enlarged features is the enlarged dot product, so that only dot
// products are ever enlarged: |f - g|^2 = |f|^2 + |g|^2 - 2 f g, with |f|^2 kept in the ground.
#include "color/hints.h"

#include <math.h>
#include <string.h>

#include <cz/color.h>
#include <cz/error.h>
#include <cz/memory.h>

#include "base/cholesky.h"
#include "base/clones.h"
#include "color/transfer.h"

#define MOST_DABS    1024
#define LEAST_WEIGHT 0.05f
// Sweeps of the last correction: dabs in one place of the field share it.
#define SWEEPS 16
// Of a change of slopes against one of chroma: at this many L* both do the same.
#define SLOPE_SHARE (1.0f / 10)

// In the middle is what is best for any number of true hints on held-back training pictures
// (bench_hints), but for bold and sharper, which give up a hundredth of that so that what an artist
// wants of one thing leaves others alone. Reach moves places, near by or anywhere; a short one
// makes less modest and the wide kernel narrower, a long one calls more things alike.
static const CzHintKernel tuned = {.feature = 2.6f,
                                   .place = 3.75f,
                                   .lightness = 55,
                                   .chroma = 48,
                                   .bold = 30,
                                   .sharper = 3,
                                   .near_place = 2,
                                   .strength = 0.00075f,
                                   .noise = 0.01f};

CzHintKernel cz_hint_kernel_of(const CzHintKernel *middle, double reach)
{
    float little = (float)exp2(fmin(reach - 0.5, 0)), much = (float)exp2(fmax(reach - 0.5, 0));
    float far = (float)exp2(4 * (reach - 0.5));
    return (CzHintKernel){.feature = middle->feature * little,
                          .place = middle->place * far,
                          .lightness = middle->lightness * little,
                          .chroma = middle->chroma * little,
                          .bold = middle->bold * little * little,
                          .sharper = middle->sharper * little / much,
                          .near_place = middle->near_place * far,
                          .strength = middle->strength * little * little,
                          .noise = middle->noise};
}

CzHintKernel cz_hint_kernel(double reach)
{
    return cz_hint_kernel_of(&tuned, reach);
}

// ---- the field at a dab -------------------------------------------------------------------------

// The four places around a dab and their weights: what the field gives there is linear in c.
typedef struct {
    size_t places[4];
    float weights[4], squares; // squares: sum of squared weights
} Corners;

static Corners corners_of(const CzField *field, const CzDab *dab)
{
    CzBetween column = cz_between(dab->x, field->width), row = cz_between(dab->y, field->height);
    Corners corners = {.squares = 0};
    for (int k = 0; k < 4; k++) {
        size_t y = k / 2 ? row.second : row.first, x = k % 2 ? column.second : column.first;
        corners.places[k] = y * field->width + x;
        corners.weights[k] =
            (k / 2 ? row.weight : 1 - row.weight) * (k % 2 ? column.weight : 1 - column.weight);
        corners.squares += corners.weights[k] * corners.weights[k];
    }
    return corners;
}

// What a field gives at one place: its maps, and the formula of field.h for a lightness.
typedef struct {
    float l, c[2], ab[2];
} Given;

static Given field_at(const CzField *field, const Corners *corners, float lightness)
{
    Given given = {0};
    float s[2] = {0};
    for (int k = 0; k < 4; k++) {
        size_t i = corners->places[k];
        float w = corners->weights[k];
        given.l += w * field->l[i];
        for (int channel = 0; channel < 2; channel++) {
            given.c[channel] += w * field->c[2 * i + channel];
            s[channel] += w * field->s[2 * i + channel];
        }
    }
    for (int channel = 0; channel < 2; channel++)
        given.ab[channel] = given.c[channel] + s[channel] * (lightness - given.l);
    return given;
}

// ---- the regression -----------------------------------------------------------------------------

// One dab as the regression sees it.
typedef struct {
    Corners corners;
    float x, y;  // in shorter sides
    float l;     // of the photograph under the dab
    Given given; // by the ground's field there
    float a, b;  // wanted, inside the gamut
    float weight, length, amplitude;
    const float *features; // of all maps, one after the other
} Point;

typedef struct {
    const CzGround *ground;
    const CzHintKernel *kernel;
    size_t n_points, n_features; // n_features: of one point
    Point *points;
    float *features;
    double *matrix;      // n_points^2
    double *wide, *near; // n_points * 4: modest parts and predictions, n_points * 2: the rests
    double strength;     // of the whole picture: what the prediction is multiplied with is added
    float *coarse;       // dots at the size of the features, of all maps one after the other
    float *mixed, *row;  // dots at one row of the field: at the features' width, at the field's
    float *residual[2];  // planes of the field's size
    int32_t *firsts;     // of all maps: cz_between() of each column of the field
    float *weights;
    void *memory;
} Regression;

static size_t aligned(size_t n_bytes)
{
    return (n_bytes + 63) & ~(size_t)63;
}

// One block: every call needs the same few, and a brush moves often.
static bool regression_alloc(Regression *r, GError **error)
{
    const CzGround *ground = r->ground;
    size_t n = r->n_points, width = ground->field.width, n_maps = ground->n_features;
    size_t n_field = width * ground->field.height, coarse = 1, widest = 1;
    r->n_features = 1;
    for (size_t m = 0; m < n_maps; m++) {
        const CzFeatures *features = &ground->features[m];
        r->n_features += features->channels;
        coarse += (size_t)features->width * features->height;
        widest = MAX(widest, (size_t)features->width);
    }
    const size_t sizes[] = {n * sizeof(Point),
                            n * r->n_features * sizeof(float),
                            n * n * sizeof(double),
                            4 * n * sizeof(double),
                            2 * n * sizeof(double),
                            coarse * sizeof(float),
                            (widest + 1) * sizeof(float),
                            width * sizeof(float),
                            n_field * sizeof(float),
                            n_field * sizeof(float),
                            (n_maps + 1) * width * sizeof(int32_t),
                            (n_maps + 1) * width * sizeof(float)};
    void **const parts[] = {
        (void **)&r->points,      (void **)&r->features, (void **)&r->matrix,
        (void **)&r->wide,        (void **)&r->near,     (void **)&r->coarse,
        (void **)&r->mixed,       (void **)&r->row,      (void **)&r->residual[0],
        (void **)&r->residual[1], (void **)&r->firsts,   (void **)&r->weights};
    size_t total = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++)
        total += aligned(sizes[i]);
    char *memory = r->memory = cz_memory_alloc(total, "the regression of hints", error);
    for (size_t i = 0; memory && i < G_N_ELEMENTS(sizes); i++) {
        *parts[i] = memory;
        memory += aligned(sizes[i]);
    }
    return memory != NULL;
}

static float amplitude_at(const CzGround *ground, const Corners *corners)
{
    float amplitude = 0;
    if (!ground->amplitudes)
        return 1;
    for (int k = 0; k < 4; k++)
        amplitude += corners->weights[k] * ground->amplitudes[corners->places[k]];
    return amplitude;
}

static bool point_init(Regression *r, size_t index, const CzDab *dab, GError **error)
{
    const CzGround *ground = r->ground;
    Point *point = &r->points[index];
    float *features = r->features + index * r->n_features;
    float lab[3] = {dab->l, dab->a, dab->b};
    if (!isfinite(dab->x + dab->y + dab->l + dab->a + dab->b) || !(dab->weight > 0)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_NUMERIC,
                    "hint %zu: expected finite numbers and a weight above 0", index);
        return false;
    }
    cz_lab_into_gamut(lab, 1);
    *point = (Point){.corners = corners_of(&ground->field, dab),
                     .x = CLAMP(dab->x, 0, 1) * ground->width,
                     .y = CLAMP(dab->y, 0, 1) * ground->height,
                     .l = dab->l,
                     .a = lab[1],
                     .b = lab[2],
                     .weight = CLAMP(dab->weight, LEAST_WEIGHT, 1),
                     .features = features};
    point->given = field_at(&ground->field, &point->corners, dab->l);
    point->amplitude = amplitude_at(ground, &point->corners);
    for (int m = 0; m < ground->n_features; m++) {
        cz_features_at(&ground->features[m], dab->x, dab->y, features);
        features += ground->features[m].channels;
    }
    point->length = cz_features_dot(point->features, point->features, features - point->features) /
                    (float)MAX(ground->n_features, 1);
    return true;
}

static float square_inverse(float width)
{
    return 1 / (width * width);
}

static double kernel_of(const Regression *r, const Point *p, const Point *q, bool near)
{
    const CzHintKernel *k = r->kernel;
    float product = cz_features_dot(p->features, q->features, r->n_features - 1) /
                    (float)MAX(r->ground->n_features, 1);
    double feature = fmax(0, p->length + q->length - 2 * product);
    double lightness = p->given.l - q->given.l;
    double da = p->given.c[0] - q->given.c[0], db = p->given.c[1] - q->given.c[1];
    double u = sqrt(feature * square_inverse(k->feature) +
                    lightness * lightness * square_inverse(k->lightness) +
                    (da * da + db * db) * square_inverse(k->chroma));
    double place = hypot(p->x - q->x, p->y - q->y);
    u *= near ? k->sharper : 1;
    return exp(-u * sqrt(u) - place / (near ? k->near_place : k->place));
}

static void fill(Regression *r, bool near)
{
    size_t n = r->n_points;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            r->matrix[i * n + j] = kernel_of(r, &r->points[i], &r->points[j], near);
}

// From likeness to the covariance of what the dabs say.
static void add_amplitudes(Regression *r)
{
    size_t n = r->n_points;
    for (size_t i = 0; i < n; i++) {
        const Point *point = &r->points[i];
        for (size_t j = 0; j < i; j++)
            r->matrix[i * n + j] *= point->amplitude * r->points[j].amplitude;
        r->matrix[i * n + i] =
            point->amplitude * point->amplitude + r->kernel->noise / point->weight;
    }
}

// The right-hand sides, from a matrix of the near kernel.
static void split(Regression *r)
{
    size_t n = r->n_points;
    for (size_t i = 0; i < n; i++) {
        const Point *point = &r->points[i];
        double sum = 0, weights = 0;
        for (size_t j = 0; j < n; j++) {
            double weight = i == j ? 1 : r->matrix[MAX(i, j) * n + MIN(i, j)];
            const Point *other = &r->points[j];
            sum += weight * hypot(other->a - other->given.ab[0], other->b - other->given.ab[1]);
            weights += weight;
        }
        double share = pow(fmax(1, sum / weights / r->kernel->bold), -3);
        double a = point->a - point->given.ab[0], b = point->b - point->given.ab[1];
        r->wide[4 * i] = share * a;
        r->wide[4 * i + 1] = share * b;
        r->wide[4 * i + 2] = point->given.ab[0];
        r->wide[4 * i + 3] = point->given.ab[1];
        r->near[2 * i] = a - share * a;
        r->near[2 * i + 1] = b - share * b;
    }
}

static bool solve_parts(Regression *r, GError **error)
{
    fill(r, true);
    split(r);
    add_amplitudes(r);
    bool good = cz_cholesky_solve(r->matrix, r->n_points, r->near, 2);
    fill(r, false);
    add_amplitudes(r);
    if (good && cz_cholesky_solve(r->matrix, r->n_points, r->wide, 4))
        return true;
    g_set_error(error, CZ_ERROR, CZ_ERROR_NUMERIC, "the %zu hints contradict each other",
                r->n_points);
    return false;
}

// The strength couples a* and b* of all dabs by a matrix of rank one, strength v v', where v are
// the predictions at the dabs: Sherman and Morrison's formula takes it into account afterwards.
static bool solve(Regression *r, GError **error)
{
    double modest = 0, predicted = 0;
    if (!solve_parts(r, error))
        return false;
    for (size_t i = 0; i < r->n_points; i++)
        for (int channel = 0; channel < 2; channel++) {
            double v = r->points[i].given.ab[channel];
            modest += v * r->wide[4 * i + channel];
            predicted += v * r->wide[4 * i + 2 + channel];
        }
    r->strength = r->kernel->strength * modest / (1 + r->kernel->strength * predicted);
    for (size_t i = 0; i < r->n_points; i++)
        for (int channel = 0; channel < 2; channel++) {
            r->wide[4 * i + channel] -= r->strength * r->wide[4 * i + 2 + channel];
            r->wide[4 * i + channel] *= r->points[i].amplitude;
            r->near[2 * i + channel] *= r->points[i].amplitude;
        }
    return true;
}

// ---- spreading ----------------------------------------------------------------------------------

// e^x for x <= 0 to 2e-7 of its value: 2^n by the exponent's bits, the rest by a polynomial
// (Taylor's of e^y for |y| <= ln 2 / 2).
CURVE float curve_exp(float x)
{
    x = x > -80 ? x : -80;
    float n = floorf(x * 1.44269504f + 0.5f);
    float y = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float e =
        1 + y * (1 + y * (0.5f +
                          y * (1.0f / 6 + y * (1.0f / 24 + y * (1.0f / 120 + y * (1.0f / 720))))));
    return e * curve_float(((int32_t)n + 127) << 23);
}

typedef struct {
    float length, x, step, dy_squared, l, a, b; // x: of the row's first place
    float feature, lightness, chroma;           // one over the squared widths
    float sharper, place, near_place;           // sharper^1.5, one over the widths
    float wide_a, wide_b, near_a, near_b;
} RowKernel;

CZ_CLONES static void add_row(const RowKernel *kernel, const float *restrict product,
                              const float *restrict lengths, const float *restrict l,
                              const float *restrict c, int32_t n, float *restrict a,
                              float *restrict b)
{
    const RowKernel k = *kernel;
    for (int32_t i = 0; i < n; i++) {
        float feature = lengths[i] + k.length - 2 * product[i];
        float dx = k.x + k.step * (float)i, dl = l[i] - k.l;
        float da = c[2 * i] - k.a, db = c[2 * i + 1] - k.b;
        float u = sqrtf((feature > 0 ? feature : 0) * k.feature + dl * dl * k.lightness +
                        (da * da + db * db) * k.chroma);
        float unlike = u * sqrtf(u), place = sqrtf(dx * dx + k.dy_squared);
        float wide = curve_exp(-unlike - place * k.place);
        float near = curve_exp(-unlike * k.sharper - place * k.near_place);
        a[i] += k.wide_a * wide + k.near_a * near;
        b[i] += k.wide_b * wide + k.near_b * near;
    }
}

CZ_CLONES static void add_enlarged(const float *restrict src, const int32_t *restrict firsts,
                                   const float *restrict weights, float scale, int32_t n,
                                   float *restrict dst)
{
    for (int32_t i = 0; i < n; i++) {
        float left = src[firsts[i]], right = src[firsts[i] + 1];
        dst[i] += scale * (left + weights[i] * (right - left));
    }
}

// CzBetween the two rows of dots around a row of the field; the last is repeated, as what follows
// it is read with weight 0.
static void mix_rows(const float *dots, const CzFeatures *features, CzBetween rows, float *dst)
{
    const float *top = dots + (size_t)rows.first * features->width;
    const float *bottom = dots + (size_t)rows.second * features->width;
    for (int32_t i = 0; i < features->width; i++)
        dst[i] = top[i] + rows.weight * (bottom[i] - top[i]);
    dst[features->width] = dst[features->width - 1];
}

// Dot products with the features at one row of the field, mean over the maps.
static void product_row(Regression *r, double place)
{
    const CzGround *ground = r->ground;
    const float *coarse = r->coarse;
    int32_t width = ground->field.width;
    memset(r->row, 0, (size_t)width * sizeof(float));
    for (int m = 0; m < ground->n_features; m++) {
        const CzFeatures *features = &ground->features[m];
        mix_rows(coarse, features, cz_between(place, features->height), r->mixed);
        add_enlarged(r->mixed, r->firsts + m * width, r->weights + m * width,
                     1 / (float)ground->n_features, width, r->row);
        coarse += (size_t)features->width * features->height;
    }
}

static void columns_init(Regression *r)
{
    const CzGround *ground = r->ground;
    int32_t width = ground->field.width;
    for (int m = 0; m < ground->n_features; m++)
        for (int32_t x = 0; x < width; x++) {
            CzBetween at = cz_between((x + 0.5) / width, ground->features[m].width);
            r->firsts[m * width + x] = at.first;
            r->weights[m * width + x] = at.weight;
        }
}

// Adds one point's share to the residuals of the whole field.
static void spread_point(Regression *r, const Point *point, const double *wide, const double *near)
{
    const CzGround *ground = r->ground;
    const CzField *field = &ground->field;
    const float *of = point->features;
    float *coarse = r->coarse;
    for (int m = 0; m < ground->n_features; m++) {
        cz_features_dots(&ground->features[m], of, coarse);
        of += ground->features[m].channels;
        coarse += (size_t)ground->features[m].width * ground->features[m].height;
    }
    RowKernel kernel = {.length = point->length,
                        .step = ground->width / (float)field->width,
                        .l = point->given.l,
                        .a = point->given.c[0],
                        .b = point->given.c[1],
                        .feature = square_inverse(r->kernel->feature),
                        .place = 1 / r->kernel->place,
                        .near_place = 1 / r->kernel->near_place,
                        .sharper = r->kernel->sharper * sqrtf(r->kernel->sharper),
                        .lightness = square_inverse(r->kernel->lightness),
                        .chroma = square_inverse(r->kernel->chroma),
                        .wide_a = (float)wide[0],
                        .wide_b = (float)wide[1],
                        .near_a = (float)near[0],
                        .near_b = (float)near[1]};
    kernel.x = 0.5f * kernel.step - point->x;
    for (int32_t y = 0; y < field->height; y++) {
        double place = (y + 0.5) / field->height;
        float dy = (float)place * ground->height - point->y;
        size_t at = (size_t)y * field->width;
        kernel.dy_squared = dy * dy;
        product_row(r, place);
        add_row(&kernel, r->row, ground->lengths + at, field->l + at, field->c + 2 * at,
                field->width, r->residual[0] + at, r->residual[1] + at);
    }
}

// What the regression leaves at the dabs: its noise, and that the field is bilinear between its
// places while the kernel has a peak. Each dab takes its own back from the four places around it
// (Kaczmarz's method: the least change that does). Where it is darker or brighter under the dab
// than around, a part of that goes into the slopes: dabs on both sides of an edge make it vanish.
static void correct(const Regression *r, CzField *field)
{
    for (int sweep = 0; sweep < SWEEPS; sweep++)
        for (size_t i = 0; i < r->n_points; i++) {
            const Point *point = &r->points[i];
            const Corners *corners = &point->corners;
            float slope = (point->l - point->given.l) * SLOPE_SHARE;
            float factor = point->weight / (corners->squares * (1 + slope * slope));
            const Given given = field_at(field, corners, point->l);
            for (int k = 0; k < 4; k++) {
                size_t at = 2 * corners->places[k];
                float a = factor * corners->weights[k] * (point->a - given.ab[0]);
                float b = factor * corners->weights[k] * (point->b - given.ab[1]);
                field->c[at] += a;
                field->c[at + 1] += b;
                field->s[at] += slope * SLOPE_SHARE * a;
                field->s[at + 1] += slope * SLOPE_SHARE * b;
            }
        }
}

static void clear_residuals(Regression *r)
{
    size_t n = (size_t)r->ground->field.width * r->ground->field.height;
    columns_init(r);
    memset(r->residual[0], 0, n * sizeof(float));
    memset(r->residual[1], 0, n * sizeof(float));
}

// The ridge regression is linear in c: slopes of what the hints change, on the network's own.
static void add_learned_slopes(const Regression *r, CzField *field, float stronger)
{
    const CzField *ground = &r->ground->field;
    size_t n = (size_t)field->width * field->height;
    for (size_t i = 0; i < n; i++) {
        field->c[2 * i] = r->residual[0][i];
        field->c[2 * i + 1] = r->residual[1][i];
    }
    cz_field_slopes(field, CZ_FIELD_EPSILON);
    for (size_t i = 0; i < 2 * n; i++)
        field->s[i] += stronger * ground->s[i];
}

static void spread(Regression *r, CzField *field)
{
    const CzField *ground = &r->ground->field;
    size_t n = (size_t)field->width * field->height;
    clear_residuals(r);
    for (size_t i = 0; i < r->n_points; i++)
        spread_point(r, &r->points[i], r->wide + 4 * i, r->near + 2 * i);
    for (size_t i = 0; r->ground->amplitudes && i < n; i++) {
        r->residual[0][i] *= r->ground->amplitudes[i];
        r->residual[1][i] *= r->ground->amplitudes[i];
    }
    cz_field_copy(field, &r->ground->field);
    float stronger = 1 + (float)r->strength;
    if (r->ground->learned)
        add_learned_slopes(r, field, stronger);
    for (size_t i = 0; i < n; i++) {
        field->c[2 * i] = stronger * ground->c[2 * i] + r->residual[0][i];
        field->c[2 * i + 1] = stronger * ground->c[2 * i + 1] + r->residual[1][i];
    }
    if (!r->ground->learned)
        cz_field_slopes(field, CZ_FIELD_EPSILON);
    correct(r, field);
}

bool cz_hints_spread(const CzGround *ground, const CzDab *dabs, size_t n_dabs,
                     const CzHintKernel *kernel, CzField *field, GError **error)
{
    Regression r = {.ground = ground, .kernel = kernel, .n_points = n_dabs};
    if (n_dabs == 0) {
        cz_field_copy(field, &ground->field);
        return true;
    }
    if (n_dabs > MOST_DABS) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "expected at most %d hints, found %zu",
                    MOST_DABS, n_dabs);
        return false;
    }
    bool good = regression_alloc(&r, error);
    for (size_t i = 0; good && i < n_dabs; i++)
        good = point_init(&r, i, &dabs[i], error);
    good = good && solve(&r, error);
    if (good)
        spread(&r, field);
    cz_memory_free(r.memory);
    return good;
}

void cz_hints_given(const CzGround *ground, const CzDab *dab, float *l, float c[2], float ab[2])
{
    const Corners corners = corners_of(&ground->field, dab);
    const Given given = field_at(&ground->field, &corners, dab->l);
    *l = given.l;
    memcpy(c, given.c, sizeof given.c);
    memcpy(ab, given.ab, sizeof given.ab);
}

void cz_hints_predicted(const CzGround *ground, const CzDab *dab, float ab[2])
{
    float l, c[2];
    cz_hints_given(ground, dab, &l, c, ab);
}

bool cz_hints_likeness(const CzGround *ground, const CzDab *dab, const CzHintKernel *kernel,
                       float *likeness, GError **error)
{
    Regression r = {.ground = ground, .kernel = kernel, .n_points = 1};
    static const double one[2] = {1, 0}, none[2] = {0};
    size_t n = (size_t)ground->field.width * ground->field.height;
    bool good = regression_alloc(&r, error) && point_init(&r, 0, dab, error);
    if (good) {
        clear_residuals(&r);
        spread_point(&r, &r.points[0], one, none);
        memcpy(likeness, r.residual[0], n * sizeof(float));
    }
    cz_memory_free(r.memory);
    return good;
}
