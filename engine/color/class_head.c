// SPDX-License-Identifier: LGPL-3.0-or-later
// Colour classes: their squares, the shares they have at a place, the modes of these.
#include "color/class_head.h"

#include <math.h>
#include <string.h>

#include <cz/memory.h>

// ---- squares ------------------------------------------------------------------------------------

// The squares that sRGB reaches, row by row: a*/10, and the first and last b*/10.
static const struct {
    int8_t a, first, last;
} rows[] = {
    {-8, 6, 8},  {-7, 2, 8},  {-6, 0, 8},  {-5, -2, 9}, {-4, -3, 9}, {-3, -4, 9},
    {-2, -5, 9}, {-1, -6, 9}, {0, -7, 9},  {1, -8, 9},  {2, -8, 8},  {3, -9, 8},
    {4, -10, 8}, {5, -10, 7}, {6, -11, 7}, {7, -11, 7}, {8, -9, 7},  {9, -7, -1},
};

void cz_class_center(int32_t index, float ab[2])
{
    size_t row = 0;
    for (; index > rows[row].last - rows[row].first; row++)
        index -= rows[row].last - rows[row].first + 1;
    ab[0] = (float)rows[row].a * CZ_CLASS_SIZE;
    ab[1] = (float)(rows[row].first + index) * CZ_CLASS_SIZE;
}

// ---- the head -----------------------------------------------------------------------------------

CzClassHead *cz_class_head_new(int32_t channels, GError **error)
{
    size_t n = CZ_N_CLASSES * (size_t)channels;
    CzClassHead *head = g_new0(CzClassHead, 1);
    head->channels = channels;
    head->weight = cz_memory_alloc(n * sizeof(float), "the head of color classes", error);
    if (!head->weight) {
        g_free(head);
        return NULL;
    }
    memset(head->weight, 0, n * sizeof(float));
    return head;
}

void cz_class_head_free(CzClassHead *head)
{
    if (!head)
        return;
    cz_memory_free(head->weight);
    g_free(head);
}

// ---- of one photograph --------------------------------------------------------------------------

bool cz_class_map_init(CzClassMap *map, const CzClassHead *head, const CzFeatures *features,
                       GError **error)
{
    size_t channels = (size_t)features->channels;
    size_t n = (size_t)features->width * (size_t)features->height * channels;
    *map = (CzClassMap){.head = cz_class_head_new(head->channels, error)};
    if (!map->head || !cz_features_init(&map->features, features->width, features->height,
                                        features->channels, error)) {
        cz_class_map_clear(map);
        return false;
    }
    memcpy(map->head->weight, head->weight, CZ_N_CLASSES * channels * sizeof(float));
    memcpy(map->head->bias, head->bias, sizeof head->bias);
    memcpy(map->features.data, features->data, n * sizeof(float));
    return true;
}

void cz_class_map_clear(CzClassMap *map)
{
    cz_class_head_free(map->head);
    cz_features_clear(&map->features);
    memset(map, 0, sizeof *map);
}

// Logits to shares, in place; what is no number becomes none.
static void softmax(float *values)
{
    float most = values[0], sum = 0;
    for (int i = 1; i < CZ_N_CLASSES; i++)
        most = MAX(most, values[i]);
    for (int i = 0; i < CZ_N_CLASSES; i++)
        sum += values[i] = expf(values[i] - most);
    for (int i = 0; i < CZ_N_CLASSES; i++)
        values[i] /= sum;
}

bool cz_class_map_shares(const CzClassMap *map, double x, double y, float *shares)
{
    const CzClassHead *head = map->head;
    if (!head)
        return false;
    size_t channels = (size_t)head->channels;
    float *place = cz_memory_alloc(channels * sizeof(float), "features", NULL);
    if (!place)
        return false;
    cz_features_at(&map->features, x, y, place);
    for (size_t i = 0; i < CZ_N_CLASSES; i++)
        shares[i] = head->bias[i] + cz_features_dot(head->weight + i * channels, place, channels);
    cz_memory_free(place);
    softmax(shares);
    return true;
}

// ---- modes --------------------------------------------------------------------------------------

static float distance(const float ab[2], const float other[2])
{
    return hypotf(ab[0] - other[0], ab[1] - other[1]);
}

// FALSE: a square nearby has more, or as much and comes before.
static bool find_mode(const float *shares, const float (*centers)[2], int peak, CzClassMode *mode)
{
    float a = 0, b = 0;
    mode->share = 0;
    for (int i = 0; i < CZ_N_CLASSES; i++) {
        if (distance(centers[i], centers[peak]) >= CZ_CLASS_APART)
            continue;
        if (shares[i] > shares[peak] || (i < peak && shares[i] == shares[peak]))
            return false;
        mode->share += shares[i];
        a += shares[i] * centers[i][0];
        b += shares[i] * centers[i][1];
    }
    mode->ab[0] = a / mode->share;
    mode->ab[1] = b / mode->share;
    return true;
}

// Equal shares by color, so that any qsort gives the same.
static int compare_modes(const void *a, const void *b)
{
    const CzClassMode *x = a, *y = b;
    if (x->share != y->share)
        return x->share < y->share ? 1 : -1;
    if (x->ab[0] != y->ab[0])
        return x->ab[0] < y->ab[0] ? -1 : 1;
    return (x->ab[1] > y->ab[1]) - (x->ab[1] < y->ab[1]);
}

size_t cz_class_modes(const float *shares, float least, CzClassMode *modes, size_t n_max)
{
    float centers[CZ_N_CLASSES][2];
    CzClassMode found[CZ_N_CLASSES];
    size_t n_found = 0, n = 0;
    for (int i = 0; i < CZ_N_CLASSES; i++)
        cz_class_center(i, centers[i]);
    for (int i = 0; i < CZ_N_CLASSES; i++)
        if (shares[i] > 0 && // and a number
            find_mode(shares, (const float(*)[2])centers, i, &found[n_found]) &&
            found[n_found].share >= least)
            n_found++;
    qsort(found, n_found, sizeof *found, compare_modes);
    for (size_t i = 0; i < n_found && n < n_max; i++) {
        // Peaks are apart; their colors may have come nearer.
        bool apart = true;
        for (size_t k = 0; k < n; k++)
            apart = apart && distance(found[i].ab, modes[k].ab) >= CZ_CLASS_APART;
        if (apart)
            modes[n++] = found[i];
    }
    return n;
}
