// SPDX-License-Identifier: LGPL-3.0-or-later
// Squares of the a*b* plane, what is due at a place, the balance, and the head.
#include "classes.h"

#include <math.h>
#include <string.h>

#include <cz/color.h>
#include <cz/error.h>
#include <cz/memory.h>
#include <cz/rng.h>

#define BALANCE "classes.balance"

#define SPREAD 5.0f // sigma, units of a* and b*
#define MIX    0.5  // lambda: how much of the balance is no balance at all

enum { PICTURES = 2000, SAMPLES = 256 }; // that the balance is measured on; samples a picture

// ---- squares ------------------------------------------------------------------------------------

// Which squares can be among the nearest of a color, by the square that the color itself lies in,
// gamut or not.
enum { REACH = 13, SIDE = 2 * REACH + 1, MOST_CANDIDATES = 40 };

typedef struct {
    int16_t index[MOST_CANDIDATES], n;
} Candidates;

struct TrainClasses {
    float center[CZ_N_CLASSES][2], balance[CZ_N_CLASSES];
    Candidates candidates[SIDE * SIDE];
    CzShape shape; // of the target
    size_t n;      // its elements
    float *target;
};

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

// Whatever the place in the square, the fifth nearest is no farther than the centre's fifth plus
// half a diagonal; so what may matter is within a diagonal more than the centre's fifth.
static void find_candidates(TrainClasses *classes, int cell)
{
    float a = (float)(cell % SIDE - REACH) * CZ_CLASS_SIZE;
    float b = (float)(cell / SIDE - REACH) * CZ_CLASS_SIZE;
    float distances[CZ_N_CLASSES], sorted[CZ_N_CLASSES];
    for (int32_t i = 0; i < CZ_N_CLASSES; i++)
        distances[i] = hypotf(classes->center[i][0] - a, classes->center[i][1] - b);
    memcpy(sorted, distances, sizeof sorted);
    qsort(sorted, CZ_N_CLASSES, sizeof *sorted, compare);
    float most = sorted[TRAIN_CLASSES_NEAREST - 1] + CZ_CLASS_SIZE * 1.4143f;
    Candidates *candidates = &classes->candidates[cell];
    for (int16_t i = 0; i < CZ_N_CLASSES; i++)
        if (distances[i] <= most && candidates->n < MOST_CANDIDATES)
            candidates->index[candidates->n++] = i;
}

static void find_squares(TrainClasses *classes)
{
    for (int32_t i = 0; i < CZ_N_CLASSES; i++)
        cz_class_center(i, classes->center[i]);
    for (int cell = 0; cell < SIDE * SIDE; cell++)
        find_candidates(classes, cell);
}

static int cell_of(float value)
{
    return (int)floorf(CLAMP(value / CZ_CLASS_SIZE, -REACH, REACH) + 0.5f) + REACH;
}

void train_classes_spread(const TrainClasses *classes, const float ab[2], TrainClassShares *shares)
{
    const Candidates *candidates = &classes->candidates[cell_of(ab[1]) * SIDE + cell_of(ab[0])];
    float nearest[TRAIN_CLASSES_NEAREST + 1];
    int n = 0;
    for (int16_t i = 0; i < candidates->n; i++) {
        int16_t index = candidates->index[i];
        float da = classes->center[index][0] - ab[0], db = classes->center[index][1] - ab[1];
        float distance = da * da + db * db;
        int at = n;
        if (n == TRAIN_CLASSES_NEAREST && !(distance < nearest[n - 1]))
            continue;
        for (at = MIN(n, TRAIN_CLASSES_NEAREST - 1); at > 0 && distance < nearest[at - 1]; at--) {
            nearest[at] = nearest[at - 1];
            shares->index[at] = shares->index[at - 1];
        }
        nearest[at] = distance;
        shares->index[at] = index;
        n = MIN(n + 1, TRAIN_CLASSES_NEAREST);
    }
    float sum = 0;
    for (int i = 0; i < TRAIN_CLASSES_NEAREST; i++) {
        // Differences, so that not all shares vanish far outside the gamut.
        shares->share[i] = expf((nearest[0] - nearest[i]) / (2 * SPREAD * SPREAD));
        sum += shares->share[i];
    }
    for (int i = 0; i < TRAIN_CLASSES_NEAREST; i++)
        shares->share[i] /= sum;
}

// ---- what is due --------------------------------------------------------------------------------

TrainClasses *train_classes_new(CzStore *store, CzShape target, GError **error)
{
    TrainClasses *classes = g_new0(TrainClasses, 1);
    classes->shape = target;
    classes->n = cz_shape_count(target);
    classes->target = cz_memory_alloc(classes->n * sizeof(float), "color classes", error);
    if (!classes->target || !cz_store_read(store, BALANCE, classes->balance, error)) {
        train_classes_free(classes);
        return NULL;
    }
    find_squares(classes);
    return classes;
}

void train_classes_free(TrainClasses *classes)
{
    if (!classes)
        return;
    cz_memory_free(classes->target);
    g_free(classes);
}

// Mean of a*, b* over the part of a picture that place (y, x) of `places` each way stands for.
static void mean_of(const float *chroma, int32_t side, int32_t step, int32_t y, int32_t x,
                    float ab[2])
{
    float a = 0, b = 0;
    int32_t y_end = MIN((y + 1) * step, side), x_end = MIN((x + 1) * step, side), n = 0;
    for (int32_t i = y * step; i < y_end; i++)
        for (int32_t j = x * step; j < x_end; j++, n++) {
            a += chroma[2 * (i * side + j)];
            b += chroma[2 * (i * side + j) + 1];
        }
    ab[0] = 100 * a / (float)n;
    ab[1] = 100 * b / (float)n;
}

static void encode_place(const TrainClasses *classes, const float ab[2], float *target)
{
    TrainClassShares shares;
    memset(target, 0, CZ_N_CLASSES * sizeof *target);
    if (!isfinite(ab[0] + ab[1])) {
        target[0] = NAN; // the step's gate is to see it
        return;
    }
    train_classes_spread(classes, ab, &shares);
    for (int i = 0; i < TRAIN_CLASSES_NEAREST; i++)
        target[shares.index[i]] = classes->balance[shares.index[0]] * shares.share[i];
}

const float *train_classes_encode(TrainClasses *classes, const float *chroma, int32_t side,
                                  size_t *n_elements)
{
    CzShape s = classes->shape;
    int32_t step = (side + s.h - 1) / s.h;
    for (int32_t n = 0; n < s.n; n++)
        for (int32_t y = 0; y < s.h; y++)
            for (int32_t x = 0; x < s.w; x++) {
                float ab[2];
                size_t place = ((size_t)n * s.h + y) * s.w + x;
                mean_of(chroma + (size_t)n * side * side * 2, side, step, y, x, ab);
                encode_place(classes, ab, classes->target + place * CZ_N_CLASSES);
            }
    *n_elements = classes->n;
    return classes->target;
}

// ---- the head -----------------------------------------------------------------------------------

static CzShape weight_shape(int32_t width)
{
    return cz_shape(CZ_N_CLASSES, width, 1, 1);
}

static CzShape class_shape(void)
{
    return cz_shape(1, CZ_N_CLASSES, 1, 1);
}

CzValue train_classes_build(CzGraph *graph, CzValue features, CzValue *target)
{
    CzShape s = cz_graph_shape(graph, features);
    CzValue weight = cz_param(graph, CZ_CLASS_WEIGHT, weight_shape(s.c));
    CzValue bias = cz_param(graph, CZ_CLASS_BIAS, class_shape());
    CzValue logits = cz_conv2d(graph, features, weight, bias, CZ_NONE, (CzConvParams){0});
    *target = cz_input(graph, "classes", cz_shape(s.n, CZ_N_CLASSES, s.h, s.w));
    float places = (float)s.n * (float)s.h * (float)s.w;
    return cz_scale(graph, cz_dot(graph, *target, cz_log_softmax(graph, logits)), -1 / places, 0);
}

bool train_classes_each(int32_t width, bool (*visit)(void *user, const CzUnetTensor *tensor),
                        void *user)
{
    const CzUnetTensor tensors[] = {{.name = CZ_CLASS_WEIGHT, .shape = weight_shape(width)},
                                    {.name = CZ_CLASS_BIAS, .shape = class_shape()}};
    return visit(user, &tensors[0]) && visit(user, &tensors[1]);
}

bool train_classes_start(CzStore *store, int32_t width, uint64_t seed, GError **error)
{
    size_t n = (size_t)CZ_N_CLASSES * (size_t)width;
    float balance[CZ_N_CLASSES];
    for (int32_t i = 0; i < CZ_N_CLASSES; i++)
        balance[i] = 1;
    if (!cz_store_has(store, CZ_CLASS_WEIGHT, NULL)) {
        float *weight = cz_memory_alloc(n * sizeof *weight, "the head of color classes", error);
        if (!weight)
            return false;
        CzRng rng = cz_rng(seed, 1000); // beyond the network's own streams
        for (size_t i = 0; i < n; i++)
            weight[i] = 0.1f / sqrtf((float)width) * cz_rng_normal(&rng);
        bool added = cz_store_add(store, CZ_CLASS_WEIGHT, weight_shape(width), weight, error);
        cz_memory_free(weight);
        if (!added)
            return false;
    }
    return (cz_store_has(store, CZ_CLASS_BIAS, NULL) ||
            cz_store_add(store, CZ_CLASS_BIAS, class_shape(), NULL, error)) &&
           (cz_store_has(store, BALANCE, NULL) ||
            cz_store_add(store, BALANCE, class_shape(), balance, error));
}

// ---- the balance --------------------------------------------------------------------------------

static void count_picture(const TrainClasses *classes, const TrainPicture *picture, double *counts)
{
    size_t n = (size_t)picture->width * (size_t)picture->height, m = MIN(n, SAMPLES);
    for (size_t k = 0; k < m; k++) {
        const uint8_t *pixel = picture->rgb + 3 * (n / m * k + n / m / 2);
        float rgb[3], lab[3];
        for (int c = 0; c < 3; c++)
            rgb[c] = (float)pixel[c] / 255;
        TrainClassShares shares;
        cz_rgb_to_lab(lab, rgb, 1);
        train_classes_spread(classes, lab + 1, &shares);
        for (int i = 0; i < TRAIN_CLASSES_NEAREST; i++)
            counts[shares.index[i]] += (double)shares.share[i];
    }
}

// counts: the squares' shares, up to a factor. The mean of the balance over them is 1.
static void find_balance(const double *counts, float *balance)
{
    double sum = 0, mean = 0, raw[CZ_N_CLASSES];
    for (int32_t i = 0; i < CZ_N_CLASSES; i++)
        sum += counts[i];
    for (int32_t i = 0; i < CZ_N_CLASSES; i++) {
        raw[i] = 1 / ((1 - MIX) * counts[i] / sum + MIX / CZ_N_CLASSES);
        mean += raw[i] * counts[i] / sum;
    }
    for (int32_t i = 0; i < CZ_N_CLASSES; i++)
        balance[i] = (float)(raw[i] / mean);
}

bool train_classes_measure(CzStore *store, const TrainSet *set, double held_back, GError **error)
{
    size_t n;
    g_autofree uint32_t *indices = train_set_split(set, held_back, false, &n);
    if (n == 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                    "loss.class: the set holds no picture to learn from");
        return false;
    }
    g_autofree TrainClasses *classes = g_new0(TrainClasses, 1);
    double counts[CZ_N_CLASSES] = {0};
    float balance[CZ_N_CLASSES];
    size_t m = MIN(n, PICTURES);
    find_squares(classes);
    for (size_t k = 0; k < m; k++) {
        TrainPicture picture = train_set_picture(set, indices[k * n / m]);
        count_picture(classes, &picture, counts);
    }
    find_balance(counts, balance);
    return cz_store_add(store, BALANCE, class_shape(), balance, error);
}
